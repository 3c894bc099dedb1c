// What the node has found out about each pool: which have nothing left, and of which something is to be kept ready. No I/O.
import type { Log } from '../lib/log.ts'
import { bitsOf, type IpFamily, prefixFamily } from '../net/index.ts'
import type { AssignFault, PoolConfig } from './contract.ts'
import type { NodeBlocks } from './node-blocks.ts'
import { isGeneral, isUsable, titleOf } from './pools.ts'

const STALE_MS = 300_000
/** Two refills of a pool this close together: pods come quickly. */
const QUICKLY_MS = 1_000

export class PoolState {
  readonly #blocks: NodeBlocks
  readonly #reserveSize: number
  readonly #nowMs: () => number
  readonly #log: Log
  /** By name of the pool. */
  readonly #exhausted = new Map<string, { readonly message: string; readonly atMs: number }>()
  /** When something was last claimed ahead, by name of the pool. */
  readonly #filledAtMs = new Map<string, number>()
  /** Pools for some pods only that have been asked for: something is kept ready there too. */
  readonly #askedFor = new Set<string>()

  constructor(blocks: NodeBlocks, reserveSize: number, nowMs: () => number, log: Log) {
    this.#blocks = blocks
    this.#reserveSize = reserveSize
    this.#nowMs = nowMs
    this.#log = log
  }

  /** Nothing that was found out holds any more: the pools are others. */
  forget(): void {
    this.#exhausted.clear()
    this.#filledAtMs.clear()
  }

  /** What came of asking the pool for addresses; null: it gave what was wanted. */
  note({ name }: PoolConfig, message: string | null): void {
    this.#filledAtMs.set(name, this.#nowMs())
    if (message === null) this.#exhausted.delete(name)
    else {
      if (!this.#exhausted.has(name)) this.#log.warn('ipam.pool.exhausted', { pool: name, message })
      this.#exhausted.set(name, { message, atMs: this.#nowMs() })
    }
  }

  askedFor(pool: PoolConfig): void {
    if (pool.namespaceSelector !== null) this.#askedFor.add(pool.name)
  }

  /** Found out at most `latelyMs` ago, or since `sinceMs`. */
  isExhausted({ name }: PoolConfig, latelyMs: number, sinceMs = Number.POSITIVE_INFINITY): boolean {
    const found = this.#exhausted.get(name)
    return found !== undefined && (found.atMs >= sinceMs || this.#nowMs() - found.atMs < latelyMs)
  }

  faultOf(pools: readonly PoolConfig[]): AssignFault {
    const messages = pools.map((pool) => this.#exhausted.get(pool.name)?.message ?? `${titleOf(pool)} has no address left for this node`)
    return { kind: 'exhausted', message: messages.join('. ') }
  }

  /** By name of the pool: why it has nothing left. */
  messages(): ReadonlyMap<string, string> {
    const messages = new Map<string, string>()
    for (const pool of this.#blocks.config.pools) {
      const found = this.#exhausted.get(pool.name)
      // Where nothing is kept ready, nobody asks again by himself: after a while nobody can tell.
      if (found !== undefined && (this.targetOf(pool) > 0 || this.#nowMs() - found.atMs < STALE_MS)) messages.set(pool.name, found.message)
    }
    return messages
  }

  /** Addresses to be kept ready: in the first pool of a family that any pod may take from and that has some, and wherever pods asked. */
  targetOf(pool: PoolConfig): number {
    if (!isUsable(pool) || pool.assignmentMode === 'Manual') return 0
    const size = Math.min(this.#reserveSize, quarterOf(pool))
    if (pool.namespaceSelector !== null) return this.#askedFor.has(pool.name) ? Math.ceil(size / 2) : 0
    const general = this.generalPools(prefixFamily(pool.range))
    const before = general.slice(
      0,
      general.findIndex(({ name }) => name === pool.name),
    )
    return before.every(({ name }) => this.#exhausted.has(name)) ? size : 0
  }

  /**
   * Addresses to claim of own blocks when little is ready: twice the target while pods come quickly, at most a quarter of a block, so
   * that one write of a block serves many of them. Housekeeping lets a pool keep as many.
   */
  aheadOf(pool: PoolConfig): number {
    const target = this.targetOf(pool)
    const filledAtMs = this.#filledAtMs.get(pool.name)
    if (filledAtMs === undefined || this.#nowMs() - filledAtMs >= QUICKLY_MS) return target
    return Math.max(target, Math.min(2 * target, quarterOf(pool)))
  }

  /** Less than half of what is to be kept ready is. */
  isLow(pool: PoolConfig): boolean {
    return this.#blocks.slotsIn(pool) * 2 < this.targetOf(pool)
  }

  /** Pools that any pod of the node may take from, in order. */
  generalPools(family: IpFamily): readonly PoolConfig[] {
    return this.#blocks.config.pools.filter((pool) => isGeneral(pool) && prefixFamily(pool.range) === family)
  }
}

function quarterOf({ range, blockSize }: PoolConfig): number {
  return Math.max(1, Math.floor(2 ** (bitsOf(prefixFamily(range)) - blockSize) / 4))
}
