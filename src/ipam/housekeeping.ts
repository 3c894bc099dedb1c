// What is done after every look at the blocks: leaks are released after their second sight, claims beyond need are given up, blocks
// that have been empty for long are given back (shell around `reservesToGiveUp` and `blocksToRetire`).
import type { Log } from '../lib/log.ts'
import { formatIp, type IpAddress, prefixFamily } from '../net/index.ts'
import { Block } from './block.ts'
import type { BlockReserve } from './block-record.ts'
import type { BlockWriter } from './block-writer.ts'
import type { PoolConfig } from './contract.ts'
import { LeakWatch } from './leaks.ts'
import type { NodeBlocks } from './node-blocks.ts'
import { nameOf } from './plan.ts'
import { isUsable } from './pools.ts'
import type { TrackedBlock } from './tracked-block.ts'

/** A block is pending for so long before it is deleted: by then no peer routes to this node for it. */
const PENDING_MS = 5_000

export type HousekeepingDeps = {
  readonly blocks: NodeBlocks
  readonly writer: BlockWriter
  readonly nowMs: () => number
  readonly log: Log
  readonly leakGraceMs: number
  readonly emptyGraceMs: number
  readonly isInUse: (address: IpAddress) => boolean
  /** Addresses to be kept ready in a pool. */
  readonly targetOf: (pool: PoolConfig) => number
}

export class Housekeeping {
  readonly #deps: HousekeepingDeps
  readonly #leaks: LeakWatch

  constructor(deps: HousekeepingDeps) {
    this.#deps = deps
    this.#leaks = new LeakWatch(deps.leakGraceMs)
  }

  /** All blocks have just been read. Rejects if the store cannot be reached. */
  async run(): Promise<void> {
    this.#releaseLeaks()
    await this.#removePending()
    await this.#giveUpReserves()
    await this.#retireEmpty()
  }

  #releaseLeaks(): void {
    const { blocks, nowMs, log, isInUse } = this.#deps
    const candidates = new Map(
      blocks.orphans
        .filter(({ allocation }) => !isInUse(allocation.address))
        .map((each) => [`${nameOf(each.allocation)} ${each.allocation.handle}`, each]),
    )
    for (const name of this.#leaks.observe(candidates.keys(), nowMs())) {
      const leak = candidates.get(name)
      if (leak === undefined) continue
      const { tracked, allocation } = leak
      log.warn('ipam.address.leaked', { address: formatIp(allocation.address), handle: allocation.handle, block: tracked.key })
      blocks.releaseOrphan(tracked, allocation)
    }
  }

  /** Blocks that were made pending some time ago, so that nobody routes to this node for them any more; or whose claim was cut short. */
  async #removePending(): Promise<void> {
    const { blocks, writer, nowMs } = this.#deps
    for (const tracked of blocks.tracked.values()) {
      const block = tracked.stored?.block
      const isEmptyPending = block?.state === 'Pending' && block.reserves.length === 0 && isEmpty(tracked, blocks.node)
      if (!isEmptyPending) tracked.pendingSinceMs = null
      else tracked.pendingSinceMs ??= nowMs()
      const isDue = tracked.pendingSinceMs !== null && nowMs() - tracked.pendingSinceMs >= PENDING_MS
      if (isDue && !tracked.mustRead) await writer.remove(tracked)
    }
  }

  async #giveUpReserves(): Promise<void> {
    for (const [tracked, giveUp] of reservesToGiveUp(this.#deps.blocks, this.#deps.targetOf)) {
      await this.#deps.writer.write(tracked, { giveUp })
      this.#deps.blocks.untrackIfUnused(tracked)
    }
  }

  async #retireEmpty(): Promise<void> {
    const { blocks, writer, nowMs, emptyGraceMs, targetOf, log } = this.#deps
    for (const tracked of blocks.tracked.values()) {
      if (!isEmpty(tracked, blocks.node)) tracked.emptySinceMs = null
      else tracked.emptySinceMs ??= nowMs()
    }
    const isDue = ({ emptySinceMs }: TrackedBlock): boolean => emptySinceMs !== null && nowMs() - emptySinceMs >= emptyGraceMs
    for (const tracked of blocksToRetire(blocks, { nowMs: nowMs(), isDue, targetOf })) {
      await writer.write(tracked, { retire: true })
      if (tracked.stored?.block.state === 'Pending') log.info('ipam.block.retired', { block: tracked.key })
    }
  }
}

/** Own, and nobody has anything in it but this node its claims. */
function isEmpty(tracked: TrackedBlock, node: string): boolean {
  const block = tracked.stored?.block
  if (block === undefined || block.node !== node || tracked.held.size > 0 || tracked.releasing.size > 0) return false
  return block.allocations.length === 0 && block.reserves.every((each) => each.node === node)
}

/**
 * Claims that are of no use: of addresses that an IPReservation keeps back now, of pools that give nothing to this node now, and those
 * beyond twice the target; borrowed ones as soon as own ones suffice.
 */
function reservesToGiveUp(blocks: NodeBlocks, targetOf: (pool: PoolConfig) => number): ReadonlyMap<TrackedBlock, readonly BlockReserve[]> {
  const { node, config } = blocks
  const givenUp = new Map<TrackedBlock, readonly BlockReserve[]>()
  const spare = new Map<PoolConfig, number>()
  const inOrder = [...blocks.tracked.values()].sort((a, b) => Number(b.isOwnedBy(node)) - Number(a.isOwnedBy(node)))
  for (const tracked of inOrder) {
    const slots = tracked.slots(node, config.reservations)
    const { pool } = tracked
    const before = pool === null ? 0 : (spare.get(pool) ?? 0)
    const target = pool === null || !isUsable(pool) ? 0 : targetOf(pool)
    const keep = Math.max(0, (tracked.isOwnedBy(node) ? 2 * target : target) - before)
    if (pool !== null) spare.set(pool, before + Math.min(keep, slots.length))
    const surplus = [...slots.slice(keep), ...tracked.idle(node, config.reservations)]
    if (surplus.length > 0) givenUp.set(tracked, surplus)
  }
  return givenUp
}

/**
 * Empty blocks that are due: all of pools that give nothing to this node now; of the others those whose pool has enough without them,
 * but never the last of a family.
 */
function blocksToRetire(
  blocks: NodeBlocks,
  {
    nowMs,
    isDue,
    targetOf,
  }: { readonly nowMs: number; readonly isDue: (tracked: TrackedBlock) => boolean; readonly targetOf: (pool: PoolConfig) => number },
): readonly TrackedBlock[] {
  const own = [...blocks.tracked.values()].filter((tracked) => tracked.isOwnedBy(blocks.node))
  const staying = new Set(own.filter(({ pool, stored }) => pool !== null && isUsable(pool) && stored?.block.state === 'Confirmed'))
  const retiring: TrackedBlock[] = []
  for (const tracked of own) {
    if (!isEmpty(tracked, blocks.node) || !isDue(tracked)) continue
    const { pool } = tracked
    if (pool !== null && isUsable(pool)) {
      const family = prefixFamily(tracked.range)
      const others = [...staying].filter((each) => each !== tracked && prefixFamily(each.range) === family)
      const ready = others.filter((each) => each.pool?.name === pool.name).reduce((sum, each) => sum + capacityOf(each, blocks, nowMs), 0)
      if (others.length === 0 || ready < targetOf(pool)) continue
    }
    staying.delete(tracked)
    retiring.push(tracked)
  }
  return retiring
}

/** Addresses that are claimed and unused, or free. */
function capacityOf(tracked: TrackedBlock, blocks: NodeBlocks, nowMs: number): number {
  if (tracked.stored === null) return 0
  const { free } = new Block(tracked.stored.block, blocks.context(nowMs, 0)).counts(nowMs)
  return free + tracked.slots(blocks.node, blocks.config.reservations).length
}
