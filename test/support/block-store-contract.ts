// What every store of blocks keeps its word on; run against the fake and against the adapter over real stores.
import { expect, test } from '@jest/globals'
import { type BlockRecord, type BlockStore, BlockStoreError, emptyBlock } from '../../src/ipam/index.ts'
import { cidr, formatPrefix, ip } from '../../src/net/index.ts'

const V4 = cidr('10.0.0.0/26')
const V6 = cidr('fd00:10::40/122')

/** A block with one of everything. */
export function fullBlock(range = V4, node: string | null = 'n1'): BlockRecord {
  const at = (offset: number) => (range.address === V4.address ? ip(`10.0.0.${offset}`) : ip(`fd00:10::${(0x40 + offset).toString(16)}`))
  return {
    range,
    node,
    state: 'Confirmed',
    sequence: 12,
    allocations: [
      {
        address: at(1),
        handle: 'h1',
        sequence: 3,
        pod: { namespace: 'default', name: 'p1' },
        node: 'n1',
        time: '2020-01-01T00:00:00.000Z',
      },
      { address: at(2), handle: 'h2', sequence: 4, pod: null, node: 'n2', time: null },
    ],
    reserves: [
      { address: at(3), node: 'n1', sequence: 5 },
      { address: at(4), node: 'n3', sequence: 6 },
    ],
    released: [
      { address: at(9), sequence: 8, time: '2020-01-01T00:00:00.000Z' },
      { address: at(7), sequence: 9, time: null },
    ],
  }
}

async function codeOf(operation: Promise<unknown>): Promise<string> {
  const cause: unknown = await operation.then(
    () => 'no error',
    (error: unknown) => error,
  )
  return cause instanceof BlockStoreError ? cause.code : String(cause)
}

/** `open` gives a new, empty store each time. */
export function blockStoreContract(open: () => BlockStore): void {
  test.each([V4, V6])('what is created comes back whole', async (range) => {
    const store = open()
    const block = fullBlock(range)
    const created = await store.create(block)
    expect(created.block).toEqual(block)
    expect(await store.get(range)).toEqual(created)
    expect(await store.get(cidr('10.9.0.0/26'))).toBeNull()
  })

  test('a block is created once', async () => {
    const store = open()
    await store.create(emptyBlock(V4, 'n1', 0))
    expect(await codeOf(store.create(emptyBlock(V4, 'n2', 0)))).toBe('ALREADY_EXISTS')
    expect((await store.get(V4))?.block.node).toBe('n1')
  })

  test('update is a compare-and-swap', async () => {
    const store = open()
    const first = await store.create(emptyBlock(V4, 'n1', 0))
    const second = await store.update(first, { ...first.block, state: 'Confirmed' })
    expect(second.block.state).toBe('Confirmed')
    expect(await codeOf(store.update(first, { ...first.block, sequence: 99 }))).toBe('CONFLICT')
    expect((await store.update(second, fullBlock(V4, null))).block).toEqual(fullBlock(V4, null))
    expect((await store.get(V4))?.block).toEqual(fullBlock(V4, null))
  })

  test('delete is a compare-and-swap', async () => {
    const store = open()
    const first = await store.create(emptyBlock(V4, 'n1', 0))
    const second = await store.update(first, { ...first.block, sequence: 1 })
    expect(await codeOf(store.delete(first))).toBe('CONFLICT')
    await store.delete(second)
    expect(await store.get(V4)).toBeNull()
    expect(await codeOf(store.delete(second))).toBe('NOT_FOUND')
    expect(await codeOf(store.update(second, second.block))).toBe('NOT_FOUND')
  })

  test('a node finds its own blocks and those it has addresses in, as allocation or claimed ahead', async () => {
    const store = open()
    await store.create(fullBlock(V4, 'n1'))
    await store.create(emptyBlock(V6, 'n2', 0))
    const of = async (node: string): Promise<readonly string[]> => (await store.listOf(node)).map(({ block }) => formatPrefix(block.range))
    expect(await of('n1')).toEqual(['10.0.0.0/26'])
    expect([...(await of('n2'))].sort()).toEqual(['10.0.0.0/26', 'fd00:10::40/122'])
    expect(await of('n3')).toEqual(['10.0.0.0/26'])
    expect(await of('n4')).toEqual([])
  })

  test('and finds them no longer once it has nothing there', async () => {
    const store = open()
    const stored = await store.create(fullBlock(V4, 'n1'))
    await store.update(stored, { ...stored.block, node: null, allocations: [], reserves: [] })
    for (const node of ['n1', 'n2', 'n3']) expect(await store.listOf(node)).toEqual([])
  })

  test('an allocation that names no node is that of the block', async () => {
    const store = open()
    const [allocation] = fullBlock().allocations
    if (allocation === undefined) throw new Error('no allocation')
    await store.create({ ...emptyBlock(V4, 'n1', 0), allocations: [{ ...allocation, node: null }] })
    expect((await store.listOf('n1'))[0]?.block.allocations).toEqual([{ ...allocation, node: null }])
  })

  test('all that overlaps a range is listed', async () => {
    const store = open()
    for (const range of ['10.0.0.0/26', '10.0.0.64/26', '10.0.1.0/26', '10.0.0.128/28'])
      await store.create(emptyBlock(cidr(range), 'n1', 0))
    const within = async (range: string): Promise<readonly string[]> =>
      (await store.listIn(cidr(range))).map(({ block }) => formatPrefix(block.range)).sort()
    expect(await within('10.0.0.0/24')).toEqual(['10.0.0.0/26', '10.0.0.128/28', '10.0.0.64/26'])
    expect(await within('10.0.0.32/28')).toEqual(['10.0.0.0/26'])
    expect(await within('fd00::/64')).toEqual([])
  })

  test('an aborted operation is UNAVAILABLE or the reason of the signal, and nothing is written', async () => {
    const store = open()
    const controller = new AbortController()
    controller.abort(new BlockStoreError('UNAVAILABLE', 'stopped'))
    expect(await codeOf(store.create(emptyBlock(V4, 'n1', 0), controller.signal))).toBe('UNAVAILABLE')
    expect(await store.get(V4)).toBeNull()
  })
}
