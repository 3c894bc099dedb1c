// Wanted chains and jumps minus actual ones as one input for `iptables-restore --noflush`: only tables and chains that change are
// named in it. Each table is one step for the kernel: its chains are filled, then the jumps move, then what nobody wants goes. Only chains that
// nobody jumps to yet may be a step of their own before that.
import { chainKey, type WantedChain, type WantedFamily, type WantedHook, type WantedHooks } from './compose.ts'
import { type BuiltinEntry, emptyTable, type FamilyState, type TableState } from './save.ts'

/** How iptables-save prints what we write, where that is not how we spell it. Learned by reading back at once what was written. */
export type Printed = {
  /** By `chainKey`; counts while the wanted lines are the same array. */
  readonly chains: Map<string, { readonly wanted: readonly string[]; readonly printed: readonly string[] }>
  /** By `chainKey` of the built-in chain and the line. */
  readonly hooks: Map<string, string>
}

export type PlanOptions = {
  /** Every client has asked: what nobody wants may go. */
  readonly maySweep: boolean
  /** Write all of ours, whatever seems to be there already. */
  readonly rewrite: boolean
  /**
   * New chains, which nobody jumps to yet, are a step before the one that takes something away. For nft, which is asked to: who adds a match
   * waits until everything is gone that was taken away before, also by the other family.
   */
  readonly newFirst: boolean
}

export type FamilyPlan = {
  /** Lines of the restore input; empty if nothing has to change. */
  readonly lines: readonly string[]
  /** By index of `lines`: what it is for, and whose. */
  readonly subjects: readonly (Subject | null)[]
  /** Keys of our chains that are written, and of built-in chains whose jumps of ours change. */
  readonly chains: readonly string[]
  readonly hooks: readonly string[]
  readonly removed: readonly string[]
  readonly after: FamilyState
}

export type Subject = { readonly chain: string; readonly owner: string | null }

/** In this order in every input; others cannot hold anything of ours. */
const TABLES = ['raw', 'mangle', 'nat', 'filter']

export function emptyPrinted(): Printed {
  return { chains: new Map(), hooks: new Map() }
}

export function planFamily(wanted: WantedFamily, actual: FamilyState, printed: Printed, options: PlanOptions): FamilyPlan {
  const chains = groupByTable(wanted.chains.values())
  const hooks = groupByTable(wanted.hooks.values())
  const plan = new Planner(printed, options)
  const after: FamilyState = { ...actual, tables: new Map(actual.tables) }
  for (const table of TABLES) {
    const state = actual.tables.get(table)
    const next = plan.table(table, chains.get(table) ?? [], hooks.get(table) ?? [], state ?? emptyTable())
    if (next !== null) after.tables.set(table, next)
  }
  return { ...plan.result(), after }
}

/** True if these lines, as read back, are the wanted ones. */
export function isChainAsWanted(key: string, wanted: readonly string[], actual: readonly string[] | undefined, printed: Printed): boolean {
  if (actual === undefined) return false
  if (actual === wanted || areEqual(actual, wanted)) return true
  const known = printed.chains.get(key)
  return known !== undefined && (known.wanted === wanted || areEqual(known.wanted, wanted)) && areEqual(known.printed, actual)
}

/** Remembers how iptables-save prints what was written a moment ago. Only for chains and jumps in `plan`. */
export function learnPrinted(
  plan: Pick<FamilyPlan, 'chains' | 'hooks'>,
  wanted: WantedFamily,
  actual: FamilyState,
  printed: Printed,
): void {
  for (const key of plan.chains) {
    const chain = wanted.chains.get(key)
    const lines = chain === undefined ? undefined : actual.tables.get(chain.table)?.chains.get(chain.name)
    if (chain === undefined || lines === undefined) continue
    if (areEqual(lines, chain.lines)) printed.chains.delete(key)
    else printed.chains.set(key, { wanted: chain.lines, printed: lines })
  }
  for (const key of plan.hooks) {
    const hooks = wanted.hooks.get(key)
    if (hooks === undefined) continue
    const present = oursIn(actual.tables.get(hooks.table)?.builtins.get(hooks.chain) ?? [])
    const lines = [...hooks.first, ...hooks.last].map((hook) => hook.line)
    const unknown = present.filter((line) => !lines.includes(line))
    const missing = lines.filter((line) => !present.includes(line))
    // Jumps keep their order in the chain, first ones before last ones: what is left over on both sides belongs together.
    if (unknown.length === missing.length)
      for (const [index, line] of missing.entries()) printed.hooks.set(hookKey(key, line), unknown[index] ?? line)
  }
}

class Planner {
  readonly #printed: Printed
  readonly #options: PlanOptions
  readonly #lines: string[] = []
  readonly #subjects: (Subject | null)[] = []
  readonly #chains: string[] = []
  readonly #hooks: string[] = []
  readonly #removed: string[] = []

  constructor(printed: Printed, options: PlanOptions) {
    this.#printed = printed
    this.#options = options
  }

  result(): Omit<FamilyPlan, 'after'> {
    return { lines: this.#lines, subjects: this.#subjects, chains: this.#chains, hooks: this.#hooks, removed: this.#removed }
  }

  /** Adds a table's lines; what it holds afterwards, or null if nothing changes. */
  table(table: string, chains: readonly WantedChain[], hooks: readonly WantedHooks[], state: TableState): TableState | null {
    const { rewrite, maySweep } = this.#options
    const changed: WantedChain[] = []
    const other: WantedChain[] = []
    let present = 0
    for (const chain of chains) {
      const have = state.chains.get(chain.name)
      if (have !== undefined) present++
      if (have !== chain.lines) other.push(chain)
      else if (!rewrite) continue
      if (rewrite || !isChainAsWanted(chainKey(table, chain.name), chain.lines, have, this.#printed)) changed.push(chain)
    }
    const unwanted = maySweep && present < state.chains.size ? keysWithout(state.chains, chains) : []
    const stale = unwanted.filter((name) => !state.pinned.has(name) || (state.chains.get(name)?.length ?? 0) > 0)
    const moves = this.#planHooks(table, hooks, state)
    if (other.length + changed.length + stale.length + moves.length === 0) return null
    const next: TableState = { chains: new Map(state.chains), builtins: new Map(state.builtins), pinned: state.pinned }
    // Even where nothing is written, the wanted array itself is kept: comparing it again costs nothing, and one copy is freed.
    for (const { name, lines } of other) next.chains.set(name, lines)
    if (changed.length + stale.length + moves.length === 0) return next
    this.#push(null, `*${table}`)
    const fresh = this.#options.newFirst && !rewrite ? changed.filter(({ name }) => !state.chains.has(name)) : []
    const replaced = fresh.length === 0 ? changed : changed.filter(({ name }) => state.chains.has(name))
    if (fresh.length > 0 && replaced.length + stale.length > 0) {
      this.#fill(table, fresh)
      this.#push(null, 'COMMIT')
      this.#push(null, `*${table}`)
      this.#fill(table, replaced)
    } else this.#fill(table, changed)
    for (const { key, chain, lines, after } of moves) {
      this.#hooks.push(key)
      for (const { line, owner } of lines) this.#push({ chain, owner }, line)
      next.builtins.set(chain, after)
    }
    for (const name of stale) {
      this.#push({ chain: name, owner: null }, `-F ${name}`)
      this.#removed.push(chainKey(table, name))
      next.chains.delete(name)
      if (state.pinned.has(name)) next.chains.set(name, [])
    }
    for (const name of stale) if (!state.pinned.has(name)) this.#push({ chain: name, owner: null }, `-X ${name}`)
    this.#push(null, 'COMMIT')
    return next
  }

  #fill(table: string, chains: readonly WantedChain[]): void {
    for (const { name, owner } of chains) this.#push({ chain: name, owner }, `:${name} - [0:0]`)
    for (const { name, lines, owner } of chains) {
      this.#chains.push(chainKey(table, name))
      for (const line of lines) this.#push({ chain: name, owner }, `-A ${name} ${line}`)
    }
  }

  #planHooks(table: string, hooks: readonly WantedHooks[], { builtins }: TableState): readonly HookMove[] {
    const byChain = new Map(hooks.map((each) => [each.chain, each]))
    const moves: HookMove[] = []
    for (const chain of new Set([...builtins.keys(), ...byChain.keys()])) {
      const move = this.#planBuiltin(chainKey(table, chain), chain, byChain.get(chain), builtins.get(chain) ?? [])
      if (move !== null) moves.push(move)
    }
    return moves
  }

  #planBuiltin(key: string, chain: string, wanted: WantedHooks | undefined, entries: readonly BuiltinEntry[]): HookMove | null {
    const spelled = (hook: WantedHook): string => this.#printed.hooks.get(hookKey(key, hook.line)) ?? hook.line
    const ranks = new Map<string, Rank>()
    for (const hook of wanted?.first ?? []) ranks.set(spelled(hook), { position: 'first', hook })
    for (const hook of wanted?.last ?? []) ranks.set(spelled(hook), { position: 'last', hook })
    const isMisplaced = {
      first: this.#options.rewrite || !isFirstInPlace(entries, ranks, (wanted?.first ?? []).map(spelled)),
      last: this.#options.rewrite || !areEqual(linesAt('last', entries, ranks), (wanted?.last ?? []).map(spelled)),
    }
    const goes = (line: string): boolean => {
      const rank = ranks.get(line)
      return rank === undefined ? this.#options.maySweep : isMisplaced[rank.position]
    }
    const lines: HookLine[] = []
    const kept = entries.filter((entry) => {
      if (!entry.isOurs || !goes(entry.line)) return true
      lines.push({ line: `-D ${chain} ${entry.line}`, owner: ranks.get(entry.line)?.hook.owner ?? null })
      return false
    })
    const first = isMisplaced.first ? (wanted?.first ?? []) : []
    const last = isMisplaced.last ? (wanted?.last ?? []) : []
    for (const { line, owner } of first.toReversed()) lines.push({ line: `-I ${chain} ${line}`, owner })
    for (const { line, owner } of last) lines.push({ line: `-A ${chain} ${line}`, owner })
    if (lines.length === 0) return null
    const entry = (hook: WantedHook): BuiltinEntry => ({ isOurs: true, line: spelled(hook) })
    return { key, chain, lines, after: [...first.map(entry), ...kept, ...last.map(entry)] }
  }

  #push(subject: Subject | null, line: string): void {
    this.#lines.push(line)
    this.#subjects.push(subject)
  }
}

type Rank = { readonly position: 'first' | 'last'; readonly hook: WantedHook }
type HookLine = { readonly line: string; readonly owner: string | null }
type HookMove = {
  readonly key: string
  readonly chain: string
  readonly lines: readonly HookLine[]
  readonly after: readonly BuiltinEntry[]
}

/**
 * In order, each once, and behind nothing that could let a packet pass. Other people's rules that only drop, log or mark may stand
 * before ours: going ahead of them would gain nothing and start a quarrel.
 */
function isFirstInPlace(entries: readonly BuiltinEntry[], ranks: ReadonlyMap<string, Rank>, wanted: readonly string[]): boolean {
  if (!areEqual(linesAt('first', entries, ranks), wanted)) return false
  let isBypassed = false
  for (const entry of entries) {
    const position = entry.isOurs ? ranks.get(entry.line)?.position : undefined
    if (position === 'first' && isBypassed) return false
    isBypassed ||= entry.isOurs ? position === 'last' : entry.mayBypass
  }
  return true
}

function linesAt(position: Rank['position'], entries: readonly BuiltinEntry[], ranks: ReadonlyMap<string, Rank>): readonly string[] {
  return oursIn(entries).filter((line) => ranks.get(line)?.position === position)
}

function oursIn(entries: readonly BuiltinEntry[]): readonly string[] {
  return entries.flatMap((entry) => (entry.isOurs ? [entry.line] : []))
}

function hookKey(builtin: string, line: string): string {
  return `${builtin} ${line}`
}

function keysWithout(have: ReadonlyMap<string, unknown>, chains: readonly WantedChain[]): readonly string[] {
  const names = new Set(chains.map(({ name }) => name))
  return [...have.keys()].filter((name) => !names.has(name))
}

function groupByTable<T extends { readonly table: string }>(items: Iterable<T>): ReadonlyMap<string, readonly T[]> {
  return Map.groupBy(items, (item) => item.table)
}

function areEqual(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((line, index) => line === b[index])
}
