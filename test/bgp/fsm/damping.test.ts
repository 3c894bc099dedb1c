import { describe, expect, test } from '@jest/globals'
import { type Damping, type IdleCause, idleHold, STABLE_AFTER_MS, UNDAMPED } from '../../../src/bgp/fsm/index.ts'

const FAILED: IdleCause = { kind: 'failed', establishedForMs: null }

/** Delays of a run of equal causes, without jitter (random just under 1). */
function delays(cause: IdleCause, times: number, connectRetrySeconds = 5): readonly number[] {
  const seen: number[] = []
  let damping: Damping = UNDAMPED
  for (let i = 0; i < times; i++) {
    const hold = idleHold(damping, cause, connectRetrySeconds, 1)
    damping = hold.damping
    seen.push(hold.delayMs)
  }
  return seen
}

describe('[rule 52] idle hold', () => {
  test('failures double the rest up to a minute', () => {
    expect(delays(FAILED, 8)).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
  })

  test('an absent peer is dialled at least every ConnectRetryTime', () => {
    expect(delays({ kind: 'dialFailed' }, 5)).toEqual([1_000, 2_000, 4_000, 5_000, 5_000])
    expect(delays({ kind: 'dialFailed' }, 2, 0)).toEqual([1_000, 1_000])
  })

  test('jitter takes away up to a quarter', () => {
    expect(idleHold(UNDAMPED, FAILED, 5, 0).delayMs).toBe(750)
  })

  test('five stable minutes are forgiveness; a moment less is not', () => {
    const damped: Damping = { connectRetryCounter: 5, failedDials: 0 }
    expect(idleHold(damped, { kind: 'failed', establishedForMs: STABLE_AFTER_MS }, 5, 1)).toEqual({
      damping: { connectRetryCounter: 1, failedDials: 0 },
      delayMs: 1_000,
      admitsIncoming: true,
    })
    expect(idleHold(damped, { kind: 'failed', establishedForMs: STABLE_AFTER_MS - 1 }, 5, 1).delayMs).toBe(32_000)
  })

  test('a peer that is expected back is not damped for it, nor forgiven', () => {
    const damped: Damping = { connectRetryCounter: 4, failedDials: 2 }
    expect(idleHold(damped, { kind: 'expectedBack' }, 5, 1)).toEqual({
      damping: { connectRetryCounter: 4, failedDials: 0 },
      delayMs: 1_000,
      admitsIncoming: true,
    })
  })

  test('only a peer that keeps failing is refused meanwhile', () => {
    const first = idleHold(UNDAMPED, FAILED, 5, 1)
    expect(first.admitsIncoming).toBe(true)
    expect(idleHold(first.damping, FAILED, 5, 1).admitsIncoming).toBe(false)
    expect(idleHold(first.damping, { kind: 'dialFailed' }, 5, 1).admitsIncoming).toBe(true)
  })
})
