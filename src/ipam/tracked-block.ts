// One block as its node follows it: what the store showed last, and what the node knows beyond that. No I/O.
//
// The node hands out what it has claimed ahead without asking anybody, so a claimed address must be certain to be still claimed. All
// that can undo a claim is a write of this node; from the moment such a write is planned, the address is `leaving` and is not handed
// out, for as long as the block has the version the write is for: that very write may still land, even after an error.
import { containsAddress, type IpAddress, type Prefix } from '../net/index.ts'
import { type BlockAllocation, type BlockReserve, nodeOfAllocation } from './block-record.ts'
import type { StoredBlock } from './block-store.ts'
import { blockKey } from './claim.ts'
import type { PoolConfig } from './contract.ts'
import { type AddressConflict, type HeldAddress, nameOf, type ReleasingAddress } from './plan.ts'

/** `done` is called when the store no longer has it. */
export type Releasing = ReleasingAddress & { readonly done: (() => void)[] }

export class TrackedBlock {
  readonly range: Prefix
  readonly key: string
  /** The pool it lies in, as configured now. */
  pool: PoolConfig | null = null
  /** By address. */
  readonly held = new Map<IpAddress, HeldAddress>()
  /** By name of the allocation. */
  readonly releasing = new Map<string, Releasing>()
  /** Held here, and somebody else's according to the block. */
  conflicts: readonly AddressConflict[] = []
  /** Why the store would not have the last write; null: it did. */
  refusal: string | null = null
  /** Since when, by the monotonic clock, nothing has been in use; null: something is. */
  emptySinceMs: number | null = null
  /** Since when it has been pending and empty; null: it is not. */
  pendingSinceMs: number | null = null
  /** The store has shown it in this life. */
  wasRead = false
  #stored: StoredBlock | null = null
  #mustRead = true
  readonly #leaving = new Map<string, string>()

  constructor(range: Prefix) {
    this.range = range
    this.key = blockKey(range)
  }

  /** As last read or written; null: there is none, or it has not been read. */
  get stored(): StoredBlock | null {
    return this.#stored
  }

  /** What is stored is not known: it must be read before it is changed. */
  get mustRead(): boolean {
    return this.#mustRead
  }

  /** The last write may have landed or not, or somebody else has written. */
  doubt(): void {
    this.#mustRead = true
  }

  /** Takes in what the store has now; ends the releases that it shows as done. */
  observe(stored: StoredBlock | null, node: string): void {
    this.#stored = stored
    this.#mustRead = false
    for (const [name, version] of this.#leaving) if (stored === null || version !== stored.version) this.#leaving.delete(name)
    for (const [name, releasing] of this.releasing) {
      if (stored !== null && shows(stored, releasing, node)) continue
      this.releasing.delete(name)
      for (const done of releasing.done) done()
    }
  }

  /** These claims are about to be given up by a write for the version that is stored now. */
  leave(reserves: readonly BlockReserve[]): void {
    if (this.#stored === null) return
    for (const reserve of reserves) this.#leaving.set(nameOf(reserve), this.#stored.version)
  }

  isOwnedBy(node: string): boolean {
    return this.#stored?.block.node === node
  }

  /** Addresses that `node` has claimed ahead here and can hand out at once, those claimed first in front. */
  slots(node: string, reservations: readonly Prefix[]): readonly BlockReserve[] {
    if (this.#stored === null) return []
    return this.#stored.block.reserves
      .filter((reserve) => reserve.node === node && this.#isSlot(reserve, reservations))
      .sort((a, b) => a.sequence - b.sequence)
  }

  /**
   * Claims of `node` that are neither in use nor to be handed out: kept back meanwhile, or being given up by a write of which nobody
   * knows whether it has landed. Giving them up (again) settles it.
   */
  idle(node: string, reservations: readonly Prefix[]): readonly BlockReserve[] {
    if (this.#stored === null) return []
    return this.#stored.block.reserves.filter(
      (reserve) =>
        reserve.node === node &&
        !this.held.has(reserve.address) &&
        !this.releasing.has(nameOf(reserve)) &&
        !this.#isSlot(reserve, reservations),
    )
  }

  #isSlot(reserve: BlockReserve, reservations: readonly Prefix[]): boolean {
    const name = nameOf(reserve)
    return (
      !this.held.has(reserve.address) &&
      !this.releasing.has(name) &&
      this.#leaving.get(name) !== this.#stored?.version &&
      !reservations.some((range) => containsAddress(range, reserve.address))
    )
  }

  /** Allocations of `node` that it neither holds nor releases: of an earlier life, whose state is lost. */
  orphans(node: string): readonly BlockAllocation[] {
    const block = this.#stored?.block
    if (block === undefined) return []
    return block.allocations.filter(
      (each) =>
        nodeOfAllocation(block, each) === node && this.held.get(each.address)?.handle !== each.handle && !this.releasing.has(nameOf(each)),
    )
  }

  /** Allocations that the block does not show yet, and releases that it does not show yet. */
  unwritten(): number {
    const shown = new Set((this.#stored?.block.allocations ?? []).map(({ address, handle }) => `${address} ${handle}`))
    let count = this.releasing.size
    for (const { address, handle } of this.held.values()) if (!shown.has(`${address} ${handle}`)) count++
    return count
  }
}

function shows({ block }: StoredBlock, { address, handle, sequence }: ReleasingAddress, node: string): boolean {
  return (
    block.allocations.some((each) => each.address === address && each.sequence === sequence && each.handle === handle) ||
    block.reserves.some((each) => each.address === address && each.sequence === sequence && each.node === node)
  )
}
