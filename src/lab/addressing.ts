// Which address everything in a lab has. Pure arithmetic on the ranges of the topology.
import { formatIp, formatPrefix, type IpAddress, ipv4, ipv6, isIpv4, type Prefix } from '../net/index.ts'
import { FIRST_NODE_HOST, type Topology } from './topology.ts'

/** One of each family, as text: an address without prefix length, or a range. */
export type DualAddress = { readonly ipv4: string; readonly ipv6: string }

/** Address number `offset` of a prefix. */
function addressIn(range: Prefix, offset: number): IpAddress {
  return isIpv4(range.address) ? ipv4(range.address + offset) : ipv6(range.address + BigInt(offset))
}

function dual(of: (family: 'ipv4' | 'ipv6') => string): DualAddress {
  return { ipv4: of('ipv4'), ipv6: of('ipv6') }
}

export function createAddressing({ cluster, fabric }: Topology) {
  return {
    pools: dual((family) => formatPrefix(cluster.pools[family])),
    loopbacks: dual((family) => formatPrefix(fabric.loopbacks[family])),
    routerLoopback: (router: number) => dual((family) => formatIp(addressIn(fabric.loopbacks[family], router + 1))),
    nodeLoopback: (node: number) => dual((family) => formatIp(addressIn(fabric.loopbacks[family], node + FIRST_NODE_HOST))),
    /** A /31 (RFC 3021) and a /127 (RFC 6164) a link. */
    linkEnd: (link: number, side: 0 | 1) => dual((family) => formatIp(addressIn(fabric.links[family], link * 2 + side))),
  }
}
