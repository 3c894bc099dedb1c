// Another MTU for a pod that runs. A veth drops what is larger than the MTU of the end that receives it, so the sender's routes are
// limited before a link is made smaller, and a link is made larger before anyone sends more. In the end the link alone says it:
// a limit that stayed in the routes would hide what others set on the link later.
import {
  changeLink,
  type InterfaceRoute,
  type LinkView,
  type NetlinkRequest,
  type Rtnetlink,
  replaceRoute,
} from '../../sys/rtnetlink/index.ts'
import type { PodLink } from '../ports.ts'
import { findLink, routesThrough } from './links.ts'
import { messageOf, type PodNamespace } from './pod-namespace.ts'
import { isSameWay, podRoutes } from './pod-side.ts'

/** Gives both ends another MTU. Returns in words what could not be done. */
export function setLinkMtu(host: Rtnetlink, pod: PodNamespace, link: PodLink, mtu: number): readonly string[] {
  const hostEnd = findLink(host, link.hostInterface)
  const podEnd = findLink(pod.netlink, link.ifName)
  if (hostEnd === null || podEnd === null) return [`${link.hostInterface} or ${link.ifName} is missing`]
  // Somebody else's MTU, say of the plugin `tuning`, is respected as long as it fits.
  const inside = podEnd.mtu === link.mtu ? mtu : Math.min(podEnd.mtu, mtu)
  const problems: string[] = []
  const send = (netlink: Rtnetlink, requests: readonly NetlinkRequest[]): void => {
    for (const refusal of netlink.batch(requests)) if (refusal !== null) problems.push(messageOf(refusal))
  }
  const resize = (netlink: Rtnetlink, end: LinkView, to: number): void => {
    if (end.mtu !== to) send(netlink, [changeLink(end.index, { mtu: to })])
  }
  const routes = ourRoutes(pod.netlink, podEnd, link)
  const isLowered = inside < podEnd.mtu
  if (isLowered)
    send(
      pod.netlink,
      routes.map((route) => replaceRoute({ ...route, mtu: inside })),
    )
  if (isLowered) resize(host, hostEnd, mtu)
  resize(pod.netlink, podEnd, inside)
  if (!isLowered) resize(host, hostEnd, mtu)
  if (isLowered)
    send(
      pod.netlink,
      routes.map((route) => replaceRoute({ ...route, mtu: null })),
    )
  return problems
}

/** Default routes of the pod that are as `attach` made them. */
function ourRoutes(netlink: Rtnetlink, end: LinkView, { addresses }: PodLink): readonly InterfaceRoute[] {
  const wanted = podRoutes(addresses, { interfaceIndex: end.index, metric: 0, mtu: null })
  return routesThrough(netlink, end.index).filter(
    (route) => route.destination === null && route.mtu === null && wanted.some((other) => isSameWay(route, other)),
  )
}
