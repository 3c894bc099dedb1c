// Values and jitter of the session timers (RFC 4271 §10, RFC 9687 §3.1).
import type { TimerName } from './action.ts'

/** KEEPALIVEs never go out more often than once a second (RFC 4271 §4.4). */
export const MIN_KEEPALIVE_MS = 1_000

/**
 * Milliseconds for a timer of `seconds`. ConnectRetryTimer and KeepaliveTimer are jittered to 0.75..1.0 of their value (RFC 4271
 * §10), the HoldTimer is exact. `random` is in [0, 1).
 */
export function timerMs(timer: TimerName, seconds: number, random: number): number {
  const exactMs = seconds * 1_000
  const jitteredMs = exactMs * (0.75 + 0.25 * random)
  switch (timer) {
    case 'hold':
      return exactMs
    case 'connectRetry':
      return jitteredMs
    case 'keepalive':
      return Math.max(MIN_KEEPALIVE_MS, jitteredMs)
  }
}

/** RFC 9687 §3.1: eight minutes or twice the hold time, whichever is more; off (null) without a hold time. */
export function sendHoldSeconds(holdTimeSeconds: number | null, configuredSeconds: number | null): number | null {
  if (holdTimeSeconds === null) return null
  return configuredSeconds ?? Math.max(480, 2 * holdTimeSeconds)
}

/** The smaller of both offers; null if either is 0 (RFC 4271 §4.2). */
export function agreedHoldSeconds(mine: number, theirs: number): number | null {
  const agreed = Math.min(mine, theirs)
  return agreed === 0 ? null : agreed
}

/** KEEPALIVE interval: as configured, but at most a third of the agreed hold time (RFC 4271 §4.4) and at least a second. */
export function agreedKeepaliveSeconds(configured: number, holdTimeSeconds: number | null): number | null {
  if (holdTimeSeconds === null) return null
  const third = Math.floor(holdTimeSeconds / 3)
  return Math.max(1, configured > 0 ? Math.min(configured, third) : third)
}
