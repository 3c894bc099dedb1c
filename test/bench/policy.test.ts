import { describe, expect, test } from '@jest/globals'
import { type ClusterShape, clusterOf, endpointChange, networkPolicy, OWN_NODE, podAt, policyChange } from '../../bench/policy/cluster.ts'
import { PolicyEngine } from '../../src/policy/index.ts'

const SHAPE: ClusterShape = { pods: 1_000, namespaces: 10, nodes: 10, networkPolicies: 100, rulesEach: 3, selects: 'label' }

function engineOf(shape: ClusterShape): PolicyEngine {
  const engine = new PolicyEngine({ node: OWN_NODE, ownNodeEgress: 'allow', missingPods: 'deny', families: [4, 6] })
  engine.update(clusterOf(shape))
  return engine
}

describe('the cluster of the bench', () => {
  test('every namespace has pods here, and no two are alike', () => {
    const { state } = engineOf(SHAPE)
    expect([state.pods.size, state.networkPolicies.size, state.endpoints.size]).toEqual([1_000, 100, 100])
    expect(new Set([...state.endpoints.values()].map(({ pod }) => pod?.namespace)).size).toBe(10)
    expect(new Set([...state.pods.values()].flatMap(({ addresses }) => addresses)).size).toBe(2_000)
    for (const name of state.endpoints.keys()) expect(name).toMatch(/^fib[0-9a-f]{10}$/)
  })

  test('a later pod arrives as an endpoint with rules, and another version of a policy changes rules alone', () => {
    const engine = engineOf(SHAPE)
    const pod = { ...podAt(SHAPE, 1_000), node: OWN_NODE }
    const endpoint = endpointChange(1_000, pod)
    const arrival = engine.update([{ kind: 'pod', key: `${pod.namespace}/${pod.name}`, value: pod }, endpoint])
    expect(arrival.endpoints.get(endpoint.key)).toEqual({ kind: 'ready' })
    const { sets, families } = engine.update([policyChange(networkPolicy(SHAPE, 55, 1))]).ruleset
    expect([sets.put.length, sets.changed.length, sets.removed.length]).toEqual([0, 0, 0])
    expect(families[4].put.length).toBeGreaterThan(0)
  })

  test('where policies select everybody, each has rules here', () => {
    const engine = engineOf({ ...SHAPE, selects: 'all' })
    const inForce = new Set([...engine.state.endpoints.keys()].flatMap((name) => engine.policiesOf(name)?.ingress.networkPolicies ?? []))
    expect(inForce.size).toBe(100)
  })
})
