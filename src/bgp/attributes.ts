// Path attributes as values (RFC 4271 §5 and the RFCs named at each field). Every field is always present, so that all sets
// share one hidden class; null or an empty list means the attribute is absent. Values are immutable and canonical:
// communities are sorted and free of duplicates, AS_PATH has no empty segment.
import type { Brand } from '../lib/brand.ts'
import type { Asn, IpAddress, Ipv4, Ipv6 } from '../net/index.ts'

/** BGP Identifier: unsigned, host order (RFC 6286). */
export type RouterId = Brand<number, 'RouterId'>
/** 32-bit community `high:low` (RFC 1997). */
export type Community = Brand<number, 'Community'>
/** Three 32-bit parts (RFC 8092). */
export type LargeCommunity = readonly [number, number, number]

export type Origin = 'igp' | 'egp' | 'incomplete'
export type AsPathSegment = { readonly type: 'sequence' | 'set' | 'confedSequence' | 'confedSet'; readonly asns: readonly Asn[] }

/** IPv6 next hops may carry a link-local beside the global address (RFC 2545 §3); IPv4 NLRI may have an IPv6 next hop (RFC 8950). */
export type NextHop = { readonly address: IpAddress; readonly linkLocal: Ipv6 | null }

/** An optional transitive attribute we do not implement: carried byte-exact (RFC 4271 §9). */
export type UnknownAttribute = { readonly type: number; readonly flags: number; readonly value: Uint8Array }

export type PathAttributes = {
  readonly origin: Origin
  readonly asPath: readonly AsPathSegment[]
  /** NEXT_HOP or the next hop field of MP_REACH_NLRI; null on a path we originate (each session fills in its own address). */
  readonly nextHop: NextHop | null
  readonly med: number | null
  readonly localPref: number | null
  readonly atomicAggregate: boolean
  readonly aggregator: { readonly asn: Asn; readonly address: Ipv4 } | null
  readonly communities: readonly Community[]
  /** RFC 4456 §8. */
  readonly originatorId: RouterId | null
  readonly clusterList: readonly RouterId[]
  /** Eight octets each, as a 64-bit number (RFC 4360). */
  readonly extendedCommunities: readonly bigint[]
  /** Twenty octets each, as 40 hex digits (RFC 5701). */
  readonly ipv6ExtendedCommunities: readonly string[]
  readonly largeCommunities: readonly LargeCommunity[]
  /** Only to Customer (RFC 9234 §5). */
  readonly onlyToCustomer: Asn | null
  /** In ascending order of type. */
  readonly unknown: readonly UnknownAttribute[]
}

/** The attributes of a path that originates here with nothing special about it. */
export const ORIGINATED: PathAttributes = {
  origin: 'igp',
  asPath: [],
  nextHop: null,
  med: null,
  localPref: null,
  atomicAggregate: false,
  aggregator: null,
  communities: [],
  originatorId: null,
  clusterList: [],
  extendedCommunities: [],
  ipv6ExtendedCommunities: [],
  largeCommunities: [],
  onlyToCustomer: null,
  unknown: [],
}

/** Mints a BGP Identifier; zero is not one (RFC 6286 §2.1). Throws RangeError. */
export function routerId(value: number): RouterId {
  if (!Number.isInteger(value) || value < 1 || value > 0xffff_ffff) throw new RangeError(`not a BGP Identifier: ${value}`)
  return value as RouterId
}

/** Mints a community from its 32-bit value. Throws RangeError. */
export function community(value: number): Community {
  if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff) throw new RangeError(`not a community: ${value}`)
  return value as Community
}

/** Well-known communities (RFC 1997, 3765, 7999, 8326, 9494). */
export const WELL_KNOWN_COMMUNITY = {
  GRACEFUL_SHUTDOWN: 0xffff_0000 as Community,
  ACCEPT_OWN: 0xffff_0001 as Community,
  LLGR_STALE: 0xffff_0006 as Community,
  NO_LLGR: 0xffff_0007 as Community,
  BLACKHOLE: 0xffff_029a as Community,
  NO_EXPORT: 0xffff_ff01 as Community,
  NO_ADVERTISE: 0xffff_ff02 as Community,
  NO_EXPORT_SUBCONFED: 0xffff_ff03 as Community,
  NOPEER: 0xffff_ff04 as Community,
} as const
