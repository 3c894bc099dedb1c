// Proof that a thread's loop turns: a beat a second, with the longest delay the loop suffered since the last one.
import { monitorEventLoopDelay } from 'node:perf_hooks'
import type { Beat } from './threads.ts'

const BEAT_EVERY_MS = 1_000
/** A loop that has not beaten for this long is stuck. */
export const STUCK_AFTER_MS = 15_000

/** A look wakes the thread, so that looking often is most of what an idle agent costs. A shorter delay may go unseen. */
const LOOK_EVERY_MS = 100

export function startBeat(send: (beat: Beat) => void): Disposable {
  const delay = monitorEventLoopDelay({ resolution: LOOK_EVERY_MS })
  delay.enable()
  const timer = setInterval(() => {
    const maxLagMs = Math.max(0, delay.max / 1e6 - LOOK_EVERY_MS)
    delay.reset()
    send({ kind: 'beat', maxLagMs: Number.isFinite(maxLagMs) ? maxLagMs : 0, heapUsedBytes: process.memoryUsage().heapUsed })
  }, BEAT_EVERY_MS)
  timer.unref()
  return {
    [Symbol.dispose]() {
      clearInterval(timer)
      delay.disable()
    },
  }
}

/** The last beat of every loop. */
export class Beats {
  readonly #last = new Map<string, { readonly atMs: number; readonly beat: Beat }>()
  readonly #nowMs: () => number

  constructor(loops: readonly string[], nowMs: () => number) {
    this.#nowMs = nowMs
    for (const loop of loops) this.#last.set(loop, { atMs: nowMs(), beat: { kind: 'beat', maxLagMs: 0, heapUsedBytes: 0 } })
  }

  record(loop: string, beat: Beat): void {
    this.#last.set(loop, { atMs: this.#nowMs(), beat })
  }

  stuck(): readonly string[] {
    const nowMs = this.#nowMs()
    return [...this.#last].filter(([, { atMs }]) => nowMs - atMs > STUCK_AFTER_MS).map(([loop]) => loop)
  }

  entries(): readonly { readonly loop: string; readonly maxLagMs: number; readonly heapUsedBytes: number; readonly ageMs: number }[] {
    const nowMs = this.#nowMs()
    return [...this.#last].map(([loop, { atMs, beat }]) => ({
      loop,
      maxLagMs: beat.maxLagMs,
      heapUsedBytes: beat.heapUsedBytes,
      ageMs: nowMs - atMs,
    }))
  }
}
