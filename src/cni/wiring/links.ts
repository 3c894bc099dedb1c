// Looking at links by netlink, and waiting until a new one carries packets.
import { IP_FAMILIES, type IpAddress } from '../../net/index.ts'
import { NetlinkError } from '../../sys/netlink-socket.ts'
import {
  type AddressView,
  getLink,
  type InterfaceRoute,
  isLocalRoute,
  type LinkView,
  listAddresses,
  listRoutes,
  lookUpRoute,
  type Rtnetlink,
  readAddress,
  readIsOperational,
  readLink,
  readRoute,
} from '../../sys/rtnetlink/index.ts'

/** One link, or null if there is none. */
export function findLink(netlink: Rtnetlink, link: number | string): LinkView | null {
  return lookAtLink(netlink, link, readLink)
}

/** What `read` makes of one link, or null if there is none. */
function lookAtLink<T>(netlink: Rtnetlink, link: number | string, read: (view: DataView, from: number, to: number) => T | null): T | null {
  let found: T | null = null
  try {
    netlink.ask(getLink(link), (view, _type, _flags, from, to) => {
      found = read(view, from, to) ?? found
    })
  } catch (cause) {
    if (cause instanceof NetlinkError && cause.code === 'ENODEV') return null
    throw cause
  }
  return found
}

/** Addresses of one interface. */
export function addressesOf(netlink: Rtnetlink, interfaceIndex: number): readonly AddressView[] {
  return netlink.list(listAddresses(interfaceIndex), readAddress).filter((address) => address.interfaceIndex === interfaceIndex)
}

/** Unicast routes of table main through one interface, of both families. */
export function routesThrough(netlink: Rtnetlink, interfaceIndex: number): readonly InterfaceRoute[] {
  const all = IP_FAMILIES.flatMap((family) => netlink.list(listRoutes(family), readRoute))
  return all.filter((route) => route.interfaceIndex === interfaceIndex)
}

/** One thing to wait for: the link is operational, and the kernel takes packets to the addresses as its own. */
export type Expected = {
  readonly netlink: Rtnetlink
  readonly index: number
  readonly addresses: readonly IpAddress[]
}

const FIRST_PAUSE_MS = 0.05
const LONGEST_PAUSE_MS = 5
const PATIENCE_MS = 5_000

/**
 * Waits for what the kernel does after it has answered: a link starts to send when its watcher has run (net/core/link_watch.c; newer
 * kernels run it as soon as somebody looks), and an IPv6 address receives when its work has put in a local route (addrconf_dad_work).
 * Mostly both are done at the first look. False: it takes longer than anyone should wait.
 */
export function waitUntilReady(ends: readonly Expected[]): boolean {
  const nap = new Int32Array(new SharedArrayBuffer(4))
  let pauseMs = FIRST_PAUSE_MS
  for (let waitedMs = 0; waitedMs < PATIENCE_MS; waitedMs += pauseMs) {
    if (ends.every(isReady)) return true
    Atomics.wait(nap, 0, 0, pauseMs)
    pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * pauseMs)
  }
  return false
}

function isReady({ netlink, index, addresses }: Expected): boolean {
  return lookAtLink(netlink, index, readIsOperational) === true && addresses.every((address) => receives(netlink, index, address))
}

function receives(netlink: Rtnetlink, index: number, address: IpAddress): boolean {
  let isOwn = false
  try {
    netlink.ask(lookUpRoute(address, index), (view, _type, _flags, from, to) => {
      isOwn ||= isLocalRoute(view, from, to)
    })
  } catch (cause) {
    if (!(cause instanceof NetlinkError)) throw cause // ENETUNREACH: not yet
  }
  return isOwn
}
