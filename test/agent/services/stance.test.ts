// What a node does about one address: every row of the table.
import { expect, test } from '@jest/globals'
import { HAND_OVER_MS, type Standing, stance } from '../../../src/agent/services/stance.ts'

type Here = Parameters<typeof stance>[1]
const NOW = 10_000
const LONG = Number.NEGATIVE_INFINITY
const JUST = NOW - 1

test.each<readonly [Standing, Here, number | null, ReturnType<typeof stance>]>([
  ['excluded', 'serves', null, { kind: 'withhold' }],
  ['excluded', 'serves', LONG, { kind: 'withhold' }],
  ['in', 'nobody', null, { kind: 'withhold' }],
  ['cordoned', 'nobody', null, { kind: 'withhold' }],
  ['in', 'serves', null, { kind: 'advertise' }],
  ['in', 'serves', LONG, { kind: 'advertise' }],
  ['in', 'terminates', null, { kind: 'yield', untilMs: null }],
  ['in', 'terminates', JUST, { kind: 'yield', untilMs: JUST + HAND_OVER_MS }],
  ['in', 'terminates', NOW - HAND_OVER_MS, { kind: 'withhold' }],
  ['in', 'terminates', LONG, { kind: 'withhold' }],
  ['cordoned', 'serves', null, { kind: 'yield', untilMs: null }],
  ['cordoned', 'serves', JUST, { kind: 'yield', untilMs: JUST + HAND_OVER_MS }],
  ['cordoned', 'serves', LONG, { kind: 'withhold' }],
  ['cordoned', 'terminates', null, { kind: 'yield', untilMs: null }],
])('%s, %s, others since %p', (standing, here, othersSinceMs, expected) => {
  expect(stance(standing, here, othersSinceMs, NOW)).toEqual(expected)
})
