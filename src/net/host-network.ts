// What a host tells about its own links, addresses and routes, so that next hops can be resolved and checked. Produced by the
// kernel route module, consumed by the BGP speaker; neither imports the other.
import { familyOf, type IpAddress } from './ip.ts'
import { containsAddress, type Prefix, prefix } from './prefix.ts'

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

/** A route that the configuration asks for, whatever BGP says: by way of a gateway on one of our links. */
export type StaticRoute = { readonly prefix: Prefix; readonly gateway: IpAddress }

/** Routes of ours are no help to resolve next hops, but these are: BGP had no part in them. Those with no link to go by are left out. */
export function withStaticRoutes(network: HostNetwork, statics: readonly StaticRoute[], metric: number): HostNetwork {
  const added = statics.flatMap(({ prefix: to, gateway }): readonly ResolvingRoute[] => {
    const [nearest] = network.localAddresses
      .filter((own) => familyOf(own.address) === familyOf(gateway) && containsAddress(prefix(own.address, own.prefixLength), gateway))
      .sort((a, b) => b.prefixLength - a.prefixLength || a.interfaceIndex - b.interfaceIndex)
    return nearest === undefined ? [] : [{ prefix: to, interfaceIndex: nearest.interfaceIndex, gateway, metric }]
  })
  return { ...network, routes: [...network.routes, ...added] }
}
