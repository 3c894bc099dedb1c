// Waiting for something to become true, with a deadline.
import { sleep } from '../lib/clock.ts'

export type Patience = { readonly deadlineMs: number; readonly everyMs: number; readonly signal?: AbortSignal | undefined }

/**
 * Asks again and again until the answer is not null; null when `deadlineMs` have passed. The last question is asked after the
 * deadline, so that a slow machine gets a fair answer.
 */
export async function waitFor<T>(ask: () => Promise<T | null> | T | null, { deadlineMs, everyMs, signal }: Patience): Promise<T | null> {
  const until = performance.now() + deadlineMs
  for (;;) {
    const isLast = performance.now() >= until
    const answer = await ask()
    if (answer !== null || isLast) return answer
    await sleep(everyMs, signal)
  }
}
