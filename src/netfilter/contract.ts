// iptables and ipset as data: what a client wants the kernel to hold. Knows no pod and no policy.
import type { IpFamily } from '../net/index.ts'

export type Table = 'raw' | 'mangle' | 'nat' | 'filter'

/** One rule as the words after `-A CHAIN`, e.g. ['-m', 'set', '--match-set', 'fib4-pools', 'src', '-j', 'MASQUERADE']. */
export type Rule = readonly string[]

/** A chain of our own; its name begins with `fib`. */
export type Chain = { readonly table: Table; readonly name: string; readonly rules: readonly Rule[] }

/** A jump to a chain of ours from a built-in chain. `first`: before everybody's rules; `last`: after all that are there. */
export type Hook = {
  readonly table: Table
  readonly chain: 'PREROUTING' | 'INPUT' | 'FORWARD' | 'OUTPUT' | 'POSTROUTING'
  readonly position: 'first' | 'last'
  readonly jumpTo: string
  /** Matches before the jump, e.g. ['-i', 'fib+']. */
  readonly match: Rule
}

/** An ipset of our own; its name begins with `fib`. Members are canonical text. */
export type IpSet = {
  readonly name: string
  readonly type: 'hash:ip' | 'hash:net' | 'hash:ip,port' | 'hash:net,port'
  readonly family: IpFamily
  readonly members: ReadonlySet<string>
}

/** The whole truth for one client; replaces what it asked before. */
export type Ruleset = {
  readonly sets: readonly IpSet[]
  readonly families: { readonly [F in IpFamily]: { readonly chains: readonly Chain[]; readonly hooks: readonly Hook[] } }
}

export type NetfilterProblem = { readonly severity: 'error' | 'warning'; readonly subject: string; readonly message: string }
