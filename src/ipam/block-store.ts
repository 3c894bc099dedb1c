// Port to where blocks are kept. Every change is a compare-and-swap on the version that was read; nothing else is asked of the
// store, so that any number of nodes can share it. Adapter: src/store/block-objects.ts.
import type { Prefix } from '../net/index.ts'
import type { BlockRecord } from './block-record.ts'

/** A block as read: hand this very value back to change it. */
export type StoredBlock = { readonly block: BlockRecord; readonly version: string }

export interface BlockStore {
  /** Blocks of the node, and blocks of others in which it has addresses. */
  listOf(node: string, signal?: AbortSignal): Promise<readonly StoredBlock[]>
  /** All blocks that overlap the range. */
  listIn(range: Prefix, signal?: AbortSignal): Promise<readonly StoredBlock[]>
  /** null: there is none. */
  get(range: Prefix, signal?: AbortSignal): Promise<StoredBlock | null>
  /** ALREADY_EXISTS. */
  create(block: BlockRecord, signal?: AbortSignal): Promise<StoredBlock>
  /** Puts `to` in the place of `from`. CONFLICT, NOT_FOUND. */
  update(from: StoredBlock, to: BlockRecord, signal?: AbortSignal): Promise<StoredBlock>
  /** CONFLICT, NOT_FOUND. */
  delete(from: StoredBlock, signal?: AbortSignal): Promise<void>
}

export type BlockStoreErrorCode = 'ALREADY_EXISTS' | 'CONFLICT' | 'NOT_FOUND' | 'INVALID' | 'UNAVAILABLE'

/**
 * Why an operation failed; decide by `code`. After all codes but UNAVAILABLE the write is certain not to have happened; after
 * UNAVAILABLE it may have, or may still.
 */
export class BlockStoreError extends Error {
  readonly code: BlockStoreErrorCode
  constructor(code: BlockStoreErrorCode, message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options)
    this.name = 'BlockStoreError'
    this.code = code
  }
}
