import { describe, expect, test } from '@jest/globals'
import { FlowRecord, total } from '../../src/lab/probe-record.ts'

/** Ten probes, one every 10 ms from 0 on; those in `answered` come back after 1 ms. */
function record(answered: readonly number[]): FlowRecord {
  const flow = new FlowRecord()
  for (let at = 0; at < 10; at++) {
    const sequence = flow.sending(at * 10)
    if (answered.includes(at)) flow.answered(sequence, at * 10 + 1)
  }
  return flow
}
const ALL = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]

describe('summary', () => {
  test('nothing lost', () => {
    expect(record(ALL).summary(50)).toEqual({
      sent: 10,
      lost: 0,
      outagesMs: [],
      longestOutageMs: 0,
      medianRttMs: 1,
      longestRttMs: 1,
      isSettled: true,
    })
  })
  test('an outage lasts from the first lost probe to the next that came through', () => {
    expect(record([0, 1, 5, 6, 8, 9]).summary(50)).toMatchObject({ lost: 4, outagesMs: [30, 10], longestOutageMs: 30 })
  })
  test('an outage that did not end is endless', () => {
    expect(record([0, 1, 2, 3]).summary(50)).toMatchObject({ lost: 6, longestOutageMs: Number.POSITIVE_INFINITY, isSettled: false })
  })
  test('settled: nothing sent within the last stretch was lost', () => {
    const flow = record([0, 3, 4, 5, 6, 7, 8, 9])
    expect([flow.summary(60).isSettled, flow.summary(75).isSettled]).toEqual([true, false])
  })
  test('only probes of the stretch asked about count', () => {
    expect(record([0, 1, 2, 6, 7, 8, 9]).summary(0, 20, 50)).toMatchObject({ sent: 3, lost: 2 })
    expect(record(ALL).summary(0, 1000)).toMatchObject({ sent: 0, lost: 0, isSettled: true })
  })
  test('a second answer and an answer to nothing change nothing', () => {
    const flow = record(ALL)
    flow.answered(3, 5000)
    flow.answered(77, 5000)
    expect(flow.summary(50)).toMatchObject({ lost: 0, longestRttMs: 1 })
  })
})

test('isFlowing: all of a stretch was answered, and there was something to answer', () => {
  const flow = record([0, 1, 2, 6, 7, 8, 9])
  expect([flow.isFlowing(60, 100), flow.isFlowing(40, 100), flow.isFlowing(0, 30), flow.isFlowing(200, 300)]).toEqual([
    true,
    false,
    true,
    false,
  ])
})

test('total: losses add up, outages do not', () => {
  expect(total([record(ALL).summary(50), record([0, 9]).summary(5), record([0, 2, 4, 6, 8, 9]).summary(5)])).toEqual({
    sent: 30,
    lost: 12,
    longestOutageMs: 80,
    isSettled: true,
    affectedFlows: 2,
  })
})
