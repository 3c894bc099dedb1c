// Exponential back-off with jitter, as a pure function of the attempt and a random number.

/** `jitter`: the share of a delay that is left to chance, 0 to 1; 0.25 if left out. */
export type BackoffLimits = { readonly baseMs: number; readonly capMs: number; readonly jitter?: number }

/**
 * Delay before attempt `attempt` (0 is the first retry): base doubled each time up to the cap, then jittered: to 0.75..1.0
 * of itself unless told otherwise (RFC 4271 §10 uses the same band). `random` is in [0, 1).
 */
export function backoffMs(attempt: number, { baseMs, capMs, jitter = 0.25 }: BackoffLimits, random: number): number {
  const full = Math.min(capMs, baseMs * 2 ** Math.min(attempt, 30))
  return full * (1 - jitter + jitter * random)
}
