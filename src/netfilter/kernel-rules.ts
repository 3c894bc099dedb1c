// What the kernel holds, as far as we know, and the transactions that change it: sets up, chains, sets down. Knows the state from
// its own writes and reads back only when told to, because a read of all rules costs as much as many writes.
import type { Log } from '../lib/log.ts'
import type { IpFamily } from '../net/index.ts'
import type { Wanted, WantedFamily } from './compose.ts'
import type { NetfilterProblem } from './contract.ts'
import { packetCounters } from './counters.ts'
import { ToolError, toWriteFailure, WriteFailure } from './failure.ts'
import { KnownState } from './known-state.ts'
import { emptyPrinted, type FamilyPlan, learnPrinted, type Printed, planFamily } from './plan.ts'
import type { ChainCounters, Variant } from './port.ts'
import { planSets, setsOfChanges } from './set-plan.ts'
import { SetWriter } from './set-writer.ts'
import { withStandIns } from './stand-ins.ts'
import type { NetfilterTools } from './tools.ts'
import { chooseVariant, otherVariant } from './variant.ts'

export type Written = {
  readonly changed: boolean
  /** The kernel still holds on to sets that nobody wants: to be tried again soon. */
  readonly hasBusySets: boolean
}

export type KernelRulesOptions = {
  readonly tools: NetfilterTools
  readonly log: Log
  /** `auto`: as the host's rules show. */
  readonly variant: Variant | 'auto'
}

/** A set of another type takes two steps: to its stand-in and back. */
const STEPS = 3
const SHOWN = 5
/** Read-backs in a row that find our jumps changed: somebody insists. */
const QUARREL_AFTER = 3
const NOTHING_WANTED: WantedFamily = { chains: new Map(), hooks: new Map() }

export class KernelRules {
  readonly #tools: NetfilterTools
  readonly #known: KnownState
  readonly #sets: SetWriter
  readonly #log: Log
  readonly #choice: Variant | 'auto'
  readonly #printed: { readonly [F in IpFamily]: Printed } = { 4: emptyPrinted(), 6: emptyPrinted() }
  /** Family and key of what was written and not read back since: how iptables-save prints it is not known yet. */
  readonly #unverified = new Set<string>()
  /** Read back otherwise than written: read again at once after the next write, to tell spelling from drift. */
  readonly #toLearn = new Set<string>()
  /** By family and built-in chain: read-backs in a row that found our jumps changed. */
  #quarrels: ReadonlyMap<string, number> = new Map()
  #variant: Variant | null = null
  /** Variants of whose IPv4 tables the kernel turned out to have none: what is read there is empty, and only a write shows why. */
  readonly #withoutTables = new Set<Variant>()
  #held: Wanted | null = null
  #sweepProblem: NetfilterProblem | null = null
  #restores = 0
  drifts = 0

  constructor({ tools, log, variant }: KernelRulesOptions) {
    this.#tools = tools
    this.#known = new KnownState(tools)
    this.#sets = new SetWriter(tools, this.#known, log)
    this.#log = log
    this.#choice = variant
  }

  get variant(): Variant | null {
    return this.#variant
  }

  /** What is known may not be true: a write needs a read-back first. */
  get isInDoubt(): boolean {
    return this.#known.isInDoubt
  }

  get transactions(): number {
    return this.#restores + this.#sets.transactions
  }

  /** What was written last. */
  get held(): Wanted | null {
    return this.#held
  }

  problems(): readonly NetfilterProblem[] {
    const quarrels = [...this.#quarrels].filter(([, times]) => times >= QUARREL_AFTER)
    return [
      ...this.#sets.problems,
      ...(this.#sweepProblem === null ? [] : [this.#sweepProblem]),
      ...quarrels.map(([chain]): NetfilterProblem => {
        const message = `another program keeps removing our jumps in ${chain}, or puts rules before them that let packets through: find and stop it`
        return { severity: 'warning', subject: 'netfilter', message }
      }),
    ]
  }

  /** Packets that the rules of one owner have seen; none where they cannot be read. */
  async counters(owner: string): Promise<readonly ChainCounters[]> {
    const [held, variant] = [this.#held, this.#variant]
    if (held === null || variant === null) return []
    const ofFamily = async (family: IpFamily): Promise<readonly ChainCounters[]> => {
      const names = new Set([...held.families[family].chains.values()].filter((chain) => chain.owner === owner).map(({ name }) => name))
      if (names.size === 0) return []
      const text = await this.#tools.saveCounters(variant, family).catch(() => '')
      return [...packetCounters(text)].filter(([chain]) => names.has(chain)).map(([chain, packets]) => ({ family, chain, packets }))
    }
    return [...(await ofFamily(4)), ...(await ofFamily(6))]
  }

  /**
   * Reads everything, counts what others changed of ours, and settles on a variant; nothing of that, but the reading, if it was abandoned
   * meanwhile. Rejects with WriteFailure.
   */
  async readBack(isAbandoned: () => boolean = () => false): Promise<void> {
    try {
      const adopt = await this.#known.read(this.#variant, isAbandoned)
      if (isAbandoned()) return
      adopt()
    } catch (cause) {
      throw toWriteFailure(cause, [])
    }
    const variant = this.#choose()
    if (variant !== this.#variant) {
      this.#log.info('netfilter.variant.chosen', { from: this.#variant, to: variant })
      for (const family of [4, 6] as const) for (const map of Object.values(this.#printed[family])) map.clear()
    } else if (this.#held !== null) this.#countDrift(this.#held, variant)
    this.#unverified.clear()
    this.#variant = variant
  }

  /**
   * Makes the kernel hold this and, with `maySweep`, nothing else of ours. Rejects with WriteFailure; a family that fails does not
   * keep the other from being written.
   */
  async write(wanted: Wanted, maySweep: boolean): Promise<Written> {
    const before = this.transactions
    try {
      const hasBusySets = await this.#writeAll(wanted, maySweep)
      return { changed: this.transactions > before, hasBusySets }
    } catch (cause) {
      const other = otherVariant(this.#inUse())
      const mayGiveWay = this.#withoutTables.has(this.#inUse()) && !this.#withoutTables.has(other)
      if (!mayGiveWay || this.#known.reading.variants[other] === null) throw cause
      this.#log.warn('netfilter.variant.unusable', { variant: this.#inUse(), err: cause })
    }
    await this.readBack()
    const hasBusySets = await this.#writeAll(wanted, maySweep)
    return { changed: this.transactions > before, hasBusySets }
  }

  /** Resolves to whether sets are left to be destroyed. */
  async #writeAll(wanted: Wanted, maySweep: boolean): Promise<boolean> {
    let hasBusySets = false
    for (let step = 0; step < STEPS; step++) {
      const sets = await this.#sets.raise(wanted.sets, maySweep, this.#laterThanChains(wanted))
      const effective = sets.standIns.size === 0 ? wanted : withStandIns(wanted, sets.standIns)
      await this.#writeFamilies(effective, maySweep)
      if (maySweep) await this.#sweepOther()
      if (sets.hasLater) await this.#sets.raise(effective.sets, maySweep, () => false)
      hasBusySets = await this.#sets.drop(sets.down)
      if (sets.standIns.size === 0 || hasBusySets) break
    }
    this.#held = wanted
    return hasBusySets
  }

  /**
   * Sets that keep what they are to lose until chains have changed: an address that is in another set from now on might be let through by
   * a chain that is still to be written. Not so where a chain that is to be written looks into the set: it must not find what is to go.
   */
  #laterThanChains(wanted: Wanted): (set: string) => boolean {
    let lookedInto: ReadonlySet<string> | null | undefined
    return (set) => {
      if (lookedInto === undefined) lookedInto = this.#held === null ? null : setsOfChanges(this.#held, wanted)
      return lookedInto !== null && !lookedInto.has(set)
    }
  }

  #choose(): Variant {
    const { variants: read } = this.#known.reading
    const usable = { nft: this.#withoutTables.has('nft') ? null : read.nft, legacy: this.#withoutTables.has('legacy') ? null : read.legacy }
    const variants = usable.nft === null && usable.legacy === null ? read : usable
    const preferred = this.#choice === 'auto' ? chooseVariant(variants) : this.#choice
    if (preferred !== null && variants[preferred] !== null) return preferred
    if (variants.nft !== null) return 'nft'
    if (variants.legacy !== null) return 'legacy'
    const remedy = 'install the package iptables and load the module nf_tables, or ip_tables for the legacy variant'
    throw new WriteFailure('MISSING', `iptables is not installed, or the kernel has no support for it: ${remedy}`, [])
  }

  #countDrift(held: Wanted, variant: Variant): void {
    const found: string[] = []
    const quarrels = new Map<string, number>()
    for (const family of this.#known.reading.families) {
      const state = this.#known.stateOf(variant, family)
      const { chains, hooks } = planFamily(held.families[family], state, this.#printed[family], {
        maySweep: false,
        rewrite: false,
        newFirst: false,
      })
      for (const key of [...chains, ...hooks]) {
        const name = `IPv${family} ${key}`
        this.#toLearn.add(name)
        if (this.#unverified.has(name)) continue // perhaps only spelled otherwise
        found.push(name)
        if (hooks.includes(key)) quarrels.set(name, (this.#quarrels.get(name) ?? 0) + 1)
      }
    }
    this.#quarrels = quarrels
    if (this.#known.reading.setsFault === null) found.push(...planSets(held.sets, this.#known.reading.sets, false).changed)
    if (found.length === 0) return
    this.drifts += found.length
    this.#log.warn('netfilter.drift.found', { variant, count: found.length, first: found.slice(0, SHOWN) })
  }

  async #writeFamilies(wanted: Wanted, maySweep: boolean): Promise<void> {
    const outcomes = await Promise.allSettled(
      this.#known.reading.families.map((family) => this.#writeFamily(family, wanted.families[family], maySweep)),
    )
    const failures = outcomes.flatMap((outcome): readonly WriteFailure[] => {
      if (outcome.status === 'fulfilled') return []
      if (outcome.reason instanceof WriteFailure) return [outcome.reason]
      throw outcome.reason
    })
    const [first, ...others] = failures
    if (first === undefined) return
    const isKnown = failures.every(({ owners }) => owners.length > 0)
    const owners = isKnown ? [...new Set(failures.flatMap((each) => each.owners))] : []
    throw new WriteFailure(first.code, [first, ...others].map(({ message }) => message).join('; '), owners)
  }

  async #writeFamily(family: IpFamily, wanted: WantedFamily, maySweep: boolean): Promise<void> {
    const variant = this.#inUse()
    const printed = this.#printed[family]
    const plan = planFamily(wanted, this.#known.stateOf(variant, family), printed, {
      maySweep,
      rewrite: false,
      newFirst: variant === 'nft',
    })
    try {
      await this.#restore(variant, family, plan)
      await this.#learn(variant, family, plan, wanted)
      return
    } catch (cause) {
      if (cause instanceof ToolError && cause.code === 'NO_TABLES' && family === 4) this.#withoutTables.add(variant)
      if (!(cause instanceof ToolError) || cause.code !== 'REFUSED') throw this.#failed(cause, [])
      this.#log.warn('netfilter.rules.refused', { family, variant, err: cause, line: plan.lines[(cause.line ?? 0) - 1] })
    }
    await this.#rewriteFamily(variant, family, wanted, maySweep)
  }

  /** The last resort: looks at what is there, and writes all of ours. */
  async #rewriteFamily(variant: Variant, family: IpFamily, wanted: WantedFamily, maySweep: boolean): Promise<void> {
    let plan: FamilyPlan | null = null
    try {
      await this.#known.readFamily(variant, family)
      plan = planFamily(wanted, this.#known.stateOf(variant, family), this.#printed[family], { maySweep, rewrite: true, newFirst: false })
      await this.#restore(variant, family, plan)
      this.#log.info('netfilter.rules.rewritten', { family, variant, lines: plan.lines.length })
    } catch (cause) {
      const at = plan === null || !(cause instanceof ToolError) ? -1 : locate(plan, cause)
      const subject = plan?.subjects[at] ?? null
      const where = subject === null ? '' : ` (chain ${subject.chain})`
      throw this.#failed(cause, subject === null || subject.owner === null ? [] : [subject.owner], plan?.lines[at], where)
    }
  }

  async #restore(variant: Variant, family: IpFamily, plan: FamilyPlan): Promise<void> {
    if (plan.lines.length > 0) {
      await this.#tools.restoreRules(variant, family, `${plan.lines.join('\n')}\n`)
      this.#restores++
      for (const key of [...plan.chains, ...plan.hooks]) this.#unverified.add(`IPv${family} ${key}`)
      for (const key of plan.removed) this.#printed[family].chains.delete(key)
    }
    this.#known.setState(variant, family, plan.after, plan.lines.length > 0)
  }

  async #learn(variant: Variant, family: IpFamily, plan: FamilyPlan, wanted: WantedFamily): Promise<void> {
    const isNew = (key: string): boolean => this.#toLearn.delete(`IPv${family} ${key}`)
    const learnt = { chains: plan.chains.filter(isNew), hooks: plan.hooks.filter(isNew) }
    if (learnt.chains.length + learnt.hooks.length === 0) return
    await this.#known.readFamily(variant, family)
    learnPrinted(learnt, wanted, this.#known.stateOf(variant, family), this.#printed[family])
    for (const key of [...learnt.chains, ...learnt.hooks]) this.#unverified.delete(`IPv${family} ${key}`)
  }

  /** Takes away what we left in the variant that is not in use. */
  async #sweepOther(): Promise<void> {
    const other = otherVariant(this.#inUse())
    this.#sweepProblem = null
    for (const family of this.#known.reading.families) {
      const plan = planFamily(NOTHING_WANTED, this.#known.stateOf(other, family), emptyPrinted(), {
        maySweep: true,
        rewrite: false,
        newFirst: false,
      })
      if (plan.lines.length === 0) continue
      try {
        await this.#restore(other, family, { ...plan, chains: [], hooks: [], removed: [] })
        this.#log.info('netfilter.leftovers.removed', { family, variant: other, chains: plan.removed.length })
      } catch (cause) {
        if (!(cause instanceof ToolError)) throw cause
        const message = `rules of ours are left in the ${other} variant of iptables and cannot be removed: ${cause.message}`
        this.#sweepProblem = { severity: 'warning', subject: 'netfilter', message }
      }
    }
  }

  #inUse(): Variant {
    if (this.#variant === null) throw new Error('a write before the first read-back')
    return this.#variant
  }

  #failed(cause: unknown, owners: readonly string[], line?: string, where = ''): WriteFailure {
    this.#known.isInDoubt = true
    return toWriteFailure(cause, owners, line, where)
  }
}

/** Index of the line that a tool complains of; -1 if nobody can tell. Some faults come to light at COMMIT only, but name a chain. */
function locate({ lines, subjects }: FamilyPlan, { line, message }: ToolError): number {
  const at = (line ?? 0) - 1
  if (subjects[at] != null) return at
  const names = [...message.matchAll(/[`'"]([^\s`'"]+)['"]|\bin chain (\S+)/g)].map(([, quoted, chain]) => ` ${quoted ?? chain ?? ''} `)
  return lines.findIndex((each, index) => subjects[index] != null && names.some((name) => ` ${each.replace(/^:/, '')} `.includes(name)))
}
