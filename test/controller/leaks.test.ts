// Leaks: what is suspected at one look, and what is collected: only after a second look, only what nobody uses, and only while this
// replica leads.
import { describe, expect, test } from '@jest/globals'
import { LeakCollector, NotLeadingError } from '../../src/controller/leaks/collector.ts'
import { lookAtNodes, lookAtPods, podFacts } from '../../src/controller/leaks/suspects.ts'
import { recordOf } from '../../src/controller/pool-usage.ts'
import type { BlockRecord } from '../../src/ipam/index.ts'
import { blockOfObject, createBlockStore, type IPAMBlock, MemoryStore, type ResourceOf, StoreError } from '../../src/store/index.ts'
import { pool } from '../store/objects.ts'
import { FakeClock, fill, ipamBlock, kubeNode, network, parsed, pod, silentLog, snapshotOf } from './world.ts'

const GRACE_MS = 300_000
const record = (object: object): BlockRecord => {
  const block = recordOf(parsed(object) as IPAMBlock)
  if (block === null) throw new Error('not a block')
  return block
}

describe('one look', () => {
  const block = record(
    ipamBlock(
      '10.244.0.0/26',
      'gone',
      [
        { address: '10.244.0.1', pod: 'a', sequence: 1 },
        { address: '10.244.0.2', pod: 'b', sequence: 2, node: 'n1' },
      ],
      [{ address: '10.244.0.9', node: 'gone' }],
    ),
  )

  test('at nodes: all that a node has which is gone, and nothing of others in the same block', () => {
    const { inBlocks, networks } = lookAtNodes([block], ['n1', 'gone', 'gone-too'], new Set(['n1']))
    expect(inBlocks.map(({ finding, node }) => `${finding.kind} ${node}`).sort()).toEqual([
      'blockNodeGone gone',
      'nodeGone gone',
      'reserveNodeGone gone',
    ])
    expect(networks).toEqual(['gone', 'gone-too'])
  })

  test('without any Node in the store nobody is gone', () => {
    expect(lookAtNodes([block], ['n1'], null)).toEqual({ inBlocks: [], emptyBlocks: [], networks: [] })
  })

  test('a block of nobody is for deletion only when nothing is in it', () => {
    const names = (object: object) => lookAtNodes([record(object)], [], new Set(['n1'])).emptyBlocks.length
    expect(names(ipamBlock('10.244.0.0/26', null))).toBe(1)
    expect(names(ipamBlock('10.244.0.0/26', null, [{ address: '10.244.0.1', pod: 'a', node: 'n1' }]))).toBe(0)
    expect(names(ipamBlock('10.244.0.0/26', null, [], [{ address: '10.244.0.1', node: 'n1' }]))).toBe(0)
    expect(names(ipamBlock('10.244.0.0/26', 'n1'))).toBe(0)
  })

  const pods = (...objects: readonly object[]) =>
    new Map(objects.map((object) => parsed(object) as ResourceOf<'Pod'>).map((each) => [`default/${each.metadata.name}`, podFacts(each)]))
  const own = record(ipamBlock('10.244.0.0/26', 'n1', [{ address: '10.244.0.1', pod: 'a' }]))
  const well = new Set(['n1', 'n2'])
  test.each<[string, readonly object[], number]>([
    ['there is no such pod', [], 1],
    ['the pod of that name is on another node by now', [pod('a', 'n2', ['10.244.9.1'])], 1],
    ['the pod is there', [pod('a', 'n1', ['10.244.0.1'])], 0],
    ['the pod is there and has no address yet', [pod('a', 'n1', [])], 0],
    ['the pod has not been scheduled', [pod('a', null, [])], 0],
    ['the pod is there and reports another address: it may have two interfaces', [pod('a', 'n1', ['10.244.9.1'])], 0],
    ['the pod has ended, but still reports the address', [pod('a', 'n1', ['10.244.0.1'], 'Succeeded')], 0],
    ['another pod reports the address', [pod('z', 'n2', ['10.244.0.1'])], 0],
  ])('at pods: %s', (_, objects, wanted) => {
    expect(lookAtPods([own], pods(...objects), well)).toHaveLength(wanted)
  })

  test('at pods: nothing on a node that is not Ready, or gone', () => {
    expect(lookAtPods([own], pods(), new Set(['n2']))).toEqual([])
  })
})

type World = {
  readonly store: MemoryStore
  readonly clock: FakeClock
  readonly collector: LeakCollector
  readonly look: () => Promise<void>
  readonly block: (name: string) => Promise<BlockRecord | null>
  leads: boolean
}

async function world(objects: readonly object[]): Promise<World> {
  const clock = new FakeClock()
  const store = new MemoryStore({ clock })
  await fill(store, objects)
  const made: { leads: boolean } = { leads: true }
  const collector = new LeakCollector({
    store,
    blocks: createBlockStore(store),
    clock,
    log: silentLog,
    graceMs: GRACE_MS,
    mayAct: () => made.leads,
  })
  return Object.assign(made, {
    store,
    clock,
    collector,
    async look() {
      const kinds = await Promise.all([
        store.list({ kind: 'Node' }),
        store.list({ kind: 'NodeNetwork' }),
        store.list({ kind: 'IPAMBlock' }),
        store.list({ kind: 'IPPool' }),
      ])
      const snapshot = snapshotOf(kinds.flat())
      const { signal } = new AbortController()
      await collector.atNodes(snapshot, signal)
      await collector.atPods(snapshot, signal)
    },
    async block(name: string) {
      const object = await store.get('IPAMBlock', { name })
      return object === null ? null : blockOfObject(object)
    },
  })
}

const POOL = pool('pods', '10.244.0.0/16')
const LEAKED = ipamBlock('10.244.0.0/26', 'n1', [
  { address: '10.244.0.1', pod: 'alive', sequence: 1 },
  { address: '10.244.0.2', pod: 'dead', sequence: 2 },
])

describe('collected', () => {
  test('an address of a pod that is nowhere: after the second look, a grace period later', async () => {
    const here = await world([POOL, kubeNode('n1'), pod('alive', 'n1', ['10.244.0.1']), LEAKED])
    await here.look()
    here.clock.advance(GRACE_MS - 1)
    await here.look()
    expect((await here.block('10-244-0-0-26'))?.allocations).toHaveLength(2)
    expect(here.collector.figures).toMatchObject({ suspected: 1, addresses: 0 })
    here.clock.advance(1)
    await here.look()
    const after = await here.block('10-244-0-0-26')
    expect(after?.allocations.map(({ handle }) => handle)).toEqual(['k8s/alive'])
    expect(after?.released).toHaveLength(1)
    expect(after?.node).toBe('n1')
    expect(here.collector.figures).toMatchObject({ addresses: 1, failed: 0 })
  })

  test('not if the pod is there when it is asked for by name, whatever the list said', async () => {
    const here = await world([POOL, kubeNode('n1'), LEAKED, pod('alive', 'n1', ['10.244.0.1'])])
    await here.look()
    here.clock.advance(GRACE_MS)
    const list = here.store.list.bind(here.store)
    here.store.list = async (selection, signal) => {
      const found = await list(selection, signal)
      return selection.kind === 'Pod' ? found.filter(({ metadata }) => metadata.name !== 'dead') : found // a cache that is behind
    }
    await fill(here.store, [pod('dead', 'n1', [])])
    await here.look()
    expect((await here.block('10-244-0-0-26'))?.allocations.map(({ handle }) => handle)).toEqual(['k8s/alive', 'k8s/dead'])
  })

  test('nothing while there is no pod at all: a folder without manifests of pods says nothing about them', async () => {
    const here = await world([POOL, kubeNode('n1'), LEAKED])
    for (let look = 0; look < 3; look++) {
      await here.look()
      here.clock.advance(GRACE_MS)
    }
    expect((await here.block('10-244-0-0-26'))?.allocations).toHaveLength(2)
  })

  test('an address that was used again between the looks begins anew', async () => {
    const here = await world([POOL, kubeNode('n1'), LEAKED, pod('alive', 'n1', ['10.244.0.1'])])
    await here.look()
    here.clock.advance(GRACE_MS)
    const object = await here.store.get('IPAMBlock', { name: '10-244-0-0-26' })
    if (object === null) throw new Error('no block')
    const allocations = object.spec.allocations.map((each) => (each.pod === 'dead' ? { ...each, sequence: 77 } : each))
    await here.store.update({ ...object, spec: { ...object.spec, allocations } })
    await here.look()
    expect((await here.block('10-244-0-0-26'))?.allocations).toHaveLength(2)
    here.clock.advance(GRACE_MS)
    await here.look()
    expect((await here.block('10-244-0-0-26'))?.allocations).toHaveLength(1)
  })

  test('a node that is gone: addresses, claims ahead and affinity; what a pod of another node borrowed stays; then the empty block', async () => {
    const here = await world([
      POOL,
      kubeNode('n1'),
      pod('borrower', 'n1', ['10.244.0.2']),
      network('gone'),
      network('n1'),
      ipamBlock(
        '10.244.0.0/26',
        'gone',
        [
          { address: '10.244.0.1', pod: 'dead', sequence: 1 },
          { address: '10.244.0.2', pod: 'borrower', node: 'n1', sequence: 2 },
        ],
        [
          { address: '10.244.0.8', node: 'gone' },
          { address: '10.244.0.9', node: 'n1' },
        ],
      ),
      ipamBlock('10.244.0.64/26', 'gone'),
    ])
    await here.look()
    here.clock.advance(GRACE_MS)
    await here.look()
    expect(await here.block('10-244-0-0-26')).toMatchObject({
      node: null,
      allocations: [{ handle: 'k8s/borrower', node: 'n1' }],
      reserves: [{ node: 'n1' }],
    })
    expect(await here.block('10-244-0-64-26')).toMatchObject({ node: null })
    expect((await here.store.list({ kind: 'NodeNetwork' })).map(({ metadata }) => metadata.name)).toEqual(['n1'])
    expect(here.collector.figures).toMatchObject({ addresses: 1, reserves: 1, networks: 1, blocks: 0 })
    await here.look()
    here.clock.advance(GRACE_MS)
    await here.look()
    expect(await here.block('10-244-0-64-26')).toBeNull()
    expect(await here.block('10-244-0-0-26')).not.toBeNull()
    expect(here.collector.figures.blocks).toBe(1)
  })

  test('a node that is only unreachable keeps everything, for ever', async () => {
    const here = await world([POOL, kubeNode('n1', false), LEAKED, network('n1')])
    for (let look = 0; look < 5; look++) {
      await here.look()
      here.clock.advance(GRACE_MS)
    }
    expect((await here.block('10-244-0-0-26'))?.allocations).toHaveLength(2)
    expect(await here.store.list({ kind: 'NodeNetwork' })).toHaveLength(1)
  })

  test('a node that is gone but still has a pod, and a node that came back, keep everything', async () => {
    const here = await world([POOL, kubeNode('n2'), LEAKED, pod('alive', 'n1', ['10.244.0.1'])])
    await here.look()
    here.clock.advance(GRACE_MS)
    await here.look()
    expect((await here.block('10-244-0-0-26'))?.node).toBe('n1')
    await here.store.delete('Pod', { name: 'alive', namespace: 'default' })
    const stale = await here.store.list({ kind: 'Node' })
    await fill(here.store, [kubeNode('n1')])
    here.clock.advance(GRACE_MS)
    const list = here.store.list.bind(here.store)
    here.store.list = (async (selection: Parameters<typeof list>[0], signal?: AbortSignal) =>
      selection.kind === 'Node' ? stale : list(selection, signal)) as typeof list // a watch that is behind
    await here.look()
    expect((await here.block('10-244-0-0-26'))?.allocations).toHaveLength(2)
  })

  test('a block that has changed hands keeps its new owner', async () => {
    const here = await world([POOL, kubeNode('n2'), ipamBlock('10.244.0.0/26', 'n1', [{ address: '10.244.0.1', pod: 'dead' }])])
    await here.look()
    here.clock.advance(GRACE_MS)
    const stale = await here.store.list({ kind: 'IPAMBlock' })
    const [object] = stale
    if (object === undefined) throw new Error('no block')
    await here.store.update({
      ...object,
      spec: { ...object.spec, node: 'n2', allocations: object.spec.allocations.map((each) => ({ ...each, node: 'n1' })) },
    })
    const list = here.store.list.bind(here.store)
    here.store.list = (async (selection: Parameters<typeof list>[0], signal?: AbortSignal) =>
      selection.kind === 'IPAMBlock' ? stale : list(selection, signal)) as typeof list
    await here.look()
    expect(await here.block('10-244-0-0-26')).toMatchObject({ node: 'n2', allocations: [] })
  })

  test('nothing once this replica leads no more', async () => {
    const here = await world([POOL, kubeNode('n1'), LEAKED, pod('alive', 'n1', ['10.244.0.1'])])
    await here.look()
    here.clock.advance(GRACE_MS)
    here.leads = false
    await expect(here.look()).rejects.toBeInstanceOf(NotLeadingError)
    expect((await here.block('10-244-0-0-26'))?.allocations).toHaveLength(2)
  })

  test('somebody else writes the block at the same time: read again, and only what was seen is freed', async () => {
    const here = await world([POOL, kubeNode('n1'), LEAKED, pod('alive', 'n1', ['10.244.0.1'])])
    await here.look()
    here.clock.advance(GRACE_MS)
    const update = here.store.update.bind(here.store)
    let races = 2
    here.store.update = (async (object: Parameters<typeof update>[0]) => {
      if (races-- > 0) throw new StoreError('CONFLICT', 'somebody was faster')
      return update(object)
    }) as typeof update
    await here.look()
    expect((await here.block('10-244-0-0-26'))?.allocations.map(({ handle }) => handle)).toEqual(['k8s/alive'])
  })

  test('a block that the store refuses does not keep the others from it', async () => {
    const other = ipamBlock('10.244.0.64/26', 'n1', [{ address: '10.244.0.65', pod: 'dead2' }])
    const here = await world([POOL, kubeNode('n1'), LEAKED, other, pod('alive', 'n1', ['10.244.0.1'])])
    await here.look()
    here.clock.advance(GRACE_MS)
    const update = here.store.update.bind(here.store)
    here.store.update = (async (object: Parameters<typeof update>[0]) => {
      if (object.metadata.name === '10-244-0-0-26') throw new StoreError('INVALID', 'not today')
      return update(object)
    }) as typeof update
    await here.look()
    expect((await here.block('10-244-0-64-26'))?.allocations).toEqual([])
    expect(here.collector.figures).toMatchObject({ addresses: 1, failed: 1 })
  })
})
