// The agent's control socket: HTTP with JSON bodies over the unix socket RUN_DIR/agent.sock. The CLI is its client; every
// answer is stable and is what `-o json` prints.
//
//   GET  /v1/status                                            AgentStatus
//   GET  /v1/bgp/peers                                         PeerStatus[]
//   GET  /v1/bgp/routes?family=&prefix=&in=PEER|out=PEER|best=1   RouteStatus[]
//   GET  /v1/routes?prefix=                                    KernelRouteStatus[]
//   GET  /v1/ipam                                              IpamStatus
//   GET  /v1/pods                                              PodStatus[]
//   GET  /v1/policy/explain?from=&to=&port=                    Explanation: would it be allowed, and which rule decides
//   GET  /v1/policy/pods?pod=                                  PodPolicyStatus[]: the pods of this node as policy sees them
//   POST /v1/bgp/reset    { peer, kind }                       {} (kind: soft | hard)
//   POST /v1/drain        { draining }                         {} every route is advertised with GRACEFUL_SHUTDOWN from now on, or no more
//   POST /v1/stop         StopRequest                          {} at once; then the agent ends
//
// Paths about pods answer 404 where the agent serves no CNI.
//
// Errors are { "error": "what was wrong and what to do" } with status 400, 404 or 503.

import type { OwnBlock } from '../ipam/index.ts'

export const CONTROL_SOCKET = 'agent.sock'

/** Something that is not as it should be, in words, with its remedy. */
export type Problem = {
  readonly severity: 'error' | 'warning'
  /** What it is about: `BGPPeer/tor-a`, `sysctl/net.ipv4.ip_forward`, a file name… */
  readonly subject: string
  /** One word for programs, such as SecretNotFound; most have none. */
  readonly reason?: string
  readonly message: string
}

export type AgentStatus = {
  readonly node: string
  readonly version: string
  readonly pid: number
  readonly startedAt: string
  readonly live: boolean
  readonly ready: boolean
  /** Why it is not ready, in words; empty when ready. */
  readonly notReadyBecause: readonly string[]
  readonly mode: 'Host' | 'Router'
  readonly asn: number
  readonly routerId: string
  readonly addresses: readonly string[]
  readonly sessions: { readonly configured: number; readonly established: number }
  readonly originated: readonly string[]
  readonly routes: { readonly desired: number; readonly inKernel: number; readonly failed: number; readonly installRoutes: boolean }
  /** null: no CNI is served. */
  readonly pods: { readonly attached: number; readonly ready: boolean; readonly notReadyBecause: string | null } | null
  /** Routes of services; null: no range of them is set. */
  readonly services?: {
    readonly services: number
    /** That take connections, in both families. */
    readonly endpoints: number
    /** Prefixes, the ranges of cluster IPs among them. */
    readonly advertised: number
    /** Of those, at least preference (GRACEFUL_SHUTDOWN), until others can take the traffic. */
    readonly yielding: number
    /** excluded: by label of the node; cordoned: its traffic moves to other nodes. Neither advertises what others can. */
    readonly standing: 'in' | 'cordoned' | 'excluded'
    /** False: routes of before the restart stay until services have been listed. */
    readonly isListed: boolean
  } | null
  /** Peers are asked to find other ways (`POST /v1/drain`). */
  readonly draining: boolean
  readonly problems: readonly Problem[]
}

export type KernelRouteStatus = {
  readonly prefix: string
  /** inSync; missing: desired but not in the kernel; stale: ours in the kernel, awaiting its sweep; failed: the kernel refused it; shadowed: a foreign route wins. */
  readonly state: 'inSync' | 'missing' | 'stale' | 'failed' | 'shadowed'
  readonly kind: 'unicast' | 'blackhole'
  readonly nextHops: readonly { readonly gateway: string | null; readonly interface: string | null; readonly onlink: boolean }[]
  readonly detail: string | null
}

export type StopRequest = {
  /** `silent`: as SIGTERM does, for a restart. `cease`: drains, then says goodbye to the peers (decision 11). */
  readonly how: 'silent' | 'cease'
  /** For how long peers are asked to find other ways before the goodbye; default 10. */
  readonly drainSeconds: number
}

/** One interface of one container, as ADD made it. */
export type PodStatus = {
  /** null: the runtime did not say. */
  readonly namespace: string | null
  readonly name: string | null
  readonly uid: string | null
  /** Name of the CNI network. */
  readonly network: string
  readonly containerId: string
  /** Its name in the container. */
  readonly interface: string
  readonly hostInterface: string
  readonly netns: string
  readonly addresses: readonly { readonly address: string; readonly pool: string; readonly block: string; readonly borrowed: boolean }[]
  /** assigned: an ADD is at work; attached; released: DEL has answered, the store does not know yet. */
  readonly state: 'assigned' | 'attached' | 'released'
  /** When it got its addresses, ISO 8601; null: an older agent did not record it. */
  readonly since: string | null
}

/** A pod's interface as policy sees it. */
export type PodPolicyStatus = {
  /** null: a container that is no pod. */
  readonly namespace: string | null
  readonly name: string | null
  readonly hostInterface: string
  readonly addresses: readonly string[]
  /**
   * open: the cluster has no policy, or none has a say on it; enforced: its rules are in the kernel; unchanged: the agent has just begun, or the
   * first policy has just come, and what was in the kernel before is in force; denied: nothing passes yet.
   */
  readonly state: 'open' | 'enforced' | 'unchanged' | 'denied'
  /** What it waits for, in words. */
  readonly waitsFor: string | null
  readonly ingress: DirectionPolicyStatus
  readonly egress: DirectionPolicyStatus
}

export type DirectionPolicyStatus = {
  /** ClusterNetworkPolicies of tier Admin that have a say, in order; NetworkPolicies, as namespace/name; then those of tier Baseline. */
  readonly admin: readonly string[]
  readonly networkPolicies: readonly string[]
  readonly baseline: readonly string[]
  /** Packets dropped for this pod since its rules were last written. */
  readonly droppedPackets: number
}

/** Counts are of addresses. */
export type IpamStatus = {
  readonly ready: boolean
  readonly notReadyBecause: string | null
  /** The blocks have been read since the start. */
  readonly hasSynced: boolean
  readonly pools: readonly {
    readonly name: string
    readonly cidr: string
    readonly blockSize: number
    /** Its nodeSelector matches this node. */
    readonly selectsNode: boolean
    /** By itself, or because it overlaps an older pool. */
    readonly disabled: boolean
    readonly assignmentMode: 'Automatic' | 'Manual'
    readonly forWorkloads: boolean
    /** What pods can have at once. */
    readonly reserve: number
  }[]
  /** Of this node. */
  readonly blocks: readonly (Omit<OwnBlock, 'block'> & { readonly cidr: string })[]
  /** Addresses of this node in blocks of others; `handle` null: claimed ahead. */
  readonly borrowed: readonly {
    readonly address: string
    readonly block: string
    readonly owner: string | null
    readonly handle: string | null
  }[]
  readonly allocations: number
  /** Allocations and releases that the store does not show yet. */
  readonly unwritten: number
}
