// A block in memory: order of use, cool-down, names, and that it reads what it writes.
import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { Block, type BlockReading } from '../../src/ipam/block.ts'
import { type BlockRecord, emptyBlock } from '../../src/ipam/index.ts'
import { cidr, formatIp, ip, type Prefix } from '../../src/net/index.ts'

const OWNER = { handle: 'h', pod: { namespace: 'ns', name: 'p' }, node: 'n1', time: null }
const freed = (readyAtMs: number) => ({ time: null, readyAtMs })

function open(range: string, over: Partial<BlockRecord> = {}, reading: Partial<BlockReading> = {}): Block {
  return new Block({ ...emptyBlock(cidr(range), 'n1', 100), ...over }, { reservations: [], readyAtMs: () => 0, ...reading })
}

function all(block: Block, nowMs = 0): readonly string[] {
  const given: string[] = []
  for (let next = block.assign(OWNER, nowMs); next !== null; next = block.assign(OWNER, nowMs)) given.push(formatIp(next.address))
  return given
}

describe.each(['10.0.0.0/29', 'fd00::8/125'])('%s', (range) => {
  test('every address is handed out once, from the first to the last, and then there is none', () => {
    const block = open(range)
    const given = all(block)
    expect(given).toHaveLength(8)
    expect(new Set(given).size).toBe(8)
    expect(given[0]).toBe(formatIp(cidr(range).address))
    expect(block.reserve('n1', 0)).toBeNull()
  })

  test('what was never used comes first, then what has been free for longest', () => {
    const block = open(range)
    const first = [0, 1, 2].map(() => block.assign(OWNER, 0))
    for (const at of [1, 0]) {
      const named = first[at]
      if (named === null || named === undefined) throw new Error('no address')
      expect(block.release(named.address, 'h', named.sequence, freed(0))).toBe(true)
    }
    const given = all(block)
    expect(given.slice(-2)).toEqual([first[1], first[0]].map((each) => formatIp(each?.address ?? ip('0.0.0.0'))))
    expect(given).toHaveLength(7)
  })

  test('a record read again gives the same block', () => {
    const block = open(range)
    const named = [0, 1, 2, 3].map(() => block.assign(OWNER, 0))
    block.reserve('n2', 0)
    for (const at of [3, 1]) block.release(named[at]?.address ?? ip('0.0.0.0'), 'h', named[at]?.sequence ?? 0, freed(0))
    const record = block.toRecord()
    expect(record.released).toHaveLength(2)
    expect(new Block(record, { reservations: [], readyAtMs: () => 0 }).toRecord()).toEqual(record)
  })
})

test('a released address rests until it is ready, also the only one', () => {
  const block = open('10.0.0.1/32')
  const named = block.assign(OWNER, 0)
  if (named === null) throw new Error('no address')
  block.release(named.address, 'h', named.sequence, freed(30_000))
  expect(block.counts(29_999)).toEqual({ allocated: 0, reserved: 0, free: 0, cooling: 1 })
  expect(block.assign(OWNER, 29_999)).toBeNull()
  expect(block.counts(30_000)).toEqual({ allocated: 0, reserved: 0, free: 1, cooling: 0 })
  expect(block.assign(OWNER, 30_000)).not.toBeNull()
})

test('a release names handle and sequence: any other leaves the address alone', () => {
  const block = open('10.0.0.0/30')
  const first = block.assign(OWNER, 0)
  if (first === null) throw new Error('no address')
  expect(block.release(first.address, 'other', first.sequence, freed(0))).toBe(false)
  expect(block.release(first.address, 'h', first.sequence - 1, freed(0))).toBe(false)
  expect(block.release(first.address, 'h', first.sequence, freed(0))).toBe(true)
  expect(block.release(first.address, 'h', first.sequence, freed(0))).toBe(false)
})

test('the same handle at the same address is another allocation', () => {
  const block = open('10.0.0.1/32')
  const first = block.assign(OWNER, 0)
  block.release(ip('10.0.0.1'), 'h', first?.sequence ?? 0, freed(0))
  const second = block.assign(OWNER, 0)
  expect(second?.sequence).toBeGreaterThan(first?.sequence ?? 0)
  expect(block.release(ip('10.0.0.1'), 'h', first?.sequence ?? 0, freed(0))).toBe(false)
  expect(block.at(ip('10.0.0.1')).kind).toBe('allocated')
})

test('claims of others count as used; a claim is given up or handed out by its node alone', () => {
  const block = open('10.0.0.0/31')
  const claim = block.reserve('n2', 0)
  if (claim === null) throw new Error('no address')
  expect(all(block)).toHaveLength(1)
  expect(block.unreserve(claim.address, 'n1', claim.sequence)).toBe(false)
  expect(block.releaseReserved(claim.address, 'n1', claim.sequence, freed(0))).toBe(false)
  block.record(claim.address, { ...OWNER, node: 'n2' }, claim.sequence)
  expect(block.at(claim.address)).toMatchObject({ kind: 'allocated', sequence: claim.sequence })
})

test('a claim given up unused need not rest and is the next to be used', () => {
  const block = open('10.0.0.0/30')
  const claim = block.reserve('n1', 0)
  if (claim === null) throw new Error('no address')
  expect(block.unreserve(claim.address, 'n1', claim.sequence)).toBe(true)
  expect(block.toRecord().released).toEqual([])
  expect(block.assign(OWNER, 0)?.address).toBe(claim.address)
})

test.each([
  ['one address', ['10.0.0.2/32'], 7],
  ['half of the block', ['10.0.0.0/30'], 4],
  ['more than the block', ['10.0.0.0/8'], 0],
  ['elsewhere', ['10.0.0.8/29', 'fd00::/64'], 8],
])('kept back: %s', (_, reservations, count) => {
  const block = open('10.0.0.0/29', {}, { reservations: reservations.map((text): Prefix => cidr(text)) })
  expect(all(block)).toHaveLength(count)
})

test('what was in use when it was kept back is released into rest, and stays out of use', () => {
  const reservations = [cidr('10.0.0.0/32')]
  const allocations = [{ address: ip('10.0.0.0'), handle: 'h', sequence: 7, pod: null, node: 'n1', time: null }]
  const block = open('10.0.0.0/30', { allocations }, { reservations })
  expect(block.release(ip('10.0.0.0'), 'h', 7, freed(0))).toBe(true)
  expect(all(block)).toEqual(['10.0.0.1', '10.0.0.2', '10.0.0.3'])
  expect(block.toRecord().released.map(({ address }) => formatIp(address))).toEqual(['10.0.0.0'])
})

test('a block is bounded, and knows its own addresses alone', () => {
  expect(() => open('10.0.0.0/15')).toThrow(RangeError)
  const block = open('10.0.0.0/30')
  for (const text of ['10.0.0.4', '9.255.255.255', 'fd00::']) expect(() => block.at(ip(text))).toThrow(RangeError)
})

test('whatever is done, in whatever order: no address is in two hands, none is lost, and the record says the same (random)', () => {
  const steps = fc.array(fc.tuple(fc.constantFrom('assign', 'reserve', 'release', 'unreserve', 'reread'), fc.nat(15)), { maxLength: 120 })
  fc.assert(
    fc.property(steps, (script) => {
      let block = open('10.0.0.0/28')
      const held = new Map<string, { readonly sequence: number; readonly isClaim: boolean }>()
      for (const [what, pick] of script) {
        const [address = '', entry] = [...held][pick % Math.max(1, held.size)] ?? []
        if (what === 'assign' || what === 'reserve') {
          const named = what === 'assign' ? block.assign(OWNER, 0) : block.reserve('n1', 0)
          expect(named === null).toBe(held.size === 16)
          if (named === null) continue
          expect(held.has(formatIp(named.address))).toBe(false)
          held.set(formatIp(named.address), { sequence: named.sequence, isClaim: what === 'reserve' })
        } else if (what === 'reread') {
          const record = block.toRecord()
          expect(record.allocations.length + record.reserves.length).toBe(held.size)
          block = new Block(record, { reservations: [], readyAtMs: () => 0 })
        } else if (entry !== undefined) {
          const isDone =
            what === 'release'
              ? block.release(ip(address), 'h', entry.sequence, freed(0))
              : block.unreserve(ip(address), 'n1', entry.sequence)
          expect(isDone).toBe(entry.isClaim === (what === 'unreserve'))
          if (isDone) held.delete(address)
        }
        expect(block.counts(0).free).toBe(16 - held.size)
      }
    }),
  )
})
