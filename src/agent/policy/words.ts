// Decisions of policy in words, for people: which policy, which rule, which item of it; all counted from 1, as people count lists.
import { unreachable } from '../../lib/result.ts'
import type { Direction, Passed, RuleRef, StageVerdict } from '../../policy/index.ts'

/** Why a stage allows or denies. */
export function reasonOf({ decision, direction }: Pick<StageVerdict, 'decision' | 'direction'>): string {
  switch (decision.kind) {
    case 'established':
      return 'it belongs to a connection that was let through'
    case 'neighbourDiscovery':
      return 'neighbour discovery of IPv6 is never policed'
    case 'self':
      return 'a pod always reaches itself'
    case 'fromOwnNode':
      return 'it comes from the node the pod is on, which may always (kubelet)'
    case 'toOwnNode':
      return `it goes to the node the pod is on, which NetworkPolicies do not bind${decision.by.length === 0 ? '' : `, though ${policies(decision.by)} would`}`
    case 'waiting':
      return 'its Pod or Namespace is not known yet, so nothing passes'
    case 'clusterPolicy':
      return `ClusterNetworkPolicy/${decision.policy} (${decision.tier}), ${ruleInWords(decision, direction, 'protocol')}: ${decision.action}`
    case 'networkPolicy':
      return `NetworkPolicy/${decision.policy}, ${ruleInWords(decision, direction, 'port')}, admits it`
    case 'isolated':
      return `isolated by ${policies(decision.by)}, and no ${direction} rule there admits it`
    case 'default':
      return 'no policy selects it'
    default:
      return unreachable(decision)
  }
}

/** A rule with action Pass. */
export function passedInWords({ tier, policy, ...ref }: Passed): string {
  return `ClusterNetworkPolicy/${policy} (${tier}), rule ${ref.rule + 1}${ref.ruleName === '' ? '' : ` "${ref.ruleName}"`}: Pass`
}

function policies(names: readonly string[]): string {
  return names.map((name) => `NetworkPolicy/${name}`).join(', ')
}

/** `ingress rule 2 "from-web" (from item 1, port item 3)`. */
function ruleInWords({ rule, ruleName, peer, port }: RuleRef, direction: Direction, portWord: 'port' | 'protocol'): string {
  const items = [
    peer === null ? null : `${direction === 'ingress' ? 'from' : 'to'} item ${peer + 1}`,
    port === null ? null : `${portWord} item ${port + 1}`,
  ].filter((each) => each !== null)
  const name = ruleName === '' ? '' : ` "${ruleName}"`
  return `${direction} rule ${rule + 1}${name}${items.length === 0 ? '' : ` (${items.join(', ')})`}`
}
