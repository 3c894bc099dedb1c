// rtnetlink route messages (linux/rtnetlink.h, rtnetlink(7)): ours as templates, so that a hundred thousand routes cost one copy
// each, and the kernel's as RouteView with bodies decoded once for each distinct run of octets. Pure.
import { bitsOf, familyOf, type IpAddress, type IpFamily, ip, ipFromBytes, ipToBytes } from '../../net/index.ts'
import {
  align4,
  eachAttribute,
  NLM_F_APPEND,
  NLM_F_DUMP,
  NLM_F_REPLACE,
  NLM_F_REQUEST,
  NLMSG_HEADER_LENGTH,
  putHeader,
} from '../../sys/netlink-message.ts'
import type { RouteChangeKind, RouteView } from '../backend.ts'
import { BLACKHOLE, type NextHop, OUR_PROTOCOL, type RouteBody, unicast } from '../route.ts'

export const RTM_NEWROUTE = 24
export const RTM_DELROUTE = 25
export const RTM_GETROUTE = 26

const AF_INET = 2
const AF_INET6 = 10
const RT_TABLE_MAIN = 254
const RT_SCOPE_UNIVERSE = 0
const RT_SCOPE_LINK = 253
const RT_SCOPE_NOWHERE = 255
const RTN_UNICAST = 1
const RTN_BLACKHOLE = 6
const RTM_F_CLONED = 0x200
const RTNH_F_ONLINK = 4
const RTA = {
  DST: 1,
  OIF: 4,
  GATEWAY: 5,
  PRIORITY: 6,
  PREFSRC: 7,
  MULTIPATH: 9,
  TABLE: 15,
  VIA: 18,
  ENCAP_TYPE: 21,
  ENCAP: 22,
  NH_ID: 30,
} as const
/** linux/lwtunnel.h: an outer IPv6 header, made by the tunnel device of the route. */
const LWTUNNEL_ENCAP_IP6 = 4
const LWTUNNEL_IP6 = { DST: 2, SRC: 3, HOPLIMIT: 4 } as const
const OUTER_HOP_LIMIT = 64
/** Several next hops need a gateway to be one route (rt6_qualify_for_ecmp), which a tunnel by outer header has no use for. */
const ANY_GATEWAY = ip('fe80::1')
const ANY_ADDRESS = ip('::')
const RTMSG_LENGTH = 12
const RTNEXTHOP_LENGTH = 8
const TYPE_NAMES: Readonly<Record<number, string>> = {
  2: 'local',
  3: 'broadcast',
  5: 'multicast',
  7: 'unreachable',
  8: 'prohibit',
  9: 'throw',
}

/** Offsets inside a message made by `routeTemplate` or `removalTemplate`, for what differs from route to route. */
export const TEMPLATE_FLAGS = 6
export const TEMPLATE_SEQUENCE = 8
export const TEMPLATE_PREFIX_LENGTH = NLMSG_HEADER_LENGTH + 1
export const TEMPLATE_ADDRESS = NLMSG_HEADER_LENGTH + RTMSG_LENGTH + 4

type Key = { readonly metric: number; readonly tos: number }

/** An RTM_NEWROUTE of ours with address, prefix length, flags and sequence number left at zero. Throws RangeError for `other` bodies. */
export function routeTemplate(family: IpFamily, body: RouteBody, key: Key): Uint8Array {
  const out = start(RTM_NEWROUTE, family, key)
  if (body.kind === 'other') throw new RangeError(`not a route we make: ${body.text}`)
  if (body.kind === 'blackhole') {
    out.view.setUint8(NLMSG_HEADER_LENGTH + 7, RTN_BLACKHOLE)
    return finish(out)
  }
  const onLink = body.nextHops.every((hop) => hop.gateway === null)
  out.view.setUint8(NLMSG_HEADER_LENGTH + 6, onLink && family === 4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE)
  out.view.setUint8(NLMSG_HEADER_LENGTH + 7, RTN_UNICAST)
  if (body.source !== null) putAddress(out, RTA.PREFSRC, body.source)
  const [first, ...rest] = body.nextHops
  if (first === undefined) throw new RangeError('a unicast route has a next hop')
  if (rest.length > 0) putMultipath(out, family, body.nextHops)
  else {
    if (first.onlink) out.view.setUint32(NLMSG_HEADER_LENGTH + 8, RTNH_F_ONLINK, true)
    putGateway(out, family, first)
    putOuter(out, first)
    putU32(out, RTA.OIF, first.interfaceIndex)
  }
  return finish(out)
}

/** An RTM_DELROUTE that takes out whatever route of ours has the prefix that is filled in, and no other's. */
export function removalTemplate(family: IpFamily, key: Key): Uint8Array {
  const out = start(RTM_DELROUTE, family, key)
  out.view.setUint8(NLMSG_HEADER_LENGTH + 6, RT_SCOPE_NOWHERE)
  return finish(out)
}

/** Asks for every route of table main. Kernels without strict checking answer with all tables, so the reader looks too. */
export function routeDumpRequest(family: IpFamily, sequence: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(NLMSG_HEADER_LENGTH + RTMSG_LENGTH))
  putHeader(view, 0, view.byteLength, RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP, sequence)
  view.setUint8(NLMSG_HEADER_LENGTH, family === 4 ? AF_INET : AF_INET6)
  view.setUint8(NLMSG_HEADER_LENGTH + 4, RT_TABLE_MAIN)
  return new Uint8Array(view.buffer)
}

/** What a notification says has happened. */
export function routeChangeOf(type: number, flags: number): RouteChangeKind {
  if (type === RTM_DELROUTE) return 'removed'
  if ((flags & NLM_F_REPLACE) !== 0) return 'replaced'
  return (flags & NLM_F_APPEND) !== 0 ? 'appended' : 'added'
}

type Output = { readonly view: DataView; readonly bytes: Uint8Array; at: number }

/** More than any route takes: 256 next hops (plan.ts) of 32 octets, and some. */
const MAX_MESSAGE = 16 * 1024

function start(type: number, family: IpFamily, { metric, tos }: Key): Output {
  const bytes = new Uint8Array(MAX_MESSAGE)
  const out = { bytes, view: new DataView(bytes.buffer), at: NLMSG_HEADER_LENGTH + RTMSG_LENGTH }
  putHeader(out.view, 0, 0, type, 0, 0)
  bytes[NLMSG_HEADER_LENGTH] = family === 4 ? AF_INET : AF_INET6
  bytes[NLMSG_HEADER_LENGTH + 3] = tos
  bytes[NLMSG_HEADER_LENGTH + 4] = RT_TABLE_MAIN
  bytes[NLMSG_HEADER_LENGTH + 5] = OUR_PROTOCOL
  putBytes(out, RTA.DST, new Uint8Array(bitsOf(family) / 8))
  putU32(out, RTA.PRIORITY, metric)
  return out
}

function finish(out: Output): Uint8Array {
  out.view.setUint32(0, out.at, true)
  return out.bytes.slice(0, out.at)
}

function putBytes(out: Output, type: number, payload: Uint8Array): void {
  out.view.setUint16(out.at, 4 + payload.length, true)
  out.view.setUint16(out.at + 2, type, true)
  out.bytes.set(payload, out.at + 4)
  out.at += align4(4 + payload.length)
}

function putU32(out: Output, type: number, value: number): void {
  out.view.setUint16(out.at, 8, true)
  out.view.setUint16(out.at + 2, type, true)
  out.view.setUint32(out.at + 4, value, true)
  out.at += 8
}

function putAddress(out: Output, type: number, address: IpAddress): void {
  putBytes(out, type, ipToBytes(address))
}

/** RTA_GATEWAY, or RTA_VIA for a gateway of the other family (struct rtvia: family, then the address). */
function putGateway(out: Output, family: IpFamily, { gateway }: NextHop): void {
  if (gateway === null) return
  if (familyOf(gateway) === family) {
    putAddress(out, RTA.GATEWAY, gateway)
    return
  }
  const octets = ipToBytes(gateway)
  const via = new Uint8Array(2 + octets.length)
  via[0] = familyOf(gateway) === 4 ? AF_INET : AF_INET6
  via.set(octets, 2)
  putBytes(out, RTA.VIA, via)
}

/** RTA_ENCAP_TYPE and RTA_ENCAP. The kernel lists ID, TC and FLAGS too: all zero. */
function putOuter(out: Output, { outer }: NextHop): void {
  if (outer === undefined) return
  const attribute = out.at
  out.at += 4
  putAddress(out, LWTUNNEL_IP6.DST, outer.destination)
  if (outer.source !== null) putAddress(out, LWTUNNEL_IP6.SRC, outer.source)
  putBytes(out, LWTUNNEL_IP6.HOPLIMIT, Uint8Array.of(OUTER_HOP_LIMIT))
  out.view.setUint16(attribute, out.at - attribute, true)
  out.view.setUint16(attribute + 2, RTA.ENCAP | NLA_F_NESTED, true)
  putBytes(out, RTA.ENCAP_TYPE, Uint8Array.of(LWTUNNEL_ENCAP_IP6, 0))
}

const NLA_F_NESTED = 0x8000

function putMultipath(out: Output, family: IpFamily, nextHops: readonly NextHop[]): void {
  const attribute = out.at
  out.at += 4
  for (const hop of nextHops) {
    const at = out.at
    out.at += RTNEXTHOP_LENGTH
    putGateway(out, family, hop.outer === undefined ? hop : { ...hop, gateway: ANY_GATEWAY })
    putOuter(out, hop)
    out.view.setUint16(at, out.at - at, true)
    out.bytes[at + 2] = hop.onlink ? RTNH_F_ONLINK : 0
    out.view.setInt32(at + 4, hop.interfaceIndex, true)
  }
  out.view.setUint16(attribute, out.at - attribute, true)
  out.view.setUint16(attribute + 2, RTA.MULTIPATH, true)
}

/** Decodes routes into one record, remembering bodies by their octets. One for each thread that reads. */
export class RouteReader {
  readonly view: RouteView = { family: 4, address: new Uint8Array(16), length: 0, protocol: 0, metric: 0, tos: 0, body: BLACKHOLE }
  readonly #signature = Buffer.alloc(16 * 1024)
  readonly #bodies = new Map<string, RouteBody>()

  /** Fills `view` from the payload of a route message; false if it is not a route of table main, or malformed. */
  read(message: DataView, from: number, to: number): boolean {
    if (to - from < RTMSG_LENGTH) return false
    const familyCode = message.getUint8(from)
    if (familyCode !== AF_INET && familyCode !== AF_INET6) return false
    const flags = message.getUint32(from + 8, true)
    if ((flags & RTM_F_CLONED) !== 0) return false
    const route = this.view
    route.family = familyCode === AF_INET ? 4 : 6
    route.length = message.getUint8(from + 1)
    route.tos = message.getUint8(from + 3)
    route.protocol = message.getUint8(from + 5)
    route.metric = 0
    route.address.fill(0)
    let table = message.getUint8(from + 4)
    const signature = this.#signature
    signature[0] = familyCode
    signature[1] = message.getUint8(from + 7)
    signature[2] = flags & RTNH_F_ONLINK
    let signed = 3
    let at = from + RTMSG_LENGTH
    while (at + 4 <= to) {
      const size = message.getUint16(at, true)
      if (size < 4 || at + size > to) return false
      const type = message.getUint16(at + 2, true) & 0x3fff
      if (type === RTA.DST) copy(message, at + 4, Math.min(size - 4, 16), route.address, 0)
      else if (type === RTA.PRIORITY) route.metric = u32(message, at + 4, at + size)
      else if (type === RTA.TABLE) table = u32(message, at + 4, at + size)
      else if (isOfBody(type)) {
        if (signed + size + 1 > signature.length) return false
        signature[signed] = type
        copy(message, at + 4, size - 4, signature, signed + 1)
        signed += size - 3
      }
      at += align4(size)
    }
    if (table !== RT_TABLE_MAIN || route.length > bitsOf(route.family)) return false
    const key = signature.toString('latin1', 0, signed)
    const known = this.#bodies.get(key)
    route.body = known ?? this.#remember(key, readBody(message, from, to))
    return true
  }

  #remember(key: string, body: RouteBody): RouteBody {
    if (this.#bodies.size >= 8192) this.#bodies.clear() // interfaces come and go for months
    this.#bodies.set(key, body)
    return body
  }
}

function isOfBody(type: number): boolean {
  return (
    type === RTA.OIF ||
    type === RTA.GATEWAY ||
    type === RTA.PREFSRC ||
    type === RTA.MULTIPATH ||
    type === RTA.VIA ||
    type === RTA.NH_ID ||
    type === RTA.ENCAP ||
    type === RTA.ENCAP_TYPE
  )
}

function copy(from: DataView, at: number, length: number, into: Uint8Array, to: number): void {
  for (let index = 0; index < length; index++) into[to + index] = from.getUint8(at + index)
}

function readBody(message: DataView, from: number, to: number): RouteBody {
  const type = message.getUint8(from + 7)
  if (type === RTN_BLACKHOLE) return BLACKHOLE
  if (type !== RTN_UNICAST) return { kind: 'other', text: TYPE_NAMES[type] ?? `type ${type}` }
  const hop = new HopReader((message.getUint32(from + 8, true) & RTNH_F_ONLINK) !== 0)
  const nextHops: NextHop[] = []
  let source: IpAddress | null = null
  let strange: string | null = null
  eachAttribute(message, from + RTMSG_LENGTH, to, (attribute, start, end) => {
    if (attribute === RTA.PREFSRC) source = readAddress(message, start, end)
    else if (attribute === RTA.NH_ID) strange = `nexthop object ${u32(message, start, end)}`
    else if (attribute === RTA.MULTIPATH) strange = readMultipath(message, start, end, nextHops) ?? strange
    else hop.read(message, attribute, start, end)
  })
  if (nextHops.length === 0) {
    nextHops.push(hop.value())
    strange ??= hop.strangeness()
  }
  if (strange !== null) return { kind: 'other', text: strange }
  return unicast(nextHops, source)
}

/** Adds the next hops of RTA_MULTIPATH; returns what is strange about them, or null. Flags like RTNH_F_DEAD come and go: ignored. */
function readMultipath(message: DataView, from: number, to: number, into: NextHop[]): string | null {
  let strange: string | null = null
  let at = from
  while (at + RTNEXTHOP_LENGTH <= to) {
    const size = message.getUint16(at, true)
    if (size < RTNEXTHOP_LENGTH || at + size > to) return 'malformed multipath'
    const hop = new HopReader((message.getUint8(at + 2) & RTNH_F_ONLINK) !== 0)
    hop.interfaceIndex = message.getInt32(at + 4, true)
    if (message.getUint8(at + 3) !== 0) strange = `multipath with weight ${message.getUint8(at + 3) + 1}`
    eachAttribute(message, at + RTNEXTHOP_LENGTH, at + size, (attribute, start, end) => hop.read(message, attribute, start, end))
    into.push(hop.value())
    strange ??= hop.strangeness()
    at += align4(size)
  }
  return strange
}

class HopReader {
  interfaceIndex = 0
  #gateway: IpAddress | null = null
  #encapsulationType = 0
  /** What the outer header is said to be; null: it has something that we never ask for. */
  #outer: { destination: IpAddress | null; source: IpAddress | null } | null = { destination: null, source: null }
  readonly #onlink: boolean

  constructor(onlink: boolean) {
    this.#onlink = onlink
  }

  read(message: DataView, attribute: number, from: number, to: number): void {
    if (attribute === RTA.OIF) this.interfaceIndex = u32(message, from, to)
    else if (attribute === RTA.GATEWAY) this.#gateway = readAddress(message, from, to)
    else if (attribute === RTA.VIA) this.#gateway = readAddress(message, from + 2, to)
    else if (attribute === RTA.ENCAP_TYPE) this.#encapsulationType = to - from >= 2 ? message.getUint16(from, true) : -1
    else if (attribute === RTA.ENCAP) this.#readOuter(message, from, to)
  }

  value(): NextHop {
    const { interfaceIndex } = this
    const outer = this.#ourOuter()
    if (outer !== null) return { gateway: null, interfaceIndex, onlink: false, outer }
    return { gateway: this.#gateway, interfaceIndex, onlink: this.#onlink }
  }

  /** What there is about it that we never make; null: nothing. */
  strangeness(): string | null {
    return this.#encapsulationType === 0 || this.#ourOuter() !== null ? null : `encapsulation type ${this.#encapsulationType}`
  }

  #ourOuter(): NonNullable<NextHop['outer']> | null {
    if (this.#encapsulationType !== LWTUNNEL_ENCAP_IP6 || (this.#gateway !== null && this.#gateway !== ANY_GATEWAY)) return null
    const { destination = null, source = null } = this.#outer ?? {}
    return destination === null ? null : { destination, source: source === ANY_ADDRESS ? null : source }
  }

  #readOuter(message: DataView, from: number, to: number): void {
    const outer = this.#outer
    eachAttribute(message, from, to, (type, start, end) => {
      if (outer === null) return
      if (type === LWTUNNEL_IP6.DST) outer.destination = readAddress(message, start, end)
      else if (type === LWTUNNEL_IP6.SRC) outer.source = readAddress(message, start, end)
      else if (!isZero(message, start, end) && !(type === LWTUNNEL_IP6.HOPLIMIT && message.getUint8(start) === OUTER_HOP_LIMIT)) {
        this.#outer = null
      }
    })
  }
}

/** An address of 4 or 16 octets; null if it has any other length. */
function readAddress(message: DataView, from: number, to: number): IpAddress | null {
  if (to - from !== 4 && to - from !== 16) return null
  return ipFromBytes(to - from === 4 ? 4 : 6, new Uint8Array(message.buffer, message.byteOffset + from, to - from))
}

/** The number in an attribute; 0 if it is too short to hold one. */
function u32(message: DataView, from: number, to: number): number {
  return to - from >= 4 ? message.getUint32(from, true) : 0
}

function isZero(message: DataView, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (message.getUint8(at) !== 0) return false
  return true
}
