// IPAM of one node (shell). An ADD takes an address that has been claimed ahead and waits for nobody; what follows from it (the block
// shows the allocation, more is claimed) happens in turns, one at a time, each from what is known by then. A turn that fails is
// repeated, later each time, for ever: nothing is forgotten that the store does not know yet.
import { isDeepStrictEqual } from 'node:util'
import { untilCalled } from '../lib/abortable.ts'
import { backoffMs } from '../lib/backoff.ts'
import type { Clock } from '../lib/clock.ts'
import { Coalescer } from '../lib/coalesce.ts'
import { EarliestTimer } from '../lib/earliest-timer.ts'
import { type Log, quoteText } from '../lib/log.ts'
import { err } from '../lib/result.ts'
import { IP_FAMILIES, type IpAddress, type Prefix } from '../net/index.ts'
import { Announcer } from './announcer.ts'
import { Assigner } from './assigner.ts'
import { type BlockStore, BlockStoreError } from './block-store.ts'
import { BlockSync } from './block-sync.ts'
import { BlockWriter } from './block-writer.ts'
import type { AssignFault, AssignRequest, HeldAllocation, IpamConfig, IpamView, NodeIpam } from './contract.ts'
import { Housekeeping } from './housekeeping.ts'
import { NodeBlocks } from './node-blocks.ts'
import { PoolState } from './pool-state.ts'
import { isUsable, needsOf } from './pools.ts'
import type { Answer } from './requests.ts'
import { NO_RESERVE_FILE, type ReserveFile, ReserveMemory } from './reserve-memory.ts'
import { Supply } from './supply.ts'
import { viewOf } from './view.ts'

export type NodeIpamDeps = {
  readonly node: string
  readonly store: BlockStore
  readonly clock: Clock
  /** In [0, 1): jitter, and first sequences of blocks. */
  readonly random: () => number
  readonly log: Log
  /** `view()` or `notReadyBecause()` may have changed. Called after the change, never from within a method of this interface. */
  readonly onChange?: () => void
  /**
   * Something on this node has the address (a pod's host route), whatever the state directory remembers: such an address is never
   * released as a leak.
   */
  readonly isInUse?: (address: IpAddress) => boolean
  /** Where the reserve is remembered over a restart; absent: a start waits for the store. */
  readonly reserveFile?: ReserveFile
  readonly options?: Partial<NodeIpamOptions>
}

export type NodeIpamOptions = {
  /** Addresses claimed ahead in each family (at most a quarter of a block); refilled when below half, to twice as many while pods come quickly. */
  readonly reserveSize: number
  /** Pause before allocations and releases are written, so that one write carries many. */
  readonly batchMs: number
  /** Blocks are read again, and leaks looked for, this often. */
  readonly refreshMs: number
  /** A block that has been empty for so long is given back. */
  readonly emptyGraceMs: number
  /** An allocation without owner that has been seen twice, at least this far apart, is released. */
  readonly leakGraceMs: number
  /** A pool without addresses is not asked again before. */
  readonly exhaustedRetryMs: number
}

export const NODE_IPAM_DEFAULTS: NodeIpamOptions = {
  reserveSize: 8,
  batchMs: 100,
  refreshMs: 60_000,
  emptyGraceMs: 300_000,
  leakGraceMs: 60_000,
  exhaustedRetryMs: 5_000,
}

export function createNodeIpam(deps: NodeIpamDeps): NodeIpam {
  return new Ipam(deps)
}

/** Between two looks that were asked for: our own writes come back as changes, too. */
const LOOK_AGAIN_MS = 2_000
const STOPPING: AssignFault = { kind: 'unavailable', message: 'the agent is stopping; try again' }
const BACKOFF = { baseMs: 200, capMs: 10_000 }

class Ipam implements NodeIpam {
  readonly #deps: NodeIpamDeps
  readonly #options: NodeIpamOptions
  readonly #blocks: NodeBlocks
  readonly #writer: BlockWriter
  readonly #memory: ReserveMemory
  readonly #pools: PoolState
  readonly #sync: BlockSync
  readonly #assigner: Assigner
  readonly #housekeeping: Housekeeping
  readonly #turns = new Coalescer(() => this.#turn())
  readonly #nextTurn: EarliestTimer
  readonly #announcer: Announcer | null
  readonly #onceSynced: (() => void)[] = []
  readonly #stop = new AbortController()
  #isConfigured = false
  #isAdopted = false
  #hasSynced = false
  #nextLookMs = Number.NEGATIVE_INFINITY
  #failures = 0
  #storeError: string | null = null
  #memoryFault: string | null = null

  constructor(deps: NodeIpamDeps) {
    const { node, store, clock, random, log } = deps
    this.#deps = deps
    this.#options = { ...NODE_IPAM_DEFAULTS, ...deps.options }
    this.#announcer = deps.onChange === undefined ? null : new Announcer(clock, deps.onChange)
    this.#nextTurn = new EarliestTimer(clock, () => void this.#turns.request())
    const nowMs = (): number => clock.nowMs()
    this.#blocks = new NodeBlocks(node)
    this.#memory = new ReserveMemory(deps.reserveFile ?? NO_RESERVE_FILE, node)
    this.#writer = new BlockWriter({ store, blocks: this.#blocks, clock, random, log, memory: this.#memory })
    this.#pools = new PoolState(this.#blocks, this.#options.reserveSize, nowMs, log)
    this.#sync = new BlockSync(this.#blocks, this.#writer, nowMs)
    const { leakGraceMs, emptyGraceMs, exhaustedRetryMs, refreshMs } = this.#options
    this.#assigner = new Assigner({
      blocks: this.#blocks,
      pools: this.#pools,
      supply: new Supply(this.#blocks, this.#writer, nowMs),
      nowMs,
      exhaustedRetryMs,
      refillRetryMs: refreshMs,
      whyWaiting: () => this.#whyWaiting(),
      onTaken: () => this.#taken(),
    })
    this.#housekeeping = new Housekeeping({
      blocks: this.#blocks,
      writer: this.#writer,
      nowMs,
      log,
      leakGraceMs,
      emptyGraceMs,
      isInUse: deps.isInUse ?? (() => false),
      targetOf: (pool) => this.#pools.targetOf(pool),
    })
  }

  configure(config: IpamConfig): void {
    if (this.#isConfigured && isDeepStrictEqual(config, this.#blocks.config)) return
    this.#blocks.configure(config)
    this.#pools.forget()
    this.#isConfigured = true
    this.lookAgain()
  }

  adopt(held: readonly HeldAllocation[]): void {
    if (this.#isAdopted) throw new Error('adopt was called before: it is for the start alone')
    for (const each of held) this.#blocks.adopt(each)
    if (this.#deps.reserveFile !== undefined) this.#blocks.recall(this.#memory.load(this.#deps.isInUse ?? (() => false)))
    this.#isAdopted = true
    this.#nextTurn.within(0)
  }

  lookAgain(shown?: { readonly block: Prefix; readonly version: string | null }): void {
    if (shown === undefined) this.#sync.wantAll()
    else this.#sync.shown(shown.block, shown.version)
    this.#lookSoon()
  }

  async assign(request: AssignRequest, signal?: AbortSignal): Promise<Answer> {
    if (this.#isDisposed) return err(STOPPING)
    // Before the blocks have been read, what is remembered of the reserve can be handed out.
    const answer = this.#isRunning ? this.#assigner.take(request) : this.#assigner.remembered(request.handle)
    if (answer !== null) return answer
    const answered = this.#assigner.wait(request, signal)
    this.#nextTurn.within(0)
    return await answered
  }

  async release(handle: string, signal?: AbortSignal): Promise<void> {
    this.#stop.signal.throwIfAborted()
    const either = signal === undefined ? this.#stop.signal : AbortSignal.any([signal, this.#stop.signal])
    await untilCalled((done) => {
      // What an earlier life left under this handle is known only once the blocks have been read.
      const isKnown = this.#blocks.liveOf(handle) !== null
      if (this.#hasSynced || isKnown) this.#beginRelease(handle, done)
      else this.#onceSynced.push(() => this.#beginRelease(handle, done))
    }, either)
  }

  view(): IpamView {
    return viewOf({
      blocks: this.#blocks,
      nowMs: this.#deps.clock.nowMs(),
      hasSynced: this.#hasSynced,
      storeError: this.#storeError,
      exhausted: this.#pools.messages(),
    })
  }

  notReadyBecause(): string | null {
    if (!this.#isConfigured || !this.#isAdopted) return 'IPAM is starting: the pools have not been read yet'
    const { config } = this.#blocks
    if (!config.pools.some((pool) => isUsable(pool))) {
      const nothing = needsOf(config, { handle: '', pod: null, namespaceLabels: null, requested: [], pools: { ipv4: null, ipv6: null } })
      return nothing.ok ? null : nothing.error.message
    }
    const wanted = IP_FAMILIES.map((family) => this.#pools.generalPools(family)).filter((pools) => pools.length > 0)
    const empty = wanted.filter((pools) => pools.every((pool) => this.#blocks.slotsIn(pool) === 0))
    // What is remembered of the reserve serves a start.
    if (!this.#hasSynced && (empty.length > 0 || wanted.length === 0)) return `IPAM is starting: ${this.#whyWaiting()}`
    for (const pools of empty) {
      if (pools.every((pool) => this.#pools.isExhausted(pool, Number.POSITIVE_INFINITY))) return this.#pools.faultOf(pools).message
      if (this.#storeError !== null) return this.#whyWaiting()
    }
    return null
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isDisposed) return
    this.#stop.abort(new Error('IPAM has been stopped; the release goes on when it starts again'))
    this.#nextTurn[Symbol.dispose]()
    this.#announcer?.[Symbol.dispose]()
    this.#writer.stop()
    this.#assigner.refuseAll(STOPPING)
    await this.#turns.request()
  }

  get #isDisposed(): boolean {
    return this.#stop.signal.aborted
  }

  get #isRunning(): boolean {
    return this.#isConfigured && this.#isAdopted && !this.#isDisposed
  }

  #beginRelease(handle: string, done: () => void): void {
    this.#assigner.cancel(handle)
    const releasing = this.#blocks.release(handle)
    let left = releasing.length
    if (left === 0) done()
    for (const each of releasing) {
      each.done.push(() => {
        left--
        if (left === 0) done()
      })
    }
    if (left > 0) this.#nextTurn.within(this.#options.batchMs)
    this.#announce()
  }

  /** One turn. Who waits is served first, then the store is told what it does not know, then comes what can wait. */
  async #turn(): Promise<void> {
    if (!this.#isRunning) return
    let isComplete = true
    try {
      const isFirst = !this.#hasSynced
      if (isFirst) await this.#readFirst()
      await this.#assigner.serve()
      await this.#assigner.refill()
      isComplete = await this.#sync.flush()
      if (isFirst || this.#isReadingDue()) {
        if (!isFirst) await this.#read()
        await this.#housekeeping.run()
        isComplete = await this.#sync.flush()
        await this.#assigner.refill()
      }
      if (this.#assigner.waiting > 0) await this.#assigner.serve()
      isComplete &&= this.#assigner.waiting === 0
      this.#recovered()
    } catch (cause) {
      this.#failed(cause)
      isComplete = false
    }
    this.#keep()
    this.#announce()
    if (this.#isDisposed) return
    if (!isComplete) this.#nextTurn.within(backoffMs(this.#failures++, BACKOFF, this.#deps.random()))
    else {
      this.#failures = 0
      if (this.#sync.isBehind) this.#lookSoon()
      this.#nextTurn.within(Math.max(0, this.#sync.readAtMs + this.#options.refreshMs - this.#deps.clock.nowMs()))
    }
  }

  #isReadingDue(): boolean {
    const nowMs = this.#deps.clock.nowMs()
    return nowMs - this.#sync.readAtMs >= this.#options.refreshMs || (this.#sync.isBehind && nowMs >= this.#nextLookMs)
  }

  async #read(): Promise<void> {
    this.#nextLookMs = this.#deps.clock.nowMs() + LOOK_AGAIN_MS
    if (this.#deps.clock.nowMs() - this.#sync.readAtMs >= this.#options.refreshMs) this.#sync.wantAll()
    await this.#sync.catchUp()
  }

  /** The next start knows what can be handed out now. */
  #keep(): void {
    let fault: string | null = null
    try {
      this.#memory.keep(this.#blocks.tracked.values(), this.#blocks.config.reservations)
    } catch (cause) {
      fault = cause instanceof Error ? cause.message : String(cause)
      if (this.#memoryFault !== fault) this.#deps.log.warn('ipam.reserve.unwritten', { err: cause })
    }
    this.#memoryFault = fault
  }

  async #readFirst(): Promise<void> {
    await this.#sync.readAll()
    this.#hasSynced = true
    for (const begin of this.#onceSynced.splice(0)) begin()
  }

  /** What has been taken is written a little later, with what else is taken by then; a low reserve is filled at once. */
  #taken(): void {
    const isLow = this.#blocks.config.pools.some((pool) => this.#pools.isLow(pool))
    this.#nextTurn.within(isLow ? 0 : this.#options.batchMs)
    this.#announce()
  }

  #whyWaiting(): string {
    if (!this.#isConfigured || !this.#isAdopted) return 'the pools have not been read yet; try again'
    const what = this.#hasSynced ? 'no address is claimed ahead' : 'the blocks of this node have not been read yet'
    return this.#storeError === null ? `${what}; try again` : `${what}, and the store cannot be reached: ${this.#storeError}`
  }

  #failed(cause: unknown): void {
    if (this.#isDisposed) return
    const message = quoteText(cause instanceof Error ? cause.message : String(cause))
    if (!(cause instanceof BlockStoreError)) {
      if (message !== this.#storeError) this.#deps.log.error('ipam.turn.failed', { err: cause }) // a fault of this program
    } else if (this.#storeError === null) this.#deps.log.warn('ipam.store.failed', { err: cause })
    this.#storeError = message
  }

  #recovered(): void {
    if (this.#storeError !== null) this.#deps.log.info('ipam.store.recovered')
    this.#storeError = null
  }

  #lookSoon(): void {
    this.#nextTurn.within(this.#hasSynced ? Math.max(this.#options.batchMs, this.#nextLookMs - this.#deps.clock.nowMs()) : 0)
  }

  #announce(): void {
    if (this.#announcer === null || this.#isDisposed) return
    const exhausted = [...this.#pools.messages().keys()].join()
    this.#announcer.see(`${this.#blocks.revision} ${this.#hasSynced} ${this.#storeError} ${exhausted}`)
  }
}
