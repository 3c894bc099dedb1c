// RTM_*LINK (linux/if_link.h): veth pairs, changes of links, look-ups. Pure.
import { type Mac, macFromBytes } from '../../net/index.ts'
import { eachAttribute, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, readText } from '../netlink-message.ts'
import { AF_INET, AF_INET6, AF_UNSPEC, MessageWriter, macToBytes, type NetlinkRequest, type Octets, struct } from './message.ts'

export const RTM_NEWLINK = 16
export const RTM_DELLINK = 17
export const RTM_GETLINK = 18
export const RTM_SETLINK = 19

const IFINFOMSG_LENGTH = 16
const IFF_UP = 1
const IFLA = {
  ADDRESS: 1,
  IFNAME: 3,
  MTU: 4,
  LINK: 5,
  OPERSTATE: 16,
  LINKINFO: 18,
  AF_SPEC: 26,
  GROUP: 27,
  NET_NS_FD: 28,
  EXT_MASK: 29,
  NUM_TX_QUEUES: 31,
  NUM_RX_QUEUES: 32,
} as const
const IFLA_INFO_KIND = 1
const IFLA_INFO_DATA = 2
const VETH_INFO_PEER = 1
/**
 * The kernel's choice is one a processor in each direction, each with files below /sys: half the time of making a pair on two
 * processors, and more on more. A veth sends without a queue and receives on the sender's processor, so one does as well.
 */
const VETH_QUEUES = 1
const IFLA_INET_CONF = 1
const IFLA_INET6_CONF = 2
const IFLA_INET6_ADDR_GEN_MODE = 8
const RTEXT_FILTER_SKIP_STATS = 8
const IF_OPER_UP = 6

/** IPV4_DEVCONF_* (linux/ip.h): what /proc/sys/net/ipv4/conf/INTERFACE shows, settable by netlink where /proc/sys is read-only. */
const IPV4_DEVCONF = { forwarding: 1, proxyArp: 3, rpFilter: 8 } as const
/** Places in IFLA_INET6_CONF (enum of linux/ipv6.h): what /proc/sys/net/ipv6/conf/INTERFACE shows; netlink can only read them. */
const IPV6_DEVCONF = { forwarding: 0, acceptRa: 3, disableIpv6: 26 } as const
/** enum in6_addr_gen_mode (linux/if_link.h): how the kernel makes a link-local address of its own. */
export const ADDR_GEN_MODE = { eui64: 0, none: 1 } as const

export type Ipv4Devconf = { readonly [Name in keyof typeof IPV4_DEVCONF]: number }
export type Ipv6Devconf = { readonly [Name in keyof typeof IPV6_DEVCONF]: number }

export type VethPair = {
  readonly name: string
  readonly mac: Mac
  /** Of both ends. */
  readonly mtu: number
  readonly peer: {
    readonly name: string
    /** null: the kernel's choice. */
    readonly mac: Mac | null
    /** Descriptor of the network namespace in which the peer is made. */
    readonly namespaceFd: number
  }
}

/** Makes a veth pair, both ends down. EEXIST: either name is taken; the kernel does not say which. */
export function createVeth({ name, mac, mtu, peer }: VethPair): NetlinkRequest {
  return new MessageWriter(`create ${name}`, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg(0))
    .text(IFLA.IFNAME, name)
    .u32(IFLA.MTU, mtu)
    .octets(IFLA.ADDRESS, macToBytes(mac))
    .u32(IFLA.NUM_TX_QUEUES, VETH_QUEUES)
    .u32(IFLA.NUM_RX_QUEUES, VETH_QUEUES)
    .nest(IFLA.LINKINFO, (info) =>
      info.text(IFLA_INFO_KIND, 'veth').nest(IFLA_INFO_DATA, (data) =>
        data.nest(VETH_INFO_PEER, (inside) => {
          inside.raw(ifinfomsg(0)).text(IFLA.IFNAME, peer.name).u32(IFLA.MTU, mtu).u32(IFLA.NET_NS_FD, peer.namespaceFd)
          inside.u32(IFLA.NUM_TX_QUEUES, VETH_QUEUES).u32(IFLA.NUM_RX_QUEUES, VETH_QUEUES)
          if (peer.mac !== null) inside.octets(IFLA.ADDRESS, macToBytes(peer.mac))
        }),
      ),
    )
    .finish()
}

export type LinkChange = {
  readonly isUp?: boolean
  readonly mtu?: number
  readonly mac?: Mac
  /** A new name; the link must be down on kernels before 6.2. */
  readonly name?: string
  /** IFLA_GROUP: any number, 0 by default. */
  readonly group?: number
  readonly ipv4?: Partial<Ipv4Devconf>
  readonly addrGenMode?: number
}

/**
 * Changes a link, given by index or name. `ipv4` and `addrGenMode` take effect after `isUp`: where they matter to how the link
 * comes up, they go in a request of their own before.
 */
export function changeLink(link: number | string, change: LinkChange): NetlinkRequest {
  const { isUp, mtu, mac, name, group, ipv4, addrGenMode } = change
  const writer = new MessageWriter(
    `change ${link} (${Object.keys(change).join(', ')})`,
    RTM_SETLINK,
    0,
    ifinfomsg(typeof link === 'number' ? link : 0, isUp),
  )
  if (typeof link === 'string') writer.text(IFLA.IFNAME, link)
  else if (name !== undefined) writer.text(IFLA.IFNAME, name)
  if (mtu !== undefined) writer.u32(IFLA.MTU, mtu)
  if (mac !== undefined) writer.octets(IFLA.ADDRESS, macToBytes(mac))
  if (group !== undefined) writer.u32(IFLA.GROUP, group)
  if (ipv4 !== undefined || addrGenMode !== undefined) {
    writer.nest(IFLA.AF_SPEC, (spec) => {
      if (ipv4 !== undefined) spec.nest(AF_INET, (inet) => inet.nest(IFLA_INET_CONF, (conf) => putDevconf(conf, ipv4)))
      if (addrGenMode !== undefined) spec.nest(AF_INET6, (inet6) => inet6.u8(IFLA_INET6_ADDR_GEN_MODE, addrGenMode))
    })
  }
  return writer.finish()
}

/** Removes a link by index or name. The kernel answers after every reader is done with it: some milliseconds. */
export function deleteLink(link: number | string): NetlinkRequest {
  const writer = new MessageWriter(`delete ${link}`, RTM_DELLINK, 0, ifinfomsg(typeof link === 'number' ? link : 0))
  if (typeof link === 'string') writer.text(IFLA.IFNAME, link)
  return writer.finish()
}

/** Removes every link of a group, waiting for readers once for all of them. */
export function deleteLinkGroup(group: number): NetlinkRequest {
  return new MessageWriter(`delete group ${group}`, RTM_DELLINK, 0, ifinfomsg(0)).u32(IFLA.GROUP, group).finish()
}

/** Asks for one link, by index or name. */
export function getLink(link: number | string): NetlinkRequest {
  const writer = new MessageWriter(`look up ${link}`, RTM_GETLINK, 0, ifinfomsg(typeof link === 'number' ? link : 0))
  if (typeof link === 'string') writer.text(IFLA.IFNAME, link)
  return writer.u32(IFLA.EXT_MASK, RTEXT_FILTER_SKIP_STATS).finish()
}

/** Asks for all links. */
export function listLinks(): NetlinkRequest {
  return new MessageWriter('list links', RTM_GETLINK, NLM_F_DUMP, ifinfomsg(0)).u32(IFLA.EXT_MASK, RTEXT_FILTER_SKIP_STATS).finish()
}

export type LinkView = {
  readonly index: number
  readonly name: string
  readonly isUp: boolean
  /** IF_OPER_UP of RFC 2863: it carries packets now. */
  readonly isOperational: boolean
  readonly mtu: number
  readonly mac: Mac | null
  /** Driver, e.g. `veth`, `ipip`; null for hardware. */
  readonly kind: string | null
  /** IFLA_LINK: of a veth, the index of its peer, in the peer's namespace; null: none. */
  readonly peerIndex: number | null
  readonly group: number
  readonly ipv4: Ipv4Devconf | null
  /** null: the link or kernel has no IPv6. */
  readonly ipv6: (Ipv6Devconf & { readonly addrGenMode: number | null }) | null
}

/** Reads the payload of RTM_NEWLINK; null if it is malformed or tells of a bridge port and the like. */
export function readLink(view: DataView, from: number, to: number): LinkView | null {
  if (to - from < IFINFOMSG_LENGTH || view.getUint8(from) !== AF_UNSPEC) return null
  const index = view.getInt32(from + 4, true)
  const isUp = (view.getUint32(from + 8, true) & IFF_UP) !== 0
  let name = ''
  let isOperational = false
  let mtu = 0
  let mac: Mac | null = null
  let kind: string | null = null
  let peerIndex: number | null = null
  let group = 0
  let ipv4: Ipv4Devconf | null = null
  let ipv6: LinkView['ipv6'] = null
  eachAttribute(view, from + IFINFOMSG_LENGTH, to, (type, start, end) => {
    const size = end - start
    if (type === IFLA.IFNAME) name = readText(view, start, end)
    else if (type === IFLA.OPERSTATE && size >= 1) isOperational = view.getUint8(start) === IF_OPER_UP
    else if (type === IFLA.MTU && size >= 4) mtu = view.getUint32(start, true)
    else if (type === IFLA.ADDRESS && size === 6) mac = macFromBytes(new Uint8Array(view.buffer, view.byteOffset + start, 6))
    else if (type === IFLA.LINK && size >= 4) peerIndex = view.getInt32(start, true)
    else if (type === IFLA.GROUP && size >= 4) group = view.getUint32(start, true)
    else if (type === IFLA.LINKINFO) {
      eachAttribute(view, start, end, (inner, at, stop) => {
        if (inner === IFLA_INFO_KIND) kind = readText(view, at, stop)
      })
    } else if (type === IFLA.AF_SPEC) {
      eachAttribute(view, start, end, (family, at, stop) => {
        if (family === AF_INET) ipv4 = readIpv4Devconf(view, at, stop)
        else if (family === AF_INET6) ipv6 = readIpv6Devconf(view, at, stop)
      })
    }
  })
  return name === '' ? null : { index, name, isUp, isOperational, mtu, mac, kind, peerIndex, group, ipv4, ipv6 }
}

/** As `readLink`, of `isOperational` alone. */
export function readIsOperational(view: DataView, from: number, to: number): boolean {
  let isOperational = false
  eachAttribute(view, from + IFINFOMSG_LENGTH, to, (type, start, end) => {
    if (type === IFLA.OPERSTATE && end > start) isOperational = view.getUint8(start) === IF_OPER_UP
  })
  return isOperational
}

/** struct ifinfomsg: family, pad, type, index, flags, change mask. */
export function ifinfomsg(index: number, isUp?: boolean): Octets {
  return struct(IFINFOMSG_LENGTH, (view) => {
    view.setInt32(4, index, true)
    view.setUint32(8, isUp === true ? IFF_UP : 0, true)
    view.setUint32(12, isUp === undefined ? 0 : IFF_UP, true)
  })
}

function putDevconf(conf: MessageWriter, values: Partial<Ipv4Devconf>): void {
  for (const [name, place] of Object.entries(IPV4_DEVCONF)) {
    const value = values[name as keyof typeof IPV4_DEVCONF] // the table's own key
    if (value !== undefined) conf.u32(place, value)
  }
}

/** IFLA_INET_CONF: the numbers in order, from IPV4_DEVCONF 1 on. */
function readIpv4Devconf(view: DataView, from: number, to: number): Ipv4Devconf | null {
  let devconf: Ipv4Devconf | null = null
  eachAttribute(view, from, to, (type, start, end) => {
    if (type !== IFLA_INET_CONF) return
    const at = (place: number): number => numberAt(view, start, end, place - 1)
    devconf = { forwarding: at(IPV4_DEVCONF.forwarding), proxyArp: at(IPV4_DEVCONF.proxyArp), rpFilter: at(IPV4_DEVCONF.rpFilter) }
  })
  return devconf
}

function readIpv6Devconf(view: DataView, from: number, to: number): LinkView['ipv6'] {
  let devconf: Ipv6Devconf | null = null
  let addrGenMode: number | null = null
  eachAttribute(view, from, to, (type, start, end) => {
    if (type === IFLA_INET6_ADDR_GEN_MODE && end > start) addrGenMode = view.getUint8(start)
    if (type !== IFLA_INET6_CONF) return
    const at = (place: number): number => numberAt(view, start, end, place)
    devconf = { forwarding: at(IPV6_DEVCONF.forwarding), acceptRa: at(IPV6_DEVCONF.acceptRa), disableIpv6: at(IPV6_DEVCONF.disableIpv6) }
  })
  return devconf === null ? null : { ...(devconf as Ipv6Devconf), addrGenMode }
}

function numberAt(view: DataView, start: number, end: number, place: number): number {
  const at = start + 4 * place
  return at + 4 <= end ? view.getInt32(at, true) : 0
}
