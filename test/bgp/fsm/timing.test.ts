import { describe, expect, test } from '@jest/globals'
import { agreedHoldSeconds, agreedKeepaliveSeconds, sendHoldSeconds, timerMs } from '../../../src/bgp/fsm/index.ts'

describe('timer values', () => {
  test('ConnectRetryTimer and KeepaliveTimer are jittered to 0.75..1.0, the HoldTimer is exact (RFC 4271 §10)', () => {
    expect([timerMs('connectRetry', 8, 0), timerMs('connectRetry', 8, 1)]).toEqual([6_000, 8_000])
    expect([timerMs('keepalive', 40, 0), timerMs('keepalive', 40, 0.5)]).toEqual([30_000, 35_000])
    expect([timerMs('hold', 90, 0), timerMs('hold', 90, 0.5)]).toEqual([90_000, 90_000])
  })

  test('[rule 11] jitter never makes KEEPALIVEs more frequent than one a second', () => {
    expect(timerMs('keepalive', 1, 0)).toBe(1_000)
  })

  test('[rule 20] the hold time is the smaller of both, and 0 on either side turns the timers off', () => {
    expect([agreedHoldSeconds(90, 30), agreedHoldSeconds(9, 90), agreedHoldSeconds(0, 90), agreedHoldSeconds(90, 0)]).toEqual([
      30,
      9,
      null,
      null,
    ])
    expect(agreedKeepaliveSeconds(30, null)).toBeNull()
  })

  test('KEEPALIVEs go at least three times per hold time, and no faster than one a second (RFC 4271 §4.4)', () => {
    expect([agreedKeepaliveSeconds(30, 90), agreedKeepaliveSeconds(30, 9), agreedKeepaliveSeconds(2, 90)]).toEqual([30, 3, 2])
    expect([agreedKeepaliveSeconds(0, 90), agreedKeepaliveSeconds(30, 3)]).toEqual([30, 1])
  })

  test('[rule 45] the send hold time is eight minutes or twice the hold time, off without hold time (RFC 9687 §3.1)', () => {
    expect([sendHoldSeconds(90, null), sendHoldSeconds(600, null), sendHoldSeconds(null, null)]).toEqual([480, 1_200, null])
    expect([sendHoldSeconds(90, 20), sendHoldSeconds(null, 20)]).toEqual([20, null])
  })
})
