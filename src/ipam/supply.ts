// Where addresses come from when the ones claimed ahead run out (shell): first the node's own blocks, then a new block, then blocks of
// others. One caller at a time.
import { comparePrefix, covers, formatIp, formatPrefix, type IpAddress, type Prefix, prefixFamily } from '../net/index.ts'
import { Block, type BlockCounts, blockSizeOf } from './block.ts'
import type { StoredBlock } from './block-store.ts'
import type { BlockWriter } from './block-writer.ts'
import { blockAround, blockKey, type ClaimCandidate, claimCandidates, inClaimOrder } from './claim.ts'
import type { AssignFault, PoolConfig } from './contract.ts'
import { exhaustedMessage, type PoolUse } from './exhausted.ts'
import type { NodeBlocks } from './node-blocks.ts'
import { ownerInWords } from './plan.ts'
import { refused, titleOf } from './pools.ts'
import type { TrackedBlock } from './tracked-block.ts'

/** How many addresses of a pool are wanted. */
export type Wanted = {
  /** Requests that wait for one, now. */
  readonly demand: () => number
  /** To be kept ready beyond that. */
  readonly target: number
  /** To be claimed beyond that, where own blocks have as many: at least `target`. */
  readonly ahead: number
  /** Called whenever there may be more; takes what it needs at once. */
  readonly onMore: () => void
}

const LISTINGS = 4
const FAILURES_A_LISTING = 16
const EXACT_ATTEMPTS = 5

export class Supply {
  readonly #blocks: NodeBlocks
  readonly #writer: BlockWriter
  readonly #nowMs: () => number

  constructor(blocks: NodeBlocks, writer: BlockWriter, nowMs: () => number) {
    this.#blocks = blocks
    this.#writer = writer
    this.#nowMs = nowMs
  }

  /** Claims addresses of the pool until all who wait have one and `target` more are ready; null, or why there are no more. */
  async fill(pool: PoolConfig, wanted: Wanted): Promise<string | null> {
    await this.#fillFromOwn(pool, { ...wanted, target: wanted.ahead })
    if (this.#isEnough(pool, wanted)) return null
    const listed = await this.#claimBlocks(pool, wanted)
    const { strictAffinity } = this.#blocks.config
    if (this.#missing(pool, wanted) > 0 && !strictAffinity) await this.#borrow(pool, wanted, listed.blocks)
    if (this.#missing(pool, { ...wanted, target: 1 }) <= 0) return null
    const refusal = this.#blocks.ownIn(pool).find((each) => each.refusal !== null)
    if (refusal !== undefined)
      return `${titleOf(pool)} gives no address: the store refuses changes of block ${refusal.key}: ${refusal.refusal}`
    return exhaustedMessage(pool, this.#useOf(pool, listed.blocks), {
      strictAffinity,
      maxBlocksPerHost: listed.isCapped ? this.#blocks.config.maxBlocksPerHost : null,
      coolDownSeconds: this.#blocks.config.coolDownSeconds,
    })
  }

  /** Claims this very address for the node; null: it can be taken now. */
  async exact(address: IpAddress, pool: PoolConfig): Promise<AssignFault | null> {
    const tracked = this.#blocks.track(blockAround(pool, address))
    try {
      for (let attempt = 0; attempt < EXACT_ATTEMPTS; attempt++) {
        await this.#writer.read(tracked)
        if (tracked.stored === null) {
          const fault = await this.#faultOfNewBlock(tracked.range, pool)
          if (fault !== null) return fault
          await this.#writer.claimNew(tracked.range)
          continue
        }
        const fault = this.#faultOfExact(tracked, tracked.stored, address)
        if (fault !== null) return fault
        const slots = tracked.slots(this.#blocks.node, this.#blocks.config.reservations)
        if (slots.some((each) => each.address === address)) return null
        const giveUp = tracked.idle(this.#blocks.node, this.#blocks.config.reservations)
        if ((await this.#writer.write(tracked, { giveUp, claimAt: [address], confirm: true })) !== 'done') continue
        this.#blocks.settle(this.#nowMs())
        return null
      }
      return {
        kind: 'unavailable',
        message: `block ${tracked.key} of requested address ${formatIp(address)} could not be written${tracked.refusal === null ? ', because others keep changing it' : `: ${tracked.refusal}`}; try again`,
      }
    } finally {
      this.#blocks.untrackIfUnused(tracked)
    }
  }

  async #fillFromOwn(pool: PoolConfig, wanted: Wanted): Promise<void> {
    const own = this.#blocks.ownIn(pool)
    const confirmed = own.filter(({ stored }) => stored?.block.state === 'Confirmed')
    for (const tracked of [...confirmed, ...own.filter((each) => !confirmed.includes(each))]) {
      const claim = this.#missing(pool, wanted)
      if (claim <= 0) return
      await this.#claimIn(tracked, claim, wanted)
    }
  }

  /** Enough for now: all have one, and at least half of what is to be ready is, or soon will be. */
  #isEnough(pool: PoolConfig, { demand, target }: Wanted): boolean {
    if (!this.#blocks.isCurrent(pool)) return true
    const spare = this.#blocks.slotsIn(pool) - demand()
    if (spare < 0) return false
    if (spare * 2 >= target) return true
    const resting = this.#blocks.ownIn(pool).reduce((sum, { stored }) => sum + (stored === null ? 0 : this.#counts(stored).cooling), 0)
    return spare > 0 && (spare + resting) * 2 >= target
  }

  async #claimBlocks(pool: PoolConfig, wanted: Wanted): Promise<{ readonly blocks: readonly StoredBlock[]; readonly isCapped: boolean }> {
    let blocks: readonly StoredBlock[] = []
    for (let listing = 0; listing < LISTINGS; listing++) {
      blocks = await this.#list(pool)
      await this.#fillFromOwn(pool, wanted) // the list may have shown blocks of ours that we did not know
      let failures = 0
      let left = 2 + Math.ceil(this.#missing(pool, wanted) / blockSizeOf({ ...pool.range, length: pool.blockSize })) // no more, whatever goes wrong
      for (const candidate of claimCandidates(pool, this.#blocks.node, blocks, this.#blocks.config.reservations)) {
        if (this.#isEnough(pool, wanted)) return { blocks, isCapped: false }
        if (this.#isCapped(pool)) return { blocks, isCapped: true }
        const tracked = await this.#claim(candidate)
        if (tracked === null) failures++
        else await this.#fillFromOwn(pool, wanted) // what is taken while the block is claimed, the block has too
        if (failures >= FAILURES_A_LISTING || --left === 0) break
      }
      if (failures === 0) break
    }
    return { blocks, isCapped: this.#isCapped(pool) }
  }

  async #claim(candidate: ClaimCandidate): Promise<TrackedBlock | null> {
    return candidate.kind === 'new' ? await this.#writer.claimNew(candidate.range) : await this.#writer.takeOver(candidate.stored)
  }

  async #borrow(pool: PoolConfig, wanted: Wanted, blocks: readonly StoredBlock[]): Promise<void> {
    const { node } = this.#blocks
    const modest = { ...wanted, target: Math.ceil(wanted.target / 2) } // what is claimed here, others lack
    for (const stored of inClaimOrder(pool, node, blocks)) {
      const claim = this.#missing(pool, modest)
      if (claim <= 0) return
      const { block } = stored
      if (block.node === node || (block.node !== null && block.state === 'Pending') || this.#counts(stored).free === 0) continue
      const isKnown = this.#blocks.tracked.has(blockKey(block.range))
      const tracked = this.#blocks.track(block.range)
      if (!isKnown) this.#blocks.observe(tracked, stored, this.#nowMs())
      await this.#claimIn(tracked, claim, modest)
      this.#blocks.untrackIfUnused(tracked)
    }
  }

  async #claimIn(tracked: TrackedBlock, claim: number, { onMore }: Wanted): Promise<void> {
    const giveUp = tracked.idle(this.#blocks.node, this.#blocks.config.reservations)
    await this.#writer.write(tracked, { giveUp, claim, confirm: true })
    onMore()
  }

  async #list(pool: PoolConfig): Promise<readonly StoredBlock[]> {
    const blocks = await this.#writer.listIn(pool.range)
    for (const stored of blocks) {
      this.#blocks.coolDown.see(stored.block, this.#nowMs())
      if (stored.block.node !== this.#blocks.node) continue
      const tracked = this.#blocks.track(stored.block.range)
      if (tracked.stored === null) this.#blocks.observe(tracked, stored, this.#nowMs()) // new to us, or made by a write that seemed to fail
    }
    return blocks
  }

  #missing(pool: PoolConfig, { demand, target }: Wanted): number {
    return this.#blocks.isCurrent(pool) ? demand() + target - this.#blocks.slotsIn(pool) : 0
  }

  #isCapped(pool: PoolConfig): boolean {
    const { maxBlocksPerHost } = this.#blocks.config
    if (maxBlocksPerHost === null) return false
    const family = prefixFamily(pool.range)
    const own = [...this.#blocks.tracked.values()].filter(
      (each) => prefixFamily(each.range) === family && each.isOwnedBy(this.#blocks.node),
    )
    return own.length >= maxBlocksPerHost
  }

  #counts({ block }: StoredBlock): BlockCounts {
    const nowMs = this.#nowMs()
    return new Block(block, this.#blocks.context(nowMs, 0)).counts(nowMs)
  }

  #useOf(pool: PoolConfig, listed: readonly StoredBlock[]): PoolUse {
    const known = listed.map((stored) => this.#blocks.tracked.get(blockKey(stored.block.range))?.stored ?? stored)
    const inPool = known.filter(({ block }) => covers(pool.range, block.range))
    const sum = { blocks: inPool.length, allocated: 0, reserved: 0, free: 0, cooling: 0, freeElsewhere: 0 }
    for (const stored of inPool) {
      const counts = this.#counts(stored)
      sum.allocated += counts.allocated
      sum.reserved += counts.reserved
      sum.free += counts.free
      sum.cooling += counts.cooling
      if (stored.block.node !== this.#blocks.node) sum.freeElsewhere += counts.free
    }
    return sum
  }

  async #faultOfNewBlock(range: Prefix, pool: PoolConfig): Promise<AssignFault | null> {
    if (this.#isCapped(pool)) {
      return refused(
        `the requested address is in block ${formatPrefix(range)} of ${titleOf(pool)}, which this node may not claim: it has ${this.#blocks.config.maxBlocksPerHost} blocks, as many as maxBlocksPerHost of IPAMConfiguration allows; raise that, or place the pod on another node`,
      )
    }
    const overlapping = (await this.#writer.listIn(range)).find(({ block }) => comparePrefix(block.range, range) !== 0)
    if (overlapping === undefined) return null
    return refused(
      `the requested address is in block ${formatPrefix(range)}, which overlaps block ${formatPrefix(overlapping.block.range)}: blockSize of ${titleOf(pool)} was changed; request another address, or change it back`,
    )
  }

  #faultOfExact(tracked: TrackedBlock, { block }: StoredBlock, address: IpAddress): AssignFault | null {
    const { node, config } = this.#blocks
    const text = formatIp(address)
    if (block.node !== node && config.strictAffinity) {
      const whose = block.node === null ? 'nobody' : `node ${block.node}`
      return refused(
        `requested address ${text} is in block ${tracked.key} of ${whose}, and strictAffinity of IPAMConfiguration keeps this node from borrowing it; place the pod on that node, or set strictAffinity: false`,
      )
    }
    const held = tracked.held.get(address)
    if (held !== undefined) return taken(text, ownerInWords({ ...held, node }, node))
    const allocation = block.allocations.find((each) => each.address === address)
    if (allocation !== undefined && !this.#isOurs(tracked, allocation)) return taken(text, ownerInWords(allocation, block.node))
    const reserve = block.reserves.find((each) => each.address === address)
    if (reserve === undefined || reserve.node === node) return null
    return {
      kind: 'taken',
      message: `requested address ${text} has been claimed ahead of need by node ${reserve.node}; request another, or one of a pool with assignmentMode Manual, of which no node claims ahead`,
    }
  }

  /** Under release, or of an earlier life under whatever handle: that is for `NodeBlocks.take` to tell. */
  #isOurs(tracked: TrackedBlock, allocation: { readonly address: IpAddress; readonly handle: string }): boolean {
    return [...tracked.releasing.values()].some((each) => each.address === allocation.address && each.handle === allocation.handle)
  }
}

function taken(address: string, owner: string): AssignFault {
  return { kind: 'taken', message: `requested address ${address} belongs to ${owner}; request another, or delete that pod first` }
}
