// Policy of a node as the rest of the agent has it: the gate, what is told of pods and drops, and nothing at all where it is not our job.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { OPEN_GATE } from '../../../src/agent/pods/index.ts'
import { NodePolicy, type NodePolicyDeps } from '../../../src/agent/policy/node-policy.ts'
import { FakeClock } from '../../../src/lib/clock.ts'
import { silentLog } from '../../../src/lib/log.ts'
import type { ChainCounters } from '../../../src/netfilter/index.ts'
import { MemoryStore, type Store } from '../../../src/store/index.ts'
import { DENY, FakeDataplane, FakeStore, link, NAMESPACE, settle } from './world.ts'

const OPTIONS = { cutsConnections: true, ownNodeEgress: 'allow', missingPods: 'unlabelled' } as const

let folder: string
let store: FakeStore
let clock: FakeClock
/** Packets that every rule of every chain has counted. */
let packets: number
let reads: number
let dataplane: FakeDataplane
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fib-node-policy-'))
  store = new FakeStore()
  dataplane = new FakeDataplane()
  clock = new FakeClock()
  packets = 0
  reads = 0
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

function start(over: Partial<NodePolicyDeps> = {}): NodePolicy {
  const ask = (kind: string, request: unknown) => (kind === 'policyCounters' ? counters() : dataplane.ask(kind as never, request as never))
  const counters = async (): Promise<readonly ChainCounters[]> => {
    reads++
    const chains = dataplane.written.flatMap(({ whole, delta }) =>
      ([4, 6] as const).flatMap((family) =>
        [whole, delta].flatMap((rules) => (rules?.families[family].put ?? []).map(({ name }) => ({ family, name }))),
      ),
    )
    return chains.map(({ family, name }) => ({ family, chain: name, packets: Array.from({ length: 50 }, () => packets) }))
  }
  return new NodePolicy({
    node: 'n1',
    log: silentLog,
    clock,
    store: store as unknown as Store, // as far as policy uses one
    stateDir: folder,
    dataplane: { ask: ask as NodePolicyDeps['dataplane']['ask'] },
    options: OPTIONS,
    onProblems: () => {},
    ...over,
  })
}

/** One pod under one policy that isolates its ingress. */
async function enforced(over: Partial<NodePolicyDeps> = {}): Promise<NodePolicy> {
  const policy = start(over)
  policy.gate.adopt([], new Map())
  store.tell('put', DENY)
  store.observer?.synced()
  store.tell('put', NAMESPACE)
  store.list()
  await policy.gate.admit(link(1), { namespace: 'x', name: 'p1', uid: null })
  return policy
}

describe('where policy is enforced', () => {
  test('the pods, with what was dropped as the kernel counts it now', async () => {
    using policy = await enforced()
    const dropped = async () =>
      (await policy.pods())?.map(({ name, state, ingress }) => ({ name, state, isMore: ingress.droppedPackets > 0 }))
    expect(await dropped()).toEqual([{ name: 'p1', state: 'enforced', isMore: false }])
    packets = 3
    expect(await dropped()).toEqual([{ name: 'p1', state: 'enforced', isMore: true }])
  })

  test('for metrics the counters are read no more than twice a minute; all else is of this moment', async () => {
    using policy = await enforced()
    packets = 3
    const first = await policy.sample()
    expect(first?.drops).toMatchObject([{ namespace: 'x', pod: 'p1', direction: 'ingress' }])
    packets = 6
    clock.advance(30_000)
    await policy.gate.admit(link(2), { namespace: 'x', name: 'p2', uid: null })
    expect(await policy.sample()).toMatchObject({ endpoints: 2, drops: first?.drops })
    expect(reads).toBe(1)
    clock.advance(1)
    const [before] = first?.drops ?? []
    expect((await policy.sample())?.drops).toContainEqual({ ...before, packets: 2 * (before?.packets ?? 0) })
    expect(reads).toBe(2)
  })

  test('without rules no counter is read', async () => {
    using policy = start()
    policy.gate.adopt([], new Map())
    store.observer?.synced()
    await settle()
    await policy.gate.admit(link(1), { namespace: 'x', name: 'p1', uid: null })
    expect(await policy.pods()).toMatchObject([{ name: 'p1', state: 'open' }])
    expect([await policy.sample(), reads]).toMatchObject([{ stage: 'none', drops: [] }, 0])
  })

  test('a flow is explained by what the store has, the own node’s pods by what they were given here', async () => {
    await using objects = new MemoryStore()
    using policy = start({ store: objects })
    const { spec, metadata } = DENY
    await objects.create({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata, spec } as never)
    for (const name of ['p1', 'p2']) {
      await objects.create({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { namespace: 'x', name },
        spec: { nodeName: 'n1', containers: [{ name: 'a' }] },
      } as never)
    }
    policy.gate.adopt(
      [1, 2].map((number) => ({
        interface: link(number).hostInterface,
        pod: { namespace: 'x', name: `p${number}`, uid: null },
        addresses: link(number).addresses,
      })),
      new Map(),
    )
    const explanation = await policy.explain({ from: 'x/p1', to: 'x/p2', port: '80' })
    expect(explanation).toMatchObject({ allowed: false, flows: [{ source: '10.0.0.1', destination: '10.0.0.2' }] })
  })

  test.each([
    [true, 1],
    [false, 0],
  ])('cutting connections is as the options say: %s', async (cutsConnections, lists) => {
    using _policy = await enforced({ options: { ...OPTIONS, cutsConnections } })
    await settle()
    expect(dataplane.listed).toHaveLength(lists)
  })

  test('when it ends, nothing is followed any more', async () => {
    const policy = await enforced()
    policy[Symbol.dispose]()
    expect(store.isWatched).toBe(false)
  })
})

test('where policy is somebody else’s every pod is let through, there is nothing to tell, and flows are explained all the same', async () => {
  await using objects = new MemoryStore()
  using policy = start({ options: null, store: objects })
  expect(policy.gate).toBe(OPEN_GATE)
  expect([await policy.pods(), await policy.sample()]).toEqual([null, null])
  expect(await policy.explain({ from: '192.0.2.1', to: '192.0.2.2', port: '80' })).toMatchObject({ allowed: true })
})
