// What the rest of the agent holds in its hands: changes in, deltas of rules and sets out, and the answer to "why". All values are
// plain, so they cross threads: the engine lives where the watches are, the rules are written elsewhere (`RulesetMirror`).

import type { IpAddress, IpFamily } from '../net/index.ts'
import type { Chain, Hook, IpSet } from '../netfilter/index.ts'
import type {
  ClusterPolicy,
  ClusterTier,
  Direction,
  Endpoint,
  NetworkPolicy,
  PolicyNamespace,
  PolicyNode,
  PolicyPod,
  PolicySettings,
  PolicyState,
} from './model.ts'

/** One object as it is now; null: it is gone. Keys are those of `PolicyState`. */
export type PolicyChange =
  | { readonly kind: 'pod'; readonly key: string; readonly value: PolicyPod | null }
  | { readonly kind: 'namespace'; readonly key: string; readonly value: PolicyNamespace | null }
  | { readonly kind: 'node'; readonly key: string; readonly value: PolicyNode | null }
  | { readonly kind: 'networkPolicy'; readonly key: string; readonly value: NetworkPolicy | null }
  | { readonly kind: 'clusterPolicy'; readonly key: string; readonly value: ClusterPolicy | null }
  | { readonly kind: 'endpoint'; readonly key: string; readonly value: Endpoint | null }

export type PolicyEngineOptions = PolicySettings & {
  /** Families this host speaks: nothing is rendered for others. */
  readonly families: readonly IpFamily[]
  /** Two adjacent bits of the packet mark, used within the filter table only; the higher one is `bit * 2`. Default 0x4000000. */
  readonly markBit?: number
}

// --- Rules ---------------------------------------------------------------------------------------------------------------------

/** Members are in the kernel's own spelling. */
export type SetChange = { readonly name: string; readonly add: readonly string[]; readonly remove: readonly string[] }

/** What is to be done to the rules of the client `policy`. Order: new sets, changes of sets, chains and hooks, removals. */
export type RulesetDelta = {
  readonly sets: {
    readonly put: readonly IpSet[]
    readonly changed: readonly SetChange[]
    readonly removed: readonly string[]
  }
  readonly families: {
    readonly [F in IpFamily]: {
      /** All of the table `filter`. */
      readonly put: readonly Chain[]
      readonly removed: readonly string[]
      /** Null: as they were. */
      readonly hooks: readonly Hook[] | null
    }
  }
}

/**
 * `waiting`: everything is denied until its Pod and Namespace are known. `ready`: its program is in the ruleset of this delta, so the
 * gate may let the pod through once that is written.
 */
export type EndpointState = { readonly kind: 'waiting'; readonly because: string } | { readonly kind: 'ready' }

export type PolicyDelta = {
  readonly ruleset: RulesetDelta
  /** False: the ruleset is as it was; nothing needs to be written. */
  readonly changesRules: boolean
  /** Endpoints whose state changed; null: gone. */
  readonly endpoints: ReadonlyMap<string, EndpointState | null>
  /**
   * Interfaces of endpoints whose verdicts may be others than before: their program changed or a set that it reads. Established
   * connections from and to their addresses are to be judged again once the rules are written.
   */
  readonly affected: readonly string[]
}

/** A rule that drops packets or counts those that will be: read its packet counter, e.g. from `iptables-save -c`. */
export type DropCounter = {
  readonly family: IpFamily
  readonly chain: string
  /** Index of the rule in its chain, from 0. */
  readonly rule: number
  readonly direction: Direction
  /**
   * `endpoint`: all drops of one pod and direction. `policy`: those by one rule of a ClusterNetworkPolicy, on this node. `isolation`:
   * those that the NetworkPolicies named isolate and do not admit. `unknown`: of interfaces that no endpoint is known of.
   */
  readonly of:
    | { readonly kind: 'endpoint'; readonly interface: string }
    | { readonly kind: 'policy'; readonly tier: ClusterTier; readonly policy: string; readonly rule: number; readonly ruleName: string }
    | { readonly kind: 'isolation'; readonly policies: readonly string[] }
    | { readonly kind: 'unknown' }
}

// --- Verdicts ------------------------------------------------------------------------------------------------------------------

/**
 * The first packet of a connection, or one that belongs to a known one. Addresses and ports are those that the rules see: the destination
 * after translation of a service's address, the source before this node's own masquerade. For an entry of conntrack: source and
 * source port of the original direction, destination and destination port as source of the reply direction.
 */
export type Flow = {
  readonly source: IpAddress
  readonly destination: IpAddress
  /** IANA number, e.g. 6 for TCP. */
  readonly protocol: number
  /** Null where the protocol has none. */
  readonly destinationPort: number | null
  /** Type of ICMP or ICMPv6, where known. */
  readonly icmpType?: number
  /** `established`: of a connection that was let through, or related to one. Default `new`. */
  readonly state?: 'new' | 'established'
  /** A service's address was translated to this destination: a pod that reaches itself this way is judged like any other. */
  readonly isTranslated?: boolean
}

export type RuleRef = {
  /** Index from 0, as in the manifest. */
  readonly rule: number
  /** Empty: the rule has none. */
  readonly ruleName: string
  /** Index of the item of from or to that matched; null: the rule names nobody, so everybody. */
  readonly peer: number | null
  /** Index of the item of ports or protocols that matched; null: the rule names none, so all. */
  readonly port: number | null
}

/** The reason for a verdict of one direction. */
export type Decision =
  /** Not a new connection: what was let through before goes on. */
  | { readonly kind: 'established' }
  /** Neighbour discovery of IPv6 between a pod and its node. */
  | { readonly kind: 'neighbourDiscovery' }
  /** A pod talks to itself at its own address: the packet never leaves it. */
  | { readonly kind: 'self' }
  /** From the node that the pod is on. */
  | { readonly kind: 'fromOwnNode' }
  /** To the node that the pod is on; `by` are the NetworkPolicies that would otherwise isolate. */
  | { readonly kind: 'toOwnNode'; readonly by: readonly string[] }
  /** Its Pod or Namespace is not known yet. */
  | { readonly kind: 'waiting' }
  | ({ readonly kind: 'clusterPolicy'; readonly tier: ClusterTier; readonly policy: string; readonly action: 'Accept' | 'Deny' } & RuleRef)
  | ({ readonly kind: 'networkPolicy' /** `namespace/name` */; readonly policy: string } & RuleRef)
  /** Isolated by these, and none of their rules admits it. */
  | { readonly kind: 'isolated'; readonly by: readonly string[] }
  /** No policy has a say. */
  | { readonly kind: 'default' }

/** A rule that sent the packet on to the next tier. */
export type Passed = { readonly tier: ClusterTier; readonly policy: string } & RuleRef

export type StageVerdict = {
  /** `egress` of the source pod, `ingress` of the destination pod. */
  readonly direction: Direction
  /** `namespace/name` of the pod whose policies these are, or the interface of an endpoint without a pod. */
  readonly pod: string
  readonly node: string | null
  readonly allowed: boolean
  readonly decision: Decision
  /** Rules with action Pass on the way there. */
  readonly passed: readonly Passed[]
}

export type Verdict = {
  /** True if every stage allows it; also if there is none. */
  readonly allowed: boolean
  /** One for each of source and destination that is a pod. */
  readonly stages: readonly StageVerdict[]
}

// --- Engine --------------------------------------------------------------------------------------------------------------------

/** What `new PolicyEngine(options)` gives. Synchronous; nothing of it throws for what objects say. */
export interface PolicyService {
  /**
   * Takes in changes, all of them as one, and says what that does. The first call gives the whole ruleset, however little it was told:
   * wait until every watch has listed. Nothing is changed by an equal object.
   */
  update(changes: readonly PolicyChange[]): PolicyDelta
  /** The whole ruleset as the deltas so far have made it, for a writer that has lost its own; values are shared with the deltas. */
  ruleset(): RulesetDelta
  /** Null: no such endpoint. */
  endpointState(name: string): EndpointState | null
  /** Verdict on one flow as this engine's state stands: the reference evaluator, with addresses looked up by index. */
  explain(flow: Flow): Verdict
  /**
   * `explain` as far as this node enforces it: stages of local endpoints only, of a flow that this node has seen (so what a pod sends to
   * itself went through a service). An established connection for which this is false is to be cut; `flow.state` must be left out, or it
   * is always allowed.
   */
  isAllowedHere(flow: Flow): boolean
  counters(): readonly DropCounter[]
  /** Policies that have a say on a local endpoint, by direction: keys of NetworkPolicies, and names of ClusterNetworkPolicies in order. */
  policiesOf(endpoint: string): { readonly [D in Direction]: EndpointPolicies } | null
  /** Everything known, live: do not keep it. */
  readonly state: PolicyState
}

export type EndpointPolicies = {
  readonly admin: readonly string[]
  readonly networkPolicies: readonly string[]
  readonly baseline: readonly string[]
}
