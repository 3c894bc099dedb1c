// NLRI (RFC 4271 §4.3, RFC 4760 §5, RFC 7911 §3): an optional path identifier, a length in bits, the address octets it needs.
// Runs stay octets from socket to RIB: they are checked once, then walked without an object per prefix.
import { ipFromBytes, type Prefix, prefix } from '../../net/index.ts'
import { type Family, ipFamilyOf } from '../family.ts'
import type { NlriRun } from './message.ts'
import { u32 } from './octets.ts'

const EMPTY: Uint8Array = new Uint8Array(0)

/** Path identifiers take four octets before each prefix (RFC 7911 §3). */
const PATH_ID_OCTETS = 4

/** The most octets one NLRI can take. */
export function maxNlriOctets(family: Family, addPath: boolean): number {
  return (family === 'IPv4Unicast' ? 5 : 17) + (addPath ? PATH_ID_OCTETS : 0)
}

/** Checks a run; reused, because it returns two numbers. */
export class NlriScan {
  /** NLRI in the run last scanned. */
  count = 0
  /** How many of them no speaker may use (RFC 4271 §6.3): they are to be dropped one by one. */
  unusable = 0

  /** False if a length is out of range or the last NLRI is cut off: the stream cannot be trusted any more (RFC 7606 §5.3). */
  scan(bytes: Uint8Array, start: number, end: number, family: Family, addPath: boolean): boolean {
    const isWide = family === 'IPv6Unicast'
    const bits = isWide ? 128 : 32
    let at = start
    let count = 0
    let unusable = 0
    while (at < end) {
      if (addPath) at += PATH_ID_OCTETS
      if (at >= end) return false
      const length = bytes[at] ?? 0
      if (length > bits) return false
      const next = at + 1 + ((length + 7) >>> 3)
      if (next > end) return false
      if (length > 2) {
        const first = bytes[at + 1] ?? 0
        if (isWide ? (first === 0 || first >= 0xfe) && isUnusableIpv6(bytes, at) : isUnusableIpv4(first, length)) unusable++
      }
      count++
      at = next
    }
    this.count = count
    this.unusable = unusable
    return true
  }
}

/** Class D and E, loopback, and anything inside 0.0.0.0/8. */
function isUnusableIpv4(first: number, length: number): boolean {
  return first >= 224 || (first === 127 && length >= 8) || (first === 0 && length > 8)
}

/** Multicast, link-local, the unspecified and the loopback address, and IPv4-mapped prefixes. `at` is the length octet. */
function isUnusableIpv6(bytes: Uint8Array, at: number): boolean {
  const length = bytes[at] ?? 0
  const first = bytes[at + 1] ?? 0
  if (first === 0xff) return length >= 8
  if (first === 0xfe) return length >= 10 && ((bytes[at + 2] ?? 0) & 0xc0) === 0x80
  if (first !== 0 || length < 96) return false
  if (u32(bytes, at + 1) !== 0 || u32(bytes, at + 5) !== 0) return false
  const third = u32(bytes, at + 9)
  if (third === 0xffff) return true
  return length === 128 && third === 0 && u32(bytes, at + 13) <= 1
}

/** A scanned run without its unusable prefixes, as a copy. `unusable` of the scan tells whether this is needed. */
export function withoutUnusable(
  bytes: Uint8Array,
  start: number,
  end: number,
  family: Family,
  addPath: boolean,
): { readonly run: NlriRun; readonly firstDropped: Uint8Array } {
  const kept = new Uint8Array(end - start)
  let keptLength = 0
  let count = 0
  let firstDropped: Uint8Array = EMPTY
  const scan = new NlriScan()
  for (let at = start; at < end; ) {
    const next = endOfNlri(bytes, at, addPath)
    scan.scan(bytes, at, next, family, addPath)
    const nlri = bytes.subarray(at, next)
    if (scan.unusable === 0) {
      kept.set(nlri, keptLength)
      keptLength += nlri.length
      count++
    } else if (firstDropped.length === 0) firstDropped = Uint8Array.from(nlri)
    at = next
  }
  return { run: { family, addPath, bytes: kept.subarray(0, keptLength), count }, firstDropped }
}

/** Where the NLRI that begins at `at` ends. */
function endOfNlri(bytes: Uint8Array, at: number, addPath: boolean): number {
  const lengthAt = addPath ? at + PATH_ID_OCTETS : at
  return lengthAt + 1 + (((bytes[lengthAt] ?? 0) + 7) >>> 3)
}

/** The last boundary between NLRI at or before `limit`; `start` if not even one fits. Throws RangeError if the last one is cut off. */
export function lastBoundary(nlri: Uint8Array, start: number, limit: number, addPath: boolean): number {
  let at = start
  while (at < nlri.length) {
    const next = endOfNlri(nlri, at, addPath)
    if (next > nlri.length) throw new RangeError('NLRI to be sent is cut off')
    if (next > limit) break
    at = next
  }
  return at
}

/** Octets of the longest NLRI of a run. Throws RangeError if the last one is cut off. */
export function longestNlri(nlri: Uint8Array, addPath: boolean): number {
  let longest = 0
  for (let at = 0; at < nlri.length; ) {
    const next = endOfNlri(nlri, at, addPath)
    if (next > nlri.length) throw new RangeError('NLRI to be sent is cut off')
    longest = Math.max(longest, next - at)
    at = next
  }
  return longest
}

/** The first `bits` (0..32) of the word at `at`, the rest zero. Reads no octet that the prefix does not have. */
function maskedWord(bytes: Uint8Array, at: number, bits: number): number {
  if (bits <= 0) return 0
  let word = (bytes[at] ?? 0) << 24
  if (bits > 8) word |= (bytes[at + 1] ?? 0) << 16
  if (bits > 16) word |= (bytes[at + 2] ?? 0) << 8
  if (bits > 24) word |= bytes[at + 3] ?? 0
  return bits >= 32 ? word >>> 0 : (word & ~(0xffff_ffff >>> bits)) >>> 0
}

/** Walks a checked run: `reset`, then `next` until it is false. Reusable; allocates nothing. */
export class NlriReader {
  /** Unsigned words of the address in network order, host bits zero; IPv4 uses `word0` only. */
  word0 = 0
  word1 = 0
  word2 = 0
  word3 = 0
  /** Prefix length in bits. */
  length = 0
  /** 0 on runs without path identifiers. */
  pathId = 0
  #bytes = EMPTY
  #at = 0
  #end = 0
  #addPath = false
  #isWide = false

  reset(run: NlriRun): void {
    this.#bytes = run.bytes
    this.#at = 0
    this.#end = run.bytes.length
    this.#addPath = run.addPath
    this.#isWide = run.family === 'IPv6Unicast'
    this.word0 = 0
    this.word1 = 0
    this.word2 = 0
    this.word3 = 0
    this.length = 0
    this.pathId = 0
  }

  next(): boolean {
    let at = this.#at
    if (at >= this.#end) return false
    const bytes = this.#bytes
    if (this.#addPath) {
      this.pathId = u32(bytes, at)
      at += PATH_ID_OCTETS
    }
    const length = bytes[at++] ?? 0
    this.length = length
    if (this.#isWide) {
      this.word0 = maskedWord(bytes, at, length)
      this.word1 = maskedWord(bytes, at + 4, length - 32)
      this.word2 = maskedWord(bytes, at + 8, length - 64)
      this.word3 = maskedWord(bytes, at + 12, length - 96)
    } else {
      this.word0 = maskedWord(bytes, at, length)
    }
    this.#at = at + ((length + 7) >>> 3)
    return true
  }
}

/**
 * Writes one NLRI at `out[at]` and returns where the next goes. IPv4 looks at `word0` only. `pathId` null: no identifier.
 * `out` must have room for `maxNlriOctets`.
 */
export function writeNlri(
  out: Uint8Array,
  at: number,
  length: number,
  word0: number,
  word1: number,
  word2: number,
  word3: number,
  pathId: number | null,
): number {
  let to = at
  if (pathId !== null) {
    writeU32(out, to, pathId)
    to += PATH_ID_OCTETS
  }
  out[to++] = length
  const octets = (length + 7) >>> 3
  for (let index = 0; index < octets; index++) {
    const word = index < 4 ? word0 : index < 8 ? word1 : index < 12 ? word2 : word3
    out[to++] = word >>> (24 - ((index & 3) << 3))
  }
  return to
}

function writeU32(out: Uint8Array, at: number, value: number): void {
  out[at] = value >>> 24
  out[at + 1] = value >>> 16
  out[at + 2] = value >>> 8
  out[at + 3] = value
}

/** The prefixes of a run as values. For logs, tests and short lists: allocates. */
export function decodePrefixes(run: NlriRun): readonly { readonly prefix: Prefix; readonly pathId: number }[] {
  const reader = new NlriReader()
  const found: { prefix: Prefix; pathId: number }[] = []
  const octets = new Uint8Array(16)
  reader.reset(run)
  while (reader.next()) {
    writeU32(octets, 0, reader.word0)
    writeU32(octets, 4, reader.word1)
    writeU32(octets, 8, reader.word2)
    writeU32(octets, 12, reader.word3)
    found.push({ prefix: prefix(ipFromBytes(ipFamilyOf(run.family), octets), reader.length), pathId: reader.pathId })
  }
  return found
}
