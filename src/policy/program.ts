// Rules of policies between the model and netfilter: protocol-neutral, both families at once, addresses replaced by sets. Everything is
// named after its content.
import type { IpFamily } from '../net/index.ts'
import type { ClusterTier, Direction, PortProtocol } from './model.ts'
import type { PodSelector, Selector } from './selector.ts'

/** Who belongs to a set. */
export type SetSpec =
  /** Addresses of pods. */
  | { readonly kind: 'pods'; readonly select: PodSelector }
  /** Addresses of nodes. */
  | { readonly kind: 'nodes'; readonly select: Selector }
  /** Prefixes, as text in order; of one family at least one. Never a whole family: that needs no set. */
  | { readonly kind: 'networks'; readonly prefixes: { readonly [F in IpFamily]: readonly string[] } }
  /** Address and port of every container port of that name; `local`: of pods on this node only. */
  | {
      readonly kind: 'namedPort'
      readonly of: 'everyPod' | 'local'
      readonly name: string
      readonly protocol: PortProtocol | null
    }

export type AddressSet = { readonly id: string; readonly spec: SetSpec }

export type PeerMatch =
  | { readonly kind: 'set'; readonly set: AddressSet }
  /** Every address of one family. */
  | { readonly kind: 'family'; readonly family: IpFamily }

/** Apart and in order; both ends belong to it. */
export type PortRange = { readonly first: number; readonly last: number }

export type PortsMatch =
  | { readonly kind: 'protocol'; readonly protocol: PortProtocol }
  | { readonly kind: 'ports'; readonly protocol: PortProtocol; readonly ranges: readonly PortRange[] }
  | { readonly kind: 'named'; readonly set: AddressSet }

export type ProgramAction = 'accept' | 'deny' | 'pass'

/** Matches where a peer and a port do; null stands for all there are, and a list is never empty. */
export type ProgramRule = {
  readonly action: ProgramAction
  readonly peers: readonly PeerMatch[] | null
  readonly ports: readonly PortsMatch[] | null
  /** Index in the manifest. */
  readonly rule: number
  readonly ruleName: string
}

/** One policy in one direction. Equal rules of NetworkPolicies have one id; a ClusterNetworkPolicy has its own, so that its drops are counted. */
export type PolicyProgram = {
  readonly id: string
  readonly direction: Direction
  /** Null: a NetworkPolicy. */
  readonly cluster: { readonly tier: ClusterTier; readonly name: string } | null
  readonly rules: readonly ProgramRule[]
  /** Those that the rules use, each once. */
  readonly sets: readonly AddressSet[]
}

/** All that an endpoint has in one direction. */
export type EndpointProgram = {
  readonly id: string
  readonly direction: Direction
  /** In the order in which they decide; those without rules are left out. */
  readonly admin: readonly PolicyProgram[]
  /** Null: no NetworkPolicy isolates; then the baseline has a say. */
  readonly isolation: {
    /** Keys of the NetworkPolicies, sorted. */
    readonly by: readonly string[]
    readonly admits: readonly PolicyProgram[]
    /** Traffic to the own node is not isolated. */
    readonly exemptsOwnNode: boolean
  } | null
  readonly baseline: readonly PolicyProgram[]
}

/** `open`: everything passes; `closed`: nothing does. */
export type EndpointRules = EndpointProgram | 'open' | 'closed'
