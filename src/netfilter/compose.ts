// Rulesets of all clients as one. A ruleset that breaks a rule of this module is left out as a whole and named; the others stand.
import type { IpFamily } from '../net/index.ts'
import type { Chain, Hook, IpSet, NetfilterProblem, Ruleset, Table } from './contract.ts'
import { formatRule, isSafe, linesOf, MARK, PREFIX } from './rule-text.ts'

export type WantedChain = { readonly table: Table; readonly name: string; readonly lines: readonly string[]; readonly owner: string }
export type WantedHook = { readonly line: string; readonly owner: string }
/** Jumps wanted in one built-in chain, in order. */
export type WantedHooks = { readonly table: Table; readonly chain: string; readonly first: WantedHook[]; readonly last: WantedHook[] }
export type WantedSet = { readonly set: IpSet; readonly owner: string }
export type WantedFamily = {
  /** By `chainKey`. */
  readonly chains: Map<string, WantedChain>
  /** By `chainKey` of the built-in chain. */
  readonly hooks: Map<string, WantedHooks>
}
export type Wanted = { readonly sets: Map<string, WantedSet>; readonly families: { readonly [F in IpFamily]: WantedFamily } }
export type Request = { readonly client: string; readonly ruleset: Ruleset }
export type Composition = { readonly wanted: Wanted /** By client. */; readonly refused: ReadonlyMap<string, readonly NetfilterProblem[]> }

/** Sets that this module makes for itself begin so. */
export const SCRATCH_PREFIX = `${PREFIX}~`
/** Chain names: XT_EXTENSION_MAXNAMELEN (29) with its zero; set names: IPSET_MAXNAMELEN (32) with its zero. */
const MAX_CHAIN_NAME = 28
const MAX_SET_NAME = 31
const NAME = /^fib[\w.:-]*$/
const FAMILIES: readonly IpFamily[] = [4, 6]

/** `table chain`. */
export function chainKey(table: string, name: string): string {
  return `${table} ${name}`
}

/** What all clients together want. Jumps of earlier requests stand before those of later ones. */
export function compose(requests: readonly Request[]): Composition {
  const wanted: Wanted = {
    sets: new Map(),
    families: { 4: { chains: new Map(), hooks: new Map() }, 6: { chains: new Map(), hooks: new Map() } },
  }
  const refused = new Map<string, readonly NetfilterProblem[]>()
  for (const request of requests) {
    const prepared = FAMILIES.map((family) => request.ruleset.families[family].chains.map((chain) => prepare(chain, request.client)))
    const faults = faultsOf(request, prepared, wanted)
    if (faults.length > 0)
      refused.set(
        request.client,
        faults.map((message) => ({ severity: 'error', subject: `netfilter/${request.client}`, message })),
      )
    else add(wanted, request, prepared)
  }
  return { wanted, refused }
}

function add({ sets, families }: Wanted, { client, ruleset }: Request, prepared: readonly (readonly PreparedChain[])[]): void {
  for (const set of ruleset.sets) sets.set(set.name, { set, owner: client })
  for (const [at, family] of FAMILIES.entries()) {
    for (const { key, wanted } of prepared[at] ?? []) families[family].chains.set(key, wanted)
    for (const hook of ruleset.families[family].hooks) addHook(families[family].hooks, hook, client)
  }
}

/** What there is to know of a chain by itself. */
type PreparedChain = { readonly key: string; readonly wanted: WantedChain; readonly faults: readonly string[] }
const preparedChains = new WeakMap<Chain, PreparedChain>()
const NO_FAULTS: readonly string[] = []

/** Remembers what it has looked at: unchanged chains cost next to nothing. */
function prepare(chain: Chain, owner: string): PreparedChain {
  const known = preparedChains.get(chain)
  if (known !== undefined && known.wanted.owner === owner) return known
  const { table, name, rules } = chain
  const faults: string[] = []
  if (!NAME.test(name) || name.length > MAX_CHAIN_NAME)
    faults.push(`chain ${JSON.stringify(name)}: a name begins with ${PREFIX} and has at most ${MAX_CHAIN_NAME} characters`)
  const lines = linesOf(rules)
  if (!lines.every(isSafe)) faults.push(`chain ${name} of table ${table}: a rule has a control character in it`)
  const wanted = { table, name, lines, owner }
  const prepared = { key: chainKey(table, name), wanted, faults: faults.length === 0 ? NO_FAULTS : faults }
  preparedChains.set(chain, prepared)
  return prepared
}

function addHook(hooks: Map<string, WantedHooks>, hook: Hook, owner: string): void {
  const key = chainKey(hook.table, hook.chain)
  const known = hooks.get(key) ?? { table: hook.table, chain: hook.chain, first: [], last: [] }
  const line = formatRule([...hook.match, '-m', 'comment', '--comment', MARK, '-j', hook.jumpTo])
  hooks.set(key, known)
  if (![...known.first, ...known.last].some((other) => other.line === line)) known[hook.position].push({ line, owner })
}

function faultsOf({ ruleset }: Request, prepared: readonly (readonly PreparedChain[])[], taken: Wanted): readonly string[] {
  const faults: string[] = []
  const setNames = new Set<string>()
  for (const { name } of ruleset.sets) {
    if (!NAME.test(name) || name.length > MAX_SET_NAME)
      faults.push(`set ${JSON.stringify(name)}: a name begins with ${PREFIX} and has at most ${MAX_SET_NAME} characters`)
    if (setNames.has(name) || taken.sets.has(name)) faults.push(`set ${name}: the name is taken; each set has one owner`)
    setNames.add(name)
  }
  for (const [at, family] of FAMILIES.entries()) {
    const { chains } = taken.families[family]
    const keys = new Set<string>()
    for (const { key, wanted, faults: own } of prepared[at] ?? []) {
      if (keys.has(key) || chains.has(key))
        faults.push(`chain ${wanted.name} of table ${wanted.table}: the name is taken; each chain has one owner`)
      faults.push(...own)
      keys.add(key)
    }
    for (const { table, jumpTo, match } of ruleset.families[family].hooks) {
      if (!keys.has(chainKey(table, jumpTo))) faults.push(`jump to ${jumpTo}: table ${table} has no such chain for IPv${family}`)
      if (!isSafe(formatRule(match))) faults.push(`jump to ${jumpTo}: a match has a control character in it`)
    }
  }
  return faults
}
