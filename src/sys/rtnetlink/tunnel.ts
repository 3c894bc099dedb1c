// Tunnel devices over IPv4 and IPv6 (linux/if_tunnel.h, RFC 2003, RFC 2473). Pure.
import { unreachable } from '../../lib/result.ts'
import { type Ipv4, ipv4 } from '../../net/index.ts'
import { NLM_F_CREATE, NLM_F_EXCL } from '../netlink-message.ts'
import { ifinfomsg, RTM_NEWLINK } from './link.ts'
import { MessageWriter, type NetlinkRequest } from './message.ts'

const IFLA_IFNAME = 3
const IFLA_MTU = 4
const IFLA_LINKINFO = 18
const IFLA_INFO_KIND = 1
const IFLA_INFO_DATA = 2
/** enum of linux/if_tunnel.h. */
const IFLA_IPTUN = { LOCAL: 2, REMOTE: 3, TTL: 4, PROTO: 9, PMTUDISC: 10, COLLECT_METADATA: 19 } as const
const IPPROTO_IPIP = 4
const IPPROTO_IPV6 = 41

type Common = {
  readonly name: string
  /** Of inner packets. */
  readonly mtu: number
  /** Asked for when the device is made; absent: the kernel's choice. */
  readonly index?: number
}

/** A tunnel without a fixed far end. */
export type Tunnel = Common &
  (
    | {
        /** IPv4 in IPv4 alone; a route gives the far end as its gateway, onlink. */
        readonly kind: 'ipip'
        readonly local: Ipv4
        /** Time to live of outer packets, 1 to 255; 0 copies that of the inner packet, and then `isPathMtuDiscovered` must be true. */
        readonly ttl: number
        /** Sets Don't Fragment on outer packets (IFLA_IPTUN_PMTUDISC). */
        readonly isPathMtuDiscovered: boolean
      }
    | {
        /** IPv6 in IPv6 alone, in external mode: a route gives both ends and the hop limit (LWTUNNEL_ENCAP_IP6). */
        readonly kind: 'ip6tnl'
      }
  )

/** Makes a tunnel device, down. EOPNOTSUPP: the kernel lacks its module; EEXIST: the name, or a tunnel with the same ends, is there. */
export function createTunnel(tunnel: Tunnel): NetlinkRequest {
  return putTunnel(`create ${tunnel.name}`, NLM_F_CREATE | NLM_F_EXCL, tunnel.index ?? 0, tunnel)
}

/** Changes a tunnel device that is there to what `tunnel` says, in place: packets keep flowing. The kernel refuses external mode. */
export function changeTunnel(index: number, tunnel: Tunnel): NetlinkRequest {
  return putTunnel(`change ${tunnel.name}`, 0, index, tunnel)
}

function putTunnel(request: string, flags: number, index: number, tunnel: Tunnel): NetlinkRequest {
  return new MessageWriter(request, RTM_NEWLINK, flags, ifinfomsg(index))
    .text(IFLA_IFNAME, tunnel.name)
    .u32(IFLA_MTU, tunnel.mtu)
    .nest(IFLA_LINKINFO, (info) =>
      info.text(IFLA_INFO_KIND, tunnel.kind).nest(IFLA_INFO_DATA, (data) => {
        switch (tunnel.kind) {
          case 'ipip':
            data.address(IFLA_IPTUN.LOCAL, tunnel.local).address(IFLA_IPTUN.REMOTE, ipv4(0)).u8(IFLA_IPTUN.TTL, tunnel.ttl)
            data.u8(IFLA_IPTUN.PROTO, IPPROTO_IPIP).u8(IFLA_IPTUN.PMTUDISC, tunnel.isPathMtuDiscovered ? 1 : 0)
            return
          case 'ip6tnl':
            data.u8(IFLA_IPTUN.PROTO, IPPROTO_IPV6).octets(IFLA_IPTUN.COLLECT_METADATA, new Uint8Array(0))
            return
          default:
            unreachable(tunnel)
        }
      }),
    )
    .finish()
}
