// What policy makes of an attribute set, worked out once: either the same for every prefix (a number of an attribute set, or 0
// for "no"), or a list of prefix conditions with a number each. Shared by import (keyed by set) and export (by set and source).
import type { PathAttributes } from '../attributes.ts'
import type { AttributeTable } from './attribute-table.ts'
import { NONE, nextCapacity, regrown } from './columns.ts'
import { IntPairMap } from './int-pair-map.ts'
import { applyOperations, decidingRule, type Residue } from './policy.ts'

/** How a path fares before its prefix is looked at. */
export type Judgement =
  | { readonly kind: 'rejected'; readonly reason: string }
  | {
      readonly kind: 'undecided'
      /** What the rules of `residue` work on. */
      readonly base: PathAttributes
      readonly residue: Residue
    }

export interface PolicyCase {
  /** The part of policy that looks at attributes and source only. */
  judge(attributes: PathAttributes, source: number): Judgement
  /** Why a prefix is refused before any rule is asked, or null. */
  refuses(w0: number, w1: number, w2: number, w3: number, length: number): string | null
  /** Where no rule decides: why it is refused, or null. */
  refusesByDefault(w0: number, w1: number, w2: number, w3: number, length: number): string | null
  /** False if `refuses` and `refusesByDefault` never refuse. */
  readonly looksAtPrefix: boolean
  /** What is done to the attributes after the rules; a string says why the path cannot go on. */
  finish(attributes: PathAttributes, original: PathAttributes, source: number): PathAttributes | string
}

type Undecided = {
  readonly original: number
  readonly source: number
  readonly base: PathAttributes
  readonly residue: Residue
  readonly ids: number[]
}

const UNKNOWN = -1
const NOT_YET = -1

export class OutcomeCache {
  readonly #attributes: AttributeTable
  readonly #policy: PolicyCase
  readonly #outcomes = new IntPairMap()
  /** Outcomes that depend on the prefix; outcome `-2 - index`. */
  readonly #undecided: (Undecided | null)[] = []
  readonly #freeUndecided: number[] = []
  /** Results held, by number: how often. A result equal to its own key is not held, or the set could never be given back. */
  #held = new Int32Array(0)

  constructor(attributes: AttributeTable, policy: PolicyCase) {
    this.#attributes = attributes
    this.#policy = policy
  }

  /** First of two steps, once per run of prefixes: 0 or more is the result itself. */
  outcome(id: number, source: number): number {
    const known = this.#outcomes.get(id, source, UNKNOWN)
    if (known !== UNKNOWN) return known
    const outcome = this.#judge(id, source)
    this.#outcomes.set(id, source, outcome)
    return outcome
  }

  /** Second step, for each prefix when `outcome` is negative: the number of the resulting set, or 0. */
  settle(outcome: number, w0: number, w1: number, w2: number, w3: number, length: number): number {
    const undecided = this.#undecided[-2 - outcome]
    if (undecided === undefined || undecided === null) throw new RangeError(`no outcome ${outcome}`)
    if (this.#policy.refuses(w0, w1, w2, w3, length) !== null) return NONE
    const { residue } = undecided
    let at = 0
    for (; at < residue.length; at++) {
      const match = residue[at]?.match ?? null
      if (match === null || match.holds(w0, w1, w2, w3, length)) break
    }
    if (at === residue.length && this.#policy.refusesByDefault(w0, w1, w2, w3, length) !== null) return NONE
    const known = undecided.ids[at] ?? NOT_YET
    if (known !== NOT_YET) return known
    const id = this.#finish(undecided, at)
    undecided.ids[at] = id
    return id
  }

  /** Both steps, in words: null if the path passes, else the reason. */
  explain(id: number, source: number, w0: number, w1: number, w2: number, w3: number, length: number): string | null {
    const original = this.#attributes.get(id)
    const judged = this.#policy.judge(original, source)
    if (judged.kind === 'rejected') return judged.reason
    const refusal = this.#policy.refuses(w0, w1, w2, w3, length)
    if (refusal !== null) return refusal
    const placed = decidingRule(judged.residue, w0, w1, w2, w3, length)
    if (placed === null) {
      const byDefault = this.#policy.refusesByDefault(w0, w1, w2, w3, length)
      if (byDefault !== null) return byDefault
    } else if (placed.rule.action === 'Reject') return `rejected by filter ${placed.filter}, rule ${placed.number}`
    const finished = this.#policy.finish(applyOperations(judged.base, placed?.rule.operations ?? []), original, source)
    return typeof finished === 'string' ? finished : null
  }

  /** The attribute set `id` is about to be given back. */
  forget(id: number): void {
    this.#outcomes.deleteAll(id, (outcome) => this.#drop(id, outcome))
  }

  clear(): void {
    for (const [id, count] of this.#held.entries()) for (let times = 0; times < count; times++) this.#attributes.release(id)
    this.#held = new Int32Array(0)
    this.#outcomes.clear()
    this.#undecided.length = 0
    this.#freeUndecided.length = 0
  }

  #judge(id: number, source: number): number {
    const original = this.#attributes.get(id)
    const judged = this.#policy.judge(original, source)
    if (judged.kind === 'rejected') return NONE
    const { base, residue } = judged
    const undecided: Undecided = { original: id, source, base, residue, ids: [] }
    const isUnconditional = residue.length === 0 || residue[0]?.match === null
    if (isUnconditional && !this.#policy.looksAtPrefix) return this.#finish(undecided, 0)
    const index = this.#freeUndecided.pop() ?? this.#undecided.length
    this.#undecided[index] = undecided
    return -2 - index
  }

  #finish({ original, source, base, residue }: Undecided, at: number): number {
    const rule = residue[at]?.rule
    if (rule?.action === 'Reject') return NONE
    const edited = rule === undefined ? base : applyOperations(base, rule.operations)
    const received = this.#attributes.get(original)
    const finished = this.#policy.finish(edited, received, source)
    if (typeof finished === 'string') return NONE
    return finished === received ? original : this.#keep(this.#attributes.intern(finished, false), original)
  }

  #keep(result: number, original: number): number {
    if (result !== original) {
      this.#attributes.hold(result)
      if (result >= this.#held.length) this.#held = regrown(this.#held, nextCapacity(this.#held.length, result + 1))
      this.#held[result] = (this.#held[result] ?? 0) + 1
    }
    return result
  }

  #drop(id: number, outcome: number): void {
    if (outcome >= 0) {
      this.#letGo(outcome, id)
      return
    }
    const index = -2 - outcome
    const undecided = this.#undecided[index]
    this.#undecided[index] = null
    this.#freeUndecided.push(index)
    for (const result of undecided?.ids ?? [])
      if (result !== NOT_YET && result !== undefined) this.#letGo(result, undecided?.original ?? id)
  }

  #letGo(result: number, original: number): void {
    if (result === NONE || result === original) return
    const held = this.#held[result] ?? 0
    if (held === 0) return
    this.#held[result] = held - 1
    this.#attributes.release(result)
  }
}
