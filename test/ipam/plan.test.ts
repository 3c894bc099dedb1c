// What a block is to become: from the same knowledge always the same, and a second time nothing.
import { describe, expect, test } from '@jest/globals'
import { type BlockAllocation, type BlockRecord, emptyBlock } from '../../src/ipam/index.ts'
import { type BlockContext, type BlockPlan, type BlockWants, planBlock } from '../../src/ipam/plan.ts'
import { cidr, formatIp, ip } from '../../src/net/index.ts'

const RANGE = cidr('10.0.0.0/29')
const block = (over: Partial<BlockRecord> = {}): BlockRecord => ({ ...emptyBlock(RANGE, 'n1', 50), state: 'Confirmed', ...over })
const allocation = (address: string, over: Partial<BlockAllocation> = {}): BlockAllocation => ({
  address: ip(address),
  handle: 'h',
  sequence: 7,
  pod: null,
  node: 'n1',
  time: 'now',
  ...over,
})
const held = (address: string, handle = 'h', sequence = 7) => ({ address: ip(address), handle, pod: null, sequence })
const reserve = (address: string, node = 'n1', sequence = 7) => ({ address: ip(address), node, sequence })
const CONTEXT: BlockContext = { node: 'n1', nowMs: 0, time: 'now', reservations: [], coolDownMs: 30_000, readyAtMs: () => 0 }

function plan(current: BlockRecord, wants: Partial<BlockWants> = {}, context: Partial<BlockContext> = {}): BlockPlan {
  return planBlock(current, { held: [], releasing: [], ...wants }, { ...CONTEXT, ...context })
}

describe('what is held', () => {
  test.each([
    ['was claimed ahead', block({ reserves: [reserve('10.0.0.1')] })],
    ['was claimed ahead under another name', block({ reserves: [reserve('10.0.0.1', 'n1', 9)] })],
    ['is free', block()],
    ['rests', block({ released: [{ address: ip('10.0.0.1'), sequence: 8, time: null }] })],
    ['is in a block of another node', block({ node: 'n2' })],
  ])('%s: it is written down under its own name', (_, current) => {
    const { next, conflicts } = plan(current, { held: [held('10.0.0.1')] })
    expect(next).toMatchObject({ allocations: [allocation('10.0.0.1')], reserves: [], released: [] })
    expect(conflicts).toEqual([])
    expect(next === null ? null : plan(next, { held: [held('10.0.0.1')] }).next).toBeNull()
  })

  test.each([
    ['of another handle', block({ allocations: [allocation('10.0.0.1', { handle: 'other', node: 'n2' })] }), 'handle other on node n2'],
    ['claimed by another node', block({ reserves: [reserve('10.0.0.1', 'n2')] }), 'node n2, which has claimed it ahead'],
  ])('%s: nothing is taken away, and it is said', (_, current, other) => {
    expect(plan(current, { held: [held('10.0.0.1')] })).toMatchObject({ next: null, conflicts: [{ other }] })
  })

  test('a name beyond those of the block moves the block past it', () => {
    expect(plan(block(), { held: [held('10.0.0.1', 'h', 90)] }).next?.sequence).toBe(90)
  })
})

describe('what is released', () => {
  test.each([
    ['was written', block({ allocations: [allocation('10.0.0.1')] }), true],
    ['was never written', block({ reserves: [reserve('10.0.0.1')] }), true],
    ['is of another allocation by now', block({ allocations: [allocation('10.0.0.1', { sequence: 8 })] }), false],
    ['is of another handle by now', block({ allocations: [allocation('10.0.0.1', { handle: 'other' })] }), false],
    ['is claimed anew', block({ reserves: [reserve('10.0.0.1', 'n1', 8)] }), false],
    ['is claimed by another node', block({ reserves: [reserve('10.0.0.1', 'n2')] }), false],
    ['is free', block(), false],
  ])('%s', (_, current, isFreed) => {
    const { next } = plan(current, { releasing: [held('10.0.0.1')] })
    expect(next === null ? [] : next.released.map(({ address }) => formatIp(address))).toEqual(isFreed ? ['10.0.0.1'] : [])
    expect(next === null).toBe(!isFreed)
  })

  test('and held again by another handle: it ends up held', () => {
    const wants = { releasing: [held('10.0.0.1')], held: [held('10.0.0.1', 'new', 60)] }
    expect(plan(block({ allocations: [allocation('10.0.0.1')] }), wants).next).toMatchObject({
      allocations: [{ handle: 'new', sequence: 60 }],
      released: [],
    })
  })
})

describe('claims', () => {
  test('as many as there are, of those that have rested', () => {
    const released = [{ address: ip('10.0.0.6'), sequence: 3, time: null }]
    const { next } = plan(block({ released }), { claim: 20 }, { readyAtMs: () => 30_000 })
    expect(next?.reserves).toHaveLength(7)
    expect(new Set(next?.reserves.map(({ sequence }) => sequence)).size).toBe(7)
  })

  test('what is given up is told, what has been handed out meanwhile is not given up', () => {
    const reserves = [reserve('10.0.0.1'), reserve('10.0.0.2')]
    const { next, givenUp } = plan(block({ reserves }), { giveUp: reserves, held: [held('10.0.0.1')] })
    expect(givenUp).toEqual([reserve('10.0.0.2')])
    expect(next).toMatchObject({ reserves: [], allocations: [{ address: ip('10.0.0.1') }] })
  })
})

describe('state', () => {
  test('pending becomes confirmed when asked for, or when something in it is held; never somebody else’s', () => {
    const pending = block({ state: 'Pending' })
    expect(plan(pending).next).toBeNull()
    expect(plan(pending, { confirm: true }).next?.state).toBe('Confirmed')
    expect(plan(pending, { held: [held('10.0.0.1')] }).next?.state).toBe('Confirmed')
    expect(plan({ ...pending, node: 'n2' }, { confirm: true }).next).toBeNull()
  })

  test('an empty block retires with all its claims', () => {
    const { next, givenUp } = plan(block({ reserves: [reserve('10.0.0.1')] }), { retire: true })
    expect(next).toMatchObject({ state: 'Pending', reserves: [] })
    expect(givenUp).toHaveLength(1)
  })

  test.each([
    ['in use', block({ allocations: [allocation('10.0.0.1', { node: 'n2' })] }), {}],
    ['claimed by another node', block({ reserves: [reserve('10.0.0.1', 'n2')] }), {}],
    ['of another node', block({ node: 'n2' }), {}],
    ['resting', block({ released: [{ address: ip('10.0.0.1'), sequence: 3, time: null }] }), { readyAtMs: () => 1 }],
  ])('one that is %s does not', (_, current, context) => expect(plan(current, { retire: true }, context).next).toBeNull())
})
