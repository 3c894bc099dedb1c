// Next hops that are reached by routes of these same tables: when such a route changes, those next hops are looked at again.
import { hostPrefix } from '../../net/index.ts'
import { FAMILIES, ipFamilyOf } from '../family.ts'
import { PrefixSet } from './prefix-words.ts'
import type { RibState } from './state.ts'
import type { TableWork } from './table-work.ts'

/** Routes that carry the next hops of routes that carry theirs: after so many rounds with nothing new from outside they chase one another. */
const MAX_ROUNDS = 32

export class Recursion {
  readonly #state: RibState
  readonly #work: TableWork
  #rounds = 0

  constructor(state: RibState, work: TableWork) {
    this.#state = state
    this.#work = work
  }

  /** Something new came from outside. */
  restart(): void {
    this.#rounds = 0
  }

  /** After prefixes have been decided: asks for those to be decided again whose next hops may have changed by that. */
  follow(): void {
    const { resolver, tables } = this.#state
    const isNew = resolver.takeNewDependence()
    if (isNew) {
      const addresses = [...resolver.watched()].map(hostPrefix)
      for (const family of FAMILIES) {
        const set = new PrefixSet(addresses, ipFamilyOf(family))
        tables[family].watched = set.isEmpty ? null : set
      }
    }
    const isTouched = FAMILIES.some((family) => tables[family].touchedWatched)
    for (const family of FAMILIES) tables[family].touchedWatched = false
    if (!(isNew || isTouched) || this.#rounds >= MAX_ROUNDS) return
    this.#rounds++
    this.#work.touchNextHops(resolver.reexamineRecursive())
  }
}
