// What policy is about, free of Kubernetes' types: pods, namespaces, nodes, endpoints, policies, and all of them at one moment.
// `from-kubernetes.ts` makes these values; both the evaluator and the compiler read them and nothing else.
import type { LabelSelector, Labels } from '../lib/label-selector.ts'
import type { IpAddress, Prefix } from '../net/index.ts'

/** The protocols whose ports policies can name (core/v1 Protocol). */
export type PortProtocol = 'TCP' | 'UDP' | 'SCTP'
/** IANA protocol numbers; `icmpv6` is a protocol of its own. */
export const PROTOCOL_NUMBER = { ICMP: 1, TCP: 6, UDP: 17, ICMPv6: 58, SCTP: 132 } as const
export type Direction = 'ingress' | 'egress'

export type NamedPort = { readonly name: string; readonly protocol: PortProtocol; readonly port: number }

export type PolicyPod = {
  readonly namespace: string
  readonly name: string
  /** Null where nothing gives one: a folder of manifests. */
  readonly uid: string | null
  readonly labels: Labels
  /** Null: not scheduled yet. */
  readonly node: string | null
  readonly isHostNetwork: boolean
  /** Succeeded or Failed: its address may be somebody else's already. */
  readonly isFinished: boolean
  readonly isTerminating: boolean
  /** ISO 8601, or empty: of two pods that show one address the younger has it. */
  readonly createdAt: string
  /** As its status shows them. Not used for pods of the own node: their endpoints say. */
  readonly addresses: readonly IpAddress[]
  readonly ports: readonly NamedPort[]
}

export type PolicyNamespace = { readonly name: string; readonly labels: Labels }
/** `addresses`: all of status, and those by which the node is otherwise known, such as of its tunnel. */
export type PolicyNode = { readonly name: string; readonly labels: Labels; readonly addresses: readonly IpAddress[] }

/** The interface of a pod on this node, from its CNI ADD to its DEL. */
export type Endpoint = {
  /** Host end, `fib` and hex digits. */
  readonly interface: string
  /** Null: a container that no Kubernetes pod owns; no policy selects it. */
  readonly pod: { readonly namespace: string; readonly name: string; readonly uid: string | null } | null
  readonly addresses: readonly IpAddress[]
}

/** Which namespaces a peer or subject is in: one by name, or those whose labels match. */
export type NamespaceScope =
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'selector'; readonly selector: LabelSelector }

/** Pods by their namespace and labels. */
export type PodSelection = { readonly namespaces: NamespaceScope; readonly pods: LabelSelector }

export type Peer =
  | ({ readonly kind: 'pods' } & PodSelection)
  /** NetworkPolicy's ipBlock. */
  | { readonly kind: 'block'; readonly cidr: Prefix; readonly except: readonly Prefix[] }
  /** Egress of a ClusterNetworkPolicy only. */
  | { readonly kind: 'nodes'; readonly selector: LabelSelector }
  | { readonly kind: 'networks'; readonly networks: readonly Prefix[] }
  /** Something this version does not know. It matches nobody in a rule that permits, everybody in one that does not. */
  | { readonly kind: 'unknown' }

export type PortMatch =
  | { readonly kind: 'protocol'; readonly protocol: PortProtocol }
  /** Destination ports from first to last, both included. */
  | { readonly kind: 'range'; readonly protocol: PortProtocol; readonly first: number; readonly last: number }
  /** A container port of the destination pod by its name; `protocol` null: of whatever protocol it has. */
  | { readonly kind: 'named'; readonly name: string; readonly protocol: PortProtocol | null }
  | { readonly kind: 'unknown' }

/** `peers` null: everybody. `ports` null: every port of every protocol. */
export type NetworkPolicyRule = { readonly peers: readonly Peer[] | null; readonly ports: readonly PortMatch[] | null }

export type NetworkPolicy = {
  readonly namespace: string
  readonly name: string
  readonly pods: LabelSelector
  readonly isolates: { readonly [D in Direction]: boolean }
  readonly rules: { readonly [D in Direction]: readonly NetworkPolicyRule[] }
}

export type ClusterTier = 'Admin' | 'Baseline'
export type ClusterAction = 'Accept' | 'Deny' | 'Pass'
export type ClusterPolicyRule = {
  /** Empty: it has none. */
  readonly name: string
  readonly action: ClusterAction
  readonly peers: readonly Peer[]
  readonly ports: readonly PortMatch[] | null
}

export type ClusterPolicy = {
  readonly name: string
  readonly tier: ClusterTier
  /** 0 to 1000; the smaller decides first. Of equal ones the name that sorts first does. */
  readonly priority: number
  /** Null: something this version does not know; it is taken to be every pod. */
  readonly subject: PodSelection | null
  readonly rules: { readonly [D in Direction]: readonly ClusterPolicyRule[] }
}

/** All there is at one moment. Keys are `namespace/name`, `name`, or the interface of an endpoint. */
export type PolicyState = {
  readonly pods: ReadonlyMap<string, PolicyPod>
  readonly namespaces: ReadonlyMap<string, PolicyNamespace>
  readonly nodes: ReadonlyMap<string, PolicyNode>
  readonly networkPolicies: ReadonlyMap<string, NetworkPolicy>
  readonly clusterPolicies: ReadonlyMap<string, ClusterPolicy>
  readonly endpoints: ReadonlyMap<string, Endpoint>
}

export type PolicySettings = {
  /** Name of the own node. */
  readonly node: string
  /**
   * Whether NetworkPolicies bind traffic of a pod to its own node. `allow`: never, as the concept page has it ("traffic to and from
   * the node where a Pod is running is always allowed"). `police`: as any other address. ClusterNetworkPolicies bind it either way.
   */
  readonly ownNodeEgress: 'allow' | 'police'
  /**
   * What an endpoint is whose Pod (or Namespace) the store does not show. `deny`: nothing passes until it does. `unlabelled`: a pod
   * without labels, for stores that no API server fills.
   */
  readonly missingPods: 'deny' | 'unlabelled'
}

/** Order of decision inside a tier: the smaller priority first; of equal ones, of which any may win, the name that sorts first. */
export function byPrecedence(a: ClusterPolicy, b: ClusterPolicy): number {
  return a.priority - b.priority || (a.name < b.name ? -1 : 1)
}

export const NAMESPACE_NAME_LABEL = 'kubernetes.io/metadata.name'

export function podKey(pod: { readonly namespace: string; readonly name: string }): string {
  return `${pod.namespace}/${pod.name}`
}
