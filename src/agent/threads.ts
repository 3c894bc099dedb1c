// What the agent's threads say to one another. Main watches the store and derives configuration; the bgp thread holds TCP and
// the RIBs; the dataplane thread holds netlink. Best paths go from bgp to dataplane over a port of their own.

import type { PeerStatus, RouteLookup, RoutePage, SpeakerConfig } from '../bgp/index.ts'
import type { AttachmentKey, PodLink, WiredPod, WiringFault } from '../cni/index.ts'
import type { LogLevel } from '../lib/log.ts'
import type { Result } from '../lib/result.ts'
import type { FibBatch, HostNetwork, IpAddress } from '../net/index.ts'
import type { ChainCounters, NetfilterStatus } from '../netfilter/index.ts'
import type { Flow, RulesetDelta } from '../policy/index.ts'
import type { GuardInput, LocalRoutes, PeerOnLink, RouteCounts, TunnelNeeds } from '../routes/index.ts'
import type { KernelRouteStatus, Problem } from './control-api.ts'

export type BgpThreadData = {
  readonly logLevel: LogLevel
  readonly node: string
  /** Keys of the peers that were up when this agent's predecessor ended, or null: cold start. */
  readonly peersUpBefore: readonly string[] | null
}

/** Every thread says once a second that its loop turns, and how late it ran (`/healthz`, metrics). */
export type Beat = { readonly kind: 'beat'; readonly maxLagMs: number; readonly heapUsedBytes: number }

export type ToBgp = { readonly kind: 'configure'; readonly config: SpeakerConfig } | { readonly kind: 'logLevel'; readonly level: LogLevel }

export type FromBgp =
  /** The connections that `stop` closed have gone down: the process may end. */
  | { readonly kind: 'drained' }
  | Beat
  /** Peers by key. `upOrRetained`: also those whose routes we still hold for their return. */
  | {
      readonly kind: 'sessionsChanged'
      readonly configured: readonly string[]
      readonly established: readonly string[]
      readonly upOrRetained: readonly string[]
    }
  /** Our own restart is over (RFC 4724 §4.1): routes of the time before that nobody confirmed may go. */
  | { readonly kind: 'selectionReleased' }
  | { readonly kind: 'problemsChanged'; readonly problems: readonly Problem[] }

export type BgpRequests = {
  readonly peers: { readonly request: null; readonly answer: readonly PeerStatus[] }
  readonly routes: { readonly request: RouteLookup; readonly answer: RoutePage }
  readonly reset: { readonly request: { readonly peer: string; readonly soft: boolean }; readonly answer: null }
  /** Asks peers to find other ways (RFC 8326), or takes that back. */
  readonly drain: { readonly request: { readonly isDraining: boolean }; readonly answer: null }
  /** `silent` keeps our routes at graceful restart helpers; `cease` says goodbye (decision 11). */
  readonly stop: { readonly request: { readonly how: 'silent' | 'cease' }; readonly answer: null }
}

/** bgp -> dataplane and back, over their own port. */
export type BestPaths = { readonly kind: 'fib'; readonly batch: FibBatch } | { readonly kind: 'selectionReleased' }
export type HostFacts = { readonly kind: 'hostNetwork'; readonly network: HostNetwork }

export type DataplaneThreadData = {
  readonly logLevel: LogLevel
  readonly node: string
  /** CNI is served: nothing of pods is removed before `adoptPods` has said which there are. */
  readonly servesPods: boolean
}

/** What this node needs in the kernel whatever BGP says. */
export type LocalSettings = {
  readonly routes: LocalRoutes
  readonly installRoutes: boolean
  /** Who is on our links: says which of them are uplinks, and how many neighbours to make room for. */
  readonly peers: readonly PeerOnLink[]
  readonly tunnels: TunnelNeeds
  /** Rules for pods and tunnels; null: there are neither. */
  readonly guards: GuardInput | null
}

export type ToDataplane = { readonly kind: 'logLevel'; readonly level: LogLevel }

export type FromDataplane =
  | Beat
  | { readonly kind: 'hostNetwork'; readonly network: HostNetwork }
  | { readonly kind: 'synced' }
  | { readonly kind: 'problemsChanged'; readonly problems: readonly Problem[] }
  /** For links of pods from now on; those there are follow. */
  | { readonly kind: 'podMtu'; readonly mtu: number }
  /** The link of a pod that runs has another MTU now. */
  | { readonly kind: 'podResized'; readonly pod: AttachmentKey; readonly mtu: number }

/** The pods there should be, after a start. */
export type KnownPods = {
  readonly links: readonly PodLink[]
  /** There is not one record: pods that are there all the same were not forgotten one by one, the records were lost. */
  readonly isStateNew: boolean
}

/** What was found when the pods of before were looked for. */
export type AdoptedPods = {
  /** Host ends of ours that no pod was known for: removed. */
  readonly strays: readonly string[]
  /** Host ends that should be there and are not. */
  readonly missing: readonly string[]
  /** Where the records were lost: host ends of pods that nobody knows, left as they are with the routes to them. */
  readonly unknown: readonly Pick<PodLink, 'hostInterface' | 'addresses'>[]
}

/** A connection as conntrack has it, in the terms of policy. `id` names it until the next list. */
export type Connection = { readonly id: number; readonly flow: Flow; readonly isCut: boolean }

export type DataplaneRequests = {
  readonly routes: { readonly request: { readonly prefix: string | null }; readonly answer: readonly KernelRouteStatus[] }
  readonly counts: { readonly request: null; readonly answer: RouteCounts }
  /** Answered when rules and routes are in the kernel, or have been refused. */
  readonly apply: { readonly request: LocalSettings; readonly answer: null }
  /** Before any other request about pods. */
  readonly adoptPods: { readonly request: KnownPods; readonly answer: AdoptedPods }
  readonly attachPod: { readonly request: PodLink; readonly answer: Result<WiredPod, WiringFault> }
  readonly detachPod: {
    readonly request: Pick<PodLink, 'hostInterface' | 'netns' | 'ifName' | 'addresses'>
    readonly answer: null
  }
  readonly checkPod: { readonly request: PodLink; readonly answer: readonly string[] }
  /**
   * `whole` replaces all rules of policy, `delta` changes what the writes before made; neither: no rules. Answered when the kernel holds
   * them, or has refused them: then they are tried again without being asked for.
   */
  readonly writePolicy: {
    readonly request: { readonly whole: RulesetDelta | null; readonly delta: RulesetDelta | null }
    readonly answer: { readonly ok: boolean }
  }
  /** Connections from or to these addresses. */
  readonly listConnections: { readonly request: { readonly addresses: readonly IpAddress[] }; readonly answer: readonly Connection[] }
  /** By the ids of the last list: those to cut, and those that may go on; how many of the former there still were. */
  readonly cutConnections: {
    readonly request: { readonly cut: readonly number[]; readonly restored: readonly number[] }
    readonly answer: number
  }
  /** Of chains of policy alone. */
  readonly policyCounters: { readonly request: null; readonly answer: readonly ChainCounters[] }
  /** null: no rules were ever needed. */
  readonly netfilter: { readonly request: null; readonly answer: NetfilterStatus | null }
}
