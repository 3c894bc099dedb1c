// The routes of one family that are asked for, by rows of its table: BGP's by next hop sets, this node's own, and those to its pods.
// Says of each row what it should be; a pod comes before this node's other routes, and those before what BGP found. No I/O.
import { bitsOf, type FibBatch, type FibNextHop, type IpAddress, ipToBytes } from '../net/index.ts'
import { type FibTable, IN_USE } from './fib-table.ts'
import { type LocalEntry, planNextHops } from './plan.ts'
import type { RouteBody } from './route.ts'
import { NO_SHAPE, type Shape, type ShapeTable } from './shape.ts'

export class DesiredRoutes {
  readonly #table: FibTable
  readonly #shapes: ShapeTable
  readonly #want: (row: number, shape: number) => void
  readonly #sets = new Map<number, { readonly nextHops: readonly FibNextHop[]; shape: number }>()
  #localRows = new Set<number>()
  #source: IpAddress | null = null
  #outerInterface: number | null = null

  /** `want` is told the shape a row should have in the kernel, also where it is what it was. */
  constructor(table: FibTable, shapes: ShapeTable, want: (row: number, shape: number) => void) {
    this.#table = table
    this.#shapes = shapes
    this.#want = want
  }

  /** Takes in changes of best paths. A set that is named anew replaces its meaning everywhere. */
  applyBatch(batch: FibBatch): void {
    const table = this.#table
    const want = this.#want
    for (const { id, nextHops } of batch.newSets) {
      const isRedefined = this.#sets.has(id)
      this.#sets.set(id, { nextHops, shape: this.#shapeOfHops(nextHops) })
      if (isRedefined) this.#wantBgpAnew()
    }
    let lastSet = 0
    let lastShape = NO_SHAPE
    for (let index = 0; index < batch.count; index++) {
      const row = table.insert(batch.addresses, index * table.octets, batch.lengths[index] ?? 0)
      const set = batch.nextHopSets[index] ?? 0
      if (set !== lastSet) {
        lastSet = set
        lastShape = this.#shapeOfSet(set)
      }
      table.bgpSet[row] = set
      const own = table.pod[row] || table.local[row] || NO_SHAPE
      want(row, own === NO_SHAPE ? lastShape : own)
    }
  }

  /** The route to a pod of this node; null: there is no such pod. */
  setPod(address: IpAddress, body: RouteBody | null): void {
    const table = this.#table
    if (this.#shapes.needsSweep) this.#sweepShapes()
    const bytes = ipToBytes(address)
    const length = bitsOf(table.family)
    const row = body === null ? table.find(bytes, 0, length) : table.insert(bytes, 0, length)
    if (row < 0) return
    const before = table.pod[row] ?? NO_SHAPE
    const shape = body === null ? NO_SHAPE : this.#shapes.ofBody(body)
    table.pod[row] = shape
    if (before !== NO_SHAPE || shape !== NO_SHAPE) this.#want(row, this.#wantedIn(row))
  }

  /** The whole truth about this node's own routes, its source address (null: the kernel's choice) and its IPv6 tunnel: see `planNextHops`. */
  setLocal(entries: readonly LocalEntry[], source: IpAddress | null, outerInterface: number | null): void {
    const table = this.#table
    const before = this.#localRows
    this.#localRows = new Set()
    for (const { prefix, shape } of entries) {
      const row = table.insert(ipToBytes(prefix.address), 0, prefix.length)
      this.#localRows.add(row)
      table.local[row] = this.#numberOf(shape)
      this.#want(row, this.#wantedIn(row))
    }
    for (const row of before) {
      if (this.#localRows.has(row)) continue
      table.local[row] = NO_SHAPE
      this.#want(row, this.#wantedIn(row))
    }
    if (source === this.#source && outerInterface === this.#outerInterface) return
    this.#source = source
    this.#outerInterface = outerInterface
    for (const set of this.#sets.values()) set.shape = this.#shapeOfHops(set.nextHops)
    this.#wantBgpAnew()
  }

  #wantBgpAnew(): void {
    const { bgpSet, high } = this.#table
    for (let row = 0; row < high; row++) if (bgpSet[row] !== 0) this.#want(row, this.#wantedIn(row))
  }

  #wantedIn(row: number): number {
    const { pod, local, bgpSet } = this.#table
    return pod[row] || local[row] || this.#shapeOfSet(bgpSet[row] ?? 0)
  }

  #sweepShapes(): void {
    const { pod, local, desired, installed, flags, high } = this.#table
    const used = new Set<number>()
    for (let row = 0; row < high; row++) {
      if (((flags[row] ?? 0) & IN_USE) === 0) continue
      for (const column of [pod, local, desired, installed]) used.add(column[row] ?? NO_SHAPE)
    }
    for (const { shape } of this.#sets.values()) used.add(shape)
    this.#shapes.sweep(used)
  }

  #shapeOfSet(set: number): number {
    if (set === 0) return NO_SHAPE
    return this.#sets.get(set)?.shape ?? this.#shapeOfHops(undefined)
  }

  #shapeOfHops(nextHops: readonly FibNextHop[] | undefined): number {
    return this.#numberOf(planNextHops(this.#table.family, nextHops, this.#source, this.#outerInterface))
  }

  #numberOf(shape: Shape): number {
    return shape.kind === 'body' ? this.#shapes.ofBody(shape.body) : this.#shapes.ofImpossible(shape.reason)
  }
}
