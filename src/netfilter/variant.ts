// Which variant of iptables this host uses: rules of both would be walked by every packet, and other programs look into one only.
import type { IpFamily } from '../net/index.ts'
import type { Variant } from './port.ts'
import type { FamilyState } from './save.ts'

/** What is in the kernel by variant; null: the tools of that variant are not installed. */
export type VariantStates = { readonly [V in Variant]: { readonly [F in IpFamily]: FamilyState } | null }

/**
 * In this order: where kubelet left its hint (KEP-3178), where more rules of others are, where rules of ours are, nft. Null if
 * no tools are installed.
 */
export function chooseVariant(states: VariantStates): Variant | null {
  const { nft, legacy } = states
  if (nft === null || legacy === null) return nft !== null ? 'nft' : legacy !== null ? 'legacy' : null
  if (nft[4].hasKubeletHint || nft[6].hasKubeletHint) return 'nft'
  if (legacy[4].hasKubeletHint || legacy[6].hasKubeletHint) return 'legacy'
  const [inNft, inLegacy] = [nft[4].foreignRules + nft[6].foreignRules, legacy[4].foreignRules + legacy[6].foreignRules]
  if (inNft !== inLegacy) return inNft > inLegacy ? 'nft' : 'legacy'
  return hasOurs(legacy) && !hasOurs(nft) ? 'legacy' : 'nft'
}

export function otherVariant(variant: Variant): Variant {
  return variant === 'nft' ? 'legacy' : 'nft'
}

function hasOurs(state: { readonly [F in IpFamily]: FamilyState }): boolean {
  return [...state[4].tables.values(), ...state[6].tables.values()].some(({ chains }) => chains.size > 0)
}
