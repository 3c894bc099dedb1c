// RTM_*ROUTE for the few routes inside a pod (linux/rtnetlink.h). The node's own routes have a codec in src/routes. Pure.
import { bitsOf, familyOf, type IpAddress, type IpFamily, ipFromBytes } from '../../net/index.ts'
import { eachAttribute, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REPLACE } from '../netlink-message.ts'
import { AF_INET, AF_INET6, MessageWriter, type NetlinkRequest, struct } from './message.ts'

const RTM_NEWROUTE = 24
const RTM_GETROUTE = 26
const RTMSG_LENGTH = 12
const RT_TABLE_UNSPEC = 0
const RT_TABLE_MAIN = 254
const RT_TABLE_MAX_OCTET = 255
const RT_SCOPE_UNIVERSE = 0
const RT_SCOPE_LINK = 253
const RTN_UNICAST = 1
const RTN_LOCAL = 2
const RTPROT_BOOT = 3
const RTM_F_CLONED = 0x200
const RTA = { DST: 1, OIF: 4, GATEWAY: 5, PRIORITY: 6, METRICS: 8, TABLE: 15 } as const
const RTAX_MTU = 2

/** A unicast route with one next hop. */
export type InterfaceRoute = {
  readonly family: IpFamily
  /** null: the default route. */
  readonly destination: { readonly address: IpAddress; readonly length: number } | null
  /** null: the destination is on the link itself. */
  readonly gateway: IpAddress | null
  readonly interfaceIndex: number
  /** RTAX_MTU; null: that of the link. */
  readonly mtu: number | null
  /** Which of several routes with this destination is taken: the lowest. 0: the kernel's default, which for IPv6 is 1024. */
  readonly metric: number
}

/** Adds a route to table main. EEXIST: one with this destination and metric is there. */
export function addRoute(route: InterfaceRoute): NetlinkRequest {
  return addRouteToTable(RT_TABLE_MAIN, route)
}

/** As `addRoute`, in another table. */
export function addRouteToTable(table: number, route: InterfaceRoute): NetlinkRequest {
  return write('add', NLM_F_CREATE | NLM_F_EXCL, route, table)
}

/** Replaces the route with the same destination and metric by this one. ENOENT: there is none. */
export function replaceRoute(route: InterfaceRoute): NetlinkRequest {
  return write('replace', NLM_F_REPLACE, route, RT_TABLE_MAIN)
}

/** Asks for the routes of table main. */
export function listRoutes(family: IpFamily): NetlinkRequest {
  const fixed = struct(RTMSG_LENGTH, (view) => {
    view.setUint8(0, family === 4 ? AF_INET : AF_INET6)
    view.setUint8(4, RT_TABLE_MAIN)
  })
  return new MessageWriter(`list IPv${family} routes`, RTM_GETROUTE, NLM_F_DUMP, fixed).finish()
}

/** Asks by which route packets to `address` would go, out of one interface if told; `isLocalRoute` understands the answer. */
export function lookUpRoute(address: IpAddress, interfaceIndex: number | null = null): NetlinkRequest {
  const family = familyOf(address)
  const fixed = struct(RTMSG_LENGTH, (view) => {
    view.setUint8(0, family === 4 ? AF_INET : AF_INET6)
    view.setUint8(1, bitsOf(family))
  })
  const writer = new MessageWriter('look up a route', RTM_GETROUTE, 0, fixed).address(RTA.DST, address)
  if (interfaceIndex !== null) writer.u32(RTA.OIF, interfaceIndex)
  return writer.finish()
}

/** True if the payload of RTM_NEWROUTE is a route to this host itself (RTN_LOCAL). */
export function isLocalRoute(view: DataView, from: number, to: number): boolean {
  return to - from >= RTMSG_LENGTH && view.getUint8(from + 7) === RTN_LOCAL
}

/** Reads the payload of RTM_NEWROUTE; null if it is malformed or not a unicast route of table main with one next hop. */
export function readRoute(view: DataView, from: number, to: number): InterfaceRoute | null {
  if (to - from < RTMSG_LENGTH) return null
  const code = view.getUint8(from)
  const length = view.getUint8(from + 1)
  if ((code !== AF_INET && code !== AF_INET6) || view.getUint8(from + 7) !== RTN_UNICAST) return null
  if ((view.getUint32(from + 8, true) & RTM_F_CLONED) !== 0) return null
  const family = code === AF_INET ? 4 : 6
  let table = view.getUint8(from + 4)
  let metric = 0
  let interfaceIndex = 0
  let mtu: number | null = null
  let gateway: IpAddress | null = null
  let destination: IpAddress | null = null
  eachAttribute(view, from + RTMSG_LENGTH, to, (type, at, end) => {
    if (type === RTA.METRICS) {
      eachAttribute(view, at, end, (inner, start, stop) => {
        if (inner === RTAX_MTU && stop - start >= 4) mtu = view.getUint32(start, true)
      })
    }
    if (end - at === 4 && type === RTA.TABLE) table = view.getUint32(at, true)
    if (end - at === 4 && type === RTA.PRIORITY) metric = view.getUint32(at, true)
    if (end - at === 4 && type === RTA.OIF) interfaceIndex = view.getUint32(at, true)
    if (end - at !== bitsOf(family) / 8) return
    if (type === RTA.GATEWAY) gateway = addressAt(view, at, family)
    if (type === RTA.DST) destination = addressAt(view, at, family)
  })
  if (table !== RT_TABLE_MAIN || interfaceIndex === 0) return null
  return { family, destination: destination === null ? null : { address: destination, length }, gateway, interfaceIndex, mtu, metric }
}

function addressAt(view: DataView, at: number, family: IpFamily): IpAddress {
  return ipFromBytes(family, new Uint8Array(view.buffer, view.byteOffset + at, bitsOf(family) / 8))
}

function write(verb: string, flags: number, route: InterfaceRoute, table: number): NetlinkRequest {
  const { family, destination, gateway, interfaceIndex, mtu, metric } = route
  const fixed = struct(RTMSG_LENGTH, (view) => {
    view.setUint8(0, family === 4 ? AF_INET : AF_INET6)
    view.setUint8(1, destination?.length ?? 0)
    view.setUint8(4, table <= RT_TABLE_MAX_OCTET ? table : RT_TABLE_UNSPEC)
    view.setUint8(5, RTPROT_BOOT)
    view.setUint8(6, gateway === null && family === 4 ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE)
    view.setUint8(7, RTN_UNICAST)
  })
  const what = destination === null ? 'default route' : gateway === null ? 'route to the gateway' : 'route'
  const writer = new MessageWriter(`${verb} IPv${family} ${what}`, RTM_NEWROUTE, flags, fixed)
  if (destination !== null) writer.address(RTA.DST, destination.address)
  if (gateway !== null) writer.address(RTA.GATEWAY, gateway)
  writer.u32(RTA.OIF, interfaceIndex)
  if (table > RT_TABLE_MAX_OCTET) writer.u32(RTA.TABLE, table)
  if (metric !== 0) writer.u32(RTA.PRIORITY, metric)
  if (mtu !== null) writer.nest(RTA.METRICS, (metrics) => metrics.u32(RTAX_MTU, mtu))
  return writer.finish()
}
