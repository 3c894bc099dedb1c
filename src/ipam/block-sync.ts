// Keeps what the node knows of its blocks and what the store has in step (shell): reads all of them, or those that a watch has shown to
// be others than we think, and writes what the store does not know yet.
import { formatPrefix, type Prefix } from '../net/index.ts'
import type { BlockWriter } from './block-writer.ts'
import type { NodeBlocks } from './node-blocks.ts'

export class BlockSync {
  readonly #blocks: NodeBlocks
  readonly #writer: BlockWriter
  readonly #nowMs: () => number
  /** What a watch showed last, by block; null: it is gone. */
  readonly #shown = new Map<string, string | null>()
  #readAtMs = Number.NEGATIVE_INFINITY
  #wantsAll = false

  constructor(blocks: NodeBlocks, writer: BlockWriter, nowMs: () => number) {
    this.#blocks = blocks
    this.#writer = writer
    this.#nowMs = nowMs
  }

  /** When all blocks were last read. */
  get readAtMs(): number {
    return this.#readAtMs
  }

  /** Something is to be read before its time. */
  get isBehind(): boolean {
    return this.#wantsAll || this.#shown.size > 0
  }

  wantAll(): void {
    this.#wantsAll = true
  }

  /** A watch has shown a block at this version. Our own writes come back like this, too: those make no work. */
  shown(range: Prefix, version: string | null): void {
    this.#shown.set(formatPrefix(range), version)
  }

  /** Reads those that were shown to be others than we think; all of them if that was asked for, or if one is new to us. */
  async catchUp(): Promise<void> {
    for (const [key, version] of this.#shown) {
      this.#shown.delete(key)
      const tracked = this.#blocks.tracked.get(key)
      if (tracked === undefined) {
        if (version !== null) this.#wantsAll = true
      } else if ((tracked.stored?.version ?? null) !== version) {
        await this.#writer.read(tracked)
        this.#blocks.untrackIfUnused(tracked)
      }
    }
    if (this.#wantsAll) await this.readAll()
    else this.#blocks.settle(this.#nowMs())
  }

  /** Reads every block that this node has to do with. */
  async readAll(): Promise<void> {
    this.#wantsAll = false
    const listed = await this.#writer.listOwn()
    const nowMs = this.#nowMs()
    const seen = new Set(
      listed.map((stored) => {
        const tracked = this.#blocks.track(stored.block.range)
        this.#blocks.observe(tracked, stored, nowMs)
        return tracked
      }),
    )
    for (const tracked of this.#blocks.tracked.values()) {
      if (seen.has(tracked)) continue
      await this.#writer.read(tracked)
      this.#blocks.untrackIfUnused(tracked)
    }
    this.#blocks.settle(this.#nowMs())
    this.#readAtMs = this.#nowMs()
  }

  /** Tells the store all it does not know; false: some of it has to be told again. */
  async flush(): Promise<boolean> {
    let isComplete = true
    for (const tracked of this.#blocks.tracked.values()) {
      if (!tracked.mustRead && tracked.unwritten() === 0) continue
      const outcome = await this.#writer.write(tracked)
      if (outcome === 'contended' || outcome === 'refused') isComplete = false
      else this.#blocks.untrackIfUnused(tracked)
    }
    return isComplete
  }
}
