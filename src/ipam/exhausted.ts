// What a person is told when a pool has no address left (pure): which pool, what its addresses are used for, and what to do.
import { bitsOf, prefixFamily } from '../net/index.ts'
import { blocksInPool } from './claim.ts'
import type { PoolConfig } from './contract.ts'
import { titleOf } from './pools.ts'

/** Addresses of a pool, over all blocks. */
export type PoolUse = {
  readonly blocks: number
  readonly allocated: number
  readonly reserved: number
  readonly cooling: number
  readonly free: number
  /** Of those, in blocks that are not this node's. */
  readonly freeElsewhere: number
}
export type Limits = {
  readonly strictAffinity: boolean
  /** Set: the limit that this node has reached. */
  readonly maxBlocksPerHost: number | null
  readonly coolDownSeconds: number
}

export function exhaustedMessage(pool: PoolConfig, use: PoolUse, limits: Limits): string {
  const size = 1n << BigInt(bitsOf(prefixFamily(pool.range)) - pool.range.length)
  const resting = use.cooling === 0 ? '' : `, ${use.cooling} resting for up to ${limits.coolDownSeconds} s after their release (ipCooldown)`
  const figures = `${use.blocks} of its ${blocksInPool(pool)} blocks are claimed, ${use.allocated} of its ${size} addresses are in use, ${use.reserved} are claimed ahead by nodes${resting}`
  return `${titleOf(pool)} has no address left for this node: ${figures}. ${remedy(use, limits)}`
}

function remedy(use: PoolUse, { strictAffinity, maxBlocksPerHost }: Limits): string {
  if (maxBlocksPerHost !== null) {
    return `This node has the ${maxBlocksPerHost} blocks that maxBlocksPerHost of IPAMConfiguration allows: raise it, or place the pod on another node`
  }
  const others =
    strictAffinity && use.freeElsewhere > 0
      ? `${use.freeElsewhere} are free in blocks of other nodes, which strictAffinity of IPAMConfiguration keeps this node from: set strictAffinity: false. Or create another IPPool`
      : 'Create another IPPool'
  return `${others}, delete pods, or look for leaked addresses with fibula ipam check`
}
