// A routing table to be fed: prefixes, runs of consecutive prefixes that share an attribute set, and how both become UPDATEs.
// Pure; everything is encoded before the clock starts, so the feeder only writes.
import type { Family } from '../src/bgp/family.ts'
import { frame, HEADER_BYTES, MAX_MESSAGE_BYTES, MESSAGE } from './messages.ts'

export type Table = {
  readonly family: Family
  /** Every prefix as NLRI (RFC 4271 §4.3), one after the other. */
  readonly nlri: Uint8Array
  /** Where each prefix begins in `nlri`; one more entry marks the end. */
  readonly offsets: Uint32Array
  /** First prefix of each run, in the order of sending; runs do not overlap and cover the table. */
  readonly runStarts: Uint32Array
  readonly runLengths: Uint32Array
  readonly runSets: Uint32Array
  /** Path attributes without NEXT_HOP and MP_REACH_NLRI, ready for the wire. */
  readonly attributeSets: readonly Uint8Array[]
}

/** The number of prefixes of a table. */
export function prefixCount(table: Table): number {
  return table.offsets.length - 1
}

/** Sequence of complete UPDATE messages, growing as they are appended. */
export class UpdateWriter {
  readonly #table: Table
  readonly #nextHop: Uint8Array
  #bytes = new Uint8Array(1 << 16)
  #length = 0
  messages = 0

  /** `nextHop`: 4 octets for IPv4, 16 for IPv6. */
  constructor(table: Table, nextHop: Uint8Array) {
    this.#table = table
    this.#nextHop = nextHop
  }

  /** Everything appended so far. */
  finish(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
  }

  append(message: Uint8Array): void {
    this.#reserve(message.length)
    this.#bytes.set(message, this.#length)
    this.#length += message.length
    this.messages++
  }

  /** Announces a run with an attribute set: one message, or several where 4096 octets do not suffice. */
  announce(run: number, set: number): void {
    const attributes = this.#table.attributeSets[set] ?? new Uint8Array(0)
    const room =
      MAX_MESSAGE_BYTES - HEADER_BYTES - 4 - attributes.length - (this.#table.family === 'IPv4Unicast' ? 7 : 9 + this.#nextHop.length)
    this.#eachPiece(run, room, (nlri) => {
      if (this.#table.family === 'IPv4Unicast') this.#announce4(attributes, nlri)
      else this.#announce6(attributes, nlri)
    })
  }

  withdraw(run: number): void {
    this.#eachPiece(run, MAX_MESSAGE_BYTES - HEADER_BYTES - 4 - 7, (nlri) => {
      if (this.#table.family === 'IPv4Unicast') {
        this.append(frame(MESSAGE.update, Buffer.concat([u16Octets(nlri.length), nlri, u16Octets(0)])))
      } else {
        const unreach = Buffer.concat([Uint8Array.of(0x90, 15), u16Octets(nlri.length + 3), Uint8Array.of(0, 2, 1), nlri])
        this.append(frame(MESSAGE.update, Buffer.concat([u16Octets(0), u16Octets(unreach.length), unreach])))
      }
    })
  }

  #eachPiece(run: number, room: number, use: (nlri: Uint8Array) => void): void {
    const { nlri, offsets, runStarts, runLengths } = this.#table
    const first = runStarts[run] ?? 0
    const last = first + (runLengths[run] ?? 0)
    for (let from = first; from < last; ) {
      const begin = offsets[from] ?? 0
      let to = from + 1
      while (to < last && (offsets[to + 1] ?? 0) - begin <= room) to++
      use(nlri.subarray(begin, offsets[to]))
      from = to
    }
  }

  #announce4(attributes: Uint8Array, nlri: Uint8Array): void {
    const nextHop = Uint8Array.of(0x40, 3, 4, ...this.#nextHop)
    const head = u16Octets(0)
    this.#appendParts([head, u16Octets(attributes.length + nextHop.length), attributes, nextHop, nlri])
  }

  /** MP_REACH_NLRI goes first (RFC 7606 §5.1). */
  #announce6(attributes: Uint8Array, nlri: Uint8Array): void {
    const length = 5 + this.#nextHop.length + nlri.length
    const head = Uint8Array.of(0x90, 14, length >>> 8, length & 0xff, 0, 2, 1, this.#nextHop.length, ...this.#nextHop, 0)
    this.#appendParts([u16Octets(0), u16Octets(head.length + nlri.length + attributes.length), head, nlri, attributes])
  }

  #appendParts(parts: readonly Uint8Array[]): void {
    const length = parts.reduce((sum, part) => sum + part.length, HEADER_BYTES)
    this.#reserve(length)
    const bytes = this.#bytes
    let at = this.#length
    bytes.fill(0xff, at, at + 16)
    bytes[at + 16] = length >>> 8
    bytes[at + 17] = length & 0xff
    bytes[at + 18] = MESSAGE.update
    at += HEADER_BYTES
    for (const part of parts) {
      bytes.set(part, at)
      at += part.length
    }
    this.#length = at
    this.messages++
  }

  #reserve(octets: number): void {
    if (this.#length + octets <= this.#bytes.length) return
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + octets))
    grown.set(this.#bytes.subarray(0, this.#length))
    this.#bytes = grown
  }
}

function u16Octets(value: number): Uint8Array {
  return Uint8Array.of(value >>> 8, value & 0xff)
}
