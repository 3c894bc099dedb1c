// What the agent writes to its own Node: whether its network is there, and the addresses it found.
import { expect, test } from '@jest/globals'
import { OwnNode } from '../../../src/agent/reporting/own-node.ts'
import { FakeClock } from '../../../src/lib/clock.ts'
import { silentLog } from '../../../src/lib/log.ts'
import { MemoryStore, type Node, SnapshotBuilder, StoreError } from '../../../src/store/index.ts'
import { node } from '../../store/objects.ts'

async function settled(): Promise<void> {
  for (let at = 0; at < 200; at++) await Promise.resolve()
}

async function begin() {
  const clock = new FakeClock()
  const store = new MemoryStore({ clock })
  await store.create(node('n1', ['10.0.0.11'], { annotations: { theirs: 'stays' } }))
  const objects = new SnapshotBuilder()
  const world = {
    podNetwork: { notReadyBecause: null } as { readonly notReadyBecause: string | null } | null,
    annotations: {} as Readonly<Record<string, string | null>>,
    faults: [] as (string | null)[],
  }
  const own = new OwnNode({
    store,
    clock,
    log: silentLog,
    random: () => 0,
    node: () => objects.snapshot.Node.get('n1') ?? null,
    podNetwork: () => world.podNetwork,
    annotations: () => world.annotations,
    onFault: (message) => world.faults.push(message),
  })
  store.watch([{ kind: 'Node' }], {
    changed: (changes) => {
      objects.apply(changes)
      own.lookAgain()
    },
    synced: () => {},
    problems: () => {},
  })
  await settled()
  const stored = async (): Promise<Node> => {
    const found = await store.get('Node', { name: 'n1' })
    if (found === null) throw new Error('no node')
    return found
  }
  const available = async (): Promise<string | undefined> =>
    (await stored()).status.conditions.find(({ type }) => type === 'NetworkUnavailable')?.status
  const look = async (advanceMs = 0): Promise<void> => {
    own.lookAgain()
    await settled()
    clock.advance(advanceMs)
    await settled()
  }
  return { clock, store, world, own, stored, available, look }
}

test('a node that can give pods a network says so, once', async () => {
  const { own, available, look, stored } = await begin()
  expect(await available()).toBe('False')
  const { resourceVersion } = (await stored()).metadata
  for (let at = 0; at < 20; at++) await look(60_000)
  expect([own.written, (await stored()).metadata.resourceVersion]).toEqual([1, resourceVersion])
})

test('a restart changes nothing; five minutes without a network do, and its return at once', async () => {
  const { world, available, look } = await begin()
  world.podNetwork = { notReadyBecause: 'no pool has an address left' }
  await look(299_000)
  expect(await available()).toBe('False')
  await look(2_000)
  expect(await available()).toBe('True')
  world.podNetwork = { notReadyBecause: null }
  await look()
  expect(await available()).toBe('False')
  world.podNetwork = { notReadyBecause: 'again' }
  await look(200_000)
  expect(await available()).toBe('False') // the five minutes begin anew
})

test('without CNI it is none of our business', async () => {
  const { world, store, available, look } = await begin()
  world.podNetwork = null
  await store.applyConditions('Node', { name: 'n1' }, [{ type: 'NetworkUnavailable', status: 'True', reason: 'R', message: '' }], 'cloud')
  await look(600_000)
  expect(await available()).toBe('True')
})

test('annotations are written and taken back, and those of others stay', async () => {
  const { world, stored, look } = await begin()
  world.annotations = { 'fibula.network/detected-ipv4-address': '10.0.0.11/24', 'fibula.network/detected-ipv6-address': null }
  await look()
  expect((await stored()).metadata.annotations).toEqual({ theirs: 'stays', 'fibula.network/detected-ipv4-address': '10.0.0.11/24' })
  world.annotations = { 'fibula.network/detected-ipv4-address': null }
  await look()
  expect((await stored()).metadata.annotations).toEqual({ theirs: 'stays' })
})

test('a refusal is told, and tried again', async () => {
  const { world, store, look, stored, clock, own } = await begin()
  world.annotations = { 'fibula.network/detected-ipv4-address': '10.0.0.11/24' }
  store.failNext(new StoreError('UNAVAILABLE', 'nodes is forbidden'))
  await look()
  expect(world.faults.at(-1)).toBe('nodes is forbidden')
  await look(2_000)
  expect([world.faults.at(-1), Object.keys((await stored()).metadata.annotations).length]).toEqual([null, 2])
  own[Symbol.dispose]()
  expect(clock.armed).toBe(0)
})

test('while a refusal waits for its next try nothing else is tried; each refusal makes the wait longer, a success ends that', async () => {
  const { world, store, look, own } = await begin()
  const refuse = async (): Promise<void> => {
    store.failNext(new StoreError('UNAVAILABLE', 'away'))
    await look()
  }
  world.annotations = { a: '1' }
  await refuse()
  await look() // a change of something else
  expect([own.written, world.faults.at(-1)]).toEqual([1, 'away'])
  for (let at = 0; at < 8; at++) {
    store.failNext(new StoreError('UNAVAILABLE', 'away'))
    await look(60_000)
  }
  await look(1_000)
  expect(own.written).toBe(1) // the next try is a minute away
  await look(60_000)
  expect([own.written, world.faults.at(-1)]).toEqual([2, null])
  world.annotations = { a: '2' }
  await refuse()
  await look(2_000) // as after the first
  expect(own.written).toBe(3)
})

test.each(['CONFLICT', 'NOT_FOUND'] as const)('%s: somebody else was faster, which is no fault', async (code) => {
  const { world, store, look, own, stored } = await begin()
  world.annotations = { a: '1' }
  store.failNext(new StoreError(code, 'no'))
  await look()
  expect(world.faults.every((fault) => fault === null)).toBe(true)
  await look(2_000)
  expect([own.written, (await stored()).metadata.annotations['a']]).toEqual([2, '1'])
})

test('one that has ended writes nothing more, and leaves no timer', async () => {
  const { world, own, look, clock } = await begin()
  world.podNetwork = { notReadyBecause: 'no pool' } // the end of the five minutes is waited for
  await look()
  expect(clock.armed).toBe(1)
  own[Symbol.dispose]()
  world.podNetwork = { notReadyBecause: null }
  world.annotations = { a: '1' }
  await look(600_000)
  expect([own.written, clock.armed]).toEqual([1, 0])
})

test('one that ends while its write is under way arms no timer when it fails', async () => {
  const { world, store, own, clock } = await begin()
  world.annotations = { a: '1' }
  store.failNext(new StoreError('UNAVAILABLE', 'away'))
  own.lookAgain()
  own[Symbol.dispose]()
  await settled()
  expect(clock.armed).toBe(0)
})
