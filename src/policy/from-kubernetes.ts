// From objects of Kubernetes, as the store has parsed them, to the values of `model.ts`: every default of the API that policy knows is
// applied here and nowhere else. The types name only what is read, so this module needs nothing of the store.
import type { LabelSelector, Labels } from '../lib/label-selector.ts'
import { type IpAddress, parseIp, parsePrefix } from '../net/index.ts'
import type {
  ClusterPolicy,
  ClusterPolicyRule,
  NamedPort,
  NamespaceScope,
  NetworkPolicy,
  NetworkPolicyRule,
  Peer,
  PodSelection,
  PolicyNamespace,
  PolicyNode,
  PolicyPod,
  PortMatch,
  PortProtocol,
} from './model.ts'

type Metadata = {
  readonly name: string
  readonly namespace?: string
  readonly uid?: string
  readonly labels: Labels
  readonly creationTimestamp?: string
  readonly deletionTimestamp?: string
}
type ContainerLike = {
  readonly ports: readonly { readonly name?: string; readonly containerPort: number; readonly protocol: string }[]
}
export type PodLike = {
  readonly metadata: Metadata
  readonly spec: {
    readonly nodeName?: string
    readonly hostNetwork: boolean
    readonly containers: readonly ContainerLike[]
    readonly initContainers: readonly (ContainerLike & { readonly restartPolicy?: string })[]
  }
  readonly status: { readonly phase: string; readonly podIP?: string; readonly podIPs: readonly { readonly ip: string }[] }
}
export type NamespaceLike = { readonly metadata: Metadata }
export type NodeLike = {
  readonly metadata: Metadata
  readonly status: { readonly addresses: readonly { readonly type: string; readonly address: string }[] }
}

type PortLike = { readonly protocol: PortProtocol; readonly port?: number | string; readonly endPort?: number }
type PeerLike = {
  readonly podSelector?: LabelSelector
  readonly namespaceSelector?: LabelSelector
  readonly ipBlock?: { readonly cidr: string; readonly except: readonly string[] }
}
export type NetworkPolicyLike = {
  readonly metadata: Metadata
  readonly spec: {
    readonly podSelector: LabelSelector
    readonly policyTypes?: readonly ('Ingress' | 'Egress')[]
    readonly ingress?: readonly { readonly from: readonly PeerLike[]; readonly ports: readonly PortLike[] }[]
    readonly egress?: readonly { readonly to: readonly PeerLike[]; readonly ports: readonly PortLike[] }[]
  }
}

type PodsLike = { readonly namespaceSelector: LabelSelector; readonly podSelector: LabelSelector }
type ClusterPeerLike = {
  readonly namespaces?: LabelSelector
  readonly pods?: PodsLike
  readonly nodes?: LabelSelector
  readonly networks?: readonly string[]
}
type ClusterPortLike = {
  readonly destinationPort?: { readonly number?: number; readonly range?: { readonly start: number; readonly end: number } }
}
type ClusterProtocolLike = {
  readonly tcp?: ClusterPortLike
  readonly udp?: ClusterPortLike
  readonly sctp?: ClusterPortLike
  readonly destinationNamedPort?: string
}
type ClusterRuleLike = {
  readonly name: string
  readonly action: 'Accept' | 'Deny' | 'Pass'
  readonly protocols?: readonly ClusterProtocolLike[]
}
export type ClusterPolicyLike = {
  readonly metadata: Metadata
  readonly spec: {
    readonly tier: 'Admin' | 'Baseline'
    readonly priority: number
    readonly subject: { readonly namespaces?: LabelSelector; readonly pods?: PodsLike }
    readonly ingress: readonly (ClusterRuleLike & { readonly from: readonly ClusterPeerLike[] })[]
    readonly egress: readonly (ClusterRuleLike & { readonly to: readonly ClusterPeerLike[] })[]
  }
}

const EVERYTHING: LabelSelector = {}

export function podFromKubernetes({ metadata, spec, status }: PodLike): PolicyPod {
  const texts = [...status.podIPs.map(({ ip }) => ip), ...(status.podIP === undefined ? [] : [status.podIP])]
  // A plain init container is gone when the pod serves; a restartable one is a sidecar that stays.
  const containers = [...spec.containers, ...spec.initContainers.filter(({ restartPolicy }) => restartPolicy === 'Always')]
  return {
    namespace: metadata.namespace ?? 'default',
    name: metadata.name,
    uid: metadata.uid ?? null,
    labels: metadata.labels,
    node: spec.nodeName ?? null,
    isHostNetwork: spec.hostNetwork,
    isFinished: status.phase === 'Succeeded' || status.phase === 'Failed',
    isTerminating: metadata.deletionTimestamp !== undefined,
    createdAt: metadata.creationTimestamp ?? '',
    addresses: parseAddresses(texts),
    ports: containers.flatMap(({ ports }) => ports.flatMap(namedPort)),
  }
}

function namedPort({ name, containerPort, protocol }: ContainerLike['ports'][number]): readonly NamedPort[] {
  if (name === undefined || (protocol !== 'TCP' && protocol !== 'UDP' && protocol !== 'SCTP')) return []
  return [{ name, protocol, port: containerPort }]
}

export function namespaceFromKubernetes({ metadata }: NamespaceLike): PolicyNamespace {
  return { name: metadata.name, labels: metadata.labels }
}

/** `others` are addresses by which it is known beside those of its status, such as of its tunnel device or from annotations. */
export function nodeFromKubernetes({ metadata, status }: NodeLike, others: readonly IpAddress[] = []): PolicyNode {
  const ofStatus = parseAddresses(status.addresses.map(({ address }) => address))
  return { name: metadata.name, labels: metadata.labels, addresses: [...new Set([...ofStatus, ...others])] }
}

export function networkPolicyFromKubernetes({ metadata, spec }: NetworkPolicyLike): NetworkPolicy {
  const namespace = metadata.namespace ?? 'default'
  const { policyTypes = [], ingress = [], egress = [] } = spec
  // The API server fills in the types: Ingress always, Egress where there is an egress rule.
  const types = policyTypes.length > 0 ? policyTypes : ['Ingress', ...(egress.length > 0 ? ['Egress'] : [])]
  return {
    namespace,
    name: metadata.name,
    pods: spec.podSelector,
    isolates: { ingress: types.includes('Ingress'), egress: types.includes('Egress') },
    rules: {
      ingress: ingress.map(({ from, ports }) => networkRule(namespace, from, ports)),
      egress: egress.map(({ to, ports }) => networkRule(namespace, to, ports)),
    },
  }
}

function networkRule(namespace: string, peers: readonly PeerLike[], ports: readonly PortLike[]): NetworkPolicyRule {
  return {
    peers: peers.length === 0 ? null : peers.map((peer) => networkPeer(namespace, peer)),
    ports: ports.length === 0 ? null : ports.map(networkPort),
  }
}

function networkPeer(namespace: string, { podSelector, namespaceSelector, ipBlock }: PeerLike): Peer {
  if (ipBlock !== undefined) {
    const block = parsePrefix(ipBlock.cidr)
    const except = ipBlock.except.map(parsePrefix)
    const isUnderstood = block !== null && !except.includes(null) && podSelector === undefined && namespaceSelector === undefined
    return isUnderstood ? { kind: 'block', cidr: block, except: except.filter((each) => each !== null) } : { kind: 'unknown' }
  }
  if (podSelector === undefined && namespaceSelector === undefined) return { kind: 'unknown' }
  const namespaces: NamespaceScope =
    namespaceSelector === undefined ? { kind: 'name', name: namespace } : { kind: 'selector', selector: namespaceSelector }
  return { kind: 'pods', namespaces, pods: podSelector ?? EVERYTHING }
}

function networkPort({ protocol, port, endPort }: PortLike): PortMatch {
  if (port === undefined) return endPort === undefined ? { kind: 'protocol', protocol } : { kind: 'unknown' }
  if (typeof port === 'string') return endPort === undefined ? { kind: 'named', protocol, name: port } : { kind: 'unknown' }
  return range(protocol, port, endPort ?? port)
}

function range(protocol: PortProtocol, first: number, last: number): PortMatch {
  return first <= last ? { kind: 'range', protocol, first, last } : { kind: 'unknown' }
}

export function clusterPolicyFromKubernetes({ metadata, spec }: ClusterPolicyLike): ClusterPolicy {
  const { tier, priority, subject } = spec
  return {
    name: metadata.name,
    tier,
    priority,
    subject: podSelection(subject),
    rules: {
      ingress: spec.ingress.map(({ from, ...rule }) => clusterRule(rule, from)),
      egress: spec.egress.map(({ to, ...rule }) => clusterRule(rule, to)),
    },
  }
}

/** Null: none of the fields that this version knows. */
function podSelection({ namespaces, pods }: { readonly namespaces?: LabelSelector; readonly pods?: PodsLike }): PodSelection | null {
  if (namespaces !== undefined) return { namespaces: { kind: 'selector', selector: namespaces }, pods: EVERYTHING }
  if (pods === undefined) return null
  return { namespaces: { kind: 'selector', selector: pods.namespaceSelector }, pods: pods.podSelector }
}

function clusterRule({ name, action, protocols }: ClusterRuleLike, peers: readonly ClusterPeerLike[]): ClusterPolicyRule {
  return { name, action, peers: peers.map(clusterPeer), ports: protocols === undefined ? null : protocols.map(clusterPort) }
}

function clusterPeer(peer: ClusterPeerLike): Peer {
  const pods = podSelection(peer)
  if (pods !== null) return { kind: 'pods', ...pods }
  if (peer.nodes !== undefined) return { kind: 'nodes', selector: peer.nodes }
  if (peer.networks === undefined) return { kind: 'unknown' }
  const networks = peer.networks.map(parsePrefix)
  return networks.includes(null) ? { kind: 'unknown' } : { kind: 'networks', networks: networks.filter((each) => each !== null) }
}

function clusterPort({ tcp, udp, sctp, destinationNamedPort }: ClusterProtocolLike): PortMatch {
  if (destinationNamedPort !== undefined) return { kind: 'named', name: destinationNamedPort, protocol: null }
  if (tcp !== undefined) return portOf('TCP', tcp)
  if (udp !== undefined) return portOf('UDP', udp)
  return sctp === undefined ? { kind: 'unknown' } : portOf('SCTP', sctp)
}

function portOf(protocol: PortProtocol, { destinationPort }: ClusterPortLike): PortMatch {
  if (destinationPort === undefined) return { kind: 'protocol', protocol }
  if (destinationPort.number !== undefined) return range(protocol, destinationPort.number, destinationPort.number)
  return destinationPort.range === undefined ? { kind: 'unknown' } : range(protocol, destinationPort.range.start, destinationPort.range.end)
}

/** Each once; what is no address (a host name of a node) is left out. */
function parseAddresses(texts: readonly string[]): readonly IpAddress[] {
  return [...new Set(texts.map(parseIp).filter((address) => address !== null))]
}
