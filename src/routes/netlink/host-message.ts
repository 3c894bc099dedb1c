// Links and addresses of the host. Addresses are decoded by the npm package `netlink` (decision 4). Its `dist/rt/structs.js` is the codec
// alone: importing the package's index would load its native socket, which we must never run. Of links four facts are wanted, and the
// kernel tells them five times for every pod: they are read in place, as routes are (route-message.ts). Pure.
import { parseAddressMessage } from 'netlink/dist/rt/structs.js'
import { ipFromBytes } from '../../net/index.ts'
import { eachAttribute, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_HEADER_LENGTH, putHeader, readText } from '../../sys/netlink-message.ts'
import type { HostAddress, HostLink } from '../backend.ts'

export const RTM_NEWLINK = 16
export const RTM_DELLINK = 17
const RTM_GETLINK = 18
export const RTM_NEWADDR = 20
export const RTM_DELADDR = 21
const RTM_GETADDR = 22

const AF_UNSPEC = 0
const AF_INET = 2
const AF_INET6 = 10
const IFINFOMSG_LENGTH = 16
const IFADDRMSG_LENGTH = 8
/** net_device_flags (linux/if.h). */
const IFF_UP = 0x1
const IFF_RUNNING = 0x40
const IFLA_IFNAME = 3
const IFLA_MTU = 4
const IFLA_EXT_MASK = 29
const RTEXT_FILTER_SKIP_STATS = 8

/** A link, or null for what is not one: bridge ports and the like tell of themselves in the same messages under another family. */
export function readLink(view: DataView, from: number, to: number): HostLink | null {
  if (to - from < IFINFOMSG_LENGTH || view.getUint8(from) !== AF_UNSPEC) return null
  const index = view.getInt32(from + 4, true)
  const flags = view.getUint32(from + 8, true)
  let name = ''
  let mtu = 0
  eachAttribute(view, from + IFINFOMSG_LENGTH, to, (type, start, end) => {
    if (type === IFLA_IFNAME) name = readText(view, start, end)
    else if (type === IFLA_MTU && end - start >= 4) mtu = view.getUint32(start, true)
  })
  const isUp = (flags & IFF_UP) !== 0
  return name === '' ? null : { index, name, isUp, isRunning: isUp && (flags & IFF_RUNNING) !== 0, mtu }
}

/** An address, or null if it is not IPv4 or IPv6. */
export function readAddress(view: DataView, from: number, to: number): HostAddress | null {
  if (to - from < IFADDRMSG_LENGTH) return null
  const familyCode = view.getUint8(from)
  if (familyCode !== AF_INET && familyCode !== AF_INET6) return null
  try {
    const { data, attrs } = parseAddressMessage(octets(view, from, to))
    const bytes = attrs.local ?? attrs.address // of a point-to-point link, `address` is the far end's
    if (bytes === undefined || data.index === undefined || data.prefixlen === undefined) return null
    const flags = attrs.flags ?? data.flags ?? {}
    const isUsable = flags.dadfailed !== true && (flags.tentative !== true || flags.optimistic === true)
    const address = ipFromBytes(familyCode === AF_INET ? 4 : 6, bytes)
    return { address, prefixLength: data.prefixlen, interfaceIndex: data.index, isUsable }
  } catch {
    return null
  }
}

export function linkDumpRequest(sequence: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(NLMSG_HEADER_LENGTH + IFINFOMSG_LENGTH + 8))
  putHeader(view, 0, view.byteLength, RTM_GETLINK, NLM_F_REQUEST | NLM_F_DUMP, sequence)
  view.setUint16(NLMSG_HEADER_LENGTH + IFINFOMSG_LENGTH, 8, true)
  view.setUint16(NLMSG_HEADER_LENGTH + IFINFOMSG_LENGTH + 2, IFLA_EXT_MASK, true)
  view.setUint32(NLMSG_HEADER_LENGTH + IFINFOMSG_LENGTH + 4, RTEXT_FILTER_SKIP_STATS, true)
  return new Uint8Array(view.buffer)
}

export function addressDumpRequest(sequence: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(NLMSG_HEADER_LENGTH + IFADDRMSG_LENGTH))
  putHeader(view, 0, view.byteLength, RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, sequence)
  return new Uint8Array(view.buffer)
}

/** The package keeps slices of what it is given, so it gets a copy. */
function octets(view: DataView, from: number, to: number): Buffer {
  return Buffer.from(new Uint8Array(view.buffer, view.byteOffset + from, to - from))
}
