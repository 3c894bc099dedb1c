// Next hops as small numbers, counted by the attribute sets that carry them.
import type { IpAddress } from '../../net/index.ts'
import type { NextHop } from '../attributes.ts'
import { NONE } from './columns.ts'

export class NextHopTable {
  readonly #values: (NextHop | null)[] = [null]
  readonly #refs: number[] = [0]
  readonly #ids = new Map<IpAddress | string, number>()
  readonly #holders = new Map<IpAddress, number>()
  readonly #free: number[] = []
  /** Called with a number that now means another next hop than before. */
  readonly onAdd = new Set<(id: number) => void>()
  readonly onFree = new Set<(id: number) => void>()

  /** Numbers below this may be in use. */
  get end(): number {
    return this.#values.length
  }

  get(id: number): NextHop | null {
    return this.#values[id] ?? null
  }

  /** True if some attribute set has this address as its next hop. */
  hasAddress(address: IpAddress): boolean {
    return this.#holders.has(address)
  }

  hold(value: NextHop): number {
    const key = keyOf(value)
    const known = this.#ids.get(key)
    if (known !== undefined) {
      this.#refs[known] = (this.#refs[known] ?? 0) + 1
      return known
    }
    const id = this.#free.pop() ?? this.#values.length
    this.#values[id] = value
    this.#refs[id] = 1
    this.#ids.set(key, id)
    this.#holders.set(value.address, (this.#holders.get(value.address) ?? 0) + 1)
    for (const added of this.onAdd) added(id)
    return id
  }

  release(id: number): void {
    if (id === NONE) return
    const left = (this.#refs[id] ?? 0) - 1
    this.#refs[id] = left
    const value = this.#values[id]
    if (left > 0 || value === null || value === undefined) return
    for (const freed of this.onFree) freed(id)
    const others = (this.#holders.get(value.address) ?? 0) - 1
    if (others > 0) this.#holders.set(value.address, others)
    else this.#holders.delete(value.address)
    this.#ids.delete(keyOf(value))
    this.#values[id] = null
    this.#free.push(id)
  }
}

function keyOf({ address, linkLocal }: NextHop): IpAddress | string {
  return linkLocal === null ? address : `${address}|${linkLocal}`
}
