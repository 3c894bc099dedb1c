// A block as it is kept: what `Block` (block.ts) reads and writes, and what the store port carries. Free of Kubernetes.
import type { IpAddress, Prefix } from '../net/index.ts'

export type BlockState = 'Pending' | 'Confirmed'

/** An address in use. */
export type BlockAllocation = {
  readonly address: IpAddress
  readonly handle: string
  /** Names this very allocation. */
  readonly sequence: number
  readonly pod: { readonly namespace: string; readonly name: string } | null
  /** The node of the pod; null (written by an older version): the node of the block. */
  readonly node: string | null
  /** ISO 8601, for people; never compared. */
  readonly time: string | null
}

/** An address claimed ahead: used, for everybody but `node`. */
export type BlockReserve = { readonly address: IpAddress; readonly node: string; readonly sequence: number }

/** A free address that was in use before. */
export type BlockReleased = { readonly address: IpAddress; readonly sequence: number; readonly time: string | null }

export type BlockRecord = {
  readonly range: Prefix
  /** The node whose block it is (block affinity); null: nobody's any more. */
  readonly node: string | null
  readonly state: BlockState
  /** Grows with every change of an address, so that sequences name allocations. */
  readonly sequence: number
  readonly allocations: readonly BlockAllocation[]
  readonly reserves: readonly BlockReserve[]
  /** Least recently released first. */
  readonly released: readonly BlockReleased[]
}

/** A new block of `node` with nothing in it. A random first `sequence` keeps a block made again from repeating old names. */
export function emptyBlock(range: Prefix, node: string, sequence: number): BlockRecord {
  return { range, node, state: 'Pending', sequence, allocations: [], reserves: [], released: [] }
}

/** The node that an allocation belongs to. */
export function nodeOfAllocation(block: BlockRecord, allocation: BlockAllocation): string | null {
  return allocation.node ?? block.node
}
