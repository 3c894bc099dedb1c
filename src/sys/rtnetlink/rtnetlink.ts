// Requests over one netlink socket, one at a time or many in one write. Synchronous: see netlink-socket.ts.

import { SysError } from '../libc.ts'
import { type MessageVisitor, type NetlinkAnswer, NLM_F_ACK, NLM_F_DUMP } from '../netlink-message.ts'
import { NetlinkError, NetlinkSocket } from '../netlink-socket.ts'
import type { NetlinkRequest } from './message.ts'

const AT_FLAGS = 6
const AT_SEQUENCE = 8
/** A datagram stays well under the default send buffer of a socket (net.core.wmem_default, 208 KiB). */
const DATAGRAM_BYTES = 32 * 1024
const ENOBUFS = 105
/** Written and sent in one go, so one for all sockets of a thread. A single longer message gets its own. */
const sharedDatagram = new Uint8Array(DATAGRAM_BYTES)
const sharedView = new DataView(sharedDatagram.buffer)
/** After that many, an answer that may lack what came or went while it was made is good enough. */
const LIST_ATTEMPTS = 5

/** Belongs to the network namespace in which it was made. */
export class Rtnetlink implements Disposable {
  readonly #socket: NetlinkSocket

  constructor(socket = new NetlinkSocket({ receiveBufferBytes: 1024 * 1024 })) {
    this.#socket = socket
  }

  /** Throws NetlinkError (`code`: errno's name) if the kernel refuses. */
  request(message: NetlinkRequest): void {
    const [refusal] = this.batch([message])
    if (refusal !== undefined && refusal !== null) throw refusal
  }

  /**
   * Sends all in as few writes as possible; the kernel takes them in order and goes on past one it refuses. Returns for each what
   * was refused, or null.
   */
  batch(messages: readonly NetlinkRequest[]): readonly (NetlinkError | null)[] {
    const refusals: (NetlinkError | null)[] = messages.map(() => null)
    for (let from = 0; from < messages.length; ) from = this.#send(messages, from, refusals)
    return refusals
  }

  /** As `batch`, but throws the first refusal. */
  requestAll(messages: readonly NetlinkRequest[]): void {
    for (const refusal of this.batch(messages)) if (refusal !== null) throw refusal
  }

  /**
   * Sends a GET request, of one thing or (NLM_F_DUMP) of all, and hands every message of the answer to `visit`, which sends nothing
   * itself. `interrupted`: what was listed changed meanwhile. Throws NetlinkError.
   */
  ask({ name, bytes }: NetlinkRequest, visit: MessageVisitor): 'consistent' | 'interrupted' {
    const view = new DataView(bytes.buffer, bytes.byteOffset)
    const flags = view.getUint16(AT_FLAGS, true)
    const sequence = this.#socket.reserveSequences(1)
    if ((flags & NLM_F_DUMP) !== NLM_F_DUMP) view.setUint16(AT_FLAGS, flags | NLM_F_ACK, true) // what ends the answer
    view.setUint32(AT_SEQUENCE, sequence, true)
    return this.#socket.dump(name, bytes, sequence, visit)
  }

  /** Everything `read` makes of the answer to a dump request, which is asked again while what it lists changes under it. */
  list<T>(message: NetlinkRequest, read: (view: DataView, from: number, to: number) => T | null): readonly T[] {
    for (let attempt = 1; ; attempt++) {
      const found: T[] = []
      const outcome = this.ask(message, (view, _type, _flags, from, to) => {
        const value = read(view, from, to)
        if (value !== null) found.push(value)
      })
      if (outcome === 'consistent' || attempt === LIST_ATTEMPTS) return found
    }
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]()
  }

  /** Sends messages from `from` on that fit in one datagram; returns the index of the first that did not. */
  #send(messages: readonly NetlinkRequest[], from: number, refusals: (NetlinkError | null)[]): number {
    let length = 0
    let to = from
    for (
      let next = messages[to];
      next !== undefined && (to === from || length + next.bytes.length <= DATAGRAM_BYTES);
      next = messages[to]
    ) {
      length += next.bytes.length
      to += 1
    }
    const datagram = length <= DATAGRAM_BYTES ? sharedDatagram.subarray(0, length) : new Uint8Array(length)
    const view = length <= DATAGRAM_BYTES ? sharedView : new DataView(datagram.buffer)
    const first = this.#socket.reserveSequences(to - from)
    let at = 0
    for (let index = 0; index < to - from; index++) {
      const bytes = messages[from + index]?.bytes ?? new Uint8Array(0)
      datagram.set(bytes, at)
      view.setUint32(at + AT_SEQUENCE, (first + index) >>> 0, true)
      if (index === to - from - 1) view.setUint16(at + AT_FLAGS, view.getUint16(at + AT_FLAGS, true) | NLM_F_ACK, true)
      at += bytes.length
    }
    const onRefused = (index: number, answer: NetlinkAnswer): void => {
      refusals[from + index] = new NetlinkError(messages[from + index]?.name ?? 'request', answer)
    }
    if (this.#socket.request(datagram, first, to - from, onRefused) === 'lost') {
      throw new SysError(messages[from]?.name ?? 'request', ENOBUFS)
    }
    return to
  }
}
