// IPAM of one node (shell).
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import type { BlockStore } from './block-store.ts'
import type { NodeIpam } from './contract.ts'

export type NodeIpamDeps = {
  readonly node: string
  readonly store: BlockStore
  readonly clock: Clock
  /** In [0, 1): jitter, and first sequences of blocks. */
  readonly random: () => number
  readonly log: Log
  /** `view()` or `notReadyBecause()` may have changed. Called after the change, never from within a method of this interface. */
  readonly onChange?: () => void
  readonly options?: Partial<NodeIpamOptions>
}

export type NodeIpamOptions = {
  /** Addresses claimed ahead in each pool that pods take from by themselves; refilled when below half. */
  readonly reserveSize: number
  /** Pause before allocations and releases are written, so that one write carries many. */
  readonly batchMs: number
  /** Blocks are read again and leaks looked for this often. */
  readonly refreshMs: number
  /** A block that has been empty for so long is given back. */
  readonly emptyGraceMs: number
  /** An allocation without owner that has been seen twice, at least this far apart, is released. */
  readonly leakGraceMs: number
}

export declare function createNodeIpam(deps: NodeIpamDeps): NodeIpam
