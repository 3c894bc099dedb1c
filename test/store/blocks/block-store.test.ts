// The contract of block stores, kept by the fake and by the adapter over each kind of store; and what is the adapter's own.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from '@jest/globals'
import { BlockStoreError, emptyBlock } from '../../../src/ipam/index.ts'
import { cidr, formatPrefix } from '../../../src/net/index.ts'
import { createBlockStore, DirectoryStore, MemoryStore, StoreError } from '../../../src/store/index.ts'
import { block as blockObject } from '../../store/objects.ts'
import { blockStoreContract, fullBlock } from '../../support/block-store-contract.ts'
import { FakeBlockStore } from '../../support/fake-block-store.ts'

const cleanUp: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const each of cleanUp.splice(0)) await each()
})

describe('fake', () => blockStoreContract(() => new FakeBlockStore().port()))

describe('memory', () => blockStoreContract(() => createBlockStore(new MemoryStore())))

describe('directory', () =>
  blockStoreContract(() => {
    const path = mkdtempSync(join(tmpdir(), 'fib-ipam-'))
    const store = new DirectoryStore(path)
    cleanUp.push(async () => {
      await store[Symbol.asyncDispose]()
      rmSync(path, { recursive: true, force: true })
    })
    return createBlockStore(store)
  }))

describe('objects', () => {
  test('a block of an older version is read, its allocations belong to its node', async () => {
    const store = new MemoryStore()
    await store.create(blockObject('10.0.0.0/26', 'n1', { allocations: [{ address: '10.0.0.1', handle: 'h', pod: 'p', namespace: 'ns' }] }))
    const [stored] = await createBlockStore(store).listOf('n1')
    expect(stored?.block).toEqual({
      range: cidr('10.0.0.0/26'),
      node: 'n1',
      state: 'Confirmed',
      sequence: 0,
      allocations: [
        { address: cidr('10.0.0.1/32').address, handle: 'h', sequence: 0, pod: { namespace: 'ns', name: 'p' }, node: null, time: null },
      ],
      reserves: [],
      released: [],
    })
  })

  test('fields of a newer version, and labels and annotations of people, stay', async () => {
    const store = new MemoryStore()
    const manifest = blockObject('10.0.0.0/26', 'n1', {
      allocations: [{ address: '10.0.0.1', handle: 'h', sequence: 4, vlan: 7 }],
      colour: 'red',
    })
    await store.create({
      ...manifest,
      metadata: { ...manifest.metadata, annotations: { note: 'mine' }, labels: { ...manifest.metadata.labels, team: 'a' } },
    })
    const blocks = createBlockStore(store)
    const stored = await blocks.get(cidr('10.0.0.0/26'))
    if (stored === null) throw new Error('no block')
    await blocks.update(stored, { ...stored.block, state: 'Pending', node: 'n2' })
    expect(await store.get('IPAMBlock', { name: '10-0-0-0-26' })).toMatchObject({
      metadata: { annotations: { note: 'mine' }, labels: { team: 'a', 'fibula.network/node': 'n2' } },
      spec: { state: 'Pending', colour: 'red', allocations: [{ address: '10.0.0.1', handle: 'h', sequence: 4, vlan: 7 }] },
    })
  })

  test('addresses outside the block are left out, and do not hide the rest', async () => {
    const store = new MemoryStore()
    await store.create(
      blockObject('10.0.0.0/26', 'n1', {
        allocations: [
          { address: '10.9.0.1', handle: 'far' },
          { address: '10.0.0.1', handle: 'near' },
        ],
      }),
    )
    expect((await createBlockStore(store).get(cidr('10.0.0.0/26')))?.block.allocations.map(({ handle }) => handle)).toEqual(['near'])
  })

  test('an object that is no block, or not under its name, is as good as none', async () => {
    const store = new MemoryStore()
    await store.create(blockObject('10.0.0.0/8', 'n1'))
    const renamed = blockObject('10.1.0.0/26', 'n1')
    await store.create({ ...renamed, metadata: { ...renamed.metadata, name: '10-2-0-0-26' } })
    await store.create(blockObject('10.3.0.0/20', 'n1'))
    const blocks = createBlockStore(store)
    expect((await blocks.listOf('n1')).map(({ block }) => formatPrefix(block.range))).toEqual(['10.3.0.0/20'])
    expect(await blocks.get(cidr('10.2.0.0/26'))).toBeNull()
    await expect(blocks.create(emptyBlock(cidr('10.2.0.0/26'), 'n2', 0))).rejects.toMatchObject({ code: 'ALREADY_EXISTS' })
  })

  test('errors keep their codes', async () => {
    const store = new MemoryStore()
    const blocks = createBlockStore(store)
    for (const code of ['UNAVAILABLE', 'INVALID', 'CONFLICT'] as const) {
      store.failNext(new StoreError(code, 'no'))
      await expect(blocks.create(emptyBlock(cidr('10.0.0.0/26'), 'n1', 0))).rejects.toMatchObject({ code, name: 'BlockStoreError' })
    }
    await expect(blocks.create(emptyBlock(cidr('10.0.0.0/26'), 'Not A Name', 0))).rejects.toBeInstanceOf(BlockStoreError)
  })

  test('only a block as it was read can be changed', async () => {
    const blocks = createBlockStore(new MemoryStore())
    await expect(blocks.update({ block: fullBlock(), version: '1' }, fullBlock())).rejects.toThrow('as it was read')
  })
})
