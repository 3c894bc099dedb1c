// The port to the kernel's routes over rtnetlink. Two sockets: one for requests and their answers, one that hears what others do.
// Our own changes are filtered out of the second in the kernel, so a full table of ours never drowns a single change of another's.
import type { IpFamily } from '../../net/index.ts'
import { SysError } from '../../sys/libc.ts'
import { type MessageVisitor, NLM_F_ACK, NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE, NLM_F_REQUEST } from '../../sys/netlink-message.ts'
import { NetlinkError, NetlinkSocket } from '../../sys/netlink-socket.ts'
import {
  CREATE,
  type HostAddress,
  type HostLink,
  type KernelListener,
  REMOVE,
  type RouteBackend,
  RouteBackendError,
  type RouteView,
  type RouteWrites,
  type WriteFailure,
  type WriteOutcome,
} from '../backend.ts'
import {
  addressDumpRequest,
  linkDumpRequest,
  RTM_DELADDR,
  RTM_DELLINK,
  RTM_NEWADDR,
  RTM_NEWLINK,
  readAddress,
  readLink,
} from './host-message.ts'
import {
  RouteReader,
  RTM_DELROUTE,
  RTM_NEWROUTE,
  removalTemplate,
  routeChangeOf,
  routeDumpRequest,
  routeTemplate,
  TEMPLATE_ADDRESS,
  TEMPLATE_FLAGS,
  TEMPLATE_PREFIX_LENGTH,
  TEMPLATE_SEQUENCE,
} from './route-message.ts'

const RTMGRP_LINK = 0x1
const RTMGRP_IPV4_IFADDR = 0x10
const RTMGRP_IPV4_ROUTE = 0x40
const RTMGRP_IPV6_IFADDR = 0x100
const RTMGRP_IPV6_ROUTE = 0x400
const EVERYTHING = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_IFADDR | RTMGRP_IPV6_ROUTE

/** Requests in one datagram. Every one may be refused, and each refusal takes about 1 KiB of the receive buffer. */
const MESSAGES_PER_DATAGRAM = 1000
const DATAGRAM_BYTES = 96 * 1024
const DUMP_ATTEMPTS = 5
const CREATE_FLAGS = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL
const REPLACE_FLAGS = NLM_F_REQUEST | NLM_F_CREATE | NLM_F_REPLACE
/** A dump with one of these errors has nothing to show: no table main yet, or a kernel without that family. */
const NOTHING_THERE = new Set(['ENOENT', 'EOPNOTSUPP', 'EAFNOSUPPORT'])
/** A write with one of these errors found what it wanted: the route to be removed is gone. */
const ALREADY_GONE = new Set(['ESRCH', 'ENOENT'])

export type NetlinkRouteBackendOptions = {
  /** Room for what others do while we are busy, in octets. */
  readonly eventBufferBytes?: number
}

export class NetlinkRouteBackend implements RouteBackend {
  readonly #requests: NetlinkSocket
  readonly #events: NetlinkSocket
  readonly #reader = new RouteReader()
  readonly #datagram = new Uint8Array(DATAGRAM_BYTES)
  readonly #datagramView = new DataView(this.#datagram.buffer)

  /** Opens both sockets in the calling thread's network namespace. Throws SysError. */
  constructor({ eventBufferBytes = 8 * 1024 * 1024 }: NetlinkRouteBackendOptions = {}) {
    this.#requests = new NetlinkSocket()
    try {
      this.#events = new NetlinkSocket({ groups: EVERYTHING, receiveBufferBytes: eventBufferBytes, ignorePort: this.#requests.bindPort() })
    } catch (cause) {
      this.#requests[Symbol.dispose]()
      throw cause
    }
  }

  get eventsDescriptor(): number {
    return this.#events.fd
  }

  listRoutes(family: IpFamily, visit: { restart(): void; route(view: RouteView): void }): 'consistent' | 'interrupted' {
    return this.#dump(
      'RTM_GETROUTE',
      (sequence) => routeDumpRequest(family, sequence),
      visit.restart,
      (type, view, from, to) => {
        if (type === RTM_NEWROUTE && this.#reader.read(view, from, to) && this.#reader.view.family === family)
          visit.route(this.#reader.view)
      },
    )
  }

  listLinks(): { readonly links: readonly HostLink[]; readonly addresses: readonly HostAddress[] } {
    let links: HostLink[] = []
    let addresses: HostAddress[] = []
    this.#dump(
      'RTM_GETLINK',
      linkDumpRequest,
      () => {
        links = []
      },
      (type, view, from, to) => {
        const link = type === RTM_NEWLINK ? readLink(view, from, to) : null
        if (link !== null) links.push(link)
      },
    )
    this.#dump(
      'RTM_GETADDR',
      addressDumpRequest,
      () => {
        addresses = []
      },
      (type, view, from, to) => {
        const address = type === RTM_NEWADDR ? readAddress(view, from, to) : null
        if (address !== null) addresses.push(address)
      },
    )
    return { links, addresses }
  }

  write(writes: RouteWrites): WriteOutcome {
    const { family, count, bodies } = writes
    const removal = removalTemplate(family, writes)
    const templates = bodies.map((body) => routeTemplate(family, body, writes))
    const failures: WriteFailure[] = []
    const lost: { from: number; to: number }[] = []
    for (let from = 0; from < count; ) {
      const firstSequence = this.#requests.reserveSequences(MESSAGES_PER_DATAGRAM)
      const { to, length } = this.#pack(writes, from, firstSequence, templates, removal)
      const start = from
      const outcome = this.#request(this.#datagram.subarray(0, length), firstSequence, to - from, (index, answer) => {
        const { code } = new SysError('write', answer.errno)
        if (writes.operations[start + index] !== REMOVE || !ALREADY_GONE.has(code))
          failures.push({ index: start + index, code, text: answer.text })
      })
      if (outcome === 'lost') lost.push({ from, to })
      from = to
    }
    return { failures, unknown: lost }
  }

  drain(listener: KernelListener): boolean {
    let isTold = false
    const outcome = this.#drain((view, type, flags, from, to) => {
      isTold = true
      if (type === RTM_NEWROUTE || type === RTM_DELROUTE) {
        if (this.#reader.read(view, from, to)) listener.routeChanged(this.#reader.view, routeChangeOf(type, flags))
      } else if (type === RTM_NEWLINK || type === RTM_DELLINK) {
        const link = readLink(view, from, to)
        if (link === null) return
        if (type === RTM_NEWLINK) listener.linkChanged(link)
        else listener.linkRemoved(link.index)
      } else if (type === RTM_NEWADDR || type === RTM_DELADDR) {
        const address = readAddress(view, from, to)
        if (address === null) return
        if (type === RTM_NEWADDR) listener.addressChanged(address)
        else listener.addressRemoved(address)
      }
    })
    if (outcome === 'lost') listener.eventsLost()
    return isTold || outcome === 'lost'
  }

  [Symbol.dispose](): void {
    this.#requests[Symbol.dispose]()
    this.#events[Symbol.dispose]()
  }

  #request(...request: Parameters<NetlinkSocket['request']>): 'answered' | 'lost' {
    try {
      return this.#requests.request(...request)
    } catch (cause) {
      throw asBackendError(cause)
    }
  }

  #drain(visit: MessageVisitor): 'complete' | 'lost' {
    try {
      return this.#events.drain(visit)
    } catch (cause) {
      throw asBackendError(cause)
    }
  }

  /** Packs as many writes from `from` on as one datagram takes; the last one asks for an acknowledgement. */
  #pack(
    { family, count, operations, addresses, lengths, bodyOf }: RouteWrites,
    from: number,
    firstSequence: number,
    templates: readonly Uint8Array[],
    removal: Uint8Array,
  ): { readonly to: number; readonly length: number } {
    const octets = family === 4 ? 4 : 16
    const bytes = this.#datagram
    const view = this.#datagramView
    const end = Math.min(count, from + MESSAGES_PER_DATAGRAM)
    let flags = 0
    let last = 0
    let at = 0
    let index = from
    for (; index < end; index++) {
      const operation = operations[index]
      const template = operation === REMOVE ? removal : templates[bodyOf[index] ?? 0]
      if (template === undefined) throw new RangeError(`write ${index} has no body`)
      if (at + template.length > bytes.length) break
      bytes.set(template, at)
      flags = operation === REMOVE ? NLM_F_REQUEST : operation === CREATE ? CREATE_FLAGS : REPLACE_FLAGS
      view.setUint16(at + TEMPLATE_FLAGS, flags, true)
      view.setUint32(at + TEMPLATE_SEQUENCE, firstSequence + index - from, true)
      bytes[at + TEMPLATE_PREFIX_LENGTH] = lengths[index] ?? 0
      const source = index * octets
      const target = at + TEMPLATE_ADDRESS
      for (let octet = 0; octet < octets; octet++) bytes[target + octet] = addresses[source + octet] ?? 0
      last = at
      at += template.length
    }
    view.setUint16(last + TEMPLATE_FLAGS, flags | NLM_F_ACK, true)
    return { to: index, length: at }
  }

  /** Repeats a dump that the kernel says was disturbed, a few times. */
  #dump(
    request: string,
    encode: (sequence: number) => Uint8Array,
    restart: () => void,
    visit: (type: number, view: DataView, from: number, to: number) => void,
  ): 'consistent' | 'interrupted' {
    try {
      for (let attempt = 0; attempt < DUMP_ATTEMPTS; attempt++) {
        restart()
        const sequence = this.#requests.reserveSequences(1)
        const outcome = this.#requests.dump(request, encode(sequence), sequence, (view, type, _flags, from, to) =>
          visit(type, view, from, to),
        )
        if (outcome === 'consistent') return 'consistent'
      }
      return 'interrupted'
    } catch (cause) {
      if (cause instanceof NetlinkError && NOTHING_THERE.has(cause.code)) return 'consistent'
      throw asBackendError(cause)
    }
  }
}

/** What the system refused becomes an error of the port; a bug stays what it is. */
function asBackendError(cause: unknown): unknown {
  if (cause instanceof SysError) return new RouteBackendError(cause.code, cause.message, cause)
  const isFromFs = typeof cause === 'object' && cause !== null && 'syscall' in cause && 'code' in cause
  return isFromFs ? new RouteBackendError(String(cause.code), `netlink socket: ${String(cause.code)}`, cause) : cause
}
