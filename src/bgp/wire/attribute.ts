// What a path attribute codec is made of: the draft a set is decoded into, the shape of a row, and readers and writers of
// the kinds of values that attributes share. The rows are in attribute-codecs.ts.
import { AS_TRANS, type Asn, asn, type Ipv4, ipv4 } from '../../net/index.ts'
import type { AsPathSegment, LargeCommunity, Origin, PathAttributes, RouterId, UnknownAttribute } from '../attributes.ts'
import type { Family } from '../family.ts'
import { ATTRIBUTE_FLAG, EXTENDED_COMMUNITY, UPDATE_ERROR } from '../iana.ts'
import type { EncodeContext } from './context.ts'
import { u16, u32 } from './octets.ts'
import { OctetWriter } from './writer.ts'

/** Who formed an aggregate (RFC 4271 §5.1.7). */
export type Aggregator = NonNullable<PathAttributes['aggregator']>

/** A set being decoded. What is null or empty has not been seen yet. */
export type Draft = {
  origin: Origin | null
  asPath: readonly AsPathSegment[] | null
  nextHop: Ipv4 | null
  med: number | null
  localPref: number | null
  atomicAggregate: boolean
  aggregator: Aggregator | null
  communities: PathAttributes['communities']
  originatorId: RouterId | null
  clusterList: readonly RouterId[]
  extendedCommunities: readonly bigint[]
  as4Path: readonly AsPathSegment[] | null
  as4Aggregator: Aggregator | null
  ipv6ExtendedCommunities: readonly string[]
  largeCommunities: readonly LargeCommunity[]
  onlyToCustomer: Asn | null
  unknown: readonly UnknownAttribute[]
}

/** What is wrong with a value; `subcode` is that of the UPDATE error, should the session have to end over it. */
export type AttributeFault = { readonly subcode: number; readonly reason: string }

export type AttributeCodec = {
  readonly type: number
  readonly name: string
  /** The Optional and Transitive bits. */
  readonly flags: number
  /** RFC 7606 §7 and the RFC of the attribute; also for wrong flags (§3 c). */
  readonly whenMalformed: 'treatAsWithdraw' | 'attributeDiscard'
  /** From an eBGP peer it is discarded unread, and to one it is not sent (RFC 7606 §7.5, §7.9, §7.10). */
  readonly internalOnly?: true
  /** Reads the value into the draft; a fault leaves the draft as it was. */
  decode(value: Uint8Array, draft: Draft, context: { readonly fourOctetAs: boolean }, flags: number): AttributeFault | null
  /** The value, or null if there is nothing to send. */
  encode(attributes: PathAttributes, context: EncodeContext, family: Family): Uint8Array | null
}

/** The three kinds of attribute, by their flags (RFC 4271 §5). */
export const WELL_KNOWN = ATTRIBUTE_FLAG.TRANSITIVE
export const OPTIONAL_TRANSITIVE = ATTRIBUTE_FLAG.OPTIONAL | ATTRIBUTE_FLAG.TRANSITIVE
export const OPTIONAL = ATTRIBUTE_FLAG.OPTIONAL

/** The value has the wrong length; `want` completes "length 3, not …". */
export function lengthFault(value: Uint8Array, want: string): AttributeFault {
  return { subcode: UPDATE_ERROR.ATTRIBUTE_LENGTH, reason: `length ${value.length}, not ${want}` }
}

/** Something in the value of an optional attribute is wrong. */
export function optionalFault(reason: string): AttributeFault {
  return { subcode: UPDATE_ERROR.OPTIONAL_ATTRIBUTE, reason }
}

/** Four octets. */
export function word(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value)
}

/** Four octets each; null for none. */
export function words(values: readonly number[]): Uint8Array | null {
  if (values.length === 0) return null
  const out = new OctetWriter()
  for (const value of values) out.u32(value)
  return out.finish()
}

/** Reads `octets` at a time; null if the value is empty or does not divide. */
export function items<T>(value: Uint8Array, octets: number, read: (at: number) => T): T[] | null {
  if (value.length === 0 || value.length % octets !== 0) return null
  const found: T[] = []
  for (let at = 0; at < value.length; at += octets) found.push(read(at))
  return found.slice() // a list that was pushed to keeps room for 17
}

/** Sorted, without duplicates: the canonical form of every kind of community list. */
export function canonical<T>(list: readonly T[], compare: (a: T, b: T) => number): readonly T[] {
  if (isCanonical(list, compare)) return list // as nearly everybody sends it
  const sorted = [...list].sort(compare)
  return sorted.filter((item, index) => index === 0 || compare(sorted[index - 1] ?? item, item) !== 0)
}

function isCanonical<T>(list: readonly T[], compare: (a: T, b: T) => number): boolean {
  for (let at = 1; at < list.length; at++) {
    const [before, after] = [list[at - 1], list[at]]
    if (before === undefined || after === undefined || compare(before, after) >= 0) return false
  }
  return true
}

/** Ascending. */
export function byValue<T extends number | bigint | string>(a: T, b: T): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** By the first part, then the second, then the third. */
export function byParts(a: LargeCommunity, b: LargeCommunity): number {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2]
}

/** An AGGREGATOR; null if its AS is 0 (RFC 7607 §2). The length has been checked. */
export function aggregatorAt(value: Uint8Array, asnOctets: 2 | 4): Aggregator | null {
  const number = asnOctets === 4 ? u32(value, 0) : u16(value, 0)
  return number === 0 ? null : { asn: asn(number), address: ipv4(u32(value, asnOctets)) }
}

/** The value of AGGREGATOR or AS4_AGGREGATOR; AS_TRANS where two octets are too few. */
export function aggregatorValue({ asn: number, address }: Aggregator, asnOctets: 2 | 4): Uint8Array {
  const out = new OctetWriter()
  if (asnOctets === 4) out.u32(number)
  else out.u16(number > 0xffff ? AS_TRANS : number)
  return out.u32(address).finish()
}

/** True if an extended community ends at the border of the AS (RFC 4360 §2). */
export function isNonTransitive(value: bigint): boolean {
  return (Number(value >> 56n) & EXTENDED_COMMUNITY.NON_TRANSITIVE) !== 0
}

/** Two digits an octet. */
export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (octet) => octet.toString(16).padStart(2, '0')).join('')
}

/** The octets of `hex` text. */
export function octetsOfHex(text: string): number[] {
  return Array.from({ length: text.length / 2 }, (_, index) => Number.parseInt(text.slice(index * 2, index * 2 + 2), 16))
}

/** Type and 2-octet length in front of each; `counted` is what the length includes besides the value. AIGP: all three octets. */
export function isTlvList(value: Uint8Array, counted: 0 | 3): boolean {
  let at = 0
  while (at < value.length) {
    if (value.length - at < 3) return false
    const length = u16(value, at + 1)
    if (length < counted) return false
    at += length + 3 - counted
  }
  return at === value.length && value.length > 0
}

/** TLVs of the lengths RFC 8669 §3 gives them; of types not known there, any length. Type 0 is reserved. */
export function isPrefixSid(value: Uint8Array): boolean {
  if (!isTlvList(value, 0)) return false
  for (let at = 0; at < value.length; at += 3 + u16(value, at + 1)) {
    const type = value[at]
    const length = u16(value, at + 1)
    if (type === 0) return false
    if (type === 1 && length !== 7) return false
    if (type === 3 && (length < 8 || (length - 2) % 6 !== 0)) return false
  }
  return true
}
