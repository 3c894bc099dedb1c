// Decisions of policy in words.
import { describe, expect, test } from '@jest/globals'
import { passedInWords, reasonOf } from '../../../src/agent/policy/words.ts'
import type { Decision, RuleRef } from '../../../src/policy/index.ts'

const ref = (over: Partial<RuleRef> = {}): RuleRef => ({ rule: 0, ruleName: '', peer: null, port: null, ...over })
const admin = { kind: 'clusterPolicy', tier: 'Admin', policy: 'strict', action: 'Deny' } as const

describe('why a stage allows or denies', () => {
  test.each<[Decision, 'ingress' | 'egress', string]>([
    [{ kind: 'established' }, 'ingress', 'it belongs to a connection that was let through'],
    [{ kind: 'neighbourDiscovery' }, 'ingress', 'neighbour discovery of IPv6 is never policed'],
    [{ kind: 'self' }, 'ingress', 'a pod always reaches itself'],
    [{ kind: 'fromOwnNode' }, 'ingress', 'it comes from the node the pod is on, which may always (kubelet)'],
    [{ kind: 'toOwnNode', by: [] }, 'egress', 'it goes to the node the pod is on, which NetworkPolicies do not bind'],
    [
      { kind: 'toOwnNode', by: ['x/a', 'x/b'] },
      'egress',
      'it goes to the node the pod is on, which NetworkPolicies do not bind, though NetworkPolicy/x/a, NetworkPolicy/x/b would',
    ],
    [{ kind: 'waiting' }, 'ingress', 'its Pod or Namespace is not known yet, so nothing passes'],
    [{ ...admin, ...ref() }, 'ingress', 'ClusterNetworkPolicy/strict (Admin), ingress rule 1: Deny'],
    [
      { ...admin, tier: 'Baseline', action: 'Accept', ...ref({ rule: 2, ruleName: 'dns', peer: 0, port: 1 }) },
      'egress',
      'ClusterNetworkPolicy/strict (Baseline), egress rule 3 "dns" (to item 1, protocol item 2): Accept',
    ],
    [{ kind: 'networkPolicy', policy: 'x/a', ...ref({ rule: 1 }) }, 'ingress', 'NetworkPolicy/x/a, ingress rule 2, admits it'],
    [
      { kind: 'networkPolicy', policy: 'x/a', ...ref({ peer: 4 }) },
      'ingress',
      'NetworkPolicy/x/a, ingress rule 1 (from item 5), admits it',
    ],
    [{ kind: 'networkPolicy', policy: 'x/a', ...ref({ port: 0 }) }, 'egress', 'NetworkPolicy/x/a, egress rule 1 (port item 1), admits it'],
    [
      { kind: 'isolated', by: ['x/a', 'x/b'] },
      'egress',
      'isolated by NetworkPolicy/x/a, NetworkPolicy/x/b, and no egress rule there admits it',
    ],
    [{ kind: 'default' }, 'egress', 'no policy selects it'],
  ])('%j, %s: %s', (decision, direction, words) => {
    expect(reasonOf({ decision, direction })).toBe(words)
  })
})

test('a rule that passes on, with its name if it has one', () => {
  const passed = { tier: 'Admin', policy: 'strict', ...ref({ rule: 1, peer: 0 }) } as const
  expect(passedInWords(passed)).toBe('ClusterNetworkPolicy/strict (Admin), rule 2: Pass')
  expect(passedInWords({ ...passed, ruleName: 'to teams' })).toBe('ClusterNetworkPolicy/strict (Admin), rule 2 "to teams": Pass')
})
