// Public face of netfilter; see README.md.
export type { Chain, Hook, IpSet, NetfilterProblem, Rule, Ruleset, Table } from './contract.ts'
export { changeMembers, type MemberChange } from './members.ts'
export { Netfilter, type NetfilterOptions } from './netfilter.ts'
export type { ChainCounters, NetfilterClient, NetfilterOutcome, NetfilterService, NetfilterStatus, Variant } from './port.ts'
export { type NetfilterTools, ProcessTools } from './tools.ts'
