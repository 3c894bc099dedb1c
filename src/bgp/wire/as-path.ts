// AS_PATH on the wire (RFC 4271 §4.3, §5.1.2), in two or four octets an AS (RFC 6793), and the putting together again of what
// a two-octet speaker took apart.
import { AS_TRANS, type Asn, asn } from '../../net/index.ts'
import type { AsPathSegment } from '../attributes.ts'
import { SEGMENT } from '../iana.ts'
import { u16, u32 } from './octets.ts'
import { OctetWriter } from './writer.ts'

const SEGMENT_TYPES: Readonly<Record<number, AsPathSegment['type']>> = {
  [SEGMENT.set]: 'set',
  [SEGMENT.sequence]: 'sequence',
  [SEGMENT.confedSequence]: 'confedSequence',
  [SEGMENT.confedSet]: 'confedSet',
}

/** A segment's count is one octet; longer sequences are split (RFC 4271 §5.1.2). */
const MAX_SEGMENT_ASNS = 255

export type DecodedPath =
  | { readonly ok: true; readonly segments: readonly AsPathSegment[] }
  | { readonly ok: false; readonly reason: string }

function bad(reason: string): DecodedPath {
  return { ok: false, reason }
}

/** Segments of an AS_PATH or AS4_PATH value (RFC 7606 §7.2; AS 0: RFC 7607 §2). Confederation segments are the caller's to judge. */
export function decodeAsPath(value: Uint8Array, asnOctets: 2 | 4): DecodedPath {
  const segments: AsPathSegment[] = []
  let at = 0
  while (at < value.length) {
    if (value.length - at < 2) return bad('ends inside a segment header')
    const code = value[at] ?? 0
    const type = SEGMENT_TYPES[code]
    const count = value[at + 1] ?? 0
    if (type === undefined) return bad(`unknown segment type ${code}`)
    if (count === 0) return bad('empty segment')
    at += 2
    if (value.length - at < count * asnOctets) return bad(`segment of ${count} ASes runs past the end`)
    const asns: Asn[] = []
    for (let index = 0; index < count; index++, at += asnOctets) {
      const number = asnOctets === 4 ? u32(value, at) : u16(value, at)
      if (number === 0) return bad('contains AS 0')
      asns.push(asn(number))
    }
    segments.push({ type, asns: asns.slice() }) // a list that was pushed to keeps room for 17
  }
  return { ok: true, segments: segments.slice() }
}

/** The value octets of a path; ASNs that do not fit two octets become AS_TRANS (RFC 6793 §4.2.2). Empty segments vanish. */
export function encodeAsPath(segments: readonly AsPathSegment[], asnOctets: 2 | 4): Uint8Array {
  const out = new OctetWriter()
  for (const { type, asns } of segments) {
    for (let from = 0; from < asns.length; from += MAX_SEGMENT_ASNS) {
      const part = asns.slice(from, from + MAX_SEGMENT_ASNS)
      out.u8(SEGMENT[type]).u8(part.length)
      for (const number of part) {
        if (asnOctets === 4) out.u32(number)
        else out.u16(number > 0xffff ? AS_TRANS : number)
      }
    }
  }
  return out.finish()
}

export function isConfederation(segment: AsPathSegment): boolean {
  return segment.type === 'confedSequence' || segment.type === 'confedSet'
}

/** True if a two-octet speaker needs AS4_PATH to know the path (RFC 6793 §4.2.2). */
export function needsAs4Path(segments: readonly AsPathSegment[]): boolean {
  return segments.some((segment) => !isConfederation(segment) && segment.asns.some((number) => number > 0xffff))
}

/** ASes of a path as route selection counts them: a set is one, confederation segments are none (RFC 4271 §9.1.2.2, RFC 5065 §5.3). */
export function asPathHops(segments: readonly AsPathSegment[]): number {
  let hops = 0
  for (const { type, asns } of segments) hops += type === 'sequence' ? asns.length : type === 'set' ? 1 : 0
  return hops
}

/**
 * AS_PATH and AS4_PATH of a two-octet speaker as one path (RFC 6793 §4.2.3): as many leading ASes of AS_PATH as AS4_PATH is
 * short of, then AS4_PATH. Total: whatever the two are, the result has no empty segment and the hops of AS_PATH.
 */
export function mergeAs4Path(asPath: readonly AsPathSegment[], as4Path: readonly AsPathSegment[]): readonly AsPathSegment[] {
  let missing = asPathHops(asPath) - asPathHops(as4Path)
  if (missing < 0 || asPathHops(as4Path) === 0) return asPath
  const merged: AsPathSegment[] = []
  for (const segment of asPath) {
    if (isConfederation(segment)) {
      merged.push(segment) // leading, or next to a segment that is kept: it stays (RFC 6793 §4.2.3)
      continue
    }
    if (missing === 0) break
    const taken = segment.type === 'set' ? segment : { type: segment.type, asns: segment.asns.slice(0, missing) }
    missing -= segment.type === 'set' ? 1 : taken.asns.length
    merged.push(taken)
  }
  for (const segment of as4Path) {
    const last = merged.at(-1)
    if (last?.type === 'sequence' && segment.type === 'sequence' && last.asns.length + segment.asns.length <= MAX_SEGMENT_ASNS)
      merged[merged.length - 1] = { type: 'sequence', asns: [...last.asns, ...segment.asns] }
    else merged.push(segment)
  }
  return merged
}
