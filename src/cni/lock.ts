// Who may work at what: one at a time for a key, a bounded number at once in all. Waiters are served in the order they came, and
// leave the queue when their signal aborts.

class Queue {
  readonly #limit: number
  #running = 0
  readonly #waiting = new Set<() => void>()

  constructor(limit: number) {
    this.#limit = limit
  }

  get isIdle(): boolean {
    return this.#running === 0 && this.#waiting.size === 0
  }

  async enter(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (this.#running < this.#limit) {
      this.#running++
      return
    }
    await new Promise<void>((resolve, reject) => {
      const entered = (): void => {
        signal.removeEventListener('abort', left)
        resolve()
      }
      const left = (): void => {
        this.#waiting.delete(entered)
        reject(signal.reason)
      }
      this.#waiting.add(entered)
      signal.addEventListener('abort', left, { once: true })
    })
  }

  leave(): void {
    const [next] = this.#waiting
    if (next === undefined) {
      this.#running--
      return
    }
    this.#waiting.delete(next) // its place passes on: the number of those running stays
    next()
  }
}

/** At most `limit` holders at once. */
export class Semaphore {
  readonly #queue: Queue

  constructor(limit: number) {
    this.#queue = new Queue(limit)
  }

  /** Resolves to the place, to be disposed; rejects with the signal's reason when that aborts first. */
  async acquire(signal: AbortSignal): Promise<Disposable> {
    await this.#queue.enter(signal)
    return { [Symbol.dispose]: () => this.#queue.leave() }
  }
}

/** One holder at a time for each key. */
export class KeyedLock {
  readonly #queues = new Map<string, Queue>()

  /** Resolves to the lock, to be disposed; rejects with the signal's reason when that aborts first. */
  async acquire(key: string, signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted()
    const queue = this.#queues.get(key) ?? new Queue(1)
    this.#queues.set(key, queue)
    await queue.enter(signal)
    return {
      [Symbol.dispose]: () => {
        queue.leave()
        if (queue.isIdle) this.#queues.delete(key)
      },
    }
  }
}
