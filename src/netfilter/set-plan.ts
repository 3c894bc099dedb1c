// Wanted sets minus actual sets as lines for `ipset restore`. Members change as deltas. A set that has become too small is swapped
// for a larger one; one of another type cannot be swapped (the kernel insists on equal types), so rules move to a stand-in first.

import { SCRATCH_PREFIX, type Wanted, type WantedSet } from './compose.ts'
import type { NetfilterProblem } from './contract.ts'
import { changeBetween } from './members.ts'
import { canonicalMembers, type SetState } from './set-text.ts'

export type SetPlan = {
  /** To be run before chains change: creations, members, swaps. */
  readonly up: readonly string[]
  /** Name of the set that each line of `up` is for. */
  readonly subjects: readonly string[]
  /** Sets to destroy once no chain refers to them. */
  readonly down: readonly string[]
  /** Chains must refer to the second instead of the first; then plan again. */
  readonly standIns: ReadonlyMap<string, string>
  /** Members were left in some set for now: plan again when chains have changed. */
  readonly hasLater: boolean
  /** What the kernel holds after `up`. */
  readonly after: Map<string, SetState>
  /** Members left out because they are none. */
  readonly problems: readonly NetfilterProblem[]
  /** Sets whose members differ from the wanted ones, by name: after a read-back, what others did. */
  readonly changed: readonly string[]
}

/** Costs no memory by itself: the kernel's tables grow with their content. */
const LEAST_MAX_ELEMENTS = 1 << 20
const MAX_HASH_SIZE = 1 << 16
const INVALID_SHOWN = 3

/** What was left out of a set, for as long as it is asked for unchanged. */
const leftOut = new WeakMap<ReadonlySet<string>, NetfilterProblem>()

/**
 * What is added goes before what is deleted, so that an address that moves from one set to another is never in neither. `isLater` names sets
 * whose surplus members have to stay until chains have changed: then plan again.
 */
export function planSets(
  wanted: Wanted['sets'],
  actual: ReadonlyMap<string, SetState>,
  maySweep: boolean,
  isLater: (set: string) => boolean = () => false,
): SetPlan {
  const plan = new Planner(actual, isLater)
  for (const { set, owner } of wanted.values()) plan.set({ set, owner })
  const standIns = new Set(plan.standIns.values())
  const down = maySweep || plan.standIns.size > 0 ? [...plan.after.keys()].filter((name) => mustGo(name)) : []
  function mustGo(name: string): boolean {
    if (plan.standIns.has(name)) return true // no longer referred to once rules use its stand-in
    return maySweep && !wanted.has(name) && !standIns.has(name)
  }
  return { ...plan.result(), down }
}

/** Sets that chains which are to be written look into; null: no chain changes, so none has to wait for one. */
export function setsOfChanges(before: Wanted, wanted: Wanted): ReadonlySet<string> | null {
  const found = new Set<string>()
  let isChange = false
  for (const family of [4, 6] as const) {
    const [had, has] = [before.families[family].chains, wanted.families[family].chains]
    for (const [key, { lines }] of has) {
      if (had.get(key)?.lines === lines) continue
      isChange = true
      for (const line of lines) for (const [, name = ''] of line.matchAll(/--match-set (\S+)/g)) found.add(name)
    }
    isChange ||= [...had.keys()].some((key) => !has.has(key))
  }
  return isChange ? found : null
}

class Planner {
  readonly after: Map<string, SetState>
  readonly standIns = new Map<string, string>()
  readonly #up: string[] = []
  readonly #subjects: string[] = []
  readonly #problems: NetfilterProblem[] = []
  readonly #changed: string[] = []
  /** Behind everything else. */
  readonly #deletions: { readonly line: string; readonly subject: string }[] = []
  readonly #isLater: (set: string) => boolean
  #hasLater = false

  constructor(actual: ReadonlyMap<string, SetState>, isLater: (set: string) => boolean) {
    this.after = new Map(actual)
    this.#isLater = isLater
  }

  result(): Omit<SetPlan, 'down'> {
    const { after, standIns } = this
    const up = [...this.#up, ...this.#deletions.map(({ line }) => line)]
    const subjects = [...this.#subjects, ...this.#deletions.map(({ subject }) => subject)]
    return { up, subjects, standIns, hasLater: this.#hasLater, after, problems: this.#problems, changed: this.#changed }
  }

  set(wanted: WantedSet): void {
    const { set } = wanted
    const have = this.after.get(set.name)
    if (have === undefined) this.#create(set.name, wanted)
    else if (have.type !== set.type || have.family !== set.family) this.#standIn(wanted)
    else if (have.members !== set.members) this.#change(have, wanted)
    const problem = leftOut.get(set.members)
    if (problem !== undefined) this.#problems.push(problem)
  }

  #change(have: SetState, wanted: WantedSet): void {
    const { set } = wanted
    if (have.maxElements < set.members.size) {
      const scratch = `${SCRATCH_PREFIX}s${hash(set.name)}`
      if (this.after.has(scratch)) this.#push(set.name, `destroy ${scratch}`)
      this.#create(scratch, wanted)
      this.#push(set.name, `swap ${scratch} ${set.name}`, `destroy ${scratch}`)
      const grown = this.after.get(scratch)
      this.after.delete(scratch)
      if (grown !== undefined) this.after.set(set.name, grown)
      this.#changed.push(set.name)
      return
    }
    const { adds, dels } = this.#difference(have.members, wanted)
    for (const member of adds) this.#push(set.name, `add ${set.name} ${member}`)
    if (adds.length + dels.length > 0) this.#changed.push(set.name)
    if (dels.length > 0 && this.#isLater(set.name)) {
      this.#hasLater = true
      this.after.set(set.name, { ...have, members: new Set([...have.members, ...adds]) })
      return
    }
    for (const member of dels) this.#deletions.push({ line: `del ${set.name} ${withoutFlag(member)}`, subject: set.name })
    this.after.set(set.name, { ...have, members: set.members })
  }

  #standIn(wanted: WantedSet): void {
    const { set } = wanted
    const scratch = `${SCRATCH_PREFIX}t${hash(set.name)}`
    const have = this.after.get(scratch)
    this.standIns.set(set.name, scratch)
    if (have === undefined) this.#create(scratch, wanted)
    else if (have.type === set.type && have.family === set.family) this.#change(have, { ...wanted, set: { ...set, name: scratch } })
    else {
      this.#push(set.name, `destroy ${scratch}`)
      this.#create(scratch, wanted)
    }
    this.#changed.push(set.name)
  }

  #create(name: string, wanted: WantedSet): void {
    const { type, family, members } = wanted.set
    const maxElements = Math.max(LEAST_MAX_ELEMENTS, powerOfTwo(2 * members.size))
    const hashSize = Math.min(MAX_HASH_SIZE, Math.max(64, powerOfTwo(members.size)))
    this.#push(
      wanted.set.name,
      `create ${name} ${type} family ${family === 4 ? 'inet' : 'inet6'} hashsize ${hashSize} maxelem ${maxElements}`,
    )
    const { adds } = this.#difference(new Set(), wanted)
    for (const member of adds) this.#push(wanted.set.name, `add ${name} ${member}`)
    this.after.set(name, { type, family, maxElements, members })
    if (name === wanted.set.name) this.#changed.push(name)
  }

  /** Members to add in our spelling, and to delete in the kernel's. Only what differs as text is parsed. */
  #difference(
    have: ReadonlySet<string>,
    { set, owner }: WantedSet,
  ): { readonly adds: readonly string[]; readonly dels: readonly string[] } {
    const change = changeBetween(have, set.members)
    const surplus = new Map<string, string>()
    for (const member of change?.remove ?? have) {
      if (have.has(member) && !set.members.has(member)) surplus.set(canonicalMembers(set, member)?.[0] ?? member, member)
    }
    const adds = new Set<string>()
    const invalid: string[] = []
    for (const member of change?.add ?? set.members) {
      if (have.has(member) || !set.members.has(member)) continue
      const canonical = canonicalMembers(set, member)
      if (canonical === null) invalid.push(member)
      else for (const each of canonical) if (!surplus.delete(each) && !have.has(each)) adds.add(each)
    }
    if (invalid.length > 0) leftOut.set(set.members, invalidMembers(set.name, set.type, owner, invalid))
    return { adds: [...adds], dels: [...surplus.values()] }
  }

  #push(subject: string, ...lines: readonly string[]): void {
    for (const line of lines) {
      this.#up.push(line)
      this.#subjects.push(subject)
    }
  }
}

function invalidMembers(name: string, type: string, owner: string, invalid: readonly string[]): NetfilterProblem {
  const shown = invalid.slice(0, INVALID_SHOWN).map((member) => JSON.stringify(member.slice(0, 80)))
  const more = invalid.length > INVALID_SHOWN ? ` and ${invalid.length - INVALID_SHOWN} more` : ''
  return {
    severity: 'warning',
    subject: `netfilter/${owner}`,
    message: `set ${name}: left out ${shown.join(', ')}${more}: not a member of a set of type ${type} and this family`,
  }
}

/** `del` takes no flags. */
function withoutFlag(member: string): string {
  return member.endsWith(' nomatch') ? member.slice(0, -8) : member
}

function powerOfTwo(atLeast: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, atLeast)))
}

/** FNV-1a of a name in eight hex digits: the same set always has the same scratch name. */
function hash(name: string): string {
  let value = 0x811c9dc5
  for (let at = 0; at < name.length; at++) value = Math.imul(value ^ name.charCodeAt(at), 0x01000193) >>> 0
  return value.toString(16).padStart(8, '0')
}
