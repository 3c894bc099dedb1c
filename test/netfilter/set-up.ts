// Netfilter over the model of a kernel, and short ways to write a ruleset down.
import { FakeClock } from '../../src/lib/clock.ts'
import { silentLog } from '../../src/lib/log.ts'
import { Netfilter, type NetfilterOptions, type Rule, type Ruleset, type Table } from '../../src/netfilter/index.ts'
import { KernelModel } from './kernel-model.ts'

export const NOTHING: Ruleset = { sets: [], families: { 4: { chains: [], hooks: [] }, 6: { chains: [], hooks: [] } } }

export function setUp(options: Partial<NetfilterOptions> = {}) {
  const [model, clock] = [new KernelModel(), new FakeClock()]
  const netfilter = new Netfilter({ clients: ['guards'], log: silentLog, clock, tools: model, random: () => 0, ...options })
  return { model, clock, netfilter }
}

/** Lets everything that waits for nothing but its turn have it. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
}

export type Part = {
  readonly table?: Table
  readonly chain: string
  readonly rules: readonly Rule[]
  readonly hook?: 'first' | 'last'
  readonly match?: Rule
}

/** Rules for IPv4; each part hooks into FORWARD or PREROUTING. */
export function rulesetOf(parts: readonly Part[], sets: Ruleset['sets'] = []): Ruleset {
  const chains = parts.map(({ table = 'filter', chain, rules }) => ({ table, name: chain, rules }))
  const hooks = parts.flatMap(({ table = 'filter', chain, hook, match = [] }) =>
    hook === undefined
      ? []
      : [{ table, chain: table === 'filter' ? ('FORWARD' as const) : ('PREROUTING' as const), position: hook, jumpTo: chain, match }],
  )
  return { ...NOTHING, sets, families: { ...NOTHING.families, 4: { chains, hooks } } }
}

export function set(name: string, members: readonly string[], type: Ruleset['sets'][number]['type'] = 'hash:ip'): Ruleset['sets'][number] {
  return { name, type, family: 4, members: new Set(members) }
}

export const DROP: Rule = ['-j', 'DROP']
export const ACCEPT: Rule = ['-j', 'ACCEPT']
export const mark = (chain: string): string => `-m comment --comment fibula -j ${chain}`
