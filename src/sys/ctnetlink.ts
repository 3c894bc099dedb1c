// Messages of conntrack's netlink interface (linux/netfilter/nfnetlink_conntrack.h): finding connections by an address and deleting
// them. Numbers are in network order here, unlike rtnetlink's. Pure.
import { familyOf, type IpAddress, ipFromBytes, ipToBytes } from '../net/index.ts'
import { eachAttribute, NLM_F_DUMP, NLMSG_HEADER_LENGTH } from './netlink-message.ts'
import { AF_INET, AF_INET6, AF_UNSPEC, MessageWriter, type NetlinkRequest } from './rtnetlink/message.ts'

const NFNL_SUBSYS_CTNETLINK = 1 << 8
const IPCTNL_MSG_CT_NEW = NFNL_SUBSYS_CTNETLINK
const IPCTNL_MSG_CT_GET = NFNL_SUBSYS_CTNETLINK | 1
const IPCTNL_MSG_CT_DELETE = NFNL_SUBSYS_CTNETLINK | 2
const IPCTNL_MSG_CT_GET_STATS = NFNL_SUBSYS_CTNETLINK | 5
const NFGENMSG_LENGTH = 4
const CTA = { TUPLE_ORIG: 1, TUPLE_REPLY: 2, MARK: 8, ID: 12, ZONE: 18, MARK_MASK: 21, FILTER: 25 } as const
const CTA_TUPLE_IP = 1
const CTA_TUPLE_PROTO = 2
const CTA_PROTO = { NUM: 1, SRC_PORT: 2, DST_PORT: 3, ICMP_TYPE: 5, ICMPV6_TYPE: 8 } as const
const CTA_IP_SOURCE = { 4: 1, 6: 3 } as const
const CTA_FILTER_ORIG_FLAGS = 1
const CTA_FILTER_REPLY_FLAGS = 2
/** Of net/netfilter/nf_internals.h. */
const CTA_FILTER_FLAG_IP_SRC = 1
const CTA_STATS_GLOBAL_ENTRIES = 1

/**
 * Asks for connections whose original packets, or whose answers, come from the address. Kernels before 5.8 do not filter and answer
 * with all of the family: look at what comes.
 */
export function listConnectionsFrom(address: IpAddress, direction: 'original' | 'reply'): NetlinkRequest {
  const family = familyOf(address)
  const tuple = direction === 'original' ? CTA.TUPLE_ORIG : CTA.TUPLE_REPLY
  return new MessageWriter('list connections', IPCTNL_MSG_CT_GET, NLM_F_DUMP, nfgenmsg(family === 4 ? AF_INET : AF_INET6))
    .nest(tuple, (inside) => inside.nest(CTA_TUPLE_IP, (ip) => ip.octets(CTA_IP_SOURCE[family], ipToBytes(address))))
    .nest(CTA.FILTER, (filter) =>
      filter
        .u32(CTA_FILTER_ORIG_FLAGS, direction === 'original' ? CTA_FILTER_FLAG_IP_SRC : 0)
        .u32(CTA_FILTER_REPLY_FLAGS, direction === 'reply' ? CTA_FILTER_FLAG_IP_SRC : 0),
    )
    .finish()
}

/** Asks for the connections of both families. */
export function listConnections(): NetlinkRequest {
  return new MessageWriter('list connections', IPCTNL_MSG_CT_GET, NLM_F_DUMP, nfgenmsg(AF_UNSPEC)).finish()
}

/** Asks how many connections there are; `readConnectionCount` understands the answer. */
export function countConnections(): NetlinkRequest {
  return new MessageWriter('count connections', IPCTNL_MSG_CT_GET_STATS, 0, nfgenmsg(AF_UNSPEC)).finish()
}

/** The answer to `countConnections`; null if it is none. */
export function readConnectionCount(view: DataView, from: number, to: number): number | null {
  let count: number | null = null
  eachAttribute(view, from + NFGENMSG_LENGTH, to, (type, start, end) => {
    if (type === CTA_STATS_GLOBAL_ENTRIES && end - start >= 4) count = view.getUint32(start)
  })
  return count
}

/** Addresses of a connection (an answer to one of the lists): the four ends, as they were and as they are answered (NAT). */
export function addressesOfConnection(view: DataView, from: number, to: number): readonly IpAddress[] {
  const found: IpAddress[] = []
  eachAttribute(view, from + NFGENMSG_LENGTH, to, (type, start, stop) => {
    if (type !== CTA.TUPLE_ORIG && type !== CTA.TUPLE_REPLY) return
    eachAttribute(view, start, stop, (part, at, end) => {
      if (part !== CTA_TUPLE_IP) return
      eachAttribute(view, at, end, (_place, octets, last) => {
        const length = last - octets
        if (length !== 4 && length !== 16) return
        found.push(ipFromBytes(length === 4 ? 4 : 6, octetsOf(view, octets, last)))
      })
    })
  })
  return found
}

/** A connection by what its rules saw: the destination, and its port, after translation. */
export type ConnectionFlow = {
  readonly source: IpAddress
  readonly destination: IpAddress
  /** IANA number. */
  readonly protocol: number
  /** null: the protocol has none. */
  readonly destinationPort: number | null
  readonly icmpType?: number
  /** The destination's address was translated. */
  readonly isTranslated: boolean
}

type Tuple = {
  source: IpAddress | null
  destination: IpAddress | null
  protocol: number
  sourcePort: number | null
  icmpType: number | null
}

/** The flow of a connection (an answer to one of the lists); null if it has no addresses. */
export function flowOfConnection(view: DataView, from: number, to: number): ConnectionFlow | null {
  let [original, reply]: [Tuple | null, Tuple | null] = [null, null]
  eachAttribute(view, from + NFGENMSG_LENGTH, to, (type, start, stop) => {
    if (type === CTA.TUPLE_ORIG) original = readTuple(view, start, stop)
    else if (type === CTA.TUPLE_REPLY) reply = readTuple(view, start, stop)
  })
  return toFlow(original, reply)
}

function toFlow(original: Tuple | null, reply: Tuple | null): ConnectionFlow | null {
  if (original?.source == null || original.destination === null || reply?.source == null) return null
  const { source, protocol, icmpType } = original
  return {
    source,
    destination: reply.source,
    protocol,
    destinationPort: reply.sourcePort,
    ...(icmpType === null ? {} : { icmpType }),
    isTranslated: reply.source !== original.destination,
  }
}

function readTuple(view: DataView, from: number, to: number): Tuple {
  const tuple: Tuple = { source: null, destination: null, protocol: 0, sourcePort: null, icmpType: null }
  eachAttribute(view, from, to, (part, start, stop) => {
    eachAttribute(view, start, stop, (type, at, end) => {
      if (part === CTA_TUPLE_IP) {
        if (end - at !== 4 && end - at !== 16) return
        const address = ipFromBytes(end - at === 4 ? 4 : 6, octetsOf(view, at, end))
        if (type === CTA_IP_SOURCE[4] || type === CTA_IP_SOURCE[6]) tuple.source = address
        else tuple.destination = address
      } else if (part === CTA_TUPLE_PROTO) {
        if (type === CTA_PROTO.NUM) tuple.protocol = view.getUint8(at)
        else if (type === CTA_PROTO.SRC_PORT) tuple.sourcePort = view.getUint16(at)
        else if (type === CTA_PROTO.ICMP_TYPE || type === CTA_PROTO.ICMPV6_TYPE) tuple.icmpType = view.getUint8(at)
      }
    })
  })
  return tuple
}

/** The request that deletes a connection as it was listed, and no later one with the same addresses and ports. */
export function deleteConnection(view: DataView, from: number, to: number): NetlinkRequest {
  const writer = new MessageWriter('delete a connection', IPCTNL_MSG_CT_DELETE, 0, octetsOf(view, from, from + NFGENMSG_LENGTH))
  eachAttribute(view, from + NFGENMSG_LENGTH, to, (type, start, end) => {
    if (type === CTA.TUPLE_ORIG) writer.nest(type, (inside) => inside.raw(octetsOf(view, start, end)))
    else if (type === CTA.ID || type === CTA.ZONE) writer.octets(type, octetsOf(view, start, end))
  })
  return writer.finish()
}

/** The mark of a connection (an answer to one of the lists). */
export function markOfConnection(view: DataView, from: number, to: number): number {
  let mark = 0
  eachAttribute(view, from + NFGENMSG_LENGTH, to, (type, start, end) => {
    if (type === CTA.MARK && end - start >= 4) mark = view.getUint32(start)
  })
  return mark
}

/** The request that sets, or clears, bits of the mark of a connection that was listed; refused (ENOENT) if it is gone. */
export function markConnection(view: DataView, from: number, to: number, bits: number, isSet: boolean): NetlinkRequest {
  const writer = new MessageWriter('mark a connection', IPCTNL_MSG_CT_NEW, 0, octetsOf(view, from, from + NFGENMSG_LENGTH))
  eachAttribute(view, from + NFGENMSG_LENGTH, to, (type, start, end) => {
    if (type === CTA.TUPLE_ORIG) writer.nest(type, (inside) => inside.raw(octetsOf(view, start, end)))
    else if (type === CTA.ZONE) writer.octets(type, octetsOf(view, start, end))
  })
  return writer
    .octets(CTA.MARK, bigEndian(isSet ? bits : 0))
    .octets(CTA.MARK_MASK, bigEndian(bits))
    .finish()
}

/** A connection's key, to tell one that was listed twice. */
export function connectionKey(request: NetlinkRequest): string {
  return Buffer.from(request.bytes.subarray(NLMSG_HEADER_LENGTH)).toString('latin1')
}

function bigEndian(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value)
}

function nfgenmsg(family: number): Uint8Array {
  return Uint8Array.of(family, 0, 0, 0)
}

function octetsOf(view: DataView, from: number, to: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + from, to - from)
}
