// Route bodies by number, so that a table holds one integer a route and compares routes by comparing integers. Pure.
import { bodyKey, farEnd, type RouteBody } from './route.ts'

/** Something a row can be asked to be: a body, or the reason why there is none to install. */
export type Shape = { readonly kind: 'body'; readonly body: RouteBody } | { readonly kind: 'impossible'; readonly reason: string }

export const NO_SHAPE = 0
const FIRST_SWEEP = 4096

export class ShapeTable {
  readonly #shapes: (Shape | null)[] = []
  readonly #ids = new Map<string, number>()
  readonly #free: number[] = []
  #idsOfBodies = new WeakMap<RouteBody, number>()
  #sweepAt = FIRST_SWEEP

  /** Enough have been made since the last sweep for another to be worth its while. */
  get needsSweep(): boolean {
    return this.#ids.size >= this.#sweepAt
  }

  /** Number of a body, the same for equal bodies; never 0. */
  ofBody(body: RouteBody): number {
    const known = this.#idsOfBodies.get(body)
    if (known !== undefined) return known
    const id = this.#intern(bodyKey(body), { kind: 'body', body })
    this.#idsOfBodies.set(body, id)
    return id
  }

  ofImpossible(reason: string): number {
    return this.#intern(`impossible ${reason}`, { kind: 'impossible', reason })
  }

  get(id: number): Shape {
    const shape = this.#shapes[id - 1]
    if (shape === undefined || shape === null) throw new RangeError(`no shape ${id}`)
    return shape
  }

  /** Forgets every shape but the used ones: the interfaces of pods come and go for months. Numbers in use keep their meaning. */
  sweep(used: ReadonlySet<number>): void {
    for (const [key, id] of this.#ids) {
      if (used.has(id)) continue
      this.#ids.delete(key)
      this.#shapes[id - 1] = null
      this.#free.push(id)
    }
    this.#idsOfBodies = new WeakMap()
    this.#sweepAt = Math.max(FIRST_SWEEP, 2 * this.#ids.size)
  }

  /** Numbers of the shapes that the predicate picks. */
  pick(predicate: (shape: Shape) => boolean): ReadonlySet<number> {
    const picked = new Set<number>()
    for (const id of this.#ids.values()) if (predicate(this.get(id))) picked.add(id)
    return picked
  }

  #intern(key: string, shape: Shape): number {
    const known = this.#ids.get(key)
    if (known !== undefined) return known
    const free = this.#free.pop()
    if (free !== undefined) this.#shapes[free - 1] = shape
    const id = free ?? this.#shapes.push(shape)
    this.#ids.set(key, id)
    return id
  }
}

/** How many of the next hops are over an interface. */
export function hopsOver(shape: Shape, index: number): 'none' | 'some' | 'all' {
  if (shape.kind !== 'body' || shape.body.kind !== 'unicast') return 'none'
  const { nextHops } = shape.body
  const over = nextHops.filter((hop) => hop.interfaceIndex === index).length
  return over === 0 ? 'none' : over === nextHops.length ? 'all' : 'some'
}

/** Of ours, only routes to pods lead straight to a link. */
export function isToPod(shape: Shape): boolean {
  return shape.kind === 'body' && shape.body.kind === 'unicast' && shape.body.nextHops.every((hop) => farEnd(hop) === null)
}
