// The agent's control socket: HTTP with JSON bodies over the unix socket RUN_DIR/agent.sock. The CLI is its client; every
// answer is stable and is what `-o json` prints.
//
//   GET  /v1/status                                            AgentStatus
//   GET  /v1/bgp/peers                                         PeerStatus[]
//   GET  /v1/bgp/routes?family=&prefix=&in=PEER|out=PEER|best=1   RouteStatus[]
//   GET  /v1/routes?prefix=                                    KernelRouteStatus[]
//   POST /v1/bgp/reset    { peer, kind }                       {} (kind: soft | hard)
//
// Errors are { "error": "what was wrong and what to do" } with status 400, 404 or 503.

export const CONTROL_SOCKET = 'agent.sock'

/** Something that is not as it should be, in words, with its remedy. */
export type Problem = {
  readonly severity: 'error' | 'warning'
  /** What it is about: `BGPPeer/tor-a`, `sysctl/net.ipv4.ip_forward`, a file name… */
  readonly subject: string
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
