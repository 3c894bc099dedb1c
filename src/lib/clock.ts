// Time as a port. Only this file touches timers; pure code never sees a clock, shells receive one.

export interface Clock {
  /** Monotonic milliseconds since an arbitrary start; never jumps with the wall clock. */
  nowMs(): number
  /** Wall-clock milliseconds since the Unix epoch, for display only. */
  wallMs(): number
  /** Calls `fire` once after `delayMs`; disposing before then cancels it. */
  after(delayMs: number, fire: () => void): Disposable
  /** Calls `fire` once when what is waiting in the event loop has had its turn; disposing before then cancels it. */
  soon(fire: () => void): Disposable
}

/** The real clock. Its timers do not keep a process alive that has nothing else to do. */
export const systemClock: Clock = {
  nowMs: () => performance.now(),
  wallMs: () => Date.now(),
  after(delayMs, fire) {
    const timer = setTimeout(fire, Math.min(delayMs, 0x7fff_ffff))
    timer.unref()
    return { [Symbol.dispose]: () => clearTimeout(timer) }
  },
  soon(fire) {
    const immediate = setImmediate(fire)
    return { [Symbol.dispose]: () => clearImmediate(immediate) }
  },
}

/**
 * Waits in real time and keeps the process alive meanwhile: for what waits on other processes (a file lock), never for protocol
 * timers. Rejects with the reason of `signal` when that aborts.
 */
export function sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const aborted = (): void => {
      clearTimeout(timer)
      reject(signal?.reason)
    }
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', aborted)
      resolve()
    }, delayMs)
    if (signal?.aborted === true) aborted()
    else signal?.addEventListener('abort', aborted, { once: true })
  })
}

/** A clock for tests: time stands still until `advance` is called, then timers fire in the order they are due. */
export class FakeClock implements Clock {
  #nowMs = 0
  #sequence = 0
  readonly #timers = new Map<number, { readonly dueMs: number; readonly fire: () => void }>()

  nowMs(): number {
    return this.#nowMs
  }

  wallMs(): number {
    return this.#nowMs
  }

  after(delayMs: number, fire: () => void): Disposable {
    const id = this.#sequence++
    this.#timers.set(id, { dueMs: this.#nowMs + Math.max(0, delayMs), fire })
    return { [Symbol.dispose]: () => void this.#timers.delete(id) }
  }

  soon(fire: () => void): Disposable {
    return this.after(0, fire)
  }

  /** Moves time forward, firing everything that falls due on the way, also what a fired timer arms. */
  advance(byMs: number): void {
    const untilMs = this.#nowMs + byMs
    for (let next = this.#earliest(untilMs); next !== undefined; next = this.#earliest(untilMs)) {
      const timer = this.#timers.get(next)
      this.#timers.delete(next)
      if (timer === undefined) continue
      this.#nowMs = Math.max(this.#nowMs, timer.dueMs)
      timer.fire()
    }
    this.#nowMs = untilMs
  }

  /** How many timers are armed: a test of "every resource is given back" ends with 0. */
  get armed(): number {
    return this.#timers.size
  }

  #earliest(untilMs: number): number | undefined {
    let best: number | undefined
    let bestDueMs = untilMs
    for (const [id, { dueMs }] of this.#timers) {
      if (dueMs < bestDueMs || (dueMs === bestDueMs && best === undefined)) {
        best = id
        bestDueMs = dueMs
      }
    }
    return best
  }
}
