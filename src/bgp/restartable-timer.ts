// A timer that is restarted far more often than it fires (every UPDATE restarts two): a restart only moves the due time, and the
// clock's own timer, firing early, goes on for the rest.
import type { Clock } from '../lib/clock.ts'

export class RestartableTimer implements Disposable {
  readonly #clock: Clock
  readonly #fire: () => void
  #dueMs = Number.POSITIVE_INFINITY
  #armed: { readonly atMs: number; readonly timer: Disposable } | null = null

  constructor(clock: Clock, fire: () => void) {
    this.#clock = clock
    this.#fire = fire
  }

  get isRunning(): boolean {
    return this.#dueMs !== Number.POSITIVE_INFINITY
  }

  /** Fires `delayMs` from now, whatever was planned before. */
  restart(delayMs: number): void {
    const nowMs = this.#clock.nowMs()
    this.#dueMs = nowMs + delayMs
    if (this.#armed === null || this.#armed.atMs > this.#dueMs) this.#arm(nowMs)
  }

  /** Cheap: the clock's timer stays and finds nothing to do. */
  stop(): void {
    this.#dueMs = Number.POSITIVE_INFINITY
  }

  [Symbol.dispose](): void {
    this.stop()
    this.#armed?.timer[Symbol.dispose]()
    this.#armed = null
  }

  #arm(nowMs: number): void {
    this.#armed?.timer[Symbol.dispose]()
    this.#armed = { atMs: this.#dueMs, timer: this.#clock.after(this.#dueMs - nowMs, () => this.#check()) }
  }

  #check(): void {
    this.#armed = null
    if (!this.isRunning) return
    const nowMs = this.#clock.nowMs()
    if (nowMs < this.#dueMs) {
      this.#arm(nowMs)
      return
    }
    this.stop()
    this.#fire()
  }
}
