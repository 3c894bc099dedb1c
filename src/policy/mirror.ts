// The other end of the deltas: whoever writes rules keeps the whole ruleset here, made of the same objects as before wherever nothing
// changed, which is how netfilter knows.

import type { IpFamily } from '../net/index.ts'
import { type Chain, changeMembers, type Hook, type IpSet, type Ruleset } from '../netfilter/index.ts'
import type { RulesetDelta } from './contract.ts'

export class RulesetMirror {
  readonly #sets = new Map<string, IpSet>()
  readonly #chains: { readonly [F in IpFamily]: Map<string, Chain> } = { 4: new Map(), 6: new Map() }
  readonly #hooks: { [F in IpFamily]: readonly Hook[] } = { 4: [], 6: [] }

  /** Begins anew with a whole ruleset, as `PolicyService.ruleset` gives it. */
  reset(whole: RulesetDelta): Ruleset {
    this.#sets.clear()
    for (const family of [4, 6] as const) {
      this.#chains[family].clear()
      this.#hooks[family] = []
    }
    return this.apply(whole)
  }

  /** Every delta once, in order. Throws RangeError for one that changes a set there is not: something was left out. */
  apply({ sets, families }: RulesetDelta): Ruleset {
    for (const set of sets.put) this.#sets.set(set.name, set)
    for (const { name, add, remove } of sets.changed) {
      const known = this.#sets.get(name)
      if (known === undefined) throw new RangeError(`a change of set ${name}, which is not there`)
      this.#sets.set(name, { ...known, members: changeMembers(known.members, { add, remove }) })
    }
    for (const name of sets.removed) this.#sets.delete(name)
    for (const family of [4, 6] as const) {
      const { put, removed, hooks } = families[family]
      for (const chain of put) this.#chains[family].set(chain.name, chain)
      for (const name of removed) this.#chains[family].delete(name)
      if (hooks !== null) this.#hooks[family] = hooks
    }
    return this.ruleset()
  }

  ruleset(): Ruleset {
    const ofFamily = (family: IpFamily) => ({ chains: [...this.#chains[family].values()], hooks: this.#hooks[family] })
    return { sets: [...this.#sets.values()], families: { 4: ofFamily(4), 6: ofFamily(6) } }
  }
}
