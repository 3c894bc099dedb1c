// What the rules of this node are made of (src/routes/guard): pools, nodes, tunnels, and ranges of services.
import {
  compareIp,
  containsAddress,
  covers,
  familyOf,
  formatIp,
  formatPrefix,
  type HostNetwork,
  IP_FAMILIES,
  type IpAddress,
  type IpFamily,
  type Prefix,
} from '../../net/index.ts'
import type { GuardInput, TunnelNeeds } from '../../routes/index.ts'
import { otherAddresses, TUNNEL_DEVICE } from './encapsulation.ts'
import type { Pool } from './ipam.ts'
import type { NodeFacts } from './nodes.ts'
import type { Problems } from './problems.ts'

export type GuardSources = {
  readonly own: NodeFacts
  readonly nodes: ReadonlyMap<string, NodeFacts>
  readonly network: HostNetwork
  readonly pools: readonly Pool[]
  readonly tunnels: TunnelNeeds
  readonly servesPods: boolean
  /** Ranges of services that this node may advertise. */
  readonly serviceRanges: readonly Prefix[]
  readonly problems: Problems
}

/** null: neither pods nor tunnels nor services, so nothing to guard. */
export function deriveGuards(sources: GuardSources): GuardInput | null {
  const { own, nodes, network, pools, tunnels, servesPods, problems } = sources
  const known = [...new Set([...nodes.values()].flatMap((node) => node.known))].sort(compareIp)
  const serviceRanges = guardable(sources.serviceRanges, pools, known, problems)
  if (!servesPods && tunnels.ipv4 === null && tunnels.ipv6 === null && serviceRanges.length === 0) return null
  const tunnelPeers = otherAddresses(own, nodes)
  const tunnel = (family: IpFamily): GuardInput['tunnels'][IpFamily] => {
    if ((family === 4 ? tunnels.ipv4 : tunnels.ipv6) === null) return null
    return {
      device: family === 4 ? TUNNEL_DEVICE.ipv4 : TUNNEL_DEVICE.ipv6,
      nodeAddresses: tunnelPeers.filter((address) => familyOf(address) === family),
    }
  }
  return {
    families: IP_FAMILIES.filter((family) => network.localAddresses.some(({ address }) => familyOf(address) === family)),
    pools: pools.map(({ range, spec }) => ({ range, natOutgoing: spec.natOutgoing })),
    nodeAddresses: known,
    tunnels: { 4: tunnel(4), 6: tunnel(6) },
    serviceRanges,
  }
}

/** A range with pods or nodes in it cannot be guarded: their packets would be dropped with those that loop. */
function guardable(ranges: readonly Prefix[], pools: readonly Pool[], nodes: readonly IpAddress[], problems: Problems): readonly Prefix[] {
  return ranges.filter((range) => {
    const pool = pools.find((each) => covers(range, each.range) || covers(each.range, range))
    const node = nodes.find((address) => containsAddress(range, address))
    if (pool === undefined && node === undefined) return true
    const inside = pool === undefined ? `the node address ${formatIp(node ?? range.address)}` : `IPPool/${pool.name}`
    problems.error(
      'BGPConfiguration',
      `the range of services ${formatPrefix(range)} overlaps ${inside}, so packets for services that nobody translates may loop between nodes and routers; name a range that holds addresses of services alone`,
    )
    return false
  })
}
