// RTM_*ADDR (linux/if_addr.h). Pure.
import { type IpAddress, ipFromBytes } from '../../net/index.ts'
import { eachAttribute, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL } from '../netlink-message.ts'
import { AF_INET, AF_INET6, addressFamily, MessageWriter, type NetlinkRequest, struct } from './message.ts'

const RTM_NEWADDR = 20
const RTM_GETADDR = 22
const IFADDRMSG_LENGTH = 8
const IFA = { ADDRESS: 1, LOCAL: 2, FLAGS: 8 } as const
const IFA_F_NODAD = 0x02
const IFA_F_DADFAILED = 0x08
const IFA_F_TENTATIVE = 0x40
const IFA_F_NOPREFIXROUTE = 0x200

export type InterfaceAddress = {
  readonly interfaceIndex: number
  readonly address: IpAddress
  readonly prefixLength: number
}

/**
 * Adds an address. IPv6: usable without duplicate address detection (RFC 4862 §5.4), and a /128 brings no route of its own prefix.
 * EEXIST: it is there.
 */
export function addAddress({ interfaceIndex, address, prefixLength }: InterfaceAddress): NetlinkRequest {
  const family = addressFamily(address)
  const fixed = struct(IFADDRMSG_LENGTH, (view) => {
    view.setUint8(0, family) // scope is universe (0); of an IPv6 address the kernel works it out itself
    view.setUint8(1, prefixLength)
    view.setUint32(4, interfaceIndex, true)
  })
  const writer = new MessageWriter(`add address to interface ${interfaceIndex}`, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, fixed)
  writer.address(IFA.LOCAL, address).address(IFA.ADDRESS, address)
  if (family === AF_INET6) writer.u32(IFA.FLAGS, IFA_F_NODAD | (prefixLength === 128 ? IFA_F_NOPREFIXROUTE : 0))
  return writer.finish()
}

/** Asks for all addresses of one interface (kernels without strict checking: of all). */
export function listAddresses(interfaceIndex: number): NetlinkRequest {
  const fixed = struct(IFADDRMSG_LENGTH, (view) => view.setUint32(4, interfaceIndex, true))
  return new MessageWriter(`list addresses of interface ${interfaceIndex}`, RTM_GETADDR, NLM_F_DUMP, fixed).finish()
}

export type AddressView = InterfaceAddress & {
  /** Not waiting for, nor failed by, duplicate address detection. */
  readonly isUsable: boolean
}

/** Reads the payload of RTM_NEWADDR; null if it is malformed or of another family. */
export function readAddress(view: DataView, from: number, to: number): AddressView | null {
  if (to - from < IFADDRMSG_LENGTH) return null
  const family = view.getUint8(from)
  if (family !== AF_INET && family !== AF_INET6) return null
  const octets = family === AF_INET ? 4 : 16
  let flags = view.getUint8(from + 2)
  let address: IpAddress | null = null
  let local: IpAddress | null = null
  eachAttribute(view, from + IFADDRMSG_LENGTH, to, (type, at, end) => {
    if (type === IFA.FLAGS && end - at >= 4) flags = view.getUint32(at, true)
    if ((type !== IFA.ADDRESS && type !== IFA.LOCAL) || end - at !== octets) return
    const value = ipFromBytes(family === AF_INET ? 4 : 6, new Uint8Array(view.buffer, view.byteOffset + at, octets))
    if (type === IFA.LOCAL) local = value
    else address = value
  })
  const own: IpAddress | null = local ?? address // of a point-to-point link, IFA_ADDRESS is the far end's
  if (own === null) return null
  return {
    interfaceIndex: view.getUint32(from + 4, true),
    address: own,
    prefixLength: view.getUint8(from + 1),
    isUsable: (flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) === 0,
  }
}
