// Making a pod's link. Few writes: the pair; the host end; the pod's end. All of it hangs on the pair, so removing the host end
// undoes whatever was done, and `lo` comes up last because it does not.

import { err, ok, type Result } from '../../lib/result.ts'
import { bitsOf, type IpAddress, isIpv6, type Mac } from '../../net/index.ts'
import { NetlinkError } from '../../sys/netlink-socket.ts'
import {
  ADDR_GEN_MODE,
  addAddress,
  addNeighbour,
  addRoute,
  changeLink,
  createVeth,
  deleteLink,
  type LinkView,
  type Rtnetlink,
  setProxyArpDelay,
} from '../../sys/rtnetlink/index.ts'
import type { PodLink, WiringFault } from '../ports.ts'
import { GATEWAY_IPV6, HOST_MAC, isHostInterface, linkLocalOf } from './gateway.ts'
import { findLink, waitUntilReady } from './links.ts'
import { messageOf, type PodNamespace } from './pod-namespace.ts'
import { familiesOf, gatewayOf, podRoutes } from './pod-side.ts'
import type { WiredLink } from './port.ts'
import { addBehind, removeRules } from './second-interface.ts'
import { hostChange, hostSysctls, podSysctls, sourceCheckWarnings, writeSysctls } from './settings.ts'

const LOOPBACK_INDEX = 1
/** RFC 791 §3.1 and RFC 8200 §5: below, the kernel takes the family off the link. */
const MIN_MTU = { 4: 68, 6: 1280 } as const
const MAX_MTU = 65_535

/** Makes the link between the namespace of `host` and the pod's. */
export function attachLink(host: Rtnetlink, pod: PodNamespace, link: PodLink): Result<WiredLink, WiringFault> {
  const refusal = reasonAgainst(link)
  if (refusal !== null) return err({ kind: 'failed', message: refusal })
  try {
    const taken = createPair(host, pod, link)
    if (taken !== null) return err(taken)
  } catch (cause) {
    return err({ kind: 'failed', message: messageOf(cause) })
  }
  try {
    return ok(configure(host, pod, link))
  } catch (cause) {
    return err({ kind: 'failed', message: `${messageOf(cause)}${undo(host, pod, link)}` })
  }
}

/** Brings the settings of a host end to what they should be; the link may be up. Returns warnings, throws what is vital. */
export function configureHostEnd(host: Rtnetlink, end: LinkView, hasIpv6: boolean): readonly string[] {
  // An address of the kernel's own making would wait for duplicate address detection. Ours does not, so it has to come first:
  // before the link is up or, where IPv6 was off on a link that is up, before the kernel may make one.
  if (end.isUp && hasIpv6 && end.ipv6?.disableIpv6 !== 0) host.request(changeLink(end.index, { addrGenMode: ADDR_GEN_MODE.none }))
  const warnings = writeSysctls(hostSysctls(end, hasIpv6))
  const address = hasIpv6 ? [addAddress({ interfaceIndex: end.index, address: GATEWAY_IPV6, prefixLength: 64 })] : []
  const requests = [
    ...(end.mac === HOST_MAC ? [] : [changeLink(end.index, { mac: HOST_MAC })]),
    ...address,
    changeLink(end.index, hostChange(hasIpv6)),
    setProxyArpDelay(end.index, 0),
    changeLink(end.index, { isUp: true }),
  ]
  for (const [at, refusal] of host.batch(requests).entries()) {
    const isThere = refusal?.code === 'EEXIST' && requests[at] === address[0]
    if (refusal !== null && !isThere) throw refusal
  }
  return [...warnings, ...sourceCheckWarnings()]
}

/** What is wrong with what was asked for, or null. */
function reasonAgainst({ hostInterface, addresses, mtu }: PodLink): string | null {
  if (!isHostInterface(hostInterface)) return `${JSON.stringify(hostInterface)} is not a name for a host end`
  const families = familiesOf(addresses)
  if (families.length === 0) return 'a pod needs an address'
  const tooSmall = families.find((family) => mtu < MIN_MTU[family])
  if (tooSmall !== undefined) return `an MTU of ${mtu} is too small for IPv${tooSmall}: at least ${MIN_MTU[tooSmall]}`
  return Number.isInteger(mtu) && mtu <= MAX_MTU ? null : `${mtu} is not an MTU`
}

/** Makes the veth pair; a host end left over from before is removed. Returns the fault if the pod's name is taken. */
function createPair(host: Rtnetlink, pod: PodNamespace, link: PodLink): WiringFault | null {
  const { hostInterface: name, ifName, mtu, mac } = link
  const request = createVeth({ name, mac: HOST_MAC, mtu, peer: { name: ifName, mac, namespaceFd: pod.fd } })
  const [refusal] = host.batch([request])
  if (refusal === undefined || refusal === null) return null
  if (refusal.code !== 'EEXIST') throw refusal
  if (findLink(pod.netlink, ifName) !== null) {
    return { kind: 'interfaceExists', message: `there is an interface ${JSON.stringify(ifName)} in ${JSON.stringify(link.netns)}` }
  }
  const leftover = findLink(host, name)
  if (leftover !== null && leftover.kind !== 'veth') throw new Error(`${name} is there and not ours: it is no veth`)
  if (leftover !== null) host.request(deleteLink(leftover.index))
  host.request(request)
  return null
}

function configure(host: Rtnetlink, pod: PodNamespace, link: PodLink): WiredLink {
  const hasIpv6 = link.addresses.some(isIpv6)
  const hostEnd = present(findLink(host, link.hostInterface), link.hostInterface)
  const podEnd = present(findLink(pod.netlink, link.ifName), link.ifName)
  if (hasIpv6 && (hostEnd.ipv6 === null || podEnd.ipv6 === null)) throw new Error('the kernel has no IPv6, which the pod has an address of')
  const warnings = [...configureHostEnd(host, hostEnd, hasIpv6), ...configurePodEnd(pod, podEnd, link.addresses)]
  const isReady = waitUntilReady([
    { netlink: host, index: hostEnd.index, addresses: hasIpv6 ? [GATEWAY_IPV6] : [] },
    { netlink: pod.netlink, index: podEnd.index, addresses: link.addresses.filter(isIpv6) },
  ])
  if (!isReady) throw new Error(`${link.hostInterface} does not come up`)
  pod.netlink.request(changeLink(LOOPBACK_INDEX, { isUp: true }))
  return { mac: macOf(podEnd), hostMac: HOST_MAC, hostIndex: hostEnd.index, warnings }
}

function configurePodEnd(pod: PodNamespace, end: LinkView, addresses: readonly IpAddress[]): readonly string[] {
  const hasIpv6 = addresses.some(isIpv6)
  const sysctls = podSysctls(end, hasIpv6)
  const warnings = sysctls.length === 0 ? [] : pod.run(() => writeSysctls(sysctls))
  const own = addresses.map((address) => ({ interfaceIndex: end.index, address, prefixLength: bitsOf(isIpv6(address) ? 6 : 4) }))
  const linkLocal = hasIpv6 ? [{ interfaceIndex: end.index, address: linkLocalOf(macOf(end)), prefixLength: 64 }] : []
  const routes = podRoutes(addresses, { interfaceIndex: end.index, metric: 0, mtu: null })
  const before = [
    changeLink(end.index, { addrGenMode: hasIpv6 ? ADDR_GEN_MODE.eui64 : ADDR_GEN_MODE.none }),
    ...[...linkLocal, ...own].map(addAddress),
    changeLink(end.index, { isUp: true }),
  ]
  // Saves the first packet a round of ARP or neighbour discovery, and works where the node has no route to answer ARP by.
  const neighbours = familiesOf(addresses).map((family) => addNeighbour(end.index, gatewayOf(family), HOST_MAC))
  const refusals = pod.netlink.batch([...before, ...routes.map(addRoute), ...neighbours])
  const isTaken = (at: number): boolean => at >= 0 && at < routes.length && TAKEN.has(refusals[before.length + at]?.code ?? '')
  const failed = refusals.find((refusal, at) => refusal !== null && !isTaken(at - before.length))
  if (failed !== undefined && failed !== null) throw failed
  // A second interface of a pod finds the routes of the first there: its own come behind them.
  const taken = routes.filter((_, at) => isTaken(at))
  if (taken.length > 0) addBehind(pod.netlink, end.index, addresses, { routes, taken })
  return warnings
}

/** ENETUNREACH: the default route could not be, because the route to the gateway was taken. */
const TAKEN = new Set(['EEXIST', 'ENETUNREACH'])

function present(link: LinkView | null, name: string): LinkView {
  if (link === null) throw new Error(`${name} is gone just after it was made`)
  return link
}

function macOf({ name, mac }: LinkView): Mac {
  if (mac === null) throw new Error(`${name} has no MAC`)
  return mac
}

/** Removes the pair, and what does not go with it; returns words to add to an error if that fails too. */
function undo(host: Rtnetlink, pod: PodNamespace, { hostInterface, addresses }: PodLink): string {
  try {
    removeRules(pod.netlink, addresses)
    host.request(deleteLink(hostInterface))
    return ''
  } catch (cause) {
    return cause instanceof NetlinkError && cause.code === 'ENODEV' ? '' : `; and ${messageOf(cause)}`
  }
}
