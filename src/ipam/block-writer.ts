// The only caller of the store: reads blocks, and changes them by compare-and-swap with what the node knows at that moment (shell).
import { abortable } from '../lib/abortable.ts'
import type { Clock } from '../lib/clock.ts'
import { type Log, quoteText } from '../lib/log.ts'
import { formatPrefix, type Prefix } from '../net/index.ts'
import { type BlockRecord, emptyBlock } from './block-record.ts'
import { type BlockStore, BlockStoreError, type BlockStoreErrorCode, type StoredBlock } from './block-store.ts'
import type { NodeBlocks } from './node-blocks.ts'
import { type BlockWants, planBlock } from './plan.ts'
import type { ReserveMemory } from './reserve-memory.ts'
import type { TrackedBlock } from './tracked-block.ts'

/**
 * `done`: the block is as asked, as far as it had room. `absent`: there is none, and none was needed. `refused`: the store will not
 * have it (see `refusal` of the block). `contended`: others were always faster.
 */
export type WriteOutcome = 'done' | 'absent' | 'refused' | 'contended'

const ATTEMPTS = 12
const LONGEST_PAUSE_MS = 200
const OPERATION_MS = 30_000
const FIRST_SEQUENCES = 2 ** 32

export class BlockWriter {
  readonly #store: BlockStore
  readonly #blocks: NodeBlocks
  readonly #clock: Clock
  readonly #random: () => number
  readonly #log: Log
  readonly #memory: ReserveMemory
  readonly #stop = new AbortController()

  constructor(deps: {
    readonly store: BlockStore
    readonly blocks: NodeBlocks
    readonly clock: Clock
    readonly random: () => number
    readonly log: Log
    readonly memory: ReserveMemory
  }) {
    this.#store = deps.store
    this.#blocks = deps.blocks
    this.#clock = deps.clock
    this.#random = deps.random
    this.#log = deps.log
    this.#memory = deps.memory
  }

  /** Ends all that waits on the store; nothing works afterwards. */
  stop(): void {
    this.#stop.abort(new BlockStoreError('UNAVAILABLE', 'IPAM has been stopped'))
  }

  async listOwn(): Promise<readonly StoredBlock[]> {
    return await this.#run((signal) => this.#store.listOf(this.#blocks.node, signal))
  }

  async listIn(range: Prefix): Promise<readonly StoredBlock[]> {
    return await this.#run((signal) => this.#store.listIn(range, signal))
  }

  async read(tracked: TrackedBlock): Promise<void> {
    this.#observe(tracked, await this.#run((signal) => this.#store.get(tracked.range, signal)))
  }

  /** Makes the block show what the node holds and releases, and what `extra` asks for. Rejects if the store cannot be reached. */
  async write(tracked: TrackedBlock, extra: Omit<BlockWants, 'held' | 'releasing'> = {}): Promise<WriteOutcome> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      if (attempt > 0) await this.#pause(attempt)
      if (tracked.mustRead) await this.read(tracked)
      const { stored } = tracked
      if (stored === null && tracked.held.size === 0) return 'absent'
      const plan = planBlock(stored?.block ?? this.#newBlock(tracked.range), this.#wants(tracked, extra), this.#context())
      tracked.conflicts = plan.conflicts
      if (plan.next === null) {
        this.#observe(tracked, stored) // what is to be released may be gone already
        return 'done'
      }
      if (stored === null) {
        // Somebody removed a block whose addresses are in use: it is made again, and confirmed in the next round.
        const code = await this.#create(tracked, { ...plan.next, state: 'Pending' })
        if (code === 'INVALID') return 'refused'
        continue
      }
      tracked.leave(plan.givenUp)
      const code = await this.#update(tracked, stored, plan.next)
      if (code === null) return 'done'
      if (code === 'INVALID') return 'refused'
    }
    return 'contended'
  }

  /** Makes a new, pending block of the node; false: there is one already. */
  async claimNew(range: Prefix): Promise<TrackedBlock | null> {
    const tracked = this.#blocks.track(range)
    const code = await this.#create(tracked, this.#newBlock(range))
    if (code === null) {
      this.#log.info('ipam.block.claimed', { block: tracked.key })
      tracked.doubt() // it is read once more before it is confirmed: a claim counts only as the store shows it
      return tracked
    }
    tracked.doubt()
    this.#blocks.untrackIfUnused(tracked)
    return null
  }

  /** Takes over an empty block that is nobody's; null: somebody else did. */
  async takeOver(stored: StoredBlock): Promise<TrackedBlock | null> {
    const tracked = this.#blocks.track(stored.block.range)
    this.#observe(tracked, stored)
    const code = await this.#update(tracked, stored, { ...stored.block, node: this.#blocks.node, state: 'Pending' })
    if (code === null) {
      this.#log.info('ipam.block.takenOver', { block: tracked.key })
      tracked.doubt()
      return tracked
    }
    this.#blocks.untrackIfUnused(tracked)
    return null
  }

  /** Deletes a pending block with nothing in it; false: it has changed. */
  async remove(tracked: TrackedBlock): Promise<boolean> {
    const { stored } = tracked
    if (stored === null) return true
    const code = await this.#attempt(tracked, async (signal) => {
      await this.#forget(stored, null)
      await this.#store.delete(stored, signal)
      return null
    })
    if (code !== null) return false
    this.#blocks.untrackIfUnused(tracked)
    this.#log.info('ipam.block.givenBack', { block: tracked.key })
    return true
  }

  #wants(tracked: TrackedBlock, extra: Omit<BlockWants, 'held' | 'releasing'>): BlockWants {
    return { held: tracked.held.values(), releasing: tracked.releasing.values(), ...extra }
  }

  #context(): ReturnType<NodeBlocks['context']> {
    return this.#blocks.context(this.#clock.nowMs(), this.#clock.wallMs())
  }

  #newBlock(range: Prefix): BlockRecord {
    return emptyBlock(range, this.#blocks.node, Math.floor(this.#random() * FIRST_SEQUENCES))
  }

  #observe(tracked: TrackedBlock, stored: StoredBlock | null): void {
    this.#blocks.observe(tracked, stored, this.#clock.nowMs())
  }

  async #create(tracked: TrackedBlock, block: BlockRecord): Promise<BlockStoreErrorCode | null> {
    return await this.#attempt(tracked, (signal) => this.#store.create(block, signal))
  }

  async #update(tracked: TrackedBlock, from: StoredBlock, to: BlockRecord): Promise<BlockStoreErrorCode | null> {
    return await this.#attempt(tracked, async (signal) => {
      await this.#forget(from, to)
      return await this.#store.update(from, to, signal)
    })
  }

  async #forget(from: StoredBlock, to: BlockRecord | null): Promise<void> {
    try {
      await this.#memory.forget(from, to)
    } catch (cause) {
      const message = `block ${formatPrefix(from.block.range)} is left as it is, because the state directory cannot be written: ${cause instanceof Error ? cause.message : String(cause)}`
      throw new BlockStoreError('UNAVAILABLE', message, { cause })
    }
  }

  /** null: it has happened; else why it has certainly not. Rejects when nobody can tell. */
  async #attempt(
    tracked: TrackedBlock,
    operation: (signal: AbortSignal) => Promise<StoredBlock | null>,
  ): Promise<BlockStoreErrorCode | null> {
    tracked.doubt()
    try {
      this.#observe(tracked, await this.#run(operation))
      tracked.refusal = null
      return null
    } catch (cause) {
      if (!(cause instanceof BlockStoreError) || cause.code === 'UNAVAILABLE') throw cause
      if (cause.code === 'INVALID') {
        const message = quoteText(cause.message)
        if (tracked.refusal !== message) this.#log.error('ipam.block.writeRefused', { block: tracked.key, err: cause })
        tracked.refusal = message
      }
      return cause.code
    }
  }

  /** Runs an operation of the store with a deadline; whatever goes wrong comes out as a `BlockStoreError`. */
  async #run<T>(operation: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.#stop.signal.throwIfAborted()
    const late = new AbortController()
    const signal = AbortSignal.any([this.#stop.signal, late.signal])
    using _ = this.#clock.after(OPERATION_MS, () =>
      late.abort(new BlockStoreError('UNAVAILABLE', `the store has not answered for ${OPERATION_MS / 1000} s`)),
    )
    try {
      return await abortable(operation(signal), signal)
    } catch (cause) {
      if (cause instanceof BlockStoreError) throw cause
      throw new BlockStoreError('UNAVAILABLE', cause instanceof Error ? cause.message : String(cause), { cause })
    }
  }

  /** Longer with every attempt, so that fifty writers of one block come apart. */
  async #pause(attempt: number): Promise<void> {
    const delayMs = Math.min(LONGEST_PAUSE_MS, 2 ** attempt) * this.#random()
    const { promise, resolve } = Promise.withResolvers<void>()
    using _ = this.#clock.after(delayMs, resolve)
    await abortable(promise, this.#stop.signal)
  }
}
