// The forwarding table of one family as we want it and as it is: BGP's best paths and local routes on one side, what the kernel
// was seen or made to hold on the other, and between them a queue of rows that may differ. Knows no socket, no timer and no log.
import type { FibBatch, IpAddress, IpFamily, Prefix } from '../net/index.ts'
import { REMOVE, type RouteChangeKind, type RouteView, type RouteWrites, type WriteOutcome } from './backend.ts'
import { DesiredRoutes } from './desired-routes.ts'
import { Failures } from './failures.ts'
import { FibTable, FOREIGN, IN_USE, QUEUED, RowQueue, STALE } from './fib-table.ts'
import { ForeignRoutes } from './foreign-routes.ts'
import { isInPlace, MisplacedRoutes } from './misplaced-routes.ts'
import { type Decision, decide, KEEP, type LocalEntry, type Policy } from './plan.ts'
import { isConnected, OUR_PROTOCOL, type RouteBody } from './route.ts'
import { hopsOver, isToPod, NO_SHAPE, ShapeTable } from './shape.ts'
import { type PendingWrites, WriteColumns } from './write-columns.ts'

export class Fib {
  readonly table: FibTable
  readonly shapes = new ShapeTable()
  readonly failures: Failures
  readonly foreign: ForeignRoutes
  /** Something in the kernel is not as we thought: read it again. */
  isInDoubt = true
  /** So little is known of the kernel that nothing may be written before it has been read. */
  isBlind = true
  /** What failed may succeed now. */
  isHopeful = false
  #policy: Policy = { installRoutes: true, maySweep: false }
  readonly #desired: DesiredRoutes
  readonly #misplaced: MisplacedRoutes
  readonly #queue = new RowQueue()
  readonly #removals = new RowQueue()
  #arePodsKnown = false
  #readBack = 0

  constructor(family: IpFamily, random: () => number) {
    this.table = new FibTable(family)
    this.#desired = new DesiredRoutes(this.table, this.shapes, (row, shape) => this.#want(row, shape))
    this.#misplaced = new MisplacedRoutes(this.table)
    this.failures = new Failures(this.table, random)
    this.foreign = new ForeignRoutes(this.table, (row) => {
      this.failures.clear(row)
      this.#enqueue(row)
    })
  }

  get policy(): Policy {
    return this.#policy
  }

  setPolicy(policy: Policy): void {
    if (policy.installRoutes === this.#policy.installRoutes && policy.maySweep === this.#policy.maySweep) return
    this.#policy = policy
    this.#eachRow((row) => this.#enqueue(row))
  }

  /** Takes in changes of best paths. A set that is named anew replaces its meaning everywhere. */
  applyBatch(batch: FibBatch): void {
    this.#desired.applyBatch(batch)
  }

  /** The route to a pod of this node, which wins over any other of ours; null: there is no such pod. */
  setPod(address: IpAddress, body: RouteBody | null): void {
    this.#desired.setPod(address, body)
  }

  /** Every pod has been named once: routes to others, left by a predecessor, may be swept. */
  podsAreKnown(): void {
    if (this.#arePodsKnown) return
    this.#arePodsKnown = true
    this.#eachRow((row) => this.#enqueue(row))
  }

  /**
   * The whole truth about this node's own routes and its source address (null: let the kernel choose one). `outerInterface`: see
   * `planNextHops`.
   */
  setLocal(entries: readonly LocalEntry[], source: IpAddress | null, outerInterface: number | null = null): void {
    this.#desired.setLocal(entries, source, outerInterface)
  }

  /** Begins a read-back, or begins it again. */
  startReadBack(): void {
    this.#readBack++
    this.#misplaced.forget()
    this.foreign.startReadBack()
  }

  /** Takes in one route of a read-back. */
  readRoute(view: RouteView): void {
    const { table } = this
    if (view.protocol !== OUR_PROTOCOL) {
      this.foreign.readRoute(table.insert(view.address, 0, view.length), view)
      return
    }
    const row = isInPlace(view) ? table.insert(view.address, 0, view.length) : -1
    if (row < 0 || table.seen[row] === this.#readBack) {
      this.#misplaced.add(view)
      return
    }
    table.seen[row] = this.#readBack
    this.#found(row, this.shapes.ofBody(view.body))
  }

  /** Ends a read-back; returns how many routes we took for installed were not there. */
  finishReadBack(outcome: 'consistent' | 'interrupted'): number {
    const { table } = this
    let missing = 0
    this.foreign.finishReadBack()
    this.#eachRow((row) => {
      if (outcome === 'consistent' && table.installed[row] !== NO_SHAPE && table.seen[row] !== this.#readBack) {
        table.installed[row] = NO_SHAPE
        missing++
      }
      if (table.installed[row] !== table.desired[row] || this.#isEmpty(row)) this.#enqueue(row)
    })
    this.isInDoubt = outcome === 'interrupted'
    this.isBlind = false
    return missing
  }

  /** Takes in what somebody else did to a route. */
  routeChanged(view: RouteView, change: RouteChangeKind): void {
    if (view.protocol === OUR_PROTOCOL) {
      this.#ourRouteChanged(view, change)
      return
    }
    const { table } = this
    const row = table.insert(view.address, 0, view.length)
    if (this.foreign.change(row, view, change) === 'unsure') this.isInDoubt = true
    if (change !== 'removed') {
      if (isInPlace(view) && table.installed[row] !== NO_SHAPE) this.isInDoubt = true // it took the place of ours, or joined it
      if (isConnected(view)) this.isHopeful = true // gateways may be reachable now
    }
    this.#enqueue(row)
  }

  /** True if a route of ours in the kernel has this interface among its next hops. */
  usesInterface(index: number): boolean {
    const affected = this.shapes.pick((shape) => hopsOver(shape, index) !== 'none')
    if (affected.size === 0) return false
    const { installed, high } = this.table
    for (let row = 0; row < high; row++) if (affected.has(installed[row] ?? 0)) return true
    return false
  }

  /**
   * The interface is down or gone, and with it, without a word, went every route that had no other; what became of routes with
   * others beside it only the kernel knows.
   */
  interfaceLost(index: number): void {
    const { table } = this
    const lost = this.shapes.pick((shape) => hopsOver(shape, index) === 'all')
    const unsure = this.shapes.pick((shape) => hopsOver(shape, index) === 'some')
    if (lost.size + unsure.size === 0) return
    this.#eachRow((row) => {
      const installed = table.installed[row] ?? 0
      if (unsure.has(installed)) this.isInDoubt = true
      if (!lost.has(installed)) return
      table.installed[row] = NO_SHAPE
      this.#enqueue(row)
    })
  }

  /** How many rows may differ. */
  get queued(): number {
    return this.#queue.length + this.#removals.length
  }

  /** Queues what failed and is due for another try: all of it, if something changed for the better. */
  queueRetries(nowMs: number): void {
    if (this.isHopeful) this.failures.retryAll(nowMs)
    this.isHopeful = false
    for (const row of this.failures.due(nowMs)) this.#enqueue(row)
  }

  /** The next writes to do, changes before removals, at most `limit`; null when nothing is left. */
  nextWrites(limit: number, nowMs: number): PendingWrites | null {
    const columns = new WriteColumns(this.table, Math.min(limit, this.queued))
    for (let row = this.#queue.shift(); row >= 0; row = this.#queue.shift()) {
      const decision = this.#decide(row, nowMs)
      if (decision === REMOVE) {
        this.#removals.push(row) // still marked as queued
        continue
      }
      if (decision !== KEEP) columns.add(row, decision, this.shapes)
      else if (this.failures.pending(row, nowMs) === 'nothing') this.failures.clear(row) // what failed is not wanted any more
      this.#dequeue(row)
      if (columns.count === limit) break
    }
    if (columns.count > 0) return columns.finish()
    for (let row = this.#removals.shift(); row >= 0; row = this.#removals.shift()) {
      if (this.#decide(row, nowMs) === REMOVE) {
        this.#unmark(row)
        columns.add(row, REMOVE, this.shapes)
      } else this.#queue.push(row) // a change of mind: it goes through the front door
      if (columns.count === limit) break
    }
    if (columns.count > 0) return columns.finish()
    return this.#queue.length > 0 ? this.nextWrites(limit, nowMs) : null
  }

  /** Takes in what came of `pending`. */
  recordOutcome({ writes, rows }: PendingWrites, outcome: WriteOutcome, nowMs: number): void {
    const { table } = this
    const failed = new Map(outcome.failures.map((failure) => [failure.index, failure]))
    for (let index = 0; index < writes.count; index++) {
      const row = rows[index] ?? 0
      const isRemoval = writes.operations[index] === REMOVE
      const failure = failed.get(index)
      if (failure !== undefined) {
        this.failures.add(row, isRemoval ? 'removal' : 'write', failure, nowMs)
        // EEXIST: something we did not know of holds the place. A refused replacement may have to give way altogether.
        if (failure.code === 'EEXIST') this.isInDoubt = true
        else this.#enqueue(row)
      } else if (!outcome.unknown.some(({ from, to }) => index >= from && index < to)) {
        table.installed[row] = isRemoval ? NO_SHAPE : (table.desired[row] ?? 0)
        if (!isRemoval || table.desired[row] === NO_SHAPE) this.failures.clear(row)
        if (isRemoval) this.#enqueue(row) // to be wanted again, or to be given back
      }
    }
    if (outcome.unknown.length > 0) this.isInDoubt = true
  }

  /** Routes of ours that are out of place, to be removed; the read-back after that finds what is left. */
  takeMisplaced(): readonly RouteWrites[] {
    const { installRoutes, maySweep } = this.#policy
    if (this.#misplaced.isEmpty || (installRoutes && !maySweep)) return []
    this.isInDoubt = true
    return this.#misplaced.take()
  }

  prefixOf(row: number): Prefix {
    return this.table.prefixOf(row)
  }

  #ourRouteChanged(view: RouteView, change: RouteChangeKind): void {
    const { table } = this
    const shape = this.shapes.ofBody(view.body)
    if (!isInPlace(view) || change === 'appended') this.isInDoubt = true
    else if (change !== 'removed') this.#found(table.insert(view.address, 0, view.length), shape)
    else {
      const row = table.find(view.address, 0, view.length)
      if (row < 0 || table.installed[row] === NO_SHAPE) return
      if (table.installed[row] === shape) {
        table.installed[row] = NO_SHAPE
        this.#enqueue(row)
      } else this.isInDoubt = true // one next hop of several
    }
  }

  /** A route of ours was seen in the kernel. */
  #found(row: number, shape: number): void {
    const { table } = this
    if (table.installed[row] === shape) return
    table.installed[row] = shape
    if (table.desired[row] === NO_SHAPE) table.flags[row] = (table.flags[row] ?? 0) | STALE
    this.#enqueue(row)
  }

  #want(row: number, shape: number): void {
    const { table } = this
    const flags = table.flags[row] ?? 0
    if ((flags & STALE) === 0 && table.desired[row] === shape && shape !== NO_SHAPE) return
    table.flags[row] = flags & ~STALE
    table.desired[row] = shape
    this.failures.clear(row)
    this.#enqueue(row)
  }

  #decide(row: number, nowMs: number): Decision {
    const { table } = this
    const desired = table.desired[row] ?? 0
    const installed = table.installed[row] ?? 0
    const flags = table.flags[row] ?? 0
    if (desired === NO_SHAPE && installed === NO_SHAPE) return KEEP
    const was = installed === NO_SHAPE ? null : this.shapes.get(installed)
    const isStale = (flags & STALE) !== 0
    if (isStale && !this.#arePodsKnown && this.#policy.installRoutes && was !== null && isToPod(was)) return KEEP
    return decide(
      {
        desired: desired === NO_SHAPE ? null : this.shapes.get(desired),
        installed: was?.kind === 'body' ? was.body : null,
        isSame: desired === installed,
        isStale,
        failing: this.failures.pending(row, nowMs),
        foreign: (flags & FOREIGN) === 0 ? 'none' : this.foreign.claimOn(row),
      },
      this.#policy,
    )
  }

  #enqueue(row: number): void {
    const flags = this.table.flags[row] ?? 0
    if ((flags & QUEUED) !== 0) return
    this.table.flags[row] = flags | QUEUED
    this.#queue.push(row)
  }

  /** Takes a row off the queue, and gives it back if nothing is known of it any more. */
  #dequeue(row: number): void {
    this.#unmark(row)
    if (!this.#isEmpty(row)) return
    this.failures.clear(row)
    this.table.release(row)
  }

  #unmark(row: number): void {
    this.table.flags[row] = (this.table.flags[row] ?? 0) & ~QUEUED
  }

  #isEmpty(row: number): boolean {
    const { bgpSet, desired, installed, flags } = this.table
    return bgpSet[row] === 0 && desired[row] === NO_SHAPE && installed[row] === NO_SHAPE && ((flags[row] ?? 0) & FOREIGN) === 0
  }

  #eachRow(visit: (row: number) => void): void {
    for (let row = 0; row < this.table.high; row++) if (((this.table.flags[row] ?? 0) & IN_USE) !== 0) visit(row)
  }
}
