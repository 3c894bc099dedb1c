// One timer for several reasons to act: whoever asks, it fires once, at the earliest of the times asked for since it last fired.
import type { Clock } from './clock.ts'

export class EarliestTimer implements Disposable {
  readonly #clock: Clock
  readonly #fire: () => void
  #armed: { readonly dueMs: number; readonly timer: Disposable } | null = null
  #isDisposed = false

  /** `fire` may ask again. */
  constructor(clock: Clock, fire: () => void) {
    this.#clock = clock
    this.#fire = fire
  }

  /** Fires in so many milliseconds, or sooner if that was asked for; never from within this call. */
  within(delayMs: number): void {
    const dueMs = this.#clock.nowMs() + Math.max(0, delayMs)
    if (this.#isDisposed || (this.#armed !== null && this.#armed.dueMs <= dueMs)) return
    this.#armed?.timer[Symbol.dispose]()
    const fire = (): void => {
      this.#armed = null
      this.#fire()
    }
    this.#armed = { dueMs, timer: delayMs <= 0 ? this.#clock.soon(fire) : this.#clock.after(delayMs, fire) }
  }

  /** For good: what is asked for from now on is not done. */
  [Symbol.dispose](): void {
    this.#isDisposed = true
    this.#armed?.timer[Symbol.dispose]()
    this.#armed = null
  }
}
