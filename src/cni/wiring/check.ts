// Comparing a link with what `attach` made of it (CNI specification 1.1.0, CHECK). Whatever others added is none of our business:
// plugins that come after ours may change MAC and MTU of the pod's end, and add addresses and routes.
import { formatIp, type IpAddress, isIpv6 } from '../../net/index.ts'
import type { InterfaceRoute, LinkView, Rtnetlink } from '../../sys/rtnetlink/index.ts'
import type { PodLink } from '../ports.ts'
import { GATEWAY_IPV6, HOST_MAC } from './gateway.ts'
import { addressesOf, findLink, routesThrough } from './links.ts'
import type { PodNamespace } from './pod-namespace.ts'
import { isSameWay, podRoutes } from './pod-side.ts'

/** What is amiss on both sides of a link, in words. */
export function checkLink(host: Rtnetlink, pod: PodNamespace, link: PodLink): readonly string[] {
  const podEnd = findLink(pod.netlink, link.ifName)
  return [...faultsInside(pod.netlink, podEnd, link), ...hostFaults(host, link, podEnd)]
}

/** What is amiss on the host's side; `podEnd` null: not known. */
export function hostFaults(host: Rtnetlink, { hostInterface: name, addresses }: PodLink, podEnd: LinkView | null): readonly string[] {
  const end = findLink(host, name)
  if (end === null) return [`host interface ${name} is missing`]
  if (end.kind !== 'veth') return [`host interface ${name} is no veth`]
  if (podEnd !== null && end.peerIndex !== podEnd.index) return [`host interface ${name} leads to another interface than ${podEnd.name}`]
  const faults = stateFaults(`host interface ${name}`, end)
  if (end.mac !== HOST_MAC) faults.push(`host interface ${name} has MAC ${end.mac ?? 'none'}, not ${HOST_MAC}`)
  const expect = (setting: string, value: number | undefined, wanted: number): void => {
    if (value !== undefined && value !== wanted) faults.push(`${setting} of ${name} is ${value}, not ${wanted}`)
  }
  expect('IPv4 forwarding', end.ipv4?.forwarding, 1)
  expect('proxy_arp', end.ipv4?.proxyArp, 1)
  expect('rp_filter', end.ipv4?.rpFilter, 1)
  if (!addresses.some(isIpv6)) return faults
  expect('disable_ipv6', end.ipv6?.disableIpv6, 0)
  return [...faults, ...addressFaults(host, end, [GATEWAY_IPV6])]
}

function faultsInside(netlink: Rtnetlink, end: LinkView | null, { ifName, addresses }: PodLink): readonly string[] {
  if (end === null) return [`interface ${ifName} is missing in the pod`]
  const present = routesThrough(netlink, end.index)
  const wanted = podRoutes(addresses, { interfaceIndex: end.index, metric: 0, mtu: null })
  return [
    ...stateFaults(`interface ${ifName} of the pod`, end),
    ...addressFaults(netlink, end, addresses),
    ...wanted.filter((route) => !present.some((other) => isSameWay(route, other))).map((route) => `${ifName} lacks ${describe(route)}`),
  ]
}

function stateFaults(what: string, { isUp, isOperational }: LinkView): string[] {
  if (!isUp) return [`${what} is down`]
  return isOperational ? [] : [`${what} has no carrier`]
}

function addressFaults(netlink: Rtnetlink, { name, index }: LinkView, wanted: readonly IpAddress[]): readonly string[] {
  const present = addressesOf(netlink, index)
  return wanted.flatMap((address) => {
    const found = present.find((other) => other.address === address)
    if (found === undefined) return [`${name} lacks the address ${formatIp(address)}`]
    return found.isUsable ? [] : [`the address ${formatIp(address)} of ${name} is not usable: duplicate address detection`]
  })
}

function describe({ family, destination, gateway }: InterfaceRoute): string {
  if (destination === null) return `the IPv${family} default route via ${gateway === null ? 'the link' : formatIp(gateway)}`
  return `the route to ${formatIp(destination.address)}`
}
