// Exponential back-off with jitter, as a pure function of the attempt and a random number.

export type BackoffLimits = { readonly baseMs: number; readonly capMs: number }

/**
 * Delay before attempt `attempt` (0 is the first retry): base doubled each time up to the cap, then jittered to 0.75..1.0
 * of itself (RFC 4271 §10 uses the same band). `random` is in [0, 1).
 */
export function backoffMs(attempt: number, { baseMs, capMs }: BackoffLimits, random: number): number {
  const full = Math.min(capMs, baseMs * 2 ** Math.min(attempt, 30))
  return full * (0.75 + 0.25 * random)
}
