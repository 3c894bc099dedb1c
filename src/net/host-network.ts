// What a host tells about its own links, addresses and routes, so that next hops can be resolved and checked. Produced by the
// kernel route module, consumed by the BGP speaker; neither imports the other.
import type { IpAddress } from './ip.ts'
import type { Prefix } from './prefix.ts'

/** One route of the host, other than ours, through which next hops may be resolved (RFC 4271 §9.1.2.1). */
export type ResolvingRoute = {
  readonly prefix: Prefix
  readonly interfaceIndex: number
  /** null: directly connected. */
  readonly gateway: IpAddress | null
  readonly metric: number
}

/** What the host told us about its own links and routes; replaces what it told before. */
export type HostNetwork = {
  readonly routes: readonly ResolvingRoute[]
  /** Addresses configured on this host: a next hop that is one of them is unusable (RFC 4271 §5.1.3). */
  readonly localAddresses: readonly { readonly address: IpAddress; readonly prefixLength: number; readonly interfaceIndex: number }[]
  readonly interfaces: readonly { readonly index: number; readonly name: string; readonly up: boolean }[]
}
