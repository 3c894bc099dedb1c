// At most one run at a time and at most one waiting: work on one resource is serialized by a coalescer, not by flags.

export class Coalescer {
  readonly #turn: () => Promise<void>
  #running: Promise<void> | undefined
  #again = false

  /** `turn` must not reject: a failed turn reports itself and arranges its own retry. */
  constructor(turn: () => Promise<void>) {
    this.#turn = turn
  }

  /** Asks for a turn; resolves when a turn that began after this call has ended. */
  request(): Promise<void> {
    if (this.#running !== undefined) {
      this.#again = true
      return this.#running
    }
    this.#running = this.#loop()
    return this.#running
  }

  async #loop(): Promise<void> {
    try {
      do {
        this.#again = false
        await this.#turn()
      } while (this.#again)
    } finally {
      this.#running = undefined // in the same breath as the look at `#again`: a request in between would be lost
    }
  }
}
