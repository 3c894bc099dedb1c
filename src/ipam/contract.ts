// What the IPAM of one node is told and what it answers: plain values, free of Kubernetes and of where blocks are kept.
import type { LabelSelector, Labels } from '../lib/label-selector.ts'
import type { IpAddress, IpFamily, Prefix } from '../net/index.ts'

/** A pool as this node sees it. */
export type PoolConfig = {
  readonly name: string
  readonly range: Prefix
  /** Prefix length of its blocks. */
  readonly blockSize: number
  /** Its nodeSelector matches this node. */
  readonly selectsNode: boolean
  /** null: every namespace. */
  readonly namespaceSelector: LabelSelector | null
  /** Existing addresses stay; no new ones. */
  readonly disabled: boolean
  /** `Manual`: only for pods that name the pool. */
  readonly assignmentMode: 'Automatic' | 'Manual'
  /** Gives addresses to pods (allowedUses has `Workload`). */
  readonly forWorkloads: boolean
}

/** The whole truth; replaces what was said before. Pools are in order of preference (by name). */
export type IpamConfig = {
  readonly pools: readonly PoolConfig[]
  /** Addresses that are never handed out (IPReservation). */
  readonly reservations: readonly Prefix[]
  /** Never borrow from a block of another node. */
  readonly strictAffinity: boolean
  /** null: no limit. Counts blocks of one family. */
  readonly maxBlocksPerHost: number | null
  /** How long a released address rests before it is handed out again. */
  readonly coolDownSeconds: number
}

export type AssignRequest = {
  /** Owner of the addresses; asking again with the same handle gives the same addresses. */
  readonly handle: string
  readonly pod: { readonly namespace: string; readonly name: string } | null
  /** null: not known. */
  readonly namespaceLabels: Labels | null
  /** Exactly these addresses (at most one a family), or a refusal. Empty: any. */
  readonly requested: readonly IpAddress[]
  /** Names or CIDRs of the only pools to take from, in order; null: those that select node and namespace. */
  readonly pools: { readonly ipv4: readonly string[] | null; readonly ipv6: readonly string[] | null }
}

/** One address that a handle has. `sequence` names this very allocation: an address reused meanwhile has another. */
export type Assignment = {
  readonly address: IpAddress
  readonly family: IpFamily
  readonly pool: string
  readonly block: Prefix
  readonly sequence: number
  /** From a block of another node. */
  readonly isBorrowed: boolean
}

/** Why there is no address. `message` says which pool or field, how many addresses, and what to do. */
export type AssignFault = {
  readonly kind: 'exhausted' | 'noPool' | 'refused' | 'taken' | 'unavailable'
  readonly message: string
}

/** What the node remembers of an allocation in its own state directory; the block may not know of it yet. */
export type HeldAllocation = {
  readonly handle: string
  readonly pod: { readonly namespace: string; readonly name: string } | null
  readonly assignments: readonly Assignment[]
  /** Its owner is gone: to be released as soon as the store can be reached. */
  readonly isReleased: boolean
}

/** An own block as the node last saw it; counts of addresses. */
export type OwnBlock = {
  readonly block: Prefix
  /** null: no pool has this range any more. */
  readonly pool: string | null
  /** Only a confirmed block is advertised and has a blackhole route. */
  readonly state: 'Pending' | 'Confirmed'
  /** Addresses in it. */
  readonly size: number
  /** In use, by this node and by borrowers. */
  readonly allocated: number
  /** Claimed ahead, by this node and by borrowers. */
  readonly reserved: number
  /** In use or claimed ahead by other nodes; contained in the two before. */
  readonly lent: number
  /** Released and resting. */
  readonly cooling: number
  /** Can be handed out now. */
  readonly free: number
}

/** An address of this node that is in a block of another. `handle` null: claimed ahead. */
export type BorrowedAddress = {
  readonly address: IpAddress
  readonly block: Prefix
  readonly owner: string | null
  readonly handle: string | null
}

/** Something that is not as it should be, with what to do about it. `reason` is one word for programs. */
export type IpamProblem = {
  readonly severity: 'error' | 'warning'
  readonly reason: 'StoreUnavailable' | 'PoolExhausted' | 'DuplicateAddress' | 'BlockOutsidePool' | 'WriteRefused'
  /** What it is about: a pool, block or address. */
  readonly subject: string
  readonly message: string
}

/** What people and status are shown. */
export type IpamView = {
  /** The blocks have been read from the store since the start. */
  readonly hasSynced: boolean
  readonly blocks: readonly OwnBlock[]
  readonly borrowed: readonly BorrowedAddress[]
  /** Addresses that an ADD can have at once, by pool. */
  readonly reserve: readonly { readonly pool: string; readonly family: IpFamily; readonly addresses: number }[]
  /** Live allocations of this node, and how many of them and of its releases the blocks do not show yet. */
  readonly allocations: number
  readonly unwritten: number
  readonly problems: readonly IpamProblem[]
}

/** The IPAM of one node (src/ipam/node-ipam.ts). */
export interface NodeIpam extends AsyncDisposable {
  configure(config: IpamConfig): void
  /** Once, before the first `assign`: what the state directory holds. */
  adopt(held: readonly HeldAllocation[]): void
  /** From the reserve without waiting for the store where that has what is asked; else by way of the store, until `signal` aborts. */
  assign(
    request: AssignRequest,
    signal?: AbortSignal,
  ): Promise<{ readonly ok: true; readonly value: readonly Assignment[] } | { readonly ok: false; readonly error: AssignFault }>
  /**
   * Gives back all of a handle; unknown handles are fine. Resolves when the store has it; retries for ever. Rejects when `signal`
   * aborts or this IPAM is disposed of before that: the release goes on meanwhile (or after `adopt` of a released holding).
   */
  release(handle: string, signal?: AbortSignal): Promise<void>
  /**
   * Blocks may have changed behind our back: they are read again soon. With `shown`, what a watch says of one block (null: it is
   * gone): read only if that is not the version this node knows, so that its own writes, coming back, make no work.
   */
  lookAgain(shown?: { readonly block: Prefix; readonly version: string | null }): void
  view(): IpamView
  /** null: this node can hand out an address of every wanted family at once; else why not, in words (CNI STATUS). */
  notReadyBecause(): string | null
}
