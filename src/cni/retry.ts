// Work that must be done at last: tried again, more and more slowly, until it succeeds or the agent ends.
import { backoffMs } from '../lib/backoff.ts'
import type { Clock } from '../lib/clock.ts'

const LIMITS = { baseMs: 250, capMs: 30_000 }

/**
 * Runs `work` until it resolves; `failed` hears of each failure. Resolves to true when it has, to false when `signal` aborted; never rejects.
 */
export async function untilDone(
  work: () => Promise<void>,
  { clock, signal, failed }: { readonly clock: Clock; readonly signal: AbortSignal; failed(error: unknown, attempt: number): void },
): Promise<boolean> {
  for (let attempt = 0; !signal.aborted; attempt++) {
    try {
      await work()
      return true
    } catch (error) {
      if (signal.aborted) break
      failed(error, attempt)
      await pause(clock, backoffMs(attempt, LIMITS, Math.random()), signal)
    }
  }
  return false
}

/** Resolves after `delayMs` or when `signal` aborts. */
function pause(clock: Clock, delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const over = (): void => {
      timer[Symbol.dispose]()
      signal.removeEventListener('abort', over)
      resolve()
    }
    const timer = clock.after(delayMs, over)
    signal.addEventListener('abort', over, { once: true })
    if (signal.aborted) over()
  })
}
