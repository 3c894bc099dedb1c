// What goes through IP-in-IP where the fabric has no route: which pools, towards which nodes, and the tunnel ends that this needs.
import type { EncapsulationConfig } from '../../bgp/index.ts'
import { compareIp, type IpAddress, type IpFamily, prefixFamily } from '../../net/index.ts'
import type { TunnelNeeds } from '../../routes/index.ts'
import type { Pool } from './ipam.ts'
import type { NodeFacts } from './nodes.ts'

/** IPv4 in IPv4 (RFC 2003) and IPv6 in IPv6 (RFC 2473): one device a family for all peers. */
export const TUNNEL_DEVICE = { ipv4: 'fibipip', ipv6: 'fibip6tnl' } as const

/** null: no pool is carried in IP-in-IP. */
export function deriveEncapsulation(
  pools: readonly Pool[],
  own: NodeFacts,
  nodes: ReadonlyMap<string, NodeFacts>,
): EncapsulationConfig | null {
  const carried = pools.flatMap(({ range, spec: { ipipMode } }): EncapsulationConfig['pools'] =>
    ipipMode === 'Never' ? [] : [{ prefix: range, mode: ipipMode }],
  )
  if (carried.length === 0) return null
  return { pools: carried, nodes: otherAddresses(own, nodes), device: TUNNEL_DEVICE }
}

/** The tunnels of this node, one for each family that some pool needs; null: none, or the node has no such address. */
export function tunnelNeeds(encapsulation: EncapsulationConfig | null, own: NodeFacts): TunnelNeeds {
  const isCarried = (family: IpFamily): boolean => encapsulation?.pools.some(({ prefix }) => prefixFamily(prefix) === family) ?? false
  return {
    ipv4: isCarried(4) && own.ipv4 !== null ? { local: own.ipv4 } : null,
    ipv6: isCarried(6) && own.ipv6 !== null ? { local: own.ipv6 } : null,
  }
}

/** Addresses of all nodes but our own, in order. */
export function otherAddresses(own: NodeFacts, nodes: ReadonlyMap<string, NodeFacts>): readonly IpAddress[] {
  const others = [...nodes.values()].filter(({ name }) => name !== own.name)
  return others
    .flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6])
    .filter((address) => address !== null)
    .sort(compareIp)
}
