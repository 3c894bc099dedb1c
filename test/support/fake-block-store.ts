// Blocks in memory, shared by any number of nodes of a test. It can be slow, away, fail before or after a write has landed, and
// change behind everybody's back.
import { type BlockRecord, type BlockStore, BlockStoreError, nodeOfAllocation, type StoredBlock } from '../../src/ipam/index.ts'
import { covers, formatPrefix, type Prefix } from '../../src/net/index.ts'

export type FakeOperation = 'listOf' | 'listIn' | 'get' | 'create' | 'update' | 'delete'

export type FakeBlockStoreHooks = {
  /** Awaited before the operation happens; throws to make it not happen. */
  readonly before?: (operation: FakeOperation) => Promise<void> | void
  /** An operation that its caller has given up on happens all the same, however late. */
  readonly landsLate?: boolean
  /** Awaited after it has happened and before the caller hears; throws to make it look failed. */
  readonly after?: (operation: FakeOperation) => Promise<void> | void
}

export class FakeBlockStore {
  readonly #blocks = new Map<string, StoredBlock>()
  #version = 0
  /** Operations that have happened, by name. */
  readonly counts: Record<FakeOperation, number> = { listOf: 0, listIn: 0, get: 0, create: 0, update: 0, delete: 0 }

  /** Called with every change; a throw goes to whoever wrote. */
  onWrite: (before: BlockRecord, after: BlockRecord | null) => void = () => {}

  all(): readonly BlockRecord[] {
    return [...this.#blocks.values()].map(({ block }) => block)
  }

  block(range: Prefix): BlockRecord | null {
    return this.#blocks.get(formatPrefix(range))?.block ?? null
  }

  /** Somebody else writes: no version is asked for. */
  put(block: BlockRecord): void {
    this.#blocks.set(formatPrefix(block.range), { block, version: this.#nextVersion() })
  }

  remove(range: Prefix): void {
    this.#blocks.delete(formatPrefix(range))
  }

  get writes(): number {
    return this.counts.create + this.counts.update + this.counts.delete
  }

  /** The store as one node sees it. */
  port({ before, after, landsLate = false }: FakeBlockStoreHooks = {}): BlockStore {
    const run = async <T>(operation: FakeOperation, signal: AbortSignal | undefined, happen: () => T): Promise<T> => {
      await before?.(operation)
      if (!landsLate) signal?.throwIfAborted()
      this.counts[operation]++
      const result = happen()
      await after?.(operation)
      return result
    }
    return {
      listOf: (node, signal) => run('listOf', signal, () => this.#filter((block) => block.node === node || hasPart(block, node))),
      listIn: (range, signal) =>
        run('listIn', signal, () => this.#filter((block) => covers(range, block.range) || covers(block.range, range))),
      get: (range, signal) => run('get', signal, () => this.#blocks.get(formatPrefix(range)) ?? null),
      create: (block, signal) =>
        run('create', signal, () => {
          const key = formatPrefix(block.range)
          if (this.#blocks.has(key)) throw new BlockStoreError('ALREADY_EXISTS', `${key} exists`)
          return this.#set(block)
        }),
      update: (from, to, signal) =>
        run('update', signal, () => {
          this.#check(from)
          this.onWrite(from.block, to)
          return this.#set(to)
        }),
      delete: (from, signal) =>
        run('delete', signal, () => {
          this.#check(from)
          this.onWrite(from.block, null)
          this.#blocks.delete(formatPrefix(from.block.range))
        }),
    }
  }

  #check({ block, version }: StoredBlock): void {
    const key = formatPrefix(block.range)
    const current = this.#blocks.get(key)
    if (current === undefined) throw new BlockStoreError('NOT_FOUND', `${key} does not exist`)
    if (current.version !== version) throw new BlockStoreError('CONFLICT', `${key} has changed`)
  }

  #set(block: BlockRecord): StoredBlock {
    const stored = { block, version: this.#nextVersion() }
    this.#blocks.set(formatPrefix(block.range), stored)
    return stored
  }

  #filter(accept: (block: BlockRecord) => boolean): readonly StoredBlock[] {
    return [...this.#blocks.values()].filter(({ block }) => accept(block))
  }

  #nextVersion(): string {
    return String(++this.#version)
  }
}

function hasPart(block: BlockRecord, node: string): boolean {
  return block.reserves.some((each) => each.node === node) || block.allocations.some((each) => nodeOfAllocation(block, each) === node)
}
