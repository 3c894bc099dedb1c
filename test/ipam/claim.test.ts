// Where a node looks for a block: every position once, from its own on, over what exists and what is kept back.
import { describe, expect, test } from '@jest/globals'
import { claimCandidates, firstPosition, inClaimOrder } from '../../src/ipam/claim.ts'
import { type BlockRecord, emptyBlock, type StoredBlock } from '../../src/ipam/index.ts'
import { cidr, covers, formatPrefix } from '../../src/net/index.ts'
import { poolConfig } from './world.ts'

const stored = (range: string, over: Partial<BlockRecord> = {}): StoredBlock => ({
  block: { ...emptyBlock(cidr(range), 'other', 0), ...over },
  version: '1',
})

function candidates(
  pool: string,
  blockSize: number,
  node: string,
  existing: readonly StoredBlock[] = [],
  kept: readonly string[] = [],
  limit = 1000,
): readonly string[] {
  const found: string[] = []
  for (const each of claimCandidates(poolConfig('p', pool, { blockSize }), node, existing, kept.map(cidr))) {
    found.push(each.kind === 'new' ? formatPrefix(each.range) : `abandoned ${formatPrefix(each.stored.block.range)}`)
    if (found.length >= limit) break
  }
  return found
}

test('every position of an empty pool once, in a circle that begins where the hash of the name says', () => {
  const found = candidates('10.0.0.0/24', 26, 'n1')
  expect([...found].sort()).toEqual(['10.0.0.0/26', '10.0.0.128/26', '10.0.0.192/26', '10.0.0.64/26'])
  const start = Number(firstPosition('n1', 4n))
  expect(found[0]).toBe(`10.0.0.${start * 64}/26`)
  expect(found[1]).toBe(`10.0.0.${((start + 1) % 4) * 64}/26`)
})

test('a pool of one block', () => {
  expect(candidates('10.0.0.0/26', 26, 'n1')).toEqual(['10.0.0.0/26'])
  expect(candidates('10.0.0.0/26', 26, 'n1', [stored('10.0.0.0/26')])).toEqual([])
})

test('names that differ in their last letter begin far apart', () => {
  const starts = new Set(Array.from({ length: 100 }, (_, at) => Number(firstPosition(`node-${at}`, 1024n))))
  expect(starts.size).toBeGreaterThan(80)
  const halves = [...starts].filter((each) => each < 512).length
  expect(halves).toBeGreaterThan(30)
  expect(halves).toBeLessThan(70)
})

test('what exists is stepped over, of whatever size it is', () => {
  expect(
    candidates('10.0.0.0/24', 26, 'n1', [stored('10.0.0.64/26'), stored('10.0.0.192/28'), stored('10.0.0.200/29')])
      .slice()
      .sort(),
  ).toEqual(['10.0.0.0/26', '10.0.0.128/26'])
  expect(candidates('10.0.0.0/24', 26, 'n1', [stored('10.0.0.0/22')])).toEqual([])
  expect(
    candidates('10.0.0.0/24', 26, 'n1', [stored('10.0.0.0/25')])
      .slice()
      .sort(),
  ).toEqual(['10.0.0.128/26', '10.0.0.192/26'])
})

describe('kept back', () => {
  test('blocks that are kept back as a whole, also by several reservations together', () => {
    expect(candidates('10.0.0.0/24', 26, 'n1', [], ['10.0.0.0/27', '10.0.0.32/27', '10.0.0.128/28']).slice().sort()).toEqual([
      '10.0.0.128/26',
      '10.0.0.192/26',
      '10.0.0.64/26',
    ])
    expect(candidates('10.0.0.0/24', 26, 'n1', [], ['10.0.0.0/8'])).toEqual([])
  })

  test('2^58 blocks are stepped over at once', () => {
    const found = candidates('fd00::/48', 122, 'n1', [], ['fd00::/49'], 2)
    expect(found).toHaveLength(2)
    for (const each of found) expect(covers(cidr('fd00:0:0:8000::/49'), cidr(each))).toBe(true)
    expect(candidates('fd00::/64', 122, 'n1', [], ['fd00::/64'])).toEqual([])
  })
})

describe('abandoned blocks', () => {
  test('an empty one that is nobody’s can be taken over; one with somebody in it cannot', () => {
    const empty = stored('10.0.0.0/26', { node: null })
    const lent = stored('10.0.0.64/26', { node: null, reserves: [{ address: cidr('10.0.0.65/32').address, node: 'n2', sequence: 1 }] })
    const owned = stored('10.0.0.128/26')
    expect(candidates('10.0.0.0/24', 26, 'n1', [empty, lent, owned]).slice().sort()).toEqual(['10.0.0.192/26', 'abandoned 10.0.0.0/26'])
  })

  test('not one that another block overlaps', () => {
    expect(candidates('10.0.0.0/26', 26, 'n1', [stored('10.0.0.0/26', { node: null }), stored('10.0.0.0/28')])).toEqual([])
  })

  test('not one that is kept back', () => {
    expect(candidates('10.0.0.0/26', 26, 'n1', [stored('10.0.0.0/26', { node: null })], ['10.0.0.0/26'])).toEqual([])
  })
})

test('blocks to borrow from come in the same circle', () => {
  const pool = poolConfig('p', '10.0.0.0/24')
  const blocks = ['10.0.0.0/26', '10.0.0.64/26', '10.0.0.128/26', '10.0.0.192/26'].map((range) => stored(range))
  const order = inClaimOrder(pool, 'n1', [...blocks].reverse()).map(({ block }) => formatPrefix(block.range))
  expect(order).toEqual(candidates('10.0.0.0/24', 26, 'n1'))
})
