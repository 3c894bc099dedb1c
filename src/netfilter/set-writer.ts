// Sets of a transaction: brought up before chains change, destroyed after. Writes what a plan says and looks again where others were faster.
import type { Log } from '../lib/log.ts'
import type { Wanted } from './compose.ts'
import type { NetfilterProblem } from './contract.ts'
import { ToolError, toWriteFailure, type WriteFailure } from './failure.ts'
import type { KnownState } from './known-state.ts'
import { planSets, type SetPlan } from './set-plan.ts'
import type { NetfilterTools } from './tools.ts'

export class SetWriter {
  readonly #tools: NetfilterTools
  readonly #known: KnownState
  readonly #log: Log
  /** What had to be left out of sets. */
  problems: readonly NetfilterProblem[] = []
  transactions = 0

  constructor(tools: NetfilterTools, known: KnownState, log: Log) {
    this.#tools = tools
    this.#known = known
    this.#log = log
  }

  /** Brings sets up to what is wanted, before chains change. Rejects with WriteFailure. */
  async raise(wanted: Wanted['sets'], maySweep: boolean, isLater: (set: string) => boolean): Promise<SetPlan> {
    const { setsFault } = this.#known.reading
    if (setsFault !== null && wanted.size > 0) {
      throw this.#failed(setsFault, [...new Set([...wanted.values()].map(({ owner }) => owner))])
    }
    const plan = planSets(wanted, this.#known.reading.sets, maySweep, isLater)
    try {
      await this.#restore(plan)
      return plan
    } catch (cause) {
      if (!(cause instanceof ToolError) || cause.code !== 'REFUSED') throw this.#failed(cause, [])
      this.#log.warn('netfilter.sets.refused', { err: cause, line: plan.up[(cause.line ?? 0) - 1] })
    }
    return await this.#raiseAnew(wanted, maySweep)
  }

  /** Others may have changed sets since we looked: looks, and tries once more. */
  async #raiseAnew(wanted: Wanted['sets'], maySweep: boolean): Promise<SetPlan> {
    let plan: SetPlan | null = null
    try {
      await this.#known.readSets()
      plan = planSets(wanted, this.#known.reading.sets, maySweep)
      await this.#restore(plan)
      return plan
    } catch (cause) {
      const at = cause instanceof ToolError && cause.line !== null ? cause.line - 1 : -1
      const owner = wanted.get(plan?.subjects[at] ?? '')?.owner
      throw this.#failed(cause, owner === undefined ? [] : [owner], plan?.up[at])
    }
  }

  async #restore(plan: SetPlan): Promise<void> {
    this.problems = plan.problems
    if (plan.up.length > 0) {
      await this.#tools.restoreSets(`${plan.up.join('\n')}\n`)
      this.transactions++
    }
    this.#known.setSets(plan.after, plan.up.length > 0)
  }

  /** True if some are still held: a rule that is gone lets go of its sets a little later. */
  async drop(names: readonly string[]): Promise<boolean> {
    const sets = new Map(this.#known.reading.sets)
    const left = names.filter((name) => sets.has(name))
    if (left.length === 0) return false
    const hasBusy = await this.#destroy(left, sets)
    this.#known.setSets(sets, true)
    return hasBusy
  }

  async #destroy(left: string[], sets: Map<string, unknown>): Promise<boolean> {
    let hasBusy = false
    while (left.length > 0) {
      let gone = left.length
      let isStuck = false
      try {
        await this.#tools.restoreSets(left.map((name) => `destroy ${name}\n`).join(''))
        this.transactions++
      } catch (cause) {
        if (!(cause instanceof ToolError)) throw cause
        if (cause.line === null) return true
        gone = cause.line - 1
        isStuck = !cause.message.includes('does not exist')
        hasBusy ||= isStuck
      }
      for (const name of left.splice(0, gone)) sets.delete(name)
      const stuck = left.shift()
      if (stuck !== undefined && !isStuck) sets.delete(stuck)
    }
    return hasBusy
  }

  #failed(cause: unknown, owners: readonly string[], line?: string): WriteFailure {
    this.#known.isInDoubt = true
    return toWriteFailure(cause, owners, line)
  }
}
