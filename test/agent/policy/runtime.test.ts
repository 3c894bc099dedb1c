// Policy at work, with a store, a dataplane and a clock that stand still until a test moves them.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { PolicyMemory } from '../../../src/agent/policy/memory.ts'
import { PolicyRuntime, type PolicyRuntimeDeps } from '../../../src/agent/policy/runtime.ts'
import { FakeClock } from '../../../src/lib/clock.ts'
import { silentLog } from '../../../src/lib/log.ts'
import { ip } from '../../../src/net/index.ts'
import type { Store } from '../../../src/store/index.ts'
import { DENY, FakeDataplane, FakeStore, link, NAMESPACE, settle } from './world.ts'

let folder: string
let store: FakeStore
let dataplane: FakeDataplane
let clock: FakeClock
let memory: PolicyMemory

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fibula-policy-'))
  store = new FakeStore()
  dataplane = new FakeDataplane()
  clock = new FakeClock()
  memory = new PolicyMemory(folder, silentLog)
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

function start(cutsConnections = true, over: Partial<PolicyRuntimeDeps> = {}): PolicyRuntime {
  return new PolicyRuntime({
    node: 'n1',
    log: silentLog,
    clock,
    store: store as unknown as Store, // as far as policy uses one
    dataplane,
    memory,
    settings: { ownNodeEgress: 'allow', missingPods: 'unlabelled' },
    cutsConnections,
    onProblems: () => {},
    ...over,
  })
}

function admit(runtime: PolicyRuntime, number: number, signal?: AbortSignal): { state: string } {
  const seen = { state: 'waits' }
  runtime.admit(link(number), { namespace: 'x', name: `p${number}`, uid: null }, signal).then(
    () => (seen.state = 'admitted'),
    () => (seen.state = 'refused'),
  )
  return seen
}

/** With one policy, everything listed. */
async function enforced(cutsConnections = true, over: Partial<PolicyRuntimeDeps> = {}): Promise<PolicyRuntime> {
  const runtime = start(cutsConnections, over)
  runtime.adopt([], new Map())
  store.tell('put', DENY)
  store.observer?.synced()
  store.tell('put', NAMESPACE)
  store.list()
  await settle()
  return runtime
}

describe('the gate', () => {
  test('without policy everybody is let through, no rule is written but that there is none, and pods are not listed', async () => {
    const runtime = start()
    runtime.adopt([], new Map())
    store.observer?.synced()
    await settle()
    const pod = admit(runtime, 1)
    await settle()
    expect(pod.state).toBe('admitted')
    expect(dataplane.written).toEqual([{ whole: null, delta: null }])
    expect(store.selected.map(({ kind }) => kind)).toEqual(['NetworkPolicy', 'ClusterNetworkPolicy'])
    expect(memory.hadPolicies).toBe(false)
    runtime[Symbol.dispose]()
  })

  test.each([
    [null, 'waits'],
    [true, 'waits'],
    [false, 'admitted'],
  ])('while nothing is known, and what was known last is %s, a pod %s; nothing is written', async (hadPolicies, state) => {
    if (hadPolicies !== null) memory.remember(hadPolicies)
    memory = new PolicyMemory(folder, silentLog)
    const runtime = start()
    runtime.adopt([], new Map())
    const pod = admit(runtime, 1)
    await settle()
    expect(pod.state).toBe(state)
    expect(dataplane.written).toEqual([])
    runtime[Symbol.dispose]()
  })

  test('with policies a pod waits until everything is listed, and until its rules are in the kernel', async () => {
    const runtime = start()
    runtime.adopt([], new Map())
    const pod = admit(runtime, 1)
    store.tell('put', DENY)
    store.observer?.synced()
    await settle()
    expect([pod.state, dataplane.written.length]).toEqual(['waits', 0])
    expect(store.selected.map(({ kind }) => kind)).toEqual(['NetworkPolicy', 'ClusterNetworkPolicy', 'Pod', 'Namespace', 'Node'])
    const { promise, resolve } = Promise.withResolvers<void>()
    dataplane.held = promise
    store.tell('put', NAMESPACE)
    store.list()
    await settle()
    expect([pod.state, dataplane.written.length]).toEqual(['waits', 1])
    expect(dataplane.written[0]?.whole).not.toBeNull()
    resolve()
    await settle()
    expect(pod.state).toBe('admitted')
    expect(memory.hadPolicies).toBe(true)
    runtime[Symbol.dispose]()
  })

  test('nothing is written before the pods of before are known', async () => {
    const runtime = start()
    store.tell('put', DENY)
    store.observer?.synced()
    store.list()
    await settle()
    expect(dataplane.written).toEqual([])
    runtime.adopt([], new Map())
    await settle()
    expect(dataplane.written).toHaveLength(1)
    runtime[Symbol.dispose]()
  })

  test('rules that are refused are asked for again, all of them, and the pod waits meanwhile', async () => {
    const runtime = await enforced()
    dataplane.isOk = false
    const pod = admit(runtime, 1)
    await settle()
    expect([pod.state, dataplane.written.at(-1)?.whole]).toEqual(['waits', null])
    dataplane.isOk = true
    clock.advance(1_000)
    await settle()
    expect(pod.state).toBe('admitted')
    expect(dataplane.written.at(-1)?.whole).not.toBeNull()
    runtime[Symbol.dispose]()
  })

  test('an ADD that is given up is refused, one that is repeated ends, and one after DEL waits anew', async () => {
    const runtime = await enforced()
    const { promise, resolve } = Promise.withResolvers<void>()
    dataplane.held = promise
    const abort = new AbortController()
    const [given, kept] = [admit(runtime, 1, abort.signal), admit(runtime, 1)]
    await settle()
    abort.abort()
    await settle()
    expect([given.state, kept.state]).toEqual(['refused', 'waits'])
    resolve()
    await settle()
    expect(kept.state).toBe('admitted')
    const again = admit(runtime, 1)
    await settle()
    expect(again.state).toBe('admitted')
    await runtime.dismiss(link(1))
    dataplane.held = new Promise(() => {})
    const after = admit(runtime, 1)
    await settle()
    expect(after.state).toBe('waits')
    runtime[Symbol.dispose]()
  })
})

describe('stages', () => {
  test('after the last policy pods are followed for five minutes more, then rules go and everybody is let through', async () => {
    const runtime = await enforced()
    store.tell('gone', DENY)
    await settle()
    expect(runtime.figures().stage).toBe('listed')
    clock.advance(299_999)
    await settle()
    expect(runtime.figures().stage).toBe('listed')
    clock.advance(1)
    await settle()
    expect(runtime.figures().stage).toBe('none')
    expect(dataplane.written.at(-1)).toEqual({ whole: null, delta: null })
    expect(memory.hadPolicies).toBe(false)
    expect(store.selected.map(({ kind }) => kind)).toEqual(['NetworkPolicy', 'ClusterNetworkPolicy'])
    runtime[Symbol.dispose]()
  })

  test('a policy that comes meanwhile keeps it as it is', async () => {
    const runtime = await enforced()
    store.tell('gone', DENY)
    await settle()
    clock.advance(200_000)
    store.tell('put', DENY)
    await settle()
    clock.advance(200_000)
    await settle()
    expect(runtime.figures().stage).toBe('listed')
    runtime[Symbol.dispose]()
  })
})

describe('connections', () => {
  const flow = { source: ip('192.0.2.1'), destination: ip('10.0.0.1'), protocol: 6, destinationPort: 80 }
  const other = { source: ip('10.0.0.1'), destination: ip('192.0.2.1'), protocol: 6, destinationPort: 80 }

  test('what is denied is cut after the rules are written, what is permitted again goes on, the rest is left', async () => {
    dataplane.connections = [
      { id: 0, flow, isCut: false },
      { id: 1, flow, isCut: true },
      { id: 2, flow: other, isCut: false },
      { id: 3, flow: other, isCut: true },
    ]
    const runtime = await enforced()
    const pod = admit(runtime, 1)
    await settle()
    expect(pod.state).toBe('admitted')
    expect(dataplane.cuts.at(-1)).toEqual({ cut: [0], restored: [3] })
    expect(runtime.figures().connectionsCut).toBe(1)
    runtime[Symbol.dispose]()
  })

  test('only those of pods whose rules are others are looked at, once', async () => {
    const runtime = await enforced()
    admit(runtime, 1)
    await settle()
    admit(runtime, 2)
    await settle()
    store.tell('put', { ...NAMESPACE, metadata: { name: 'elsewhere', labels: {} } })
    await settle()
    expect(dataplane.listed).toEqual([[ip('10.0.0.1')], [ip('10.0.0.2')]])
    runtime[Symbol.dispose]()
  })

  test('with keep, none is looked at', async () => {
    dataplane.connections = [{ id: 0, flow, isCut: false }]
    const runtime = await enforced(false)
    admit(runtime, 1)
    await settle()
    expect(dataplane.cuts).toEqual([])
    runtime[Symbol.dispose]()
  })
})

describe('pods of before whose records were lost', () => {
  const podOf = (name: string, nodeName: string, ...addresses: readonly string[]) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { namespace: 'x', name, uid: `uid-${name}`, labels: {} },
    spec: { nodeName, hostNetwork: false, containers: [], initContainers: [] },
    status: { phase: 'Running', podIPs: addresses.map((each) => ({ ip: each })) },
  })
  const known = (runtime: PolicyRuntime) => runtime.endpoints().map(({ endpoint, isAdmitted }) => ({ ...endpoint, isAdmitted }))

  /** With two links that nobody knows the pods of; `objects` are what the store lists. */
  async function lost(...objects: readonly object[]): Promise<PolicyRuntime> {
    const runtime = start()
    runtime.adopt(
      [],
      new Map([
        ['fib-a', [ip('10.0.0.1'), ip('fd00::1')]],
        ['fib-b', [ip('10.0.0.2')]],
      ]),
    )
    store.tell('put', DENY)
    store.observer?.synced()
    store.tell('put', NAMESPACE, ...objects)
    store.list()
    await settle()
    return runtime
  }

  test('each is found by any address that the status of a pod of this node shows, and has its rules', async () => {
    const runtime = await lost(podOf('a', 'n1', 'fd00::1'))
    const pod = { namespace: 'x', name: 'a', uid: 'uid-a' }
    expect(known(runtime)).toEqual([{ interface: 'fib-a', pod, addresses: [ip('10.0.0.1'), ip('fd00::1')], isAdmitted: true }])
    expect(JSON.stringify(dataplane.written)).toContain('fib-a')
    store.tell('put', podOf('b', 'n1', '10.0.0.2'))
    await settle()
    expect(known(runtime).map((each) => each.interface)).toEqual(['fib-a', 'fib-b'])
    store.tell('put', podOf('c', 'n1', '10.0.0.1')) // shows an address that was its own before
    await settle()
    expect(known(runtime).map((each) => each.pod?.name)).toEqual(['a', 'b'])
    runtime[Symbol.dispose]()
  })

  test('neither a pod of another node nor one with another address is one of them', async () => {
    const runtime = await lost(podOf('a', 'n2', '10.0.0.1'), podOf('c', 'n1', '10.0.0.3'))
    expect(known(runtime)).toEqual([])
    runtime[Symbol.dispose]()
  })

  test('one that was found is no longer looked for, and one whose DEL came never was', async () => {
    const runtime = await lost(podOf('a', 'n1', '10.0.0.1'))
    await runtime.dismiss({ hostInterface: 'fib-a', addresses: [] })
    await runtime.dismiss({ hostInterface: 'fib-b', addresses: [] })
    store.tell('put', podOf('a', 'n1', '10.0.0.1'), podOf('b', 'n1', '10.0.0.2'))
    await settle()
    expect(known(runtime)).toEqual([])
    runtime[Symbol.dispose]()
  })
})

describe('what goes wrong, and what ends', () => {
  /** The last policy is gone for five minutes. */
  async function withoutPolicies(): Promise<void> {
    store.tell('gone', DENY)
    await settle()
    clock.advance(300_000)
    await settle()
  }

  test('a dataplane that fails is told the whole again, and the pod waits meanwhile', async () => {
    const runtime = await enforced()
    dataplane.failure = new Error('the thread has ended')
    const pod = admit(runtime, 1)
    await settle()
    dataplane.failure = null
    clock.advance(999)
    await settle()
    expect([pod.state, dataplane.written.length]).toEqual(['waits', 1])
    clock.advance(1)
    await settle()
    expect([pod.state, dataplane.written.length]).toEqual(['admitted', 2])
    expect(dataplane.written.at(-1)?.whole).not.toBeNull()
    runtime[Symbol.dispose]()
  })

  test('a change that comes before the next try is a try, and no other follows', async () => {
    const runtime = await enforced()
    dataplane.isOk = false
    const first = admit(runtime, 1)
    await settle()
    dataplane.isOk = true
    const second = admit(runtime, 2)
    await settle()
    expect([first.state, second.state, clock.armed]).toEqual(['admitted', 'admitted', 0])
    runtime[Symbol.dispose]()
  })

  test('that there are no rules any more is asked for until it is so; pods that waited for rules are let through then, and not before', async () => {
    const runtime = await enforced()
    dataplane.isOk = false
    const [before, written] = [admit(runtime, 1), dataplane.written.length]
    await withoutPolicies()
    const after = admit(runtime, 2) // the kernel still has rules that know nothing of it
    await settle()
    expect([before.state, after.state]).toEqual(['waits', 'waits'])
    dataplane.isOk = true
    clock.advance(1_000)
    await settle()
    expect(dataplane.written.slice(written).at(-1)).toEqual({ whole: null, delta: null })
    expect([before.state, after.state]).toEqual(['admitted', 'admitted'])
    const later = admit(runtime, 3)
    await settle()
    expect([later.state, clock.armed]).toEqual(['admitted', 0])
    runtime[Symbol.dispose]()
  })

  test('rules that came back are taken away again', async () => {
    const runtime = await enforced()
    await withoutPolicies()
    store.tell('put', DENY)
    await settle()
    store.list()
    await settle()
    expect(dataplane.written.at(-1)?.whole).not.toBeNull()
    await withoutPolicies()
    expect(dataplane.written.at(-1)).toEqual({ whole: null, delta: null })
    runtime[Symbol.dispose]()
  })

  test('policies that go while pods are still being listed: what has been listed at last makes no rules', async () => {
    const runtime = start()
    runtime.adopt([], new Map())
    store.tell('put', DENY)
    store.observer?.synced()
    await withoutPolicies()
    store.list()
    await settle()
    expect([runtime.figures().stage, dataplane.written]).toEqual(['none', [{ whole: null, delta: null }]])
    runtime[Symbol.dispose]()
  })

  test('an ADD that was given up before it came is refused', async () => {
    const runtime = await enforced()
    dataplane.held = new Promise(() => {})
    const pod = admit(runtime, 1, AbortSignal.abort())
    await settle()
    expect(pod.state).toBe('refused')
    runtime[Symbol.dispose]()
  })

  test('one that ends leaves no timer and no watch, and writes nothing more', async () => {
    const runtime = await enforced()
    dataplane.isOk = false
    admit(runtime, 1)
    await settle()
    const { length } = dataplane.written
    runtime[Symbol.dispose]()
    expect([clock.armed, store.isWatched]).toEqual([0, false])
    store.tell('gone', DENY)
    await settle()
    expect(dataplane.written).toHaveLength(length)
  })
})

describe('what is told of it', () => {
  const shown = (runtime: PolicyRuntime) => runtime.endpoints().map(({ endpoint, ...told }) => ({ name: endpoint.pod?.name, ...told }))
  const CLUSTER_POLICY = {
    apiVersion: 'policy.networking.k8s.io/v1alpha2',
    kind: 'ClusterNetworkPolicy',
    metadata: { name: 'strict', labels: {} },
    spec: {
      tier: 'Admin',
      priority: 1,
      subject: { namespaces: {} },
      ingress: [{ name: '', action: 'Deny', from: [{ namespaces: {} }] }],
      egress: [],
    },
  }

  test('without policy a pod is let through, and nothing has a say', async () => {
    const runtime = start()
    runtime.adopt([], new Map())
    store.observer?.synced()
    await settle()
    admit(runtime, 1)
    expect(shown(runtime)).toEqual([{ name: 'p1', isAdmitted: true, isAsBefore: false, waitsFor: null, policies: null }])
    expect(runtime.counters()).toEqual([])
    expect(runtime.figures()).toEqual({ stage: 'none', policies: 0, endpoints: 1, turns: 0, connectionsCut: 0, lastWriteMs: null })
    runtime[Symbol.dispose]()
  })

  test('with policies: which have a say, what counts drops, and how long the last write took', async () => {
    const runtime = await enforced()
    store.tell('put', CLUSTER_POLICY)
    const { promise, resolve } = Promise.withResolvers<void>()
    dataplane.held = promise
    admit(runtime, 1)
    await settle()
    expect(shown(runtime)).toMatchObject([{ isAdmitted: false, isAsBefore: false, waitsFor: null }])
    clock.advance(40)
    resolve()
    await settle()
    const say = { admin: ['strict'], networkPolicies: ['x/deny'], baseline: [] }
    expect(shown(runtime)).toMatchObject([{ isAdmitted: true, policies: { ingress: say, egress: { networkPolicies: [] } } }])
    expect(runtime.counters()).toContainEqual(
      expect.objectContaining({ direction: 'ingress', of: { kind: 'endpoint', interface: link(1).hostInterface } }),
    )
    expect(runtime.figures()).toMatchObject({ stage: 'listed', policies: 2, endpoints: 1, lastWriteMs: 40 })
    runtime[Symbol.dispose]()
  })

  test('a pod whose Pod is not known yet says so, and is let through when it is', async () => {
    const runtime = await enforced(true, { settings: { ownNodeEgress: 'allow', missingPods: 'deny' } })
    const pod = admit(runtime, 1)
    await settle()
    expect(pod.state).toBe('waits')
    expect(shown(runtime)).toMatchObject([{ isAdmitted: false, waitsFor: expect.stringContaining('x/p1') }])
    store.tell('put', {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { namespace: 'x', name: 'p1', uid: 'u', labels: {} },
      spec: { nodeName: 'n1', hostNetwork: false, containers: [], initContainers: [] },
      status: { phase: 'Pending', podIPs: [] },
    })
    await settle()
    expect([pod.state, shown(runtime)]).toMatchObject(['admitted', [{ isAdmitted: true, waitsFor: null }]])
    runtime[Symbol.dispose]()
  })

  test('policies that come back: a pod of before counts as let through when its rules are in the kernel again', async () => {
    const runtime = await enforced()
    admit(runtime, 1)
    await settle()
    store.tell('gone', DENY)
    await settle()
    clock.advance(300_000)
    await settle()
    expect(shown(runtime)).toMatchObject([{ isAdmitted: true }])
    store.tell('put', DENY)
    await settle()
    admit(runtime, 2)
    expect(shown(runtime)).toMatchObject([
      { name: 'p1', isAdmitted: false, isAsBefore: true },
      { name: 'p2', isAdmitted: false, isAsBefore: false },
    ])
    store.list()
    await settle()
    expect(shown(runtime)).toMatchObject([{ isAdmitted: true, isAsBefore: false }, { isAdmitted: true }])
    runtime[Symbol.dispose]()
  })

  test('ClusterNetworkPolicies may not be served at all', async () => {
    const runtime = start()
    expect(store.selected).toEqual([{ kind: 'NetworkPolicy' }, { kind: 'ClusterNetworkPolicy', isOptional: true }])
    runtime[Symbol.dispose]()
  })
})
