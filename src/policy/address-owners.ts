// Whose an address is, kept up to date claim by claim: what `cluster-view.ts` works out from scratch. Several may claim one address for
// a while, as when a pod's object is seen after that of its successor; the order of events makes no difference.
import type { IpAddress } from '../net/index.ts'
import { byClaim } from './cluster-view.ts'
import type { PolicyPod } from './model.ts'

/** An endpoint goes before every pod of another node. */
export type Claimant = { readonly key: string; readonly addresses: readonly IpAddress[] } & (
  | { readonly kind: 'endpoint' }
  | { readonly kind: 'pod'; readonly pod: PolicyPod }
)

export class AddressOwners {
  readonly #claimants = new Map<string, Claimant>()
  /** The owner first. Nearly always there is one. */
  readonly #claims = new Map<IpAddress, readonly Claimant[]>()

  ownerOf(address: IpAddress): Claimant | null {
    return this.#claims.get(address)?.[0] ?? null
  }

  /** Those of its addresses that are its own. */
  owned(key: string): readonly IpAddress[] {
    const claimant = this.#claimants.get(key)
    return claimant === undefined ? [] : claimant.addresses.filter((address) => this.ownerOf(address)?.key === key)
  }

  /** Takes in what `key` claims now; null: nothing. Gives the keys of others that won or lost an address by that. */
  claim(key: string, next: Claimant | null): ReadonlySet<string> {
    const before = this.#claimants.get(key)
    const others = new Set<string>()
    for (const address of new Set([...(before?.addresses ?? []), ...(next?.addresses ?? [])])) {
      const owner = this.ownerOf(address)?.key
      const rest = (this.#claims.get(address) ?? []).filter((claimant) => claimant.key !== key)
      const claims = next?.addresses.includes(address) === true ? [...rest, next].sort(byPrecedence) : rest
      if (claims.length === 0) this.#claims.delete(address)
      else this.#claims.set(address, claims)
      const winner = claims[0]?.key
      if (owner !== winner) for (const each of [owner, winner]) if (each !== undefined && each !== key) others.add(each)
    }
    if (next === null) this.#claimants.delete(key)
    else this.#claimants.set(key, next)
    return others
  }
}

function byPrecedence(a: Claimant, b: Claimant): number {
  if (a.kind === 'endpoint') return b.kind === 'endpoint' && b.key < a.key ? 1 : -1
  return b.kind === 'endpoint' ? 1 : byClaim(a.pod, b.pod)
}
