// Address families this speaker carries (RFC 4760; AFI 1 and 2, SAFI 1). The names are those of the BGPPeer resource.
import type { IpFamily } from '../net/index.ts'

export type Family = 'IPv4Unicast' | 'IPv6Unicast'
export const FAMILIES: readonly Family[] = ['IPv4Unicast', 'IPv6Unicast']

export const AFI: { readonly [F in Family]: 1 | 2 } = { IPv4Unicast: 1, IPv6Unicast: 2 }
export const SAFI_UNICAST = 1

/** The family of an (AFI, SAFI) pair, or null if we do not carry it. */
export function familyFromCodes(afi: number, safi: number): Family | null {
  if (safi !== SAFI_UNICAST) return null
  return afi === 1 ? 'IPv4Unicast' : afi === 2 ? 'IPv6Unicast' : null
}

export function ipFamilyOf(family: Family): IpFamily {
  return family === 'IPv4Unicast' ? 4 : 6
}
