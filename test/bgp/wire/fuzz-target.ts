// Mutated messages against the decoder: it must never throw, never read past the end, never lie about what it found. Used by
// the unit tests for a short while and by test/fuzz/wire.ts for as long as one likes.
import type { Family } from '../../../src/bgp/family.ts'
import {
  createDecodeContext,
  type DecodeContext,
  decodeMessage,
  encodeMessage,
  encodePathAttributes,
  MAX_NOTIFICATION_DATA,
  type Message,
  MessageFramer,
  NlriReader,
  notificationText,
} from '../../../src/bgp/wire/index.ts'
import { contextOf, goldenFiles, octets } from './golden.ts'

export type FuzzReport = { readonly messages: number; readonly decoded: number; readonly refused: number; readonly framed: number }

/** xorshift32: a seed names a run. */
export class Random {
  #state: number
  constructor(seed: number) {
    this.#state = seed >>> 0 || 1
  }
  below(limit: number): number {
    let state = this.#state
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    this.#state = state >>> 0
    return this.#state % limit
  }
}

const BOTH: ReadonlySet<Family> = new Set<Family>(['IPv4Unicast', 'IPv6Unicast'])
const NONE: ReadonlySet<Family> = new Set<Family>()

/** Every combination of what may be negotiated. */
function contexts(): readonly DecodeContext[] {
  const flags = [true, false]
  return flags.flatMap((fourOctetAs) =>
    flags.flatMap((addPath) =>
      (['eBGP', 'iBGP'] as const).flatMap((peerType) =>
        flags.map((extended) =>
          createDecodeContext({
            peerType,
            localAsn: 65002,
            peerAsn: 65001,
            enforceFirstAs: extended,
            fourOctetAs,
            extendedMessage: extended,
            families: BOTH,
            addPathReceive: addPath ? BOTH : NONE,
            extendedNextHop: extended,
          }),
        ),
      ),
    ),
  )
}

/** Octets that mean something somewhere: lengths, types, flags, AFIs. */
const SPICE = Uint8Array.of(
  0,
  1,
  2,
  3,
  4,
  5,
  8,
  14,
  15,
  16,
  17,
  18,
  19,
  23,
  24,
  32,
  33,
  64,
  65,
  127,
  128,
  129,
  254,
  255,
  0x40,
  0x50,
  0x80,
  0x90,
  0xc0,
  0xd0,
)
const BUFFER_OCTETS = 16_384

export class WireFuzzer {
  readonly #random: Random
  readonly #corpus: readonly { readonly bytes: Uint8Array; readonly context: DecodeContext }[]
  readonly #contexts = contexts()
  readonly #buffer = new Uint8Array(BUFFER_OCTETS)
  readonly #reader = new NlriReader()
  #decoded = 0
  #refused = 0
  #framed = 0

  constructor(seed: number) {
    this.#random = new Random(seed)
    this.#corpus = goldenFiles().flatMap(([, { sessions }]) =>
      sessions.flatMap((session) => {
        const context = contextOf(session.context)
        return session.messages.map(({ hex }) => ({ bytes: octets(hex), context }))
      }),
    )
  }

  /** Runs `messages` of them; throws with the octets in hex when an invariant is broken. */
  run(messages: number): FuzzReport {
    for (let count = 0; count < messages; count++) {
      const base = this.#pick()
      const bytes = this.#buffer.subarray(0, this.#mutant(base.bytes))
      const other = this.#contexts[this.#random.below(this.#contexts.length)]
      const context = other === undefined || this.#random.below(2) === 0 ? base.context : other
      try {
        this.#check(bytes, context)
        if ((count & 63) === 0) this.#checkFraming(bytes)
      } catch (cause) {
        throw new Error(`message ${Buffer.from(bytes).toString('hex')} from a ${context.peerType} peer: ${String(cause)}`, { cause })
      }
    }
    return { messages, decoded: this.#decoded, refused: this.#refused, framed: this.#framed }
  }

  #pick(): { readonly bytes: Uint8Array; readonly context: DecodeContext } {
    const found = this.#corpus[this.#random.below(this.#corpus.length)]
    if (found === undefined) throw new Error('the corpus is empty')
    return found
  }

  /** Puts a mutated message into the buffer and returns its length. */
  #mutant(base: Uint8Array): number {
    const random = this.#random
    const buffer = this.#buffer
    buffer.set(base)
    let length = base.length
    for (let change = 1 + random.below(4); change > 0; change--) {
      const at = (random.below(32) === 0 ? 18 : 19) + random.below(Math.max(1, length - 19))
      switch (random.below(7)) {
        case 0:
          buffer[at] = random.below(256)
          break
        case 1:
          buffer[at] = SPICE[random.below(SPICE.length)] ?? 0
          break
        case 2:
          buffer[at] = (buffer[at] ?? 0) ^ (1 << random.below(8))
          break
        case 3: // cut off
          length = at
          break
        case 4: // octets leave
          length = this.#resize(at, -(1 + random.below(8)), length)
          break
        case 5: // octets come
          length = this.#resize(at, 1 + random.below(8), length)
          break
        case 6: // a piece of another message
          length = this.#splice(at, length)
          break
      }
    }
    length = Math.max(length, 19)
    if (random.below(16) !== 0) {
      // Mostly an honest header, so that the body is what is looked at.
      buffer[16] = length >> 8
      buffer[17] = length & 255
    }
    if (buffer[18] === 1 && length < 284 && random.below(4) !== 0) buffer[28] = length - 29
    return length
  }

  /** Octets come or go at `at`; mostly the lengths around them are made to agree, so that the damage is inside. */
  #resize(at: number, wanted: number, length: number): number {
    const by = Math.max(wanted, at - length)
    if (length + by > BUFFER_OCTETS || at > length) return length
    if (this.#buffer[18] === 2 && this.#random.below(4) !== 0) this.#repair(at, by, length)
    if (by > 0) this.#buffer.copyWithin(at + by, at, length)
    else this.#buffer.copyWithin(at, at - by, length)
    return length + by
  }

  /** Adds `by` to the length of the UPDATE section, and of the attribute, that `at` lies in. */
  #repair(at: number, by: number, length: number): void {
    const withdrawnEnd = 21 + this.#u16(19)
    if (at < withdrawnEnd) {
      this.#addU16(19, by)
      return
    }
    const end = Math.min(length, withdrawnEnd + 2 + this.#u16(withdrawnEnd))
    if (at < withdrawnEnd + 2 || at >= end) return
    this.#addU16(withdrawnEnd, by)
    for (let start = withdrawnEnd + 2; start < end; ) {
      const isExtended = ((this.#buffer[start] ?? 0) & 0x10) !== 0
      const value = start + (isExtended ? 4 : 3)
      const next = value + (isExtended ? this.#u16(start + 2) : (this.#buffer[start + 2] ?? 0))
      if (at >= value && at < next) {
        if (isExtended) this.#addU16(start + 2, by)
        else this.#buffer[start + 2] = (this.#buffer[start + 2] ?? 0) + by
        return
      }
      start = next
    }
  }

  #u16(at: number): number {
    return ((this.#buffer[at] ?? 0) << 8) | (this.#buffer[at + 1] ?? 0)
  }

  #addU16(at: number, by: number): void {
    const value = this.#u16(at) + by
    this.#buffer[at] = value >> 8
    this.#buffer[at + 1] = value
  }

  #splice(at: number, length: number): number {
    const other = this.#pick().bytes
    const from = this.#random.below(Math.max(1, other.length))
    const piece = other.subarray(from, from + 1 + this.#random.below(64))
    if (at + piece.length > BUFFER_OCTETS) return length
    this.#buffer.set(piece, at)
    return Math.max(length, at + piece.length)
  }

  #check(bytes: Uint8Array, context: DecodeContext): void {
    const result = decodeMessage(bytes, context)
    if (!result.ok) {
      this.#refused++
      const { code, subcode, data, reason } = result.error
      if (code < 1 || code > 7 || data.length > MAX_NOTIFICATION_DATA || reason === '') throw new Error(`odd error ${code}/${subcode}`)
      return
    }
    this.#decoded++
    this.#checkMessage(result.value, context)
  }

  #checkMessage(message: Message, context: DecodeContext): void {
    if (message.kind === 'notification') notificationText(message.code, message.subcode, message.data)
    if (message.kind === 'open' && encodeMessage(message, { ...context, addPathSend: NONE }).length > 4096)
      throw new Error('OPEN has grown')
    if (message.kind !== 'update') return
    const runs = [...message.withdrawn, ...message.announced.map(({ run }) => run)]
    if (message.endOfRib !== null && (runs.length > 0 || message.malformations.length > 0)) throw new Error('End-of-RIB with content')
    for (const run of runs) {
      this.#reader.reset(run)
      let count = 0
      const bits = run.family === 'IPv4Unicast' ? 32 : 128
      while (this.#reader.next()) {
        count++
        if (this.#reader.length > bits) throw new Error(`prefix of ${this.#reader.length} bits`)
      }
      if (count !== run.count || count === 0) throw new Error(`run of ${run.count} has ${count}`)
    }
    for (const { run, attributes } of message.announced) {
      const isWithdrawn = message.malformations.some(({ action }) => action === 'treatAsWithdraw')
      if (isWithdrawn) throw new Error('announced in spite of treat-as-withdraw')
      if (attributes.nextHop === null) throw new Error('announced without a next hop')
      if (this.#random.below(8) === 0) encodePathAttributes(attributes, run.family, { ...context, addPathSend: NONE })
    }
  }

  /** The stream in pieces gives what the stream in one piece gives. */
  #checkFraming(bytes: Uint8Array): void {
    const collect = (pieces: readonly Uint8Array[]): string => {
      const framer = new MessageFramer()
      const seen: number[] = []
      for (const piece of pieces) {
        const error = framer.push(piece, (message) => void seen.push(message.length))
        if (error !== null) return `${seen.join()} error ${error.code}/${error.subcode}`
      }
      return seen.join()
    }
    const at = this.#random.below(bytes.length)
    const whole = collect([bytes])
    const split = collect([bytes.subarray(0, at), bytes.subarray(at)])
    if (whole !== split) throw new Error(`framing differs: ${whole} against ${split}`)
    this.#framed++
  }
}
