// When two sets of path attributes are the same, and a hash that agrees with it. Values are canonical (see attributes.ts), so
// equality is field by field.
import type { AsPathSegment, NextHop, PathAttributes } from '../attributes.ts'

const ORIGIN_CODE = { igp: 0, egp: 1, incomplete: 2 } as const
const SEGMENT_CODE = { set: 1, sequence: 2, confedSequence: 3, confedSet: 4 } as const

export function hashAttributes(value: PathAttributes): number {
  let h = ORIGIN_CODE[value.origin] + 1
  for (const { type, asns } of value.asPath) {
    h = mix(h, SEGMENT_CODE[type])
    for (const asn of asns) h = mix(h, asn)
  }
  if (value.nextHop !== null) h = mix(h, hashAddress(value.nextHop.address))
  h = mix(h, value.med ?? -1)
  h = mix(h, value.localPref ?? -1)
  for (const community of value.communities) h = mix(h, community)
  for (const part of value.largeCommunities) h = mix(mix(h, part[1]), part[2])
  h = mix(h, value.originatorId ?? 0)
  for (const cluster of value.clusterList) h = mix(h, cluster)
  for (const extended of value.extendedCommunities) h = mix(h, Number(extended & 0xffff_ffffn))
  h = mix(h, value.onlyToCustomer ?? 0)
  if (value.aggregator !== null) h = mix(h, value.aggregator.address)
  for (const { type, value: octets } of value.unknown) h = mix(mix(h, type), octets.length)
  h ^= h >>> 15
  return h
}

export function sameAttributes(a: PathAttributes, b: PathAttributes): boolean {
  return (
    a === b ||
    (a.origin === b.origin &&
      a.med === b.med &&
      a.localPref === b.localPref &&
      a.originatorId === b.originatorId &&
      a.onlyToCustomer === b.onlyToCustomer &&
      a.atomicAggregate === b.atomicAggregate &&
      sameNextHop(a.nextHop, b.nextHop) &&
      sameAsPath(a.asPath, b.asPath) &&
      a.aggregator?.asn === b.aggregator?.asn &&
      a.aggregator?.address === b.aggregator?.address &&
      sameList(a.communities, b.communities) &&
      sameList(a.clusterList, b.clusterList) &&
      sameList(a.extendedCommunities, b.extendedCommunities) &&
      sameList(a.ipv6ExtendedCommunities, b.ipv6ExtendedCommunities) &&
      sameItems(a.largeCommunities, b.largeCommunities, sameList) &&
      sameItems(a.unknown, b.unknown, (x, y) => x.type === y.type && x.flags === y.flags && sameList(x.value, y.value)))
  )
}

function sameNextHop(a: NextHop | null, b: NextHop | null): boolean {
  return a === b || (a !== null && b !== null && a.address === b.address && a.linkLocal === b.linkLocal)
}

export function sameAsPath(a: readonly AsPathSegment[], b: readonly AsPathSegment[]): boolean {
  return a === b || sameItems(a, b, (x, y) => x.type === y.type && sameList(x.asns, y.asns))
}

function sameList<T>(a: ArrayLike<T>, b: ArrayLike<T>): boolean {
  if (a.length !== b.length) return false
  for (let at = 0; at < a.length; at++) if (a[at] !== b[at]) return false
  return true
}

function sameItems<T>(a: readonly T[], b: readonly T[], same: (x: T, y: T) => boolean): boolean {
  if (a.length !== b.length) return false
  for (const [at, x] of a.entries()) {
    const y = b[at]
    if (y === undefined || !same(x, y)) return false
  }
  return true
}

function hashAddress(address: number | bigint): number {
  return typeof address === 'number' ? address : Number(address & 0xffff_ffffn) ^ Number((address >> 64n) & 0xffff_ffffn)
}

function mix(hash: number, value: number): number {
  const h = Math.imul(hash ^ value, 0x9e37_79b1)
  return h ^ (h >>> 13)
}
