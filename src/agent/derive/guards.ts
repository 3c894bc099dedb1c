// What the rules of this node are made of (src/routes/guard): pools, nodes, and tunnels.
import { compareIp, familyOf, formatIp, type HostNetwork, type IpAddress, type IpFamily, parseIp } from '../../net/index.ts'
import type { GuardInput, TunnelNeeds } from '../../routes/index.ts'
import type { Snapshot } from '../../store/index.ts'
import { otherAddresses, TUNNEL_DEVICE } from './encapsulation.ts'
import type { Pool } from './ipam.ts'
import type { NodeFacts } from './nodes.ts'

export type GuardSources = {
  readonly snapshot: Snapshot
  readonly own: NodeFacts
  readonly nodes: ReadonlyMap<string, NodeFacts>
  readonly network: HostNetwork
  readonly pools: readonly Pool[]
  readonly tunnels: TunnelNeeds
  readonly servesPods: boolean
}

/** null: neither pods nor tunnels, so nothing to guard. */
export function deriveGuards({ snapshot, own, nodes, network, pools, tunnels, servesPods }: GuardSources): GuardInput | null {
  if (!servesPods && tunnels.ipv4 === null && tunnels.ipv6 === null) return null
  const tunnelPeers = otherAddresses(own, nodes)
  const tunnel = (family: IpFamily): GuardInput['tunnels'][IpFamily] => {
    if ((family === 4 ? tunnels.ipv4 : tunnels.ipv6) === null) return null
    return {
      device: family === 4 ? TUNNEL_DEVICE.ipv4 : TUNNEL_DEVICE.ipv6,
      nodeAddresses: tunnelPeers.filter((address) => familyOf(address) === family),
    }
  }
  return {
    families: ([4, 6] as const).filter((family) => network.localAddresses.some(({ address }) => familyOf(address) === family)),
    pools: pools.map(({ range, spec }) => ({ range, natOutgoing: spec.natOutgoing })),
    nodeAddresses: nodeAddresses(snapshot, nodes),
    tunnels: { 4: tunnel(4), 6: tunnel(6) },
  }
}

/** Every address that a node is known by, in order: those of BGP and those of its status. */
function nodeAddresses(snapshot: Snapshot, nodes: ReadonlyMap<string, NodeFacts>): readonly IpAddress[] {
  const ofBgp = [...nodes.values()].flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6])
  const ofStatus = [...snapshot.Node.values()].flatMap(({ status }) => status.addresses.map(({ address }) => parseIp(address)))
  const known = [...ofBgp, ...ofStatus].filter((address) => address !== null)
  return [...new Map(known.map((address) => [formatIp(address), address])).values()].sort(compareIp)
}
