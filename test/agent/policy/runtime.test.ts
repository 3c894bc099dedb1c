// Policy at work, with a store, a dataplane and a clock that stand still until a test moves them.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { PolicyMemory } from '../../../src/agent/policy/memory.ts'
import { type PolicyDataplane, PolicyRuntime } from '../../../src/agent/policy/runtime.ts'
import type { Connection, DataplaneRequests } from '../../../src/agent/threads.ts'
import type { PodLink } from '../../../src/cni/index.ts'
import { FakeClock } from '../../../src/lib/clock.ts'
import { silentLog } from '../../../src/lib/log.ts'
import { ip } from '../../../src/net/index.ts'
import type { Change, Selection, Store, WatchObserver } from '../../../src/store/index.ts'
import { settle } from './settle.ts'

const NAMESPACE = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'x', labels: {} } }
const DENY = {
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: { name: 'deny', namespace: 'x', labels: {} },
  spec: { podSelector: {}, policyTypes: ['Ingress'], ingress: [], egress: [] },
}

/** One watch; nothing is known until it is told. */
class FakeStore {
  observer: WatchObserver | null = null
  selected: readonly Selection[] = []
  listed: (() => void)[] = []

  watch(selections: readonly Selection[], observer: WatchObserver): unknown {
    this.selected = selections
    this.observer = observer
    const select = (wanted: readonly Selection[]): Promise<void> => {
      this.selected = wanted
      return new Promise((resolve) => this.listed.push(resolve))
    }
    return { select, [Symbol.dispose]: () => {} }
  }

  tell(type: 'put' | 'gone', ...objects: readonly object[]): void {
    this.observer?.changed(objects.map((object) => ({ type, object })) as unknown as readonly Change[])
  }

  /** What was selected last has been listed. */
  list(): void {
    for (const resolve of this.listed.splice(0)) resolve()
  }
}

/** Answers when it is told to, or at once. */
class FakeDataplane {
  readonly written: DataplaneRequests['writePolicy']['request'][] = []
  readonly cuts: DataplaneRequests['cutConnections']['request'][] = []
  connections: readonly Connection[] = []
  isOk = true
  /** Writes wait for it. */
  held: Promise<void> | null = null

  readonly ask: PolicyDataplane['ask'] = (kind, request) => this.#answer(kind, request) as never

  async #answer(kind: string, request: unknown): Promise<unknown> {
    if (kind === 'listConnections') return this.connections
    if (kind === 'cutConnections') {
      const wanted = request as DataplaneRequests['cutConnections']['request']
      this.cuts.push(wanted)
      return wanted.cut.length
    }
    this.written.push(request as DataplaneRequests['writePolicy']['request'])
    await this.held
    return { ok: this.isOk }
  }
}

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

function start(cutsConnections = true): PolicyRuntime {
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
  })
}

function link(number: number): PodLink {
  const hostInterface = `fib${number.toString(16).padStart(11, '0')}`
  return {
    containerId: `c${number}`,
    ifName: 'eth0',
    netns: '/run/netns/c',
    hostInterface,
    addresses: [ip(`10.0.0.${number}`)],
    mtu: 1500,
    mac: null,
  }
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
async function enforced(cutsConnections = true): Promise<PolicyRuntime> {
  const runtime = start(cutsConnections)
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
