// Says that something may have changed, after the change and never within it; changes that come together are told once (shell).
import type { Clock } from '../lib/clock.ts'

export class Announcer implements Disposable {
  readonly #clock: Clock
  readonly #tell: () => void
  #lastSeen: string | null = null
  #pending: Disposable | null = null

  constructor(clock: Clock, tell: () => void) {
    this.#clock = clock
    this.#tell = tell
  }

  /** `state` says in brief how things are; it is told unless it is as last seen. */
  see(state: string): void {
    if (state === this.#lastSeen) return
    this.#lastSeen = state
    this.#pending ??= this.#clock.soon(() => {
      this.#pending = null
      this.#tell()
    })
  }

  /** Takes back what has not been told yet. */
  [Symbol.dispose](): void {
    this.#pending?.[Symbol.dispose]()
  }
}
