// All that one node knows of its addresses: who has which, what it has claimed ahead, what it has yet to tell the store. Everything
// here happens at once: an address is taken between two awaits, or not at all. No I/O.
import { comparePrefix, familyOf, type IpAddress, type Prefix } from '../net/index.ts'
import { type BlockAllocation, type BlockRecord, type BlockReserve, nodeOfAllocation } from './block-record.ts'
import type { StoredBlock } from './block-store.ts'
import { blockAround, blockKey } from './claim.ts'
import type { Assignment, AssignRequest, HeldAllocation, IpamConfig, PoolConfig } from './contract.ts'
import { CoolDown } from './cool-down.ts'
import { type BlockContext, nameOf } from './plan.ts'
import { isUsable, type Needs, poolOf } from './pools.ts'
import { type Releasing, TrackedBlock } from './tracked-block.ts'

/** An address that could be taken now. */
type Choice = { readonly tracked: TrackedBlock; readonly address: IpAddress; readonly sequence: number }
/** What came of trying to take what a request needs. Either all of it is taken or nothing. */
export type Taking =
  | { readonly kind: 'taken'; readonly assignments: readonly Assignment[] }
  | { readonly kind: 'short'; readonly pools: readonly PoolConfig[]; readonly exact: readonly { address: IpAddress; pool: PoolConfig }[] }
  /** Of one family every pool that could serve has nothing left. */
  | { readonly kind: 'exhausted'; readonly pools: readonly PoolConfig[] }

export class NodeBlocks {
  readonly node: string
  readonly coolDown = new CoolDown()
  readonly tracked = new Map<string, TrackedBlock>()
  config: IpamConfig = { pools: [], reservations: [], strictAffinity: false, maxBlocksPerHost: null, coolDownSeconds: 0 }
  readonly #live = new Map<string, { readonly handle: string; readonly assignments: readonly Assignment[] }>()
  /** Allocations of an earlier life, by handle. */
  #orphans = new Map<string, { readonly tracked: TrackedBlock; readonly allocation: BlockAllocation }[]>()

  #revision = 0
  /** Names of claims that the node was sure of when it ended; null: it remembers nothing. */
  #sure: ReadonlySet<string> | null = null

  constructor(node: string) {
    this.node = node
  }

  /** Changes whenever anything does that people are shown. */
  get revision(): number {
    return this.#revision
  }

  /** The pool is configured exactly so; false: what is being done for it has lost its reason. */
  isCurrent(pool: PoolConfig): boolean {
    return this.config.pools.includes(pool)
  }

  configure(config: IpamConfig): void {
    this.#revision++
    this.config = config
    for (const tracked of this.tracked.values()) tracked.pool = poolOf(config.pools, tracked.range)
  }

  get allocations(): number {
    return this.#live.size
  }

  liveOf(handle: string): readonly Assignment[] | null {
    return this.#live.get(handle)?.assignments ?? null
  }

  /** Takes over what the state directory remembers. */
  adopt({ handle, pod, assignments, isReleased }: HeldAllocation): void {
    if (!isReleased) this.#live.set(handle, { handle, assignments })
    for (const { address, block, sequence } of assignments) {
      const tracked = this.track(block)
      if (isReleased) this.#beginRelease(tracked, { address, handle, sequence })
      else tracked.held.set(address, { address, handle, pod, sequence })
    }
  }

  /**
   * Takes over what is remembered of the reserve: it can be handed out before the blocks have been read. Other claims that they show
   * may be under a write of the life before that gives them up and has yet to land.
   */
  recall(remembered: readonly StoredBlock[]): void {
    this.#sure = new Set(remembered.flatMap(({ block }) => block.reserves.map(nameOf)))
    for (const stored of remembered) {
      const tracked = this.track(stored.block.range)
      tracked.observe(stored, this.node)
      tracked.doubt()
    }
  }

  track(range: Prefix): TrackedBlock {
    const known = this.tracked.get(blockKey(range))
    if (known !== undefined) return known
    const tracked = new TrackedBlock(range)
    tracked.pool = poolOf(this.config.pools, range)
    this.tracked.set(tracked.key, tracked)
    return tracked
  }

  /** Follows the block no longer, unless something of this node is or may be in it. */
  untrackIfUnused(tracked: TrackedBlock): void {
    if (tracked.held.size > 0 || tracked.releasing.size > 0) return
    const block = tracked.stored?.block
    if (block !== undefined && (block.node === this.node || hasPartIn(block, this.node))) return
    this.tracked.delete(tracked.key)
  }

  /** Takes in what the store has; from now on what it shows as released is resting. */
  observe(tracked: TrackedBlock, stored: StoredBlock | null, nowMs: number): void {
    if (stored !== null) this.coolDown.see(stored.block, nowMs)
    if (stored?.version !== tracked.stored?.version) this.#revision++
    tracked.observe(stored, this.node)
    const sure = this.#sure
    if (tracked.wasRead || sure === null) return
    tracked.wasRead = true
    tracked.leave((stored?.block.reserves ?? []).filter((each) => each.node === this.node && !sure.has(nameOf(each))))
  }

  /** After all blocks have been read: which allocations are of an earlier life, and forgets old cool-downs. */
  settle(nowMs: number): void {
    this.#orphans = new Map()
    for (const tracked of this.tracked.values()) {
      for (const allocation of tracked.orphans(this.node)) {
        const known = this.#orphans.get(allocation.handle)
        if (known === undefined) this.#orphans.set(allocation.handle, [{ tracked, allocation }])
        else known.push({ tracked, allocation })
      }
    }
    this.coolDown.forget(nowMs)
  }

  get orphans(): readonly { readonly tracked: TrackedBlock; readonly allocation: BlockAllocation }[] {
    return [...this.#orphans.values()].flat()
  }

  /** Takes an address of each family out of what has been claimed, or says what is missing. */
  take(request: AssignRequest, needs: Needs, isExhausted: (pool: PoolConfig) => boolean): Taking {
    const choices: (Choice & { readonly pool: PoolConfig })[] = []
    const short: PoolConfig[] = []
    const exact: { address: IpAddress; pool: PoolConfig }[] = []
    if (needs.kind === 'exact') {
      for (const { address, pool } of needs.addresses) {
        const choice = this.#findExact(request.handle, address, pool)
        if (choice === null) exact.push({ address, pool })
        else choices.push({ ...choice, pool })
      }
    } else {
      for (const { pools } of needs.families) {
        const found = this.#find(request.handle, pools, isExhausted)
        if (found.kind === 'choice') choices.push(found)
        else if (found.kind === 'short') short.push(found.pool)
        else return { kind: 'exhausted', pools }
      }
    }
    if (short.length > 0 || exact.length > 0) return { kind: 'short', pools: short, exact }
    return { kind: 'taken', assignments: this.#hold(request, choices) }
  }

  /** Addresses of the pool that can be handed out now. */
  slotsIn(pool: PoolConfig): number {
    let count = 0
    for (const tracked of this.tracked.values()) {
      if (tracked.pool?.name === pool.name) count += tracked.slots(this.node, this.config.reservations).length
    }
    return isUsable(pool) ? count : 0
  }

  /** Blocks of the node in the pool, those whose addresses come first in front. */
  ownIn(pool: PoolConfig): readonly TrackedBlock[] {
    return [...this.tracked.values()]
      .filter((tracked) => tracked.pool?.name === pool.name && tracked.isOwnedBy(this.node))
      .sort((a, b) => comparePrefix(a.range, b.range))
  }

  /** Begins to give back all that the handle has; returns what is under way for it. */
  release(handle: string): readonly Releasing[] {
    for (const { address, block, sequence } of this.#live.get(handle)?.assignments ?? []) {
      const tracked = this.track(block)
      tracked.held.delete(address)
      this.#beginRelease(tracked, { address, handle, sequence })
    }
    if (this.#live.delete(handle)) this.#revision++
    for (const { tracked, allocation } of this.#orphans.get(handle) ?? []) this.#beginRelease(tracked, allocation)
    this.#orphans.delete(handle)
    const pending: Releasing[] = []
    for (const { releasing } of this.tracked.values()) for (const each of releasing.values()) if (each.handle === handle) pending.push(each)
    return pending
  }

  /** Gives back one allocation that has no owner. */
  releaseOrphan(tracked: TrackedBlock, allocation: BlockAllocation): void {
    const others = (this.#orphans.get(allocation.handle) ?? []).filter((each) => each.allocation !== allocation)
    if (others.length > 0) this.#orphans.set(allocation.handle, others)
    else this.#orphans.delete(allocation.handle)
    this.#beginRelease(tracked, allocation)
  }

  context(nowMs: number, wallMs: number): BlockContext {
    const coolDownMs = this.config.coolDownSeconds * 1000
    return {
      node: this.node,
      nowMs,
      time: new Date(wallMs).toISOString(),
      reservations: this.config.reservations,
      coolDownMs,
      readyAtMs: (released) => this.coolDown.readyAtMs(released, coolDownMs, nowMs),
    }
  }

  #beginRelease(tracked: TrackedBlock, { address, handle, sequence }: Pick<BlockAllocation, 'address' | 'handle' | 'sequence'>): void {
    const name = nameOf({ address, sequence })
    if (!tracked.releasing.has(name)) tracked.releasing.set(name, { address, handle, sequence, done: [] })
  }

  #find(
    handle: string,
    pools: readonly PoolConfig[],
    isExhausted: (pool: PoolConfig) => boolean,
  ):
    | ({ readonly kind: 'choice'; readonly pool: PoolConfig } & Choice)
    | { readonly kind: 'short'; readonly pool: PoolConfig }
    | { readonly kind: 'none' } {
    for (const { tracked, allocation } of this.#orphans.get(handle) ?? []) {
      const pool = pools.find(({ name }) => name === tracked.pool?.name)
      if (pool !== undefined) return { kind: 'choice', pool, tracked, ...allocation }
    }
    for (const pool of pools) {
      const slot = this.#firstSlot(pool)
      if (slot !== null) return { kind: 'choice', pool, ...slot }
      if (!isExhausted(pool)) return { kind: 'short', pool }
    }
    return { kind: 'none' }
  }

  /** Own blocks before those of others. */
  #firstSlot(pool: PoolConfig): Choice | null {
    let borrowed: Choice | null = null
    for (const tracked of this.tracked.values()) {
      if (tracked.pool?.name !== pool.name) continue
      const isOwn = tracked.isOwnedBy(this.node)
      if (!isOwn && borrowed !== null) continue
      const [slot] = tracked.slots(this.node, this.config.reservations)
      if (slot === undefined) continue
      if (isOwn) return { tracked, address: slot.address, sequence: slot.sequence }
      borrowed = { tracked, address: slot.address, sequence: slot.sequence }
    }
    return borrowed
  }

  #findExact(handle: string, address: IpAddress, pool: PoolConfig): Choice | null {
    const tracked = this.tracked.get(blockKey(blockAround(pool, address)))
    if (tracked === undefined) return null
    const orphan = this.#orphans.get(handle)?.find(({ allocation }) => allocation.address === address)?.allocation
    const slot: BlockReserve | BlockAllocation | undefined =
      orphan ?? tracked.slots(this.node, this.config.reservations).find((each) => each.address === address)
    return slot === undefined ? null : { tracked, address, sequence: slot.sequence }
  }

  #hold({ handle, pod }: AssignRequest, choices: readonly (Choice & { readonly pool: PoolConfig })[]): readonly Assignment[] {
    const assignments = choices.map(({ tracked, address, sequence, pool }): Assignment => {
      tracked.held.set(address, { address, handle, pod, sequence })
      return {
        address,
        family: familyOf(address),
        pool: pool.name,
        block: tracked.range,
        sequence,
        isBorrowed: !tracked.isOwnedBy(this.node),
      }
    })
    this.#revision++
    this.#live.set(handle, { handle, assignments })
    this.#orphans.delete(handle)
    return assignments
  }
}

/** True if `node` has an address in the block. */
function hasPartIn(block: BlockRecord, node: string): boolean {
  return block.reserves.some((each) => each.node === node) || block.allocations.some((each) => nodeOfAllocation(block, each) === node)
}
