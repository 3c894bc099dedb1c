// What clients of this module hold in their hands: they ask for a ruleset and hear what became of it.
import type { IpFamily } from '../net/index.ts'
import type { NetfilterProblem, Ruleset } from './contract.ts'

/** Which of the kernel's two rule engines the iptables tools speak to. */
export type Variant = 'nft' | 'legacy'

/** What became of a ruleset. After a failure it stays wanted and is tried again; `problems()` says whether it still fails. */
export type NetfilterOutcome =
  | { readonly ok: true /** False: the kernel held it already. */; readonly changed: boolean }
  | { readonly ok: false; readonly problems: readonly NetfilterProblem[] }

/** One part of the agent that wants rules. Names of its chains and sets must be its own. */
export interface NetfilterClient {
  readonly name: string
  /**
   * Replaces all this client asked before; resolves, never rejects, when a transaction that began after this call has ended.
   * Values are kept, so they must not be changed afterwards. A chain's `rules` or a set's `members` that are the same object as
   * the last time are known to be unchanged without being looked at: reuse them.
   */
  apply(ruleset: Ruleset): Promise<NetfilterOutcome>
}

export type NetfilterStatus = {
  /** Null until the first look at the kernel. */
  readonly variant: Variant | null
  /** True once the kernel has been read, every client has asked, and nothing waits to be written. */
  readonly hasSynced: boolean
  readonly chains: number
  readonly rules: number
  readonly sets: number
  readonly members: number
  /** Runs of iptables-restore and ipset restore that changed something, since start. */
  readonly transactions: number
  /** Chains, jumps and sets found changed by others and put right, since start. */
  readonly drifts: number
  readonly failures: number
}

/** Packets that the rules of a chain have seen, in order of the rules; they begin at 0 when the chain is written. */
export type ChainCounters = { readonly family: IpFamily; readonly chain: string; readonly packets: readonly number[] }

/** What `Netfilter` offers its owner. */
export interface NetfilterService extends AsyncDisposable {
  /** The same object for the same name. Throws RangeError for a name that was not announced to the constructor. */
  client(name: string): NetfilterClient
  /** What is wrong now, each with its remedy; empty when all is well. */
  problems(): readonly NetfilterProblem[]
  status(): NetfilterStatus
  /** Of a client's chains in the table `filter`; reads them all, which costs as much as writing them. Empty if they cannot be read. */
  counters(client: string): Promise<readonly ChainCounters[]>
  /** Reads everything back now and repairs what differs. */
  resync(): Promise<void>
}
