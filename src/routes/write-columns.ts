// Gathers the writes of one go into columns (see RouteWrites). Pure.
import { REMOVE, type RouteWrites } from './backend.ts'
import type { FibTable } from './fib-table.ts'
import { OUR_METRIC, type RouteBody } from './route.ts'
import type { ShapeTable } from './shape.ts'

/** Writes of one go, with the rows they are for. */
export type PendingWrites = { readonly writes: RouteWrites; readonly rows: Uint32Array }

export class WriteColumns {
  count = 0
  readonly #table: FibTable
  readonly #operations: Uint8Array
  readonly #addresses: Uint8Array
  readonly #lengths: Uint8Array
  readonly #bodyOf: Uint32Array
  readonly #rows: Uint32Array
  readonly #bodies: RouteBody[] = []
  readonly #indexes = new Map<number, number>()

  constructor(table: FibTable, capacity: number) {
    this.#table = table
    this.#operations = new Uint8Array(capacity)
    this.#addresses = new Uint8Array(capacity * table.octets)
    this.#lengths = new Uint8Array(capacity)
    this.#bodyOf = new Uint32Array(capacity)
    this.#rows = new Uint32Array(capacity)
  }

  add(row: number, operation: number, shapes: ShapeTable): void {
    const at = this.count++
    this.#operations[at] = operation
    this.#table.putAddress(row, this.#addresses, at * this.#table.octets)
    this.#lengths[at] = this.#table.lengthOf(row)
    this.#rows[at] = row
    if (operation !== REMOVE) this.#bodyOf[at] = this.#indexOf(this.#table.desired[row] ?? 0, shapes)
  }

  finish(): PendingWrites {
    const { family } = this.#table
    const writes = {
      family,
      count: this.count,
      metric: OUR_METRIC,
      tos: 0,
      operations: this.#operations,
      addresses: this.#addresses,
      lengths: this.#lengths,
      bodyOf: this.#bodyOf,
      bodies: this.#bodies,
    }
    return { writes, rows: this.#rows }
  }

  #indexOf(shape: number, shapes: ShapeTable): number {
    const known = this.#indexes.get(shape)
    if (known !== undefined) return known
    const found = shapes.get(shape)
    if (found.kind !== 'body') throw new Error(`not installable: ${found.reason}`)
    const index = this.#bodies.push(found.body) - 1
    this.#indexes.set(shape, index)
    return index
  }
}
