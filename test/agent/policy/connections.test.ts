// Which connections are cut: each judged by its flow, equal flows once, in slices.
import { expect, test } from '@jest/globals'
import { ConnectionCutter, type ConnectionsDeps } from '../../../src/agent/policy/connections.ts'
import type { Connection } from '../../../src/agent/threads.ts'
import { FakeClock } from '../../../src/lib/clock.ts'
import { silentLog } from '../../../src/lib/log.ts'
import { ip } from '../../../src/net/index.ts'
import type { Flow } from '../../../src/policy/index.ts'
import { settle } from './world.ts'

const FLOW: Flow = { source: ip('192.0.2.1'), destination: ip('10.0.0.1'), protocol: 6, destinationPort: 80 }
const PODS = [ip('10.0.0.1')]

/** A cutter over these connections that denies all unless it is told otherwise. */
function world(connections: readonly Connection[], over: Partial<ConnectionsDeps> = {}) {
  const clock = new FakeClock()
  const judged: Flow[] = []
  const cuts: { readonly cut: readonly number[]; readonly restored: readonly number[] }[] = []
  const failures: unknown[] = []
  const cutter = new ConnectionCutter({
    clock,
    log: { ...silentLog, error: (event) => void failures.push(event) },
    list: async () => connections,
    cut: async (wanted) => {
      cuts.push(wanted)
      return wanted.cut.length
    },
    isAllowed: (flow) => {
      judged.push(flow)
      return false
    },
    ...over,
  })
  return { cutter, clock, judged, cuts, failures }
}

test.each([
  ['source', { source: ip('192.0.2.2') }],
  ['destination', { destination: ip('10.0.0.2') }],
  ['protocol', { protocol: 17 }],
  ['destination port', { destinationPort: 443 }],
  ['ICMP type', { icmpType: 8 }],
  ['translation', { isTranslated: true }],
])('equal flows are judged once; those that differ in %s are judged each for itself', async (_, difference) => {
  const flows = [FLOW, FLOW, { ...FLOW, ...difference }]
  const { cutter, judged, cuts } = world(flows.map((flow, id) => ({ id, flow, isCut: false })))
  await cutter.review(PODS)
  expect(judged).toEqual([FLOW, { ...FLOW, ...difference }])
  expect(cuts).toEqual([{ cut: [0, 1, 2], restored: [] }])
})

test('where nothing is to be cut or restored nothing is asked for; nor is anything listed for nobody', async () => {
  let lists = 0
  const list = async () => {
    lists++
    return [{ id: 0, flow: FLOW, isCut: true }]
  }
  const { cutter, cuts } = world([], { list })
  await cutter.review([])
  expect(lists).toBe(0)
  await cutter.review(PODS)
  expect([lists, cuts]).toEqual([1, []])
})

test('the figure counts those that were still there to be cut, over all reviews', async () => {
  const { cutter } = world(
    [0, 1, 2].map((id) => ({ id, flow: FLOW, isCut: false })),
    { cut: async () => 2 },
  )
  await cutter.review(PODS)
  await cutter.review(PODS)
  expect(cutter.figure).toBe(4)
})

test.each(['list', 'cut'] as const)('a %s that fails is logged, and the next review is as any other', async (which) => {
  let isAway = true
  const connections = [{ id: 0, flow: FLOW, isCut: false }]
  const fail = async (): Promise<never> => {
    throw new Error('no conntrack')
  }
  const { cutter, failures } = world(connections, {
    list: async () => (isAway && which === 'list' ? fail() : connections),
    cut: async () => (isAway && which === 'cut' ? fail() : 1),
  })
  await cutter.review(PODS)
  expect([failures, cutter.figure]).toEqual([['agent.policy.connectionsFailed'], 0])
  isAway = false
  await cutter.review(PODS)
  expect(cutter.figure).toBe(1)
})

test('to judge many flows is no reason to keep others waiting', async () => {
  const flows = Array.from({ length: 10 }, (_, at): Flow => ({ ...FLOW, destinationPort: at + 1 }))
  const judged: number[] = []
  const { cutter, clock, cuts } = world(
    flows.map((flow, id) => ({ id, flow, isCut: false })),
    {
      isAllowed: ({ destinationPort }) => {
        judged.push(destinationPort ?? 0)
        clock.advance(2)
        return false
      },
    },
  )
  const review = cutter.review(PODS)
  const slices: number[] = []
  for (await settle(); clock.armed > 0; await settle()) {
    slices.push(judged.length)
    clock.advance(0)
  }
  await review
  expect(slices).toEqual([3, 6, 9]) // 2 ms each, others have their turn after more than 5 ms
  expect(cuts).toEqual([{ cut: flows.map((_, id) => id), restored: [] }])
})
