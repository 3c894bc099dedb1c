// The little of BGP that the bench endpoints speak, written apart from `src/bgp` on purpose: a fault of the codec under
// measurement must not hide itself, and the tool must cost next to nothing (RFC 4271 §4, RFC 4760, RFC 6793).
import type { Family } from '../src/bgp/family.ts'

export const MESSAGE = { open: 1, update: 2, notification: 3, keepalive: 4 } as const
export const HEADER_BYTES = 19
/** Largest message of RFC 4271 §4.1; the endpoints do not offer extended messages. */
export const MAX_MESSAGE_BYTES = 4096

const ATTRIBUTE = { asPath: 2, originatorId: 9, mpReach: 14, mpUnreach: 15 } as const
const EXTENDED_LENGTH = 0x10

/** A message of the given type around `body`. */
export function frame(type: number, body: Uint8Array): Uint8Array {
  const message = new Uint8Array(HEADER_BYTES + body.length).fill(0xff, 0, 16)
  message[16] = message.length >>> 8
  message[17] = message.length & 0xff
  message[18] = type
  message.set(body, HEADER_BYTES)
  return message
}

export const KEEPALIVE = frame(MESSAGE.keepalive, new Uint8Array(0))

export type OpenFields = {
  readonly asn: number
  readonly routerId: number
  readonly holdTimeSeconds: number
  readonly families: readonly Family[]
}

/** OPEN with multiprotocol and 4-octet AS capabilities and nothing else. */
export function openMessage({ asn, routerId, holdTimeSeconds, families }: OpenFields): Uint8Array {
  const capabilities = families.flatMap((family) => [1, 4, 0, family === 'IPv4Unicast' ? 1 : 2, 0, 1])
  capabilities.push(65, 4, ...octets(asn))
  const myAs = asn > 0xffff ? 23456 : asn // AS_TRANS, RFC 6793 §4.2.2
  const parameters = [2, capabilities.length, ...capabilities]
  return frame(
    MESSAGE.open,
    Uint8Array.from([
      4,
      myAs >>> 8,
      myAs & 0xff,
      holdTimeSeconds >>> 8,
      holdTimeSeconds & 0xff,
      ...octets(routerId),
      parameters.length,
      ...parameters,
    ]),
  )
}

/** The End-of-RIB marker (RFC 4724 §2). */
export function endOfRib(family: Family): Uint8Array {
  return frame(
    MESSAGE.update,
    Uint8Array.from(family === 'IPv4Unicast' ? [0, 0, 0, 0] : [0, 0, 0, 6, 0x80, ATTRIBUTE.mpUnreach, 3, 0, 2, 1]),
  )
}

function octets(value: number): readonly [number, number, number, number] {
  return [value >>> 24, (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff]
}

/** Where an UPDATE keeps what a receiver counts: byte ranges within `bytes`, and the two attributes it looks at. */
export type UpdateView = {
  family: Family
  withdrawnStart: number
  withdrawnEnd: number
  announcedStart: number
  announcedEnd: number
  /** Last ASN of AS_PATH; 0 if the path is empty or absent. */
  originAsn: number
  /** ORIGINATOR_ID (RFC 4456 §8); 0 if absent. */
  originatorId: number
}

export const EMPTY_VIEW: Readonly<UpdateView> = {
  family: 'IPv4Unicast',
  withdrawnStart: 0,
  withdrawnEnd: 0,
  announcedStart: 0,
  announcedEnd: 0,
  originAsn: 0,
  originatorId: 0,
}

/**
 * Fills `view` from the UPDATE in `bytes[start, end)`. One message carries either IPv4 NLRI in its own fields or one family in
 * MP attributes, as every daemon we measure sends it. Throws RangeError on a length that leaves the message.
 */
export function viewUpdate(bytes: Uint8Array, start: number, end: number, view: UpdateView): void {
  let at = start + HEADER_BYTES
  view.family = 'IPv4Unicast'
  view.originAsn = 0
  view.originatorId = 0
  view.withdrawnStart = at + 2
  at = view.withdrawnEnd = view.withdrawnStart + u16(bytes, at)
  const attributesEnd = at + 2 + u16(bytes, at)
  if (attributesEnd > end) throw new RangeError(`UPDATE of ${end - start} octets: attributes end ${attributesEnd - end} octets beyond it`)
  view.announcedStart = attributesEnd
  view.announcedEnd = end
  for (at += 2; at < attributesEnd; ) {
    const type = bytes[at + 1]
    const extended = ((bytes[at] ?? 0) & EXTENDED_LENGTH) !== 0
    const valueStart = at + (extended ? 4 : 3)
    const valueEnd = valueStart + (extended ? u16(bytes, at + 2) : (bytes[at + 2] ?? 0))
    if (valueEnd > attributesEnd) throw new RangeError(`UPDATE: attribute ${type} ends beyond the attributes`)
    if (type === ATTRIBUTE.asPath) view.originAsn = lastAsn(bytes, valueStart, valueEnd)
    else if (type === ATTRIBUTE.originatorId) view.originatorId = u32(bytes, valueStart)
    else if (type === ATTRIBUTE.mpReach) {
      view.family = u16(bytes, valueStart) === 2 ? 'IPv6Unicast' : 'IPv4Unicast'
      view.announcedStart = valueStart + 5 + (bytes[valueStart + 3] ?? 0) // AFI, SAFI, next hop length, next hop, reserved octet
      view.announcedEnd = valueEnd
    } else if (type === ATTRIBUTE.mpUnreach) {
      view.family = u16(bytes, valueStart) === 2 ? 'IPv6Unicast' : 'IPv4Unicast'
      view.withdrawnStart = valueStart + 3
      view.withdrawnEnd = valueEnd
    }
    at = valueEnd
  }
}

function lastAsn(bytes: Uint8Array, start: number, end: number): number {
  let asn = 0
  for (let at = start; at + 2 <= end; ) {
    const next = at + 2 + (bytes[at + 1] ?? 0) * 4
    if (next > end) throw new RangeError('UPDATE: AS_PATH segment ends beyond the attribute')
    if (next > at + 2) asn = u32(bytes, next - 4)
    at = next
  }
  return asn
}

export function u16(bytes: Uint8Array, at: number): number {
  return ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0)
}

export function u32(bytes: Uint8Array, at: number): number {
  return (((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>> 0
}

/** Cuts a byte stream into messages without copying those that lie whole within a chunk. */
export class Framer {
  readonly #onMessage: (type: number, bytes: Uint8Array, start: number, end: number) => void
  readonly #partial = new Uint8Array(0xffff)
  #held = 0

  /** `onMessage` gets the message with its header as a range of `bytes`, valid only until it returns. */
  constructor(onMessage: (type: number, bytes: Uint8Array, start: number, end: number) => void) {
    this.#onMessage = onMessage
  }

  push(chunk: Uint8Array): void {
    let at = this.#completePartial(chunk)
    while (at + HEADER_BYTES <= chunk.length) {
      const length = u16(chunk, at + 16)
      if (length < HEADER_BYTES) throw new RangeError(`message of ${length} octets: the stream is out of step`)
      if (at + length > chunk.length) break
      this.#onMessage(chunk[at + 18] ?? 0, chunk, at, at + length)
      at += length
    }
    this.#partial.set(chunk.subarray(at), this.#held)
    this.#held += chunk.length - at
  }

  #completePartial(chunk: Uint8Array): number {
    let at = 0
    while (this.#held > 0) {
      const wanted = this.#held < HEADER_BYTES ? HEADER_BYTES : this.#lengthOfPartial()
      const taken = Math.min(wanted - this.#held, chunk.length - at)
      this.#partial.set(chunk.subarray(at, at + taken), this.#held)
      this.#held += taken
      at += taken
      if (this.#held < wanted) return at
      if (this.#held < this.#lengthOfPartial()) continue
      const length = this.#held
      this.#held = 0
      this.#onMessage(this.#partial[18] ?? 0, this.#partial, 0, length)
    }
    return at
  }

  #lengthOfPartial(): number {
    const length = u16(this.#partial, 16)
    if (length < HEADER_BYTES) throw new RangeError(`message of ${length} octets: the stream is out of step`)
    return length
  }
}
