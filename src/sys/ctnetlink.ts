// Messages of conntrack's netlink interface (linux/netfilter/nfnetlink_conntrack.h): finding connections by an address and deleting
// them. Numbers are in network order here, unlike rtnetlink's. Pure.
import { familyOf, type IpAddress, ipToBytes } from '../net/index.ts'
import { eachAttribute, NLM_F_DUMP, NLMSG_HEADER_LENGTH } from './netlink-message.ts'
import { AF_INET, AF_INET6, MessageWriter, type NetlinkRequest } from './rtnetlink/message.ts'

const NFNL_SUBSYS_CTNETLINK = 1 << 8
export const IPCTNL_MSG_CT_NEW = NFNL_SUBSYS_CTNETLINK | 0
const IPCTNL_MSG_CT_GET = NFNL_SUBSYS_CTNETLINK | 1
const IPCTNL_MSG_CT_DELETE = NFNL_SUBSYS_CTNETLINK | 2
const NFGENMSG_LENGTH = 4
const CTA = { TUPLE_ORIG: 1, TUPLE_REPLY: 2, ID: 12, ZONE: 18, FILTER: 25 } as const
const CTA_TUPLE_IP = 1
const CTA_IP = { 4: { source: 1, destination: 2 }, 6: { source: 3, destination: 4 } } as const
const CTA_FILTER_ORIG_FLAGS = 1
const CTA_FILTER_REPLY_FLAGS = 2
/** CTA_FILTER_FLAG() of net/netfilter/nf_conntrack_netlink.c. */
const FILTER_FLAG = { source: 1 << 0, destination: 1 << 1 } as const

/** Which address of a connection: as its first packet had it, or as its answers have it (they differ by NAT). */
export type TuplePlace = { readonly direction: 'original' | 'reply'; readonly end: 'source' | 'destination' }

export const TUPLE_PLACES: readonly TuplePlace[] = [
  { direction: 'original', end: 'source' },
  { direction: 'original', end: 'destination' },
  { direction: 'reply', end: 'source' },
  { direction: 'reply', end: 'destination' },
]

/** Asks for connections with the address in one place. Kernels before 5.8 answer with all of the family: look at what comes. */
export function listConnections(address: IpAddress, { direction, end }: TuplePlace): NetlinkRequest {
  const family = familyOf(address)
  const tuple = direction === 'original' ? CTA.TUPLE_ORIG : CTA.TUPLE_REPLY
  return new MessageWriter('list connections', IPCTNL_MSG_CT_GET, NLM_F_DUMP, nfgenmsg(family === 4 ? AF_INET : AF_INET6))
    .nest(tuple, (inside) => inside.nest(CTA_TUPLE_IP, (ip) => ip.octets(CTA_IP[family][end], ipToBytes(address))))
    .nest(CTA.FILTER, (filter) =>
      filter
        .u32(CTA_FILTER_ORIG_FLAGS, direction === 'original' ? FILTER_FLAG[end] : 0)
        .u32(CTA_FILTER_REPLY_FLAGS, direction === 'reply' ? FILTER_FLAG[end] : 0),
    )
    .finish()
}

/** True if a connection (payload of IPCTNL_MSG_CT_NEW) has the address in any of the four places. */
export function hasAddress(view: DataView, from: number, to: number, address: IpAddress): boolean {
  const wanted = ipToBytes(address)
  let isFound = false
  eachAttribute(view, from + NFGENMSG_LENGTH, to, (type, start, stop) => {
    if (type !== CTA.TUPLE_ORIG && type !== CTA.TUPLE_REPLY) return
    eachAttribute(view, start, stop, (part, at, end) => {
      if (part !== CTA_TUPLE_IP) return
      eachAttribute(view, at, end, (_place, octets, last) => {
        isFound ||= last - octets === wanted.length && wanted.every((octet, index) => view.getUint8(octets + index) === octet)
      })
    })
  })
  return isFound
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

/** A connection's key, to tell one that was listed twice. */
export function connectionKey(request: NetlinkRequest): string {
  return Buffer.from(request.bytes.subarray(NLMSG_HEADER_LENGTH)).toString('latin1')
}

function nfgenmsg(family: number): Uint8Array {
  return Uint8Array.of(family, 0, 0, 0)
}

function octetsOf(view: DataView, from: number, to: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + from, to - from)
}
