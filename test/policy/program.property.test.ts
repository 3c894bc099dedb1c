// Compiled programs, before any rule of iptables, against the reference evaluator on random clusters.
import { expect, test } from '@jest/globals'
import { viewOf } from '../../src/policy/cluster-view.ts'
import type { PolicySettings } from '../../src/policy/index.ts'
import { PolicyResolver } from '../../src/policy/resolve.ts'
import { evaluate } from '../../src/policy/verdict.ts'
import { permits } from './program-interpreter.ts'
import { OWN_NODE, Random, randomChange, randomCluster, randomFlow, stateAfter } from './random.ts'

const SETTINGS: PolicySettings = { node: OWN_NODE, ownNodeEgress: 'allow', missingPods: 'deny' }

test.each(Array.from({ length: 20 }, (_, at) => at + 500))('seed %i: what is compiled decides as the evaluator does', (seed) => {
  const random = new Random(seed)
  const resolver = new PolicyResolver(SETTINGS)
  const changes = [...randomCluster(random)]
  resolver.update(changes)
  const seen = new Map<string, number>()
  for (let turn = 0; turn < 4; turn++) {
    const state = stateAfter(changes)
    const view = viewOf(state, SETTINGS)
    for (let count = 0; count < 100; count++) {
      const flow = randomFlow(random, state)
      for (const { direction, allowed, decision } of evaluate(view, flow).stages) {
        const endpoint = view.holderOf(direction === 'egress' ? flow.source : flow.destination)?.endpoint ?? null
        if (endpoint === null || decision.kind === 'fromOwnNode' || decision.kind === 'neighbourDiscovery') continue // no rule is asked
        seen.set(decision.kind, (seen.get(decision.kind) ?? 0) + 1)
        const rules = resolver.endpoints.get(endpoint.interface)?.rules[direction] ?? 'closed'
        const isToHost = state.nodes.get(OWN_NODE)?.addresses.includes(flow.destination) ?? false
        expect([flow, direction, decision, permits(rules, flow, isToHost, (set, family) => resolver.membersOf(set, family))]).toEqual([
          flow,
          direction,
          decision,
          allowed,
        ])
      }
    }
    const more = Array.from({ length: 3 }, () => randomChange(random))
    changes.push(...more)
    resolver.update(more)
  }
  expect(seen.size).toBeGreaterThan(1)
})

test('the seeds meet every kind of decision', () => {
  const kinds = new Set<string>()
  for (let seed = 1; seed <= 60; seed++) {
    const random = new Random(seed)
    const state = stateAfter(randomCluster(random))
    const view = viewOf(state, SETTINGS)
    for (let count = 0; count < 200; count++) {
      for (const { decision, passed } of evaluate(view, randomFlow(random, state)).stages) {
        kinds.add(decision.kind === 'clusterPolicy' ? `${decision.tier} ${decision.action}` : decision.kind)
        for (const { tier } of passed) kinds.add(`${tier} Pass`)
      }
    }
  }
  expect([...kinds].sort()).toEqual(
    [
      ...['Accept', 'Deny', 'Pass'].flatMap((action) => [`Admin ${action}`, `Baseline ${action}`]),
      'default',
      'established',
      'fromOwnNode',
      'isolated',
      'neighbourDiscovery',
      'networkPolicy',
      'toOwnNode',
      'waiting',
    ].sort(),
  )
})
