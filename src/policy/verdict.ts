// The reference evaluator: one packet and the state of the cluster to a verdict, with the rule that decided. It is the oracle of the
// tests and the engine of `policy explain`, so it is written as the semantics are (docs/policy-semantics.md), not to be fast.
import { matchesSelector } from '../lib/label-selector.ts'
import { type IpAddress, isIpv6, isLinkLocalIpv6 } from '../net/index.ts'
import { type ClusterView, type Holder, nodeOf } from './cluster-view.ts'
import type { Decision, Flow, Passed, RuleRef, StageVerdict, Verdict } from './contract.ts'
import {
  byPrecedence,
  type ClusterPolicy,
  type ClusterPolicyRule,
  type ClusterTier,
  type Direction,
  type NetworkPolicy,
  type Peer,
  type PolicyPod,
  type PortMatch,
  PROTOCOL_NUMBER,
  podKey,
} from './model.ts'
import { matchesPeer, matchesPort, selectsPod } from './traffic-match.ts'

/** Multicast listener discovery (RFC 2710, RFC 3810) and neighbour discovery (RFC 4861 §4): IPv6 does not work without them. */
export const NEIGHBOUR_DISCOVERY_TYPES: readonly number[] = [130, 131, 132, 133, 134, 135, 136, 143]

/** Both directions must allow: the egress of the source, if it is a pod, and the ingress of the destination, if that is one. */
export function evaluate(view: ClusterView, flow: Flow): Verdict {
  const source = view.holderOf(flow.source)
  const destination = view.holderOf(flow.destination)
  const stages = [
    ...(source === null ? [] : stage('egress', source, view, flow)),
    ...(destination === null ? [] : stage('ingress', destination, view, flow)),
  ]
  return { allowed: stages.every(({ allowed }) => allowed), stages }
}

/** Empty where nobody's policies have a say: an endpoint that is no pod. */
function stage(direction: Direction, holder: Holder, view: ClusterView, flow: Flow): readonly StageVerdict[] {
  if (holder.pod === null && !holder.isWaiting) return []
  const passed: Passed[] = []
  const decision = decide(direction, holder, view, flow, passed)
  const node = nodeOf(holder, view)?.name ?? null
  return [{ direction, pod: nameOf(holder), node, allowed: allows(decision), decision, passed }]
}

function nameOf({ pod, endpoint }: Holder): string {
  const named = pod ?? endpoint?.pod ?? null
  return named === null ? (endpoint?.interface ?? '') : podKey(named)
}

function allows(decision: Decision): boolean {
  if (decision.kind === 'clusterPolicy') return decision.action === 'Accept'
  return decision.kind !== 'isolated' && decision.kind !== 'waiting'
}

function decide(direction: Direction, holder: Holder, view: ClusterView, flow: Flow, passed: Passed[]): Decision {
  if (flow.state === 'established') return { kind: 'established' }
  if (flow.source === flow.destination && flow.isTranslated !== true) return { kind: 'self' }
  const other = direction === 'egress' ? flow.destination : flow.source
  const isOwnNode = nodeOf(holder, view)?.addresses.includes(other) ?? false
  if (direction === 'ingress' && isOwnNode) return { kind: 'fromOwnNode' }
  if (direction === 'egress' && isNeighbourDiscovery(flow) && (isOwnNode || staysOnLink(flow.destination)))
    return { kind: 'neighbourDiscovery' }
  if (holder.pod === null) return { kind: 'waiting' }

  const { pod } = holder
  const admin = clusterTier('Admin', direction, pod, other, view, flow)
  if (admin?.kind === 'clusterPolicy') return admin
  if (admin !== null) passed.push(admin.passed)

  const isolating = isolatedBy(direction, pod, view)
  if (isolating.length > 0) {
    const exempt = direction === 'egress' && isOwnNode && view.settings.ownNodeEgress === 'allow'
    return exempt ? { kind: 'toOwnNode', by: isolating.map(podKey) } : networkTier(direction, isolating, other, view, flow)
  }

  const baseline = clusterTier('Baseline', direction, pod, other, view, flow)
  if (baseline?.kind === 'clusterPolicy') return baseline
  if (baseline !== null) passed.push(baseline.passed)
  return { kind: 'default' }
}

function isNeighbourDiscovery({ protocol, icmpType }: Flow): boolean {
  return protocol === PROTOCOL_NUMBER.ICMPv6 && icmpType !== undefined && NEIGHBOUR_DISCOVERY_TYPES.includes(icmpType)
}

/** To a link-local or multicast address: no router forwards it. */
function staysOnLink(address: IpAddress): boolean {
  return isLinkLocalIpv6(address) || (isIpv6(address) && address >> 120n === 0xffn)
}

// --- NetworkPolicies -----------------------------------------------------------------------------------------------------------

/** The policies of the pod's namespace that select it and are about this direction: if there is one, the pod is isolated. */
function isolatedBy(direction: Direction, pod: PolicyPod, { state }: ClusterView): readonly NetworkPolicy[] {
  return [...state.networkPolicies.values()]
    .filter((policy) => policy.namespace === pod.namespace && policy.isolates[direction] && matchesSelector(policy.pods, pod.labels))
    .sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** The union of what the rules admit, and nothing else. */
function networkTier(direction: Direction, isolating: readonly NetworkPolicy[], other: IpAddress, view: ClusterView, flow: Flow): Decision {
  for (const policy of isolating) {
    for (const [rule, { peers, ports }] of policy.rules[direction].entries()) {
      const matched = matchRule(peers, ports, other, view, flow)
      if (matched !== null) return { kind: 'networkPolicy', policy: podKey(policy), rule, ruleName: '', ...matched }
    }
  }
  return { kind: 'isolated', by: isolating.map(podKey) }
}

// --- ClusterNetworkPolicies ----------------------------------------------------------------------------------------------------

type TierOutcome = Extract<Decision, { kind: 'clusterPolicy' }> | { readonly kind: 'pass'; readonly passed: Passed }

/** The first rule that matches decides; null: none does. */
function clusterTier(
  tier: ClusterTier,
  direction: Direction,
  pod: PolicyPod,
  other: IpAddress,
  view: ClusterView,
  flow: Flow,
): TierOutcome | null {
  const policies = [...view.state.clusterPolicies.values()]
    .filter((policy) => policy.tier === tier && (policy.subject === null || selectsPod(policy.subject, pod, view)))
    .sort(byPrecedence)
  for (const policy of policies) {
    for (const [index, rule] of policy.rules[direction].entries()) {
      const matched = matchClusterRule(policy, rule, other, view, flow)
      if (matched === null) continue
      const { action, ...where } = matched
      const ref = { tier, policy: policy.name, rule: index, ruleName: rule.name, ...where }
      return action === 'Pass' ? { kind: 'pass', passed: ref } : { kind: 'clusterPolicy', action, ...ref }
    }
  }
  return null
}

type ClusterMatch = Pick<RuleRef, 'peer' | 'port'> & { readonly action: ClusterPolicyRule['action'] }

/**
 * A rule with a peer or protocol that this version does not know fails closed: if it accepts it matches nothing, else it denies everything
 * (ClusterNetworkPolicyIngressPeer of the API). So does one of a policy whose subject is not known, unless it denies anyway.
 */
function matchClusterRule(
  policy: ClusterPolicy,
  rule: ClusterPolicyRule,
  other: IpAddress,
  view: ClusterView,
  flow: Flow,
): ClusterMatch | null {
  const unknown = rule.peers.findIndex(({ kind }) => kind === 'unknown')
  const isKnown = unknown < 0 && rule.peers.length > 0 && !rule.ports?.some(({ kind }) => kind === 'unknown')
  if (!isKnown || (policy.subject === null && rule.action !== 'Deny')) {
    return rule.action === 'Accept' ? null : { action: 'Deny', peer: unknown < 0 ? null : unknown, port: null }
  }
  const matched = matchRule(rule.peers, rule.ports, other, view, flow)
  return matched === null ? null : { action: rule.action, ...matched }
}

// --- Rules ---------------------------------------------------------------------------------------------------------------------

/** Any peer and any port; null stands for all there are. */
function matchRule(
  peers: readonly Peer[] | null,
  ports: readonly PortMatch[] | null,
  other: IpAddress,
  view: ClusterView,
  flow: Flow,
): Pick<RuleRef, 'peer' | 'port'> | null {
  const peer = peers === null ? null : peers.findIndex((each) => matchesPeer(each, other, view))
  const port = ports === null ? null : ports.findIndex((each) => matchesPort(each, flow, view))
  return peer === -1 || port === -1 ? null : { peer, port }
}
