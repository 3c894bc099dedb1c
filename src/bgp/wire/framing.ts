// The message header (RFC 4271 §4.1, §6.1) and the cutting of a TCP stream into messages. Every length is judged from the
// header alone, before anything is buffered for it, and never more than one maximum message is held back.
import {
  ERROR,
  HEADER_ERROR,
  HEADER_LENGTH,
  MARKER_LENGTH,
  MAX_EXTENDED_MESSAGE_LENGTH,
  MAX_MESSAGE_LENGTH,
  MESSAGE_TYPE,
} from '../iana.ts'
import { badLength, messageError } from './error.ts'
import type { MessageError } from './message.ts'
import { u16, u32, view } from './octets.ts'

/** Least length of each type, index 0 and 6.. unused (RFC 4271 §4.2-4.5, RFC 2918 §3). */
const MIN_LENGTH = Uint8Array.of(0, 29, 23, 21, 19, 23)

/** Judges the header at `at`, of which all 19 octets are there (RFC 4271 §6.1, RFC 8654 §4). Null if it is good. */
export function checkHeader(bytes: Uint8Array, at: number, extendedMessage: boolean): MessageError | null {
  if (!hasMarker(bytes, at))
    return messageError(ERROR.HEADER, HEADER_ERROR.NOT_SYNCHRONIZED, 'the marker of a message header is not all ones: this is not BGP')
  const length = u16(bytes, at + 16)
  const type = bytes[at + 18] ?? 0
  const limit = extendedMessage ? MAX_EXTENDED_MESSAGE_LENGTH : MAX_MESSAGE_LENGTH
  if (length < HEADER_LENGTH || length > limit) return badLength(length, `message length ${length} is outside ${HEADER_LENGTH}..${limit}`)
  const least = MIN_LENGTH[type] ?? 0
  if (least === 0) return messageError(ERROR.HEADER, HEADER_ERROR.BAD_TYPE, `unknown message type ${type}`, Uint8Array.of(type))
  if (length < least) return badLength(length, `a message of type ${type} has at least ${least} octets, not ${length}`)
  if (type === MESSAGE_TYPE.KEEPALIVE && length !== HEADER_LENGTH) return badLength(length, `KEEPALIVE is 19 octets long, not ${length}`)
  if (type === MESSAGE_TYPE.OPEN && length > MAX_MESSAGE_LENGTH) return badLength(length, `OPEN may not exceed 4096 octets: ${length}`)
  return null
}

function hasMarker(bytes: Uint8Array, at: number): boolean {
  for (let quarter = at; quarter < at + MARKER_LENGTH; quarter += 4) if (u32(bytes, quarter) !== 0xffff_ffff) return false
  return true
}

/** Called with each whole message, header included. The view is valid only during the call. */
export type OnMessage = (bytes: Uint8Array) => void

/** Cuts one direction of one connection into messages. */
export class MessageFramer {
  /** The beginning of a message whose end has not arrived. */
  #pending = new Uint8Array(0)
  #pendingLength = 0
  #extendedMessage = false
  #stopped = false

  /** RFC 8654: from the next header on, UPDATE, NOTIFICATION and ROUTE-REFRESH may have up to 65535 octets. */
  setExtendedMessage(on: boolean): void {
    this.#extendedMessage = on
  }

  /** No more messages are delivered, neither of the current chunk nor of later ones. */
  stop(): void {
    this.#stopped = true
    this.#pending = new Uint8Array(0)
    this.#pendingLength = 0
  }

  /**
   * Delivers every message completed by `chunk`, without copying those that lie in it whole. An error ends the stream:
   * everything after it is ignored. The handler may call `stop` and `setExtendedMessage`, not `push`.
   */
  push(chunk: Uint8Array, onMessage: OnMessage): MessageError | null {
    // Views of a Node Buffer are Buffers; one kind of view keeps the decoder's type feedback monomorphic.
    const bytes = chunk.constructor === Uint8Array ? chunk : view(chunk, 0, chunk.length)
    const length = bytes.length
    let at = 0
    if (this.#pendingLength > 0) {
      at = this.#fill(bytes, 0, HEADER_LENGTH)
      if (this.#pendingLength < HEADER_LENGTH) return null
      const error = checkHeader(this.#pending, 0, this.#extendedMessage)
      if (error !== null) return this.#fail(error)
      const size = u16(this.#pending, 16)
      at = this.#fill(bytes, at, size)
      if (this.#pendingLength < size) return null
      this.#pendingLength = 0
      onMessage(view(this.#pending, 0, size))
    }
    while (!this.#stopped && length - at >= HEADER_LENGTH) {
      const error = checkHeader(bytes, at, this.#extendedMessage)
      if (error !== null) return this.#fail(error)
      const end = at + u16(bytes, at + 16)
      if (end > length) break
      onMessage(view(bytes, at, end))
      at = end
    }
    if (!this.#stopped && at < length) this.#fill(bytes, at, this.#pendingLength + length - at)
    return null
  }

  /** Moves octets from `bytes[at..]` to the pending ones until there are `want`, or no more; returns where it stopped. */
  #fill(bytes: Uint8Array, at: number, want: number): number {
    const take = Math.min(want - this.#pendingLength, bytes.length - at)
    if (take <= 0) return at
    const need = this.#pendingLength + take
    if (need > this.#pending.length) {
      const grown = new Uint8Array(Math.min(MAX_EXTENDED_MESSAGE_LENGTH, Math.max(need, this.#pending.length * 2, 64)))
      grown.set(this.#pending.subarray(0, this.#pendingLength))
      this.#pending = grown
    }
    this.#pending.set(bytes.subarray(at, at + take), this.#pendingLength)
    this.#pendingLength = need
    return at + take
  }

  #fail(error: MessageError): MessageError {
    this.stop()
    return error
  }
}
