// Packing prefixes into the fewest UPDATE messages (RFC 4271 §4.3, §9.2.2.1). Of the four places an UPDATE has for prefixes we
// fill one at a time, and MP attributes come first (RFC 7606 §5.1).
import { ipToBytes, isIpv6 } from '../../net/index.ts'
import type { NextHop } from '../attributes.ts'
import { AFI, type Family, SAFI_UNICAST } from '../family.ts'
import { ATTRIBUTE, ATTRIBUTE_FLAG, HEADER_LENGTH, MAX_EXTENDED_MESSAGE_LENGTH, MAX_MESSAGE_LENGTH, MESSAGE_TYPE } from '../iana.ts'
import { writeAttribute } from './attribute-set.ts'
import type { EncodeContext } from './context.ts'
import { lastBoundary, longestNlri, maxNlriOctets } from './nlri.ts'
import { messageHeader } from './open.ts'
import { type ByteWriter, OctetWriter } from './writer.ts'

/** Octets of an UPDATE that holds nothing. */
const MIN_UPDATE = HEADER_LENGTH + 4
const NOTHING = new Uint8Array(0)

export type UpdateBatch = {
  readonly family: Family
  /** From `encodePathAttributes`; null withdraws the prefixes. */
  readonly attributes: Uint8Array | null
  /** What goes into MP_REACH_NLRI. IPv4 prefixes with an IPv4 next hop have it among the attributes already: not looked at. */
  readonly nextHop: NextHop | null
  /** Encoded NLRI, one after the other, with path identifiers if `addPath`. */
  readonly nlri: Uint8Array
  readonly addPath: boolean
}

/**
 * Writes `batch` as UPDATE messages. `tooLarge`: the attributes leave no room for a prefix, nothing was written, and the routes
 * have to be withdrawn from this peer (RFC 8654 §4). Throws RangeError for what the session did not agree on.
 */
export function encodeUpdates(
  out: ByteWriter,
  batch: UpdateBatch,
  context: EncodeContext,
): { readonly messages: number; readonly tooLarge: boolean } {
  const { family, nlri, addPath } = batch
  const layout = layoutOf(batch, context)
  const limit = context.extendedMessage ? MAX_EXTENDED_MESSAGE_LENGTH : MAX_MESSAGE_LENGTH
  const room = roomFor(layout, limit)
  if (room < maxNlriOctets(family, addPath) && room < longestNlri(nlri, addPath)) return { messages: 0, tooLarge: true }
  let messages = 0
  for (let start = 0; start < nlri.length; messages++) {
    const end = nlri.length - start <= room ? nlri.length : lastBoundary(nlri, start, start + room, addPath)
    writeUpdate(out, layout, nlri, start, end)
    start = end
  }
  return { messages, tooLarge: false }
}

/** The parts of an UPDATE that do not depend on the prefixes. */
type Layout = {
  readonly section: 'withdrawn' | 'nlri' | 'mpReach' | 'mpUnreach'
  /** What stands in front of the NLRI inside an MP attribute. */
  readonly mpHead: Uint8Array
  readonly attributes: Uint8Array
}

function layoutOf({ family, attributes, nextHop }: UpdateBatch, context: EncodeContext): Layout {
  if (attributes === null) {
    if (family === 'IPv4Unicast') return { section: 'withdrawn', mpHead: NOTHING, attributes: NOTHING }
    return { section: 'mpUnreach', mpHead: Uint8Array.of(0, AFI[family], SAFI_UNICAST), attributes: NOTHING }
  }
  if (family === 'IPv4Unicast' && (nextHop === null || !isIpv6(nextHop.address))) return { section: 'nlri', mpHead: NOTHING, attributes }
  if (nextHop === null) throw new RangeError('IPv6 prefixes need an IPv6 next hop')
  return { section: 'mpReach', mpHead: mpReachHead(family, nextHop, context), attributes }
}

/** Heads are made once for each next hop object: paths that share attributes share it. */
const HEADS: { readonly [F in Family]: WeakMap<NextHop, Uint8Array> } = { IPv4Unicast: new WeakMap(), IPv6Unicast: new WeakMap() }

function mpReachHead(family: Family, nextHop: NextHop, context: EncodeContext): Uint8Array {
  if (family === 'IPv4Unicast' && !context.extendedNextHop)
    throw new RangeError('IPv4 prefixes with an IPv6 next hop were not agreed on (RFC 8950)')
  const known = HEADS[family].get(nextHop)
  if (known !== undefined) return known
  const head = newMpReachHead(family, nextHop)
  HEADS[family].set(nextHop, head)
  return head
}

/** AFI, SAFI, length of the next hop, next hop, the reserved octet (RFC 4760 §3, RFC 2545 §3, RFC 8950 §3). */
function newMpReachHead(family: Family, { address, linkLocal }: NextHop): Uint8Array {
  if (!isIpv6(address)) throw new RangeError('IPv6 prefixes need an IPv6 next hop')
  const global = ipToBytes(address)
  const local = linkLocal === null ? NOTHING : ipToBytes(linkLocal)
  return Uint8Array.of(0, AFI[family], SAFI_UNICAST, global.length + local.length, ...global, ...local, 0)
}

/** Octets left for NLRI in a message of `limit`. May be negative. */
function roomFor({ section, mpHead, attributes }: Layout, limit: number): number {
  const rest = limit - MIN_UPDATE - attributes.length
  if (section === 'withdrawn' || section === 'nlri') return rest
  // Up to 255 octets an attribute has a header of three, over that of four.
  const withLongHeader = rest - 4 - mpHead.length
  return withLongHeader + mpHead.length > 255 ? withLongHeader : Math.min(rest - 3, 255) - mpHead.length
}

function writeUpdate(out: ByteWriter, { section, mpHead, attributes }: Layout, nlri: Uint8Array, start: number, end: number): void {
  const prefixes = end - start
  const mpLength = mpHead.length + prefixes
  const mpHeader = section === 'mpReach' || section === 'mpUnreach' ? (mpLength > 255 ? 4 : 3) : 0
  const withdrawnLength = section === 'withdrawn' ? prefixes : 0
  const attributesLength = attributes.length + (mpHeader === 0 ? 0 : mpHeader + mpLength)
  const length = MIN_UPDATE + withdrawnLength + attributesLength + (section === 'nlri' ? prefixes : 0)
  const bytes = out.reserve(length)
  let at = out.offset
  bytes.fill(0xff, at, at + 16)
  at = putU16(bytes, at + 16, length)
  bytes[at] = MESSAGE_TYPE.UPDATE
  at = putU16(bytes, at + 1, withdrawnLength)
  if (section === 'withdrawn') at = putRange(bytes, at, nlri, start, end)
  at = putU16(bytes, at, attributesLength)
  if (mpHeader > 0) {
    bytes[at] = ATTRIBUTE_FLAG.OPTIONAL | (mpHeader === 4 ? ATTRIBUTE_FLAG.EXTENDED_LENGTH : 0)
    bytes[at + 1] = section === 'mpReach' ? ATTRIBUTE.MP_REACH_NLRI : ATTRIBUTE.MP_UNREACH_NLRI
    if (mpHeader === 4) putU16(bytes, at + 2, mpLength)
    else bytes[at + 2] = mpLength
    at = putRange(bytes, at + mpHeader, mpHead, 0, mpHead.length)
    at = putRange(bytes, at, nlri, start, end)
  }
  at = putRange(bytes, at, attributes, 0, attributes.length)
  if (section === 'nlri') putRange(bytes, at, nlri, start, end)
  out.commit(length)
}

/** One whole MP_REACH_NLRI, or MP_UNREACH_NLRI if there is no next hop. */
export function encodeMpAttribute(family: Family, nextHop: NextHop | null, nlri: Uint8Array, context: EncodeContext): Uint8Array {
  const head = nextHop === null ? Uint8Array.of(0, AFI[family], SAFI_UNICAST) : mpReachHead(family, nextHop, context)
  const out = new OctetWriter()
  const type = nextHop === null ? ATTRIBUTE.MP_UNREACH_NLRI : ATTRIBUTE.MP_REACH_NLRI
  writeAttribute(out, ATTRIBUTE_FLAG.OPTIONAL, type, new OctetWriter().bytes(head).bytes(nlri).finish())
  return out.finish()
}

function putU16(bytes: Uint8Array, at: number, value: number): number {
  bytes[at] = value >>> 8
  bytes[at + 1] = value
  return at + 2
}

/** Short copies by hand: `set` with a view costs more than it saves below a cache line or two. */
function putRange(bytes: Uint8Array, at: number, from: Uint8Array, start: number, end: number): number {
  const length = end - start
  if (length > 96) bytes.set(start === 0 && end === from.length ? from : from.subarray(start, end), at)
  else for (let index = 0; index < length; index++) bytes[at + index] = from[start + index] ?? 0
  return at + length
}

/** End-of-RIB (RFC 4724 §2): an empty UPDATE for IPv4 unicast, an MP_UNREACH_NLRI without prefixes for others. */
export function encodeEndOfRib(family: Family): Uint8Array {
  if (family === 'IPv4Unicast') return messageHeader(MESSAGE_TYPE.UPDATE, MIN_UPDATE).u32(0).finish()
  return messageHeader(MESSAGE_TYPE.UPDATE, MIN_UPDATE + 6)
    .u16(0)
    .u16(6)
    .u8(ATTRIBUTE_FLAG.OPTIONAL)
    .u8(ATTRIBUTE.MP_UNREACH_NLRI)
    .u8(3)
    .u16(AFI[family])
    .u8(SAFI_UNICAST)
    .finish()
}
