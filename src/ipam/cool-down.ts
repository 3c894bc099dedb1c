// How long a released address has rested, by this machine's own monotonic clock: from when it was first seen as released. Times in
// blocks are for people and never compared, since two machines' clocks need not agree.
import type { BlockRecord, BlockReleased } from './block-record.ts'
import { nameOf } from './plan.ts'

/** Longer than any cool-down, and than anybody goes on asking for an address. */
const FORGET_MS = 3_600_000

export class CoolDown {
  /** By address and sequence. */
  readonly #seen = new Map<string, { readonly firstMs: number; lastMs: number }>()

  /** Takes note of what a block shows as released; from now on that rests. */
  see(block: BlockRecord, nowMs: number): void {
    for (const released of block.released) {
      const key = nameOf(released)
      const known = this.#seen.get(key)
      if (known === undefined) this.#seen.set(key, { firstMs: nowMs, lastMs: nowMs })
      else known.lastMs = nowMs
    }
  }

  /** When it has rested for `coolDownMs`; `nowMs` is when it is first seen, if that is now. */
  readyAtMs(released: BlockReleased, coolDownMs: number, nowMs: number): number {
    return (this.#seen.get(nameOf(released))?.firstMs ?? nowMs) + coolDownMs
  }

  /** Forgets what has not been seen for an hour. */
  forget(nowMs: number): void {
    for (const [key, { lastMs }] of this.#seen) if (nowMs - lastMs > FORGET_MS) this.#seen.delete(key)
  }
}
