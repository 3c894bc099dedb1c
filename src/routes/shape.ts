// Route bodies by number, so that a table holds one integer a route and compares routes by comparing integers. Pure.
import { bodyKey, type RouteBody } from './route.ts'

/** Something a row can be asked to be: a body, or the reason why there is none to install. */
export type Shape = { readonly kind: 'body'; readonly body: RouteBody } | { readonly kind: 'impossible'; readonly reason: string }

export const NO_SHAPE = 0

export class ShapeTable {
  readonly #shapes: Shape[] = []
  readonly #ids = new Map<string, number>()
  readonly #idsOfBodies = new WeakMap<RouteBody, number>()

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
    if (shape === undefined) throw new RangeError(`no shape ${id}`)
    return shape
  }

  #intern(key: string, shape: Shape): number {
    const known = this.#ids.get(key)
    if (known !== undefined) return known
    const id = this.#shapes.push(shape)
    this.#ids.set(key, id)
    return id
  }
}
