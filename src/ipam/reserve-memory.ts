// What the node remembers of its reserve over its own end, so that pods start after a restart or a reboot while the store is away
// (decisions 10a and 18). What is remembered may be less than what is claimed, never more: before a write of a block ends a claim, it is
// forgotten, on the disk too, because from then on somebody else may claim the address.
import type { IpAddress, Prefix } from '../net/index.ts'
import { type BlockRecord, type BlockReserve, nodeOfAllocation } from './block-record.ts'
import type { StoredBlock } from './block-store.ts'
import { blockKey } from './claim.ts'
import { nameOf } from './plan.ts'
import type { TrackedBlock } from './tracked-block.ts'

/** A block with addresses that were claimed ahead and not yet handed out. */
export type RememberedBlock = {
  readonly range: Prefix
  /** Whose block it is; null: nobody's. */
  readonly node: string | null
  readonly reserves: readonly { readonly address: IpAddress; readonly sequence: number }[]
}

/** Port to a file of the state directory. Adapter: src/cni/reserve-file.ts. */
export interface ReserveFile {
  /** What was written last; nothing if that is damaged, or was not written by this node. */
  read(): readonly RememberedBlock[]
  /** Replaces it; whoever is killed meanwhile leaves the old, the new, or nothing. Throws if it cannot be written. */
  write(blocks: readonly RememberedBlock[]): void
  /** Resolves when what was written last outlives a power cut, and nothing from before does. */
  sync(): Promise<void>
}

/** For a node that keeps nothing. */
export const NO_RESERVE_FILE: ReserveFile = { read: () => [], write: () => {}, sync: () => Promise.resolve() }

/** No version of a store: a block is read before it is written. */
const REMEMBERED = 'remembered'

export class ReserveMemory {
  readonly #file: ReserveFile
  readonly #node: string
  /** By key of the block. */
  #remembered = new Map<string, RememberedBlock>()
  #written = ''
  /** Names that the disk may show after a power cut; null: any, since nothing has been synced in this life. */
  #lasting: Set<string> | null = null

  constructor(file: ReserveFile, node: string) {
    this.#file = file
    this.#node = node
  }

  /** What a predecessor has left; each as a block in which nothing but those claims is known. Once, at the start. */
  load(isInUse: (address: IpAddress) => boolean): readonly StoredBlock[] {
    const blocks = this.#file.read()
    for (const block of blocks) this.#remembered.set(blockKey(block.range), block)
    this.#written = textOf(this.#remembered.values())
    return blocks.map(({ range, node, reserves }) => {
      const free = reserves.filter(({ address }) => !isInUse(address))
      const known = { sequence: 0, allocations: [], released: [], reserves: free.map((each) => ({ ...each, node: this.#node })) }
      return { block: { range, node, state: 'Confirmed', ...known }, version: REMEMBERED }
    })
  }

  /** Remembers what can be handed out now. Less is remembered where that cannot be written: throws what the file throws. */
  keep(tracked: Iterable<TrackedBlock>, reservations: readonly Prefix[]): void {
    this.#remembered = new Map()
    for (const each of tracked) {
      const reserves = each.slots(this.#node, reservations).map(({ address, sequence }) => ({ address, sequence }))
      const node = each.stored?.block.node ?? null
      if (reserves.length > 0) this.#remembered.set(each.key, { range: each.range, node, reserves })
    }
    this.#write()
  }

  /**
   * To be awaited before the block is replaced by `next` (null: is deleted): claims that end with it are forgotten. Throws what the file
   * throws; then the block must stay as it is.
   */
  async forget({ block }: StoredBlock, next: BlockRecord | null): Promise<void> {
    const key = blockKey(block.range)
    const left = new Set((next?.reserves ?? []).filter(({ node }) => node === this.#node).map(nameOf))
    const remembered = this.#remembered.get(key)
    if (remembered !== undefined) {
      const reserves = remembered.reserves.filter((each) => left.has(nameOf(each)))
      if (reserves.length > 0) this.#remembered.set(key, { ...remembered, reserves })
      else this.#remembered.delete(key)
      this.#write()
    }
    if (!this.#freed(block, next, left).some((each) => this.#lasting?.has(nameOf(each)) ?? true)) return
    const synced = this.#names()
    await this.#file.sync()
    this.#lasting = new Set([...synced, ...this.#names()])
  }

  #names(): readonly string[] {
    return [...this.#remembered.values()].flatMap(({ reserves }) => reserves.map(nameOf))
  }

  /** What anybody may claim once `next` is in the store: claims, and allocations that came from claims. */
  #freed(block: BlockRecord, next: BlockRecord | null, left: ReadonlySet<string>): readonly Pick<BlockReserve, 'address' | 'sequence'>[] {
    const used = new Set((next?.allocations ?? []).map(nameOf))
    const ours = [
      ...block.reserves.filter(({ node }) => node === this.#node),
      ...block.allocations.filter((each) => nodeOfAllocation(block, each) === this.#node),
    ]
    return ours.filter((each) => !left.has(nameOf(each)) && !used.has(nameOf(each)))
  }

  #write(): void {
    const blocks = [...this.#remembered.values()]
    const text = textOf(blocks)
    if (text === this.#written) return
    this.#written = '' // until it is there, nobody knows what is
    for (const { reserves } of blocks) for (const each of reserves) this.#lasting?.add(nameOf(each))
    this.#file.write(blocks)
    this.#written = text
  }
}

function textOf(blocks: Iterable<RememberedBlock>): string {
  return [...blocks].map(({ range, node, reserves }) => `${blockKey(range)} ${node} ${reserves.map(nameOf).join()}`).join(';')
}
