// Which address everything in a lab has. Pure arithmetic on the ranges of the topology.
import { bitsOf, formatIp, formatPrefix, type IpAddress, ipv4, ipv6, isIpv4, type Prefix, prefix, prefixFamily } from '../net/index.ts'
import type { DualAddress } from './plan.ts'
import { FIRST_NODE_HOST, FIRST_POD_HOST, type Topology } from './topology.ts'

/** Address number `offset` of a prefix. */
function addressIn(range: Prefix, offset: number): IpAddress {
  return isIpv4(range.address) ? ipv4(range.address + offset) : ipv6(range.address + BigInt(offset))
}

/** Part number `at` of a prefix cut into prefixes of `length`. */
function partOf(range: Prefix, length: number, at: number): Prefix {
  const size = bitsOf(prefixFamily(range)) - length
  const base = isIpv4(range.address) ? ipv4(range.address + at * 2 ** size) : ipv6(range.address + (BigInt(at) << BigInt(size)))
  return prefix(base, length)
}

function dual(of: (family: 'ipv4' | 'ipv6') => string): DualAddress {
  return { ipv4: of('ipv4'), ipv6: of('ipv6') }
}

export function createAddressing({ cluster, fabric }: Topology) {
  /** Nodes have the blocks from number 1 up: 10.244.0.64/26, … */
  const blockOf = (node: number, family: 'ipv4' | 'ipv6'): Prefix => partOf(cluster.pools[family], cluster.blockSize[family], node + 1)
  return {
    pools: dual((family) => formatPrefix(cluster.pools[family])),
    loopbacks: dual((family) => formatPrefix(fabric.loopbacks[family])),
    routerLoopback: (router: number) => dual((family) => formatIp(addressIn(fabric.loopbacks[family], router + 1))),
    nodeLoopback: (node: number) => dual((family) => formatIp(addressIn(fabric.loopbacks[family], node + FIRST_NODE_HOST))),
    /** A /31 (RFC 3021) and a /127 (RFC 6164) a link. */
    linkEnd: (link: number, side: 0 | 1) => dual((family) => formatIp(addressIn(fabric.links[family], link * 2 + side))),
    block: (node: number) => dual((family) => formatPrefix(blockOf(node, family))),
    pod: (node: number, pod: number) => dual((family) => formatIp(addressIn(blockOf(node, family), pod + FIRST_POD_HOST))),
    podDevice: (node: number, pod: number) => `fib${(node * 0x1_0000 + pod + 1).toString(16).padStart(11, '0')}`,
  }
}
