// Blocks in memory, with the promises of the API server: compare-and-swap, and being away now and then.
import { type BlockRecord, type BlockStore, BlockStoreError, type StoredBlock } from '../../../../src/ipam/index.ts'
import { covers, formatPrefix, type Prefix } from '../../../../src/net/index.ts'

export class MemoryBlockStore implements BlockStore {
  readonly #blocks = new Map<string, StoredBlock>()
  #version = 0
  isAway = false

  /** Addresses in use, by handle. */
  allocations(): readonly { readonly handle: string; readonly address: unknown }[] {
    return [...this.#blocks.values()].flatMap(({ block }) => block.allocations)
  }

  listOf(node: string): Promise<readonly StoredBlock[]> {
    return this.#do(() =>
      [...this.#blocks.values()].filter(
        ({ block }) => block.node === node || [...block.allocations, ...block.reserves].some((each) => each.node === node),
      ),
    )
  }

  listIn(range: Prefix): Promise<readonly StoredBlock[]> {
    return this.#do(() => [...this.#blocks.values()].filter(({ block }) => covers(range, block.range) || covers(block.range, range)))
  }

  get(range: Prefix): Promise<StoredBlock | null> {
    return this.#do(() => this.#blocks.get(formatPrefix(range)) ?? null)
  }

  create(block: BlockRecord): Promise<StoredBlock> {
    return this.#do(() => {
      if (this.#blocks.has(formatPrefix(block.range))) throw new BlockStoreError('ALREADY_EXISTS', 'there is one')
      return this.#keep(block)
    })
  }

  update(from: StoredBlock, to: BlockRecord): Promise<StoredBlock> {
    return this.#do(() => {
      this.#check(from)
      return this.#keep(to)
    })
  }

  delete(from: StoredBlock): Promise<void> {
    return this.#do(() => {
      this.#check(from)
      this.#blocks.delete(formatPrefix(from.block.range))
    })
  }

  #do<T>(work: () => T): Promise<T> {
    return Promise.resolve().then(() => {
      if (this.isAway) throw new BlockStoreError('UNAVAILABLE', 'the API server does not answer')
      return work()
    })
  }

  #check({ block, version }: StoredBlock): void {
    const present = this.#blocks.get(formatPrefix(block.range))
    if (present === undefined) throw new BlockStoreError('NOT_FOUND', 'there is none')
    if (present.version !== version) throw new BlockStoreError('CONFLICT', 'changed meanwhile')
  }

  #keep(block: BlockRecord): StoredBlock {
    const stored = { block, version: String(++this.#version) }
    this.#blocks.set(formatPrefix(block.range), stored)
    return stored
  }
}
