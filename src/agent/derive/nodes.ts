// What derivation knows of the cluster's nodes: labels, AS number, BGP addresses, reflector cluster. A node says so itself in
// its annotations; what it does not say comes from its status, and for our own node from the host's network.
import { type RouterId, routerId } from '../../bgp/index.ts'
import {
  type Asn,
  asn,
  bitsOf,
  familyOf,
  type HostNetwork,
  type IpAddress,
  type IpFamily,
  isIpv4,
  isLinkLocalIpv6,
  isUsableUnicast,
  parseAsn,
  parseIp,
  parsePrefix,
} from '../../net/index.ts'
import { type Labels, NODE_ANNOTATION, type Node, type Snapshot } from '../../store/index.ts'
import { IGNORED, type Problems } from './problems.ts'
import { nodeSettings } from './settings.ts'

export type NodeFacts = {
  readonly name: string
  readonly labels: Labels
  readonly asn: Asn
  readonly listenPort: number
  /** Set: the node reflects routes for its iBGP peers (RFC 4456). */
  readonly clusterId: RouterId | null
  readonly routerId: RouterId | null
  /** Takes part in the node-to-node mesh. */
  readonly inMesh: boolean
  readonly ipv4: IpAddress | null
  readonly ipv6: IpAddress | null
}

/** All nodes by name. Our own is there even without an object, as far as the host shows it. */
export function nodeFacts(snapshot: Snapshot, ownName: string, network: HostNetwork, problems: Problems): ReadonlyMap<string, NodeFacts> {
  if (!snapshot.Node.has(ownName)) {
    problems.warn(
      `Node/${ownName}`,
      'this node has no Node object, so no selector matches it and its addresses are guessed; add one, or check --node',
    )
  }
  const names = [...new Set([...snapshot.Node.keys(), ownName])].sort()
  return new Map(
    names.map((name) => {
      const isOwn = name === ownName
      return [name, factsOf(snapshot, name, isOwn ? network : null, isOwn ? problems : IGNORED)] // another node's agent reports its own
    }),
  )
}

function factsOf(snapshot: Snapshot, name: string, host: HostNetwork | null, problems: Problems): NodeFacts {
  const node = snapshot.Node.get(name)
  const labels = node?.metadata.labels ?? {}
  const annotations = node?.metadata.annotations ?? {}
  const settings = nodeSettings(snapshot, name, labels, problems)
  const refuse = (annotation: string, message: string): null => {
    problems.error(`Node/${name}`, `annotation ${annotation} ${message}`)
    return null
  }
  const asnText = annotations[NODE_ANNOTATION.asn]
  const ownAsn =
    asnText === undefined ? null : (parseAsn(asnText) ?? refuse(NODE_ANNOTATION.asn, 'is not an AS number; write it like "64512"'))
  const identifier = (annotation: string): RouterId | null => {
    const text = annotations[annotation]
    if (text === undefined) return null
    const address = parseIp(text)
    if (address !== null && isIpv4(address) && address !== 0) return routerId(address)
    return refuse(annotation, 'is not a BGP Identifier; write it like an IPv4 address, 10.0.0.1')
  }
  const address = (family: IpFamily): IpAddress | null => {
    const annotation = family === 4 ? NODE_ANNOTATION.ipv4Address : NODE_ANNOTATION.ipv6Address
    const text = annotations[annotation]
    if (text !== undefined) {
      const written = parseNodeAddress(text, family)
      if (written !== null) return written
      const like = family === 4 ? '10.0.0.11/24' : 'fd00::11/64'
      refuse(annotation, `is not an IPv${family} address with prefix length; write it like ${like}`)
    }
    return internalAddress(node, family) ?? (host === null ? null : detectAddress(host, family))
  }
  const clusterId = identifier(NODE_ANNOTATION.routeReflectorClusterId)
  return {
    name,
    labels,
    asn: ownAsn ?? asn(settings.asNumber),
    listenPort: settings.listenPort,
    clusterId,
    routerId: identifier(NODE_ANNOTATION.routerId),
    inMesh: settings.nodeToNodeMesh.enabled && clusterId === null,
    ipv4: address(4),
    ipv6: address(6),
  }
}

/** `10.0.0.11/24`, or the address alone; null if it is not one a peer could reach. */
function parseNodeAddress(text: string, family: IpFamily): IpAddress | null {
  const [addressText = '', length] = text.split('/')
  const address = parseIp(addressText)
  if (address === null || familyOf(address) !== family || !isUsableUnicast(address) || isLinkLocalIpv6(address)) return null
  return length === undefined || parsePrefix(text) !== null ? address : null
}

function internalAddress(node: Node | undefined, family: IpFamily): IpAddress | null {
  for (const { type, address } of node?.status.addresses ?? []) {
    const parsed = type === 'InternalIP' ? parseIp(address) : null
    if (parsed !== null && familyOf(parsed) === family) return parsed
  }
  return null
}

/** Names of interfaces that hold no node address: container, bridge and tunnel devices of this and other systems. */
const NOT_AN_UPLINK = /^(lo|fib|cali|cni|docker|br-|virbr|veth|flannel|kube-|cilium|lxc|tun|wg|podman|nodelocaldns)/

/** The address a host would speak from: on the interface of its default route if it has one, else the first that is usable. */
export function detectAddress(network: HostNetwork, family: IpFamily): IpAddress | null {
  const names = new Map(network.interfaces.map(({ index, name }) => [index, name]))
  const defaults = network.routes
    .filter(({ prefix }) => prefix.length === 0 && familyOf(prefix.address) === family)
    .sort((a, b) => a.metric - b.metric)
  const candidates = network.localAddresses.filter(
    ({ address, interfaceIndex }) =>
      familyOf(address) === family &&
      isUsableUnicast(address) &&
      !isLinkLocalIpv6(address) &&
      !(isIpv4(address) && address >>> 16 === 0xa9fe) && // 169.254/16, RFC 3927
      !NOT_AN_UPLINK.test(names.get(interfaceIndex) ?? ''),
  )
  const onDefault = candidates.find(({ interfaceIndex }) => defaults.some((route) => route.interfaceIndex === interfaceIndex))
  // A host address (/32 on a loopback-like interface) is a choice of the administrator, but never the only sign of one.
  const routed = candidates.find(({ prefixLength }) => prefixLength < bitsOf(family))
  return (onDefault ?? routed ?? candidates[0])?.address ?? null
}
