// What cannot be right in the blocks, the second look, and what is taken out of a block.
import { describe, expect, test } from '@jest/globals'
import {
  type AddressCensus,
  type BlockAllocation,
  type BlockRecord,
  emptyBlock,
  findingName,
  findLeaks,
  LeakWatch,
  type LivingPod,
  withoutFindings,
} from '../../src/ipam/index.ts'
import { cidr, formatIp, ip } from '../../src/net/index.ts'

const allocation = (address: string, pod: string | null, over: Partial<BlockAllocation> = {}): BlockAllocation => ({
  address: ip(address),
  handle: `handle-${pod ?? 'none'}`,
  sequence: 5,
  pod: pod === null ? null : { namespace: 'ns', name: pod },
  node: 'n1',
  time: null,
  ...over,
})
const block = (range: string, over: Partial<BlockRecord> = {}): BlockRecord => ({
  ...emptyBlock(cidr(range), 'n1', 9),
  state: 'Confirmed',
  ...over,
})
const living = (name: string, over: Partial<LivingPod> = {}): LivingPod => ({
  namespace: 'ns',
  name,
  node: 'n1',
  addresses: [ip('10.0.0.1')],
  isFinished: false,
  ...over,
})
const census = (over: Partial<AddressCensus>): AddressCensus => ({
  pools: [cidr('10.0.0.0/16')],
  blocks: [],
  nodes: new Set(['n1', 'n2']),
  pods: [],
  ...over,
})
const found = (over: Partial<AddressCensus>): readonly string[] => findLeaks(census(over)).map(({ kind, message }) => `${kind}: ${message}`)

describe('an allocation', () => {
  const one = [block('10.0.0.0/26', { allocations: [allocation('10.0.0.1', 'p')] })]
  test.each<[string, Partial<AddressCensus>, readonly string[]]>([
    ['its pod lives', { pods: [living('p')] }, []],
    ['its pod has no address yet', { pods: [living('p', { addresses: [] })] }, []],
    ['nobody knows the pods', { pods: null }, []],
    ['there is no such pod', {}, ['noOwner: 10.0.0.1 belongs to pod ns/p on node n1, but there is no such pod']],
    [
      'the pod is elsewhere',
      { pods: [living('p', { node: 'n2', addresses: [] })] },
      ['noOwner: 10.0.0.1 belongs to pod ns/p on node n1, but the pod of that name is on node n2'],
    ],
    [
      'the pod has ended',
      { pods: [living('p', { isFinished: true })] },
      ['noOwner: 10.0.0.1 belongs to pod ns/p on node n1, but that pod has ended'],
    ],
  ])('%s', (_, over, expected) => expect(found({ blocks: one, ...over })).toEqual(expected))

  test('of a node that is gone', () => {
    const gone = [block('10.0.0.0/26', { node: 'n2', allocations: [allocation('10.0.0.1', 'p', { node: 'n9' })] })]
    expect(found({ blocks: gone, pods: null })).toEqual([
      'nodeGone: 10.0.0.1 belongs to pod ns/p on node n9, and that node does not exist any more',
    ])
    expect(found({ blocks: gone, pods: null, nodes: null })).toEqual([])
  })

  test('without a pod is nobody’s to judge', () => {
    expect(found({ blocks: [block('10.0.0.0/26', { allocations: [allocation('10.0.0.1', null)] })] })).toEqual([])
  })

  test('outside every pool', () => {
    expect(found({ blocks: one, pods: [living('p')], pools: [cidr('10.9.0.0/16')] })).toEqual([
      'blockOutsidePool: block 10.0.0.0/26 of node n1 is in no IPPool; create the IPPool again, or delete the pods of its 1 addresses',
      'outsidePool: 10.0.0.1 of pod ns/p on node n1 is in no IPPool; create the IPPool again, or delete the pod',
    ])
  })
})

test('two owners of one address: in one block, in two, by two pods', () => {
  const twice = block('10.0.0.0/26', { allocations: [allocation('10.0.0.1', 'p'), allocation('10.0.0.1', 'q', { node: 'n2' })] })
  expect(found({ blocks: [twice], pods: null })).toEqual([
    'duplicate: 10.0.0.1 has two owners: pod ns/p on node n1 and pod ns/q on node n2; delete one of the two pods',
  ])
  const inner = block('10.0.0.0/28', { node: 'n2', allocations: [allocation('10.0.0.1', 'q', { node: 'n2' })] })
  expect(found({ blocks: [block('10.0.0.0/26', { allocations: [allocation('10.0.0.1', 'p')] }), inner], pods: null })).toEqual([
    'blocksOverlap: block 10.0.0.0/28 lies in block 10.0.0.0/26, so that an address can have two owners; drain one of the two nodes (was blockSize of the pool changed?)',
    'duplicate: 10.0.0.1 has two owners: pod ns/p on node n1 and pod ns/q on node n2; delete one of the two pods',
  ])
  const one = block('10.0.0.0/26', { allocations: [allocation('10.0.0.1', 'p')] })
  expect(found({ blocks: [one], pods: [living('p'), living('q', { node: 'n2' })] })).toEqual([
    'duplicate: 10.0.0.1 has two owners: pod ns/p on node n1 and pod ns/q on node n2; delete one of the two pods',
  ])
})

test('a pod whose address no block knows; claimed ahead is known', () => {
  expect(found({ pods: [living('p')] })).toEqual([
    'unrecorded: 10.0.0.1 is used by pod ns/p on node n1, but no block says so; is the agent of that node running?',
  ])
  expect(
    found({ blocks: [block('10.0.0.0/26', { reserves: [{ address: ip('10.0.0.1'), node: 'n1', sequence: 1 }] })], pods: [living('p')] }),
  ).toEqual([])
  expect(found({ pods: [living('p', { addresses: [ip('192.0.2.1')] }), living('q', { isFinished: true })] })).toEqual([])
})

test('a node that is gone: its blocks and its claims', () => {
  expect(
    found({ blocks: [block('10.0.0.0/26', { node: 'n9', reserves: [{ address: ip('10.0.0.3'), node: 'n9', sequence: 1 }] })] }),
  ).toEqual([
    'blockNodeGone: block 10.0.0.0/26 belongs to node n9, which does not exist any more',
    'reserveNodeGone: 10.0.0.3 is claimed ahead by node n9, which does not exist any more',
  ])
})

describe('the second look', () => {
  test('confirms what was seen before, long enough ago, and ever since', () => {
    const watch = new LeakWatch(60_000)
    expect([...watch.observe(['a', 'b'], 0)]).toEqual([])
    expect([...watch.observe(['a'], 59_999)]).toEqual([])
    expect([...watch.observe(['a', 'b'], 60_000)]).toEqual(['a']) // b was away in between
    expect([...watch.observe(['b'], 120_000)]).toEqual(['b'])
  })

  test('one look is never enough, however short the time', () => {
    const watch = new LeakWatch(0)
    expect([...watch.observe(['a'], 0)]).toEqual([])
    expect([...watch.observe(['a'], 0)]).toEqual(['a'])
  })

  test('an address that is used again is another finding', () => {
    const names = [5, 6].map((sequence) =>
      findLeaks(census({ blocks: [block('10.0.0.0/26', { allocations: [allocation('10.0.0.1', 'p', { sequence })] })] })).map(findingName),
    )
    expect(names[0]).not.toEqual(names[1])
  })
})

describe('taking findings out of a block', () => {
  const before = block('10.0.0.0/26', {
    node: 'n9',
    allocations: [allocation('10.0.0.1', 'p', { node: null }), allocation('10.0.0.2', 'q', { node: 'n2' })],
    reserves: [{ address: ip('10.0.0.3'), node: 'n9', sequence: 1 }],
    released: [{ address: ip('10.0.0.9'), sequence: 2, time: null }],
  })
  const findings = findLeaks(census({ blocks: [before], pods: [living('q', { node: 'n2', addresses: [ip('10.0.0.2')] })] }))

  test('frees what is named, into rest behind all others; the block is nobody’s; what lives stays, with its node', () => {
    const after = withoutFindings(before, findings, 'now')
    expect(after).toMatchObject({ node: null, reserves: [], allocations: [{ handle: 'handle-q', node: 'n2' }] })
    expect(after?.released.map(({ address, time }) => `${formatIp(address)} ${time}`)).toEqual(['10.0.0.9 null', '10.0.0.1 now'])
    expect(after?.sequence).toBeGreaterThan(before.sequence)
  })

  test('an address that has been used again meanwhile is not freed', () => {
    const reused = { ...before, node: 'n1', reserves: [], allocations: [allocation('10.0.0.1', 'p', { sequence: 6 })] }
    const addresses = findings.filter((each) => 'allocation' in each)
    expect(addresses).toHaveLength(1)
    expect(withoutFindings(reused, addresses, 'now')).toBeNull()
    expect(withoutFindings({ ...reused, allocations: [allocation('10.0.0.1', 'p', { handle: 'other' })] }, addresses, 'now')).toBeNull()
  })

  test('twice is once', () => {
    const after = withoutFindings(before, findings, 'now')
    if (after === null) throw new Error('nothing happened')
    expect(withoutFindings(after, findings, 'now')).toBeNull()
  })
})
