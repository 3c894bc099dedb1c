// RTM_NEWNEIGH and RTM_SETNEIGHTBL (linux/neighbour.h): permanent neighbours, and how proxied ARP answers. Pure.
import type { IpAddress, Mac } from '../../net/index.ts'
import { NLM_F_CREATE, NLM_F_REPLACE } from '../netlink-message.ts'
import { AF_INET, addressFamily, MessageWriter, macToBytes, type NetlinkRequest, struct } from './message.ts'

const RTM_NEWNEIGH = 28
const RTM_SETNEIGHTBL = 67
const NDMSG_LENGTH = 12
const NDTMSG_LENGTH = 4
const NUD_PERMANENT = 0x80
const NDA_DST = 1
const NDA_LLADDR = 2
const NDTA_NAME = 1
const NDTA_PARMS = 6
const NDTPA_IFINDEX = 1
const NDTPA_PROXY_DELAY = 13

/** Adds or replaces a neighbour that is never resolved nor forgotten. */
export function addNeighbour(interfaceIndex: number, address: IpAddress, mac: Mac): NetlinkRequest {
  const fixed = struct(NDMSG_LENGTH, (view) => {
    view.setUint8(0, addressFamily(address))
    view.setInt32(4, interfaceIndex, true)
    view.setUint16(8, NUD_PERMANENT, true)
  })
  return new MessageWriter(`add neighbour to interface ${interfaceIndex}`, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, fixed)
    .address(NDA_DST, address)
    .octets(NDA_LLADDR, macToBytes(mac))
    .finish()
}

/** How long proxied ARP answers of an interface are held back: what /proc/sys/net/ipv4/neigh/INTERFACE/proxy_delay shows. */
export function setProxyArpDelay(interfaceIndex: number, delayMs: number): NetlinkRequest {
  const fixed = struct(NDTMSG_LENGTH, (view) => view.setUint8(0, AF_INET))
  return new MessageWriter(`set proxy_delay of interface ${interfaceIndex}`, RTM_SETNEIGHTBL, NLM_F_REPLACE, fixed)
    .text(NDTA_NAME, 'arp_cache')
    .nest(NDTA_PARMS, (parms) => parms.u32(NDTPA_IFINDEX, interfaceIndex).u64(NDTPA_PROXY_DELAY, BigInt(delayMs)))
    .finish()
}
