// Tunnel devices over IPv4 and IPv6 (linux/if_tunnel.h, RFC 2003, RFC 2473). Pure.
import { type Ipv4, type Ipv6, ipv4, ipv6 } from '../../net/index.ts'
import { NLM_F_CREATE, NLM_F_EXCL } from '../netlink-message.ts'
import { ifinfomsg, RTM_NEWLINK } from './link.ts'
import { MessageWriter, type NetlinkRequest } from './message.ts'

const IFLA_IFNAME = 3
const IFLA_MTU = 4
const IFLA_LINKINFO = 18
const IFLA_INFO_KIND = 1
const IFLA_INFO_DATA = 2
/** enum of linux/if_tunnel.h; LIMIT, FLAGS and PROTO as well for ip6tnl. */
const IFLA_IPTUN = { LINK: 1, LOCAL: 2, REMOTE: 3, TTL: 4, TOS: 5, ENCAP_LIMIT: 6, FLOWINFO: 7, FLAGS: 8, PROTO: 9, PMTUDISC: 10 } as const
const IP6_TNL_F_IGN_ENCAP_LIMIT = 1
const IPPROTO_IPIP = 4
const IPPROTO_IPV6 = 41

/**
 * A tunnel without a fixed far end: routes give it (`onlink`, gateway the far node's underlay address). `ipip` carries IPv4 in
 * IPv4 alone; `ip6tnl` here carries IPv6 in IPv6 alone.
 */
export type Tunnel =
  | {
      readonly kind: 'ipip'
      readonly name: string
      readonly local: Ipv4
      readonly mtu: number
      /** Time to live of outer packets, 1 to 255; 0 copies that of the inner packet, and then `isPathMtuDiscovered` must be true. */
      readonly ttl: number
      /** Sets Don't Fragment on outer packets (IFLA_IPTUN_PMTUDISC). */
      readonly isPathMtuDiscovered: boolean
    }
  | {
      readonly kind: 'ip6tnl'
      readonly name: string
      readonly local: Ipv6
      readonly mtu: number
      /** Hop limit of outer packets, 0 copies that of the inner packet. */
      readonly ttl: number
    }

/** Makes a tunnel device, down. EOPNOTSUPP: the kernel lacks its module; EEXIST: the name, or a tunnel with the same ends, is there. */
export function createTunnel(tunnel: Tunnel): NetlinkRequest {
  return putTunnel(new MessageWriter(`create ${tunnel.name}`, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfomsg(0)), tunnel)
}

/** Changes a tunnel device that is there to what `tunnel` says, in place: packets keep flowing. */
export function changeTunnel(index: number, tunnel: Tunnel): NetlinkRequest {
  return putTunnel(new MessageWriter(`change ${tunnel.name}`, RTM_NEWLINK, 0, ifinfomsg(index)), tunnel)
}

function putTunnel(writer: MessageWriter, tunnel: Tunnel): NetlinkRequest {
  return writer
    .text(IFLA_IFNAME, tunnel.name)
    .u32(IFLA_MTU, tunnel.mtu)
    .nest(IFLA_LINKINFO, (info) =>
      info.text(IFLA_INFO_KIND, tunnel.kind).nest(IFLA_INFO_DATA, (data) => {
        data.address(IFLA_IPTUN.LOCAL, tunnel.local)
        if (tunnel.kind === 'ipip') {
          data.address(IFLA_IPTUN.REMOTE, ipv4(0)).u8(IFLA_IPTUN.TTL, tunnel.ttl)
          data.u8(IFLA_IPTUN.PROTO, IPPROTO_IPIP).u8(IFLA_IPTUN.PMTUDISC, tunnel.isPathMtuDiscovered ? 1 : 0)
        } else {
          data.address(IFLA_IPTUN.REMOTE, ipv6(0n)).u8(IFLA_IPTUN.TTL, tunnel.ttl).u8(IFLA_IPTUN.PROTO, IPPROTO_IPV6)
          // No destination option of RFC 2473 §5.1 in front of inner packets: it would take 8 octets of each.
          data.u8(IFLA_IPTUN.ENCAP_LIMIT, 0).u32(IFLA_IPTUN.FLAGS, IP6_TNL_F_IGN_ENCAP_LIMIT)
        }
      }),
    )
    .finish()
}
