// The address of a peer as BGPPeer writes it: `10.0.0.1`, `10.0.0.1:1179`, `fd00::1`, `[fd00::1]:1179`, `fe80::1%eth0`,
// `[fe80::1%eth0]:1179`.
import { type IpAddress, isIpv4, isLinkLocalIpv6, isUsableUnicast, parseIp } from '../../net/index.ts'

export type PeerAddress = {
  readonly address: IpAddress
  /** Interface of a link-local address; null for every other. */
  readonly interface: string | null
  /** null: not written. */
  readonly port: number | null
}

const INTERFACE = /^[^\s/:%]{1,15}$/ // IFNAMSIZ is 16 with its NUL

/** Parses it; null if it is none of the forms, cannot be a peer, or lacks (or has needlessly) an interface. */
export function parsePeerAddress(text: string): PeerAddress | null {
  const bracketed = /^\[([^\]]+)\](?::(\d{1,5}))?$/.exec(text)
  const withPort = bracketed ?? /^([\d.]+):(\d{1,5})$/.exec(text)
  const host = withPort?.[1] ?? text
  const port = withPort?.[2] === undefined ? null : Number(withPort[2])
  if (port !== null && (port < 1 || port > 65_535)) return null
  const [addressText = '', zone, ...rest] = host.split('%')
  const address = parseIp(addressText)
  if (address === null || rest.length > 0 || !isUsableUnicast(address) || (bracketed !== null && isIpv4(address))) return null
  if (zone === undefined) return isLinkLocalIpv6(address) ? null : { address, interface: null, port }
  return isLinkLocalIpv6(address) && INTERFACE.test(zone) ? { address, interface: zone, port } : null
}
