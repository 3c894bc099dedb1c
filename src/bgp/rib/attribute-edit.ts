// Changes to path attributes. Each returns a new canonical value, or the very same object when there is nothing to change.
import type { Asn } from '../../net/index.ts'
import type { AsPathSegment, Community, LargeCommunity, PathAttributes } from '../attributes.ts'
import type { CommunityValue } from '../filter.ts'
import { isNonTransitive } from '../wire/index.ts'

const MAX_SEGMENT_ASNS = 255

/** RFC 4271 §5.1.2: into the first segment if it is a sequence with room, else into a new one; never more than 255 in one. */
export function prependAsPath(asPath: readonly AsPathSegment[], asns: readonly Asn[]): readonly AsPathSegment[] {
  let path = [...asPath]
  for (let end = asns.length; end > 0; ) {
    const [first] = path
    const room = first?.type === 'sequence' ? MAX_SEGMENT_ASNS - first.asns.length : 0
    const taken = Math.min(end, room > 0 ? room : MAX_SEGMENT_ASNS)
    const part = asns.slice(end - taken, end)
    if (first !== undefined && room > 0) path[0] = { type: 'sequence', asns: part.concat(first.asns) }
    else path = [{ type: 'sequence', asns: part }, ...path]
    end -= taken
  }
  return path
}

/** Up to `count` ASes from the beginning of the path, as far as they are in sequences. */
export function firstSequence(asPath: readonly AsPathSegment[], count: number): readonly Asn[] {
  const found: Asn[] = []
  for (const { type, asns } of asPath) {
    if (type !== 'sequence' || found.length >= count) break
    found.push(...asns.slice(0, count - found.length))
  }
  return found
}

/** How often `asn` appears anywhere in the path (RFC 4271 §9.1.2). */
export function countInAsPath(asPath: readonly AsPathSegment[], asn: number): number {
  let count = 0
  for (const { asns } of asPath) for (const each of asns) if (each === asn) count++
  return count
}

export function withCommunity(attributes: PathAttributes, value: Community): PathAttributes {
  if (attributes.communities.includes(value)) return attributes
  return { ...attributes, communities: [...attributes.communities, value].sort((a, b) => a - b) }
}

export function addCommunity(attributes: PathAttributes, community: CommunityValue): PathAttributes {
  switch (community.kind) {
    case 'standard':
      return withCommunity(attributes, community.value)
    case 'extended':
      if (attributes.extendedCommunities.includes(community.value)) return attributes
      return {
        ...attributes,
        extendedCommunities: [...attributes.extendedCommunities, community.value].sort((a, b) => (a < b ? -1 : a > b ? 1 : 0)),
      }
    case 'large':
      if (attributes.largeCommunities.some((large) => compareLarge(large, community.value) === 0)) return attributes
      return { ...attributes, largeCommunities: [...attributes.largeCommunities, community.value].sort(compareLarge) }
  }
}

export function removeCommunity(attributes: PathAttributes, community: CommunityValue): PathAttributes {
  switch (community.kind) {
    case 'standard':
      if (!attributes.communities.includes(community.value)) return attributes
      return { ...attributes, communities: attributes.communities.filter((each) => each !== community.value) }
    case 'extended':
      if (!attributes.extendedCommunities.includes(community.value)) return attributes
      return { ...attributes, extendedCommunities: attributes.extendedCommunities.filter((each) => each !== community.value) }
    case 'large':
      if (!attributes.largeCommunities.some((large) => compareLarge(large, community.value) === 0)) return attributes
      return { ...attributes, largeCommunities: attributes.largeCommunities.filter((large) => compareLarge(large, community.value) !== 0) }
  }
}

/** The communities of a path, sorted and without repetition. */
export function canonicalCommunities(values: readonly Community[]): readonly Community[] {
  return [...new Set(values)].sort((a, b) => a - b)
}

export function canonicalLargeCommunities(values: readonly LargeCommunity[]): readonly LargeCommunity[] {
  return [...values].sort(compareLarge).filter((value, at, all) => at === 0 || compareLarge(value, all[at - 1] ?? value) !== 0)
}

function compareLarge(a: LargeCommunity, b: LargeCommunity): number {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2]
}

/** Without the extended communities that end at the border of an AS (bit 0x40 of the first octet, RFC 4360 §2, RFC 5701 §2). */
export function withoutNonTransitive(attributes: PathAttributes): PathAttributes {
  const { extendedCommunities, ipv6ExtendedCommunities } = attributes
  if (!extendedCommunities.some(isNonTransitive) && !ipv6ExtendedCommunities.some(isNonTransitiveHex)) return attributes
  return {
    ...attributes,
    extendedCommunities: extendedCommunities.filter((value) => !isNonTransitive(value)),
    ipv6ExtendedCommunities: ipv6ExtendedCommunities.filter((value) => !isNonTransitiveHex(value)),
  }
}

function isNonTransitiveHex(value: string): boolean {
  return (Number.parseInt(value.slice(0, 2), 16) & 0x40) !== 0
}

const PARTIAL = 0x20

/** What we do not recognize is partial once we have passed it on (RFC 4271 §5). */
export function withPartialUnknown(attributes: PathAttributes): PathAttributes {
  if (attributes.unknown.every(({ flags }) => (flags & PARTIAL) !== 0)) return attributes
  return { ...attributes, unknown: attributes.unknown.map((each) => ({ ...each, flags: each.flags | PARTIAL })) }
}
