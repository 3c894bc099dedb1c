// What derivation knows of the cluster's nodes: labels, AS number, BGP addresses, reflector cluster. A node says so itself in
// its annotations; what it does not say comes from its status, and for our own node from the host's network.
import { type RouterId, routerId } from '../../bgp/index.ts'
import { type Asn, asn, type HostNetwork, type IpAddress, isIpv4, parseAsn, parseIp } from '../../net/index.ts'
import { type BGPConfiguration, type Labels, NODE_ANNOTATION, type Node, type Snapshot } from '../../store/index.ts'
import { addressOf, type Detections, type NodeAddress, ownAddress } from './addresses.ts'
import { IGNORED, type Problems } from './problems.ts'
import { nodeSettings } from './settings.ts'

export type NodeFacts = {
  readonly name: string
  readonly labels: Labels
  readonly asn: Asn
  readonly listenPort: number
  /** Set: the node reflects routes for its iBGP peers (RFC 4456). */
  readonly clusterId: RouterId | null
  /** BGP Identifier in use (RFC 6286): what the node says, its IPv4 address, or a hash of its name. */
  readonly identifier: RouterId
  /** Takes part in the node-to-node mesh. */
  readonly inMesh: boolean
  readonly ipv4: IpAddress | null
  readonly ipv6: IpAddress | null
  /** Every address it is known by: those, and those of its status. */
  readonly known: readonly IpAddress[]
}

export type KnownNodes = {
  /** All nodes by name. Our own is there even without an object, as far as the host shows it. */
  readonly nodes: ReadonlyMap<string, NodeFacts>
  readonly own: NodeFacts
  /** Where our own addresses come from and where they are. */
  readonly addresses: { readonly ipv4: NodeAddress | null; readonly ipv6: NodeAddress | null }
}

export type HostFacts = { readonly network: HostNetwork; readonly detections: Detections }

export function knownNodes(snapshot: Snapshot, ownName: string, host: HostFacts, problems: Problems): KnownNodes {
  if (!snapshot.Node.has(ownName)) {
    problems.warn(
      `Node/${ownName}`,
      'this node has no Node object, so no selector matches it and its addresses are guessed; add one, or check --node',
    )
  }
  const nodes = new Map<string, NodeFacts>()
  const configurations = [...snapshot.BGPConfiguration.values()]
  for (const [name, node] of snapshot.Node) if (name !== ownName) nodes.set(name, factsOfOther(snapshot, name, node, configurations))
  const addresses = ownAddresses(snapshot, ownName, host, problems)
  const found = { ipv4: addresses.ipv4?.address ?? null, ipv6: addresses.ipv6?.address ?? null }
  const own = factsOf(snapshot, ownName, found, problems)
  nodes.set(ownName, own)
  return { nodes: new Map([...nodes].sort(([a], [b]) => (a < b ? -1 : 1))), own, addresses }
}

/** What follows from a Node object, for as long as it and the configurations are the same: a turn of 5,000 nodes looks at those that changed. */
const remembered = new WeakMap<Node, { readonly configurations: readonly BGPConfiguration[]; readonly facts: NodeFacts }>()

function factsOfOther(snapshot: Snapshot, name: string, node: Node, configurations: readonly BGPConfiguration[]): NodeFacts {
  const known = remembered.get(node)
  const isSame =
    known?.configurations.length === configurations.length && known.configurations.every((each, at) => each === configurations[at])
  if (known !== undefined && isSame) return known.facts
  const silent = () => null // another node's agent reports its own
  const found = { ipv4: addressOf(node, 4, silent), ipv6: addressOf(node, 6, silent) }
  const facts = factsOf(snapshot, name, found, IGNORED)
  remembered.set(node, { configurations, facts })
  return facts
}

function ownAddresses(snapshot: Snapshot, name: string, { network, detections }: HostFacts, problems: Problems): KnownNodes['addresses'] {
  const node = snapshot.Node.get(name)
  const refuse = (annotation: string, message: string): null => {
    problems.error(`Node/${name}`, `annotation ${annotation} ${message}`)
    return null
  }
  const addresses = {
    ipv4: ownAddress(node, 4, network, detections.ipv4, refuse),
    ipv6: ownAddress(node, 6, network, detections.ipv6, refuse),
  }
  for (const family of ['ipv4', 'ipv6'] as const) {
    if (detections[family] === null || addresses[family] !== null) continue
    problems.error(`Node/${name}`, `--${family}-detection finds no address on this host; look at its interfaces, or at the option`)
  }
  return addresses
}

function factsOf(snapshot: Snapshot, name: string, addresses: Pick<NodeFacts, 'ipv4' | 'ipv6'>, problems: Problems): NodeFacts {
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
  const ofStatus = (node?.status.addresses ?? []).map(({ type, address }) => (type.endsWith('IP') ? parseIp(address) : null))
  const clusterId = identifier(NODE_ANNOTATION.routeReflectorClusterId)
  const ownIdentifier = identifier(NODE_ANNOTATION.routerId)
  return {
    name,
    labels,
    asn: ownAsn ?? asn(settings.asNumber),
    listenPort: settings.listenPort,
    clusterId,
    identifier: ownIdentifier ?? (settings.routerIDMode === 'Auto' ? fromAddress(addresses.ipv4) : null) ?? hashedIdentifier(name),
    inMesh: settings.nodeToNodeMesh.enabled && clusterId === null,
    ...addresses,
    known: [addresses.ipv4, addresses.ipv6, ...ofStatus].filter((address) => address !== null),
  }
}

function fromAddress(address: IpAddress | null): RouterId | null {
  return address !== null && isIpv4(address) ? routerId(address) : null
}

/** FNV-1a of the name in 32 bits; zero, which is no identifier, becomes one. */
function hashedIdentifier(name: string): RouterId {
  let hash = 0x811c_9dc5
  for (const octet of new TextEncoder().encode(name)) hash = Math.imul(hash ^ octet, 0x0100_0193) >>> 0
  return routerId(hash === 0 ? 1 : hash)
}
