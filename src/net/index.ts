export { AS_TRANS, type Asn, asn, parseAsn } from './asn.ts'
export type { FibBatch, FibNextHop } from './fib-batch.ts'
export { type HostNetwork, type ResolvingRoute, type StaticRoute, withStaticRoutes } from './host-network.ts'
export {
  bitsOf,
  compareIp,
  familyOf,
  formatIp,
  IP_FAMILIES,
  type IpAddress,
  type IpFamily,
  type Ipv4,
  type Ipv6,
  ip,
  ipFromBytes,
  ipToBytes,
  ipv4,
  ipv6,
  isIpv4,
  isIpv6,
  isLinkLocalIpv6,
  isUsableUnicast,
  parseIp,
} from './ip.ts'
export { type Mac, macFromBytes, parseMac } from './mac.ts'
export {
  cidr,
  comparePrefix,
  containsAddress,
  covers,
  formatPrefix,
  hostPrefix,
  lastAddress,
  maskAddress,
  type Prefix,
  type PrefixKey,
  parsePrefix,
  prefix,
  prefixFamily,
} from './prefix.ts'
export { PrefixMap } from './prefix-map.ts'
