// What policy follows in a store, and how objects become the changes that the engine is told.
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { annotatedAddresses, PolicyInputs, toPolicyChange } from '../../../src/agent/policy/inputs.ts'
import { FakeClock } from '../../../src/lib/clock.ts'
import { ip } from '../../../src/net/index.ts'
import type { PolicyChange } from '../../../src/policy/index.ts'
import { MemoryStore, NODE_ANNOTATION, parseResource, type Resource } from '../../../src/store/index.ts'
import { settle } from './world.ts'

function resource(object: object): Resource {
  const parsed = parseResource(object)
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.error))
  return parsed.value
}

const node = (annotations: Readonly<Record<string, string>>, ...addresses: readonly string[]) => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: { name: 'n1', annotations },
  status: { addresses: addresses.map((address) => ({ type: 'InternalIP', address })) },
})
const POD = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { namespace: 'x', name: 'a', labels: { app: 'a' } },
  spec: { nodeName: 'n1', containers: [{ name: 'main' }] },
  status: { phase: 'Running', podIPs: [{ ip: '10.244.0.1' }] },
}
const POLICY = {
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { namespace: 'x', name: 'deny' },
  spec: { podSelector: {} },
}
const CLUSTER_POLICY = {
  apiVersion: 'policy.networking.k8s.io/v1alpha2',
  kind: 'ClusterNetworkPolicy',
  metadata: { name: 'strict' },
  spec: { tier: 'Admin', priority: 5, subject: { namespaces: {} } },
}
const NAMESPACE = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'x', labels: { team: 'a' } } }

describe('annotated addresses of a node', () => {
  const { ipv4Address, ipv6Address } = NODE_ANNOTATION
  test.each([
    ['with a prefix length', { [ipv4Address]: '10.0.1.12/24', [ipv6Address]: 'fd00:1::12/64' }, ['10.0.1.12', 'fd00:1::12']],
    ['without one', { [ipv4Address]: '10.0.1.12' }, ['10.0.1.12']],
    ['one that is no address counts for nothing, the other does', { [ipv4Address]: 'eth0', [ipv6Address]: 'fd00:1::12' }, ['fd00:1::12']],
    ['other annotations', { 'example.com/ipv4-address': '10.0.1.12' }, []],
  ] as const)('%s', (_, annotations, addresses) => {
    expect(annotatedAddresses({ metadata: { name: 'n1', labels: {}, annotations } })).toEqual(addresses.map(ip))
  })

  test('they are the node’s beside those of its status, each once', () => {
    const object = resource(node({ [ipv4Address]: '10.0.1.12/24', [ipv6Address]: 'fd00:1::12/64' }, '10.0.0.11', '10.0.1.12'))
    expect(toPolicyChange({ type: 'put', object })).toEqual({
      kind: 'node',
      key: 'n1',
      value: { name: 'n1', labels: {}, addresses: ['10.0.0.11', '10.0.1.12', 'fd00:1::12'].map(ip) },
    })
  })
})

describe('objects become changes', () => {
  test.each([
    ['pod', 'x/a', POD],
    ['namespace', 'x', NAMESPACE],
    ['node', 'n1', node({})],
    ['networkPolicy', 'x/deny', POLICY],
    ['clusterPolicy', 'strict', CLUSTER_POLICY],
  ] as const)('a %s, by its key; without a value when it is gone', (kind, key, object) => {
    expect(toPolicyChange({ type: 'put', object: resource(object) })).toMatchObject({ kind, key, value: { name: object.metadata.name } })
    expect(toPolicyChange({ type: 'gone', object: resource(object) })).toEqual({ kind, key, value: null })
  })

  test('what has no say on policy is none', () => {
    const object = resource({ apiVersion: 'v1', kind: 'Service', metadata: { namespace: 'x', name: 's' }, spec: {} })
    expect(toPolicyChange({ type: 'put', object })).toBeNull()
  })
})

describe('followed in a store', () => {
  let store: MemoryStore
  let clock: FakeClock
  let stages: string[]
  beforeEach(() => {
    store = new MemoryStore()
    clock = new FakeClock()
    stages = []
  })
  afterEach(() => store[Symbol.asyncDispose]())

  const create = (object: object) => store.create(resource(object) as Parameters<MemoryStore['create']>[0])
  const remove = ({ kind, metadata }: typeof POLICY) => store.delete(kind as 'NetworkPolicy', metadata)
  function follow(): PolicyInputs {
    const inputs: PolicyInputs = new PolicyInputs({
      store,
      clock,
      changed: () => {
        if (stages.at(-1) !== inputs.stage) stages.push(inputs.stage)
      },
      problems: () => {},
    })
    return inputs
  }
  const keysOf = (changes: readonly PolicyChange[]) => changes.map(({ kind, key }) => `${kind} ${key}`).sort()

  test('without policies neither pods nor anything else is followed', async () => {
    await create(POD)
    using inputs = follow()
    await settle()
    expect({ stages, taken: inputs.take() }).toEqual({ stages: ['none'], taken: [] })
  })

  test.each([
    ['NetworkPolicy', POLICY, 'networkPolicy x/deny'],
    ['ClusterNetworkPolicy', CLUSTER_POLICY, 'clusterPolicy strict'],
  ])('with the first %s everything it may speak of is listed, and taken once', async (_, policy, key) => {
    for (const object of [POD, NAMESPACE, node({})]) await create(object)
    using inputs = follow()
    await settle()
    await create(policy)
    await settle()
    expect(stages).toEqual(['none', 'listing', 'listed'])
    expect(keysOf(inputs.take())).toEqual([key, 'namespace x', 'node n1', 'pod x/a'].sort())
    expect(inputs.take()).toEqual([])
  })

  test('of an object that changed often only the last counts', async () => {
    await create(POLICY)
    using inputs = follow()
    await settle()
    inputs.take()
    const { metadata } = await store.create(resource(POD) as Parameters<MemoryStore['create']>[0])
    await store.delete('Pod', { namespace: 'x', name: metadata.name })
    await settle()
    expect(inputs.take()).toEqual([{ kind: 'pod', key: 'x/a', value: null }])
  })

  test('one policy of two goes: nothing ends; the last goes: five minutes later only policies are followed, and nothing is kept', async () => {
    await create(POLICY)
    await create(CLUSTER_POLICY)
    using inputs = follow()
    await settle()
    await remove(POLICY)
    await settle()
    expect(clock.armed).toBe(0)
    await store.delete('ClusterNetworkPolicy', { name: 'strict' })
    await settle()
    clock.advance(200_000)
    await create(NAMESPACE) // whatever else changes meanwhile
    await settle()
    expect(clock.armed).toBe(1)
    clock.advance(99_999)
    expect(inputs.stage).toBe('listed')
    clock.advance(1)
    expect({ stage: inputs.stage, taken: inputs.take() }).toEqual({ stage: 'none', taken: [] })
    await create(POD)
    await settle()
    expect(inputs.take()).toEqual([])
  })

  test('a policy that comes back ends the wait; the wait begins anew when it goes again', async () => {
    await create(POLICY)
    using inputs = follow()
    await settle()
    await remove(POLICY)
    await settle()
    clock.advance(200_000)
    await create(POLICY)
    await settle()
    expect(clock.armed).toBe(0)
    await remove(POLICY)
    await settle()
    clock.advance(200_000)
    expect(inputs.stage).toBe('listed')
    clock.advance(100_000)
    expect(inputs.stage).toBe('none')
  })

  test('one that ends leaves neither a watch nor a timer behind', async () => {
    await create(POLICY)
    const inputs = follow()
    await settle()
    await remove(POLICY)
    await settle()
    inputs[Symbol.dispose]()
    expect(clock.armed).toBe(0)
    const before = stages.length
    inputs.take()
    await create(CLUSTER_POLICY)
    await settle()
    expect({ later: stages.slice(before), taken: inputs.take() }).toEqual({ later: [], taken: [] })
  })
})
