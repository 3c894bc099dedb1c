// IP addresses as values that sort, compare and key a map as they are: IPv4 an unsigned 32-bit number, IPv6 a bigint.
// `ipaddr.js` parses and prints at the edges; hot paths keep octets in typed arrays.
import ipaddr from 'ipaddr.js'
import type { Brand } from '../lib/brand.ts'

export type Ipv4 = Brand<number, 'Ipv4'>
export type Ipv6 = Brand<bigint, 'Ipv6'>
export type IpAddress = Ipv4 | Ipv6
export type IpFamily = 4 | 6
export const IP_FAMILIES: readonly IpFamily[] = [4, 6]

/** Mints an IPv4 address from its unsigned value in host order. Throws RangeError. */
export function ipv4(value: number): Ipv4 {
  if (!Number.isInteger(value) || value < 0 || value > 0xffff_ffff) throw new RangeError(`not an IPv4 address: ${value}`)
  return value as Ipv4
}

/** Mints an IPv6 address from its unsigned 128-bit value. Throws RangeError. */
export function ipv6(value: bigint): Ipv6 {
  if (value < 0n || value >> 128n !== 0n) throw new RangeError(`not an IPv6 address: ${value}`)
  return value as Ipv6
}

export function isIpv4(address: IpAddress): address is Ipv4 {
  return typeof address === 'number'
}

export function isIpv6(address: IpAddress): address is Ipv6 {
  return typeof address === 'bigint'
}

export function familyOf(address: IpAddress): IpFamily {
  return isIpv4(address) ? 4 : 6
}

/** 32 or 128. */
export function bitsOf(family: IpFamily): 32 | 128 {
  return family === 4 ? 32 : 128
}

/** Address from 4 or 16 octets in network order, read at `offset`. */
export function ipFromBytes(family: IpFamily, bytes: Uint8Array, offset = 0): IpAddress {
  if (bytes.length < offset + bitsOf(family) / 8) throw new RangeError('address runs past the end of its octets')
  const word = (at: number): number =>
    (((bytes[at] ?? 0) << 24) | ((bytes[at + 1] ?? 0) << 16) | ((bytes[at + 2] ?? 0) << 8) | (bytes[at + 3] ?? 0)) >>> 0
  if (family === 4) return word(offset) as Ipv4
  const high = (BigInt(word(offset)) << 32n) | BigInt(word(offset + 4))
  const low = (BigInt(word(offset + 8)) << 32n) | BigInt(word(offset + 12))
  return ((high << 64n) | low) as Ipv6
}

/** The 4 or 16 octets of an address in network order. */
export function ipToBytes(address: IpAddress): Uint8Array {
  if (isIpv4(address)) return Uint8Array.of(address >>> 24, (address >>> 16) & 255, (address >>> 8) & 255, address & 255)
  const bytes = new Uint8Array(16)
  let rest: bigint = address
  for (let at = 15; at >= 0; at--) {
    bytes[at] = Number(rest & 255n)
    rest >>= 8n
  }
  return bytes
}

/**
 * Parses dotted-quad IPv4 or RFC 4291 IPv6 text; null if it is neither. Octal, hex and short IPv4 forms are refused, and so
 * is a zone (`%eth0`): callers that allow one split it off first.
 */
export function parseIp(text: string): IpAddress | null {
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(text)) {
    const octets = text.split('.').map(Number)
    if (octets.some((octet) => octet > 255) || /(^|\.)0\d/.test(text)) return null
    return ipFromBytes(4, Uint8Array.from(octets))
  }
  if (!text.includes(':') || text.includes('%')) return null
  const groups = withoutDottedQuad(text)
  if (groups === null || !ipaddr.IPv6.isValid(groups)) return null
  return ipFromBytes(6, Uint8Array.from(ipaddr.IPv6.parse(groups).toByteArray()))
}

/** The last 32 bits may be written as a dotted quad (RFC 4291 §2.2); the library reads `::1.2.3.4` as `::ffff:1.2.3.4`. */
function withoutDottedQuad(text: string): string | null {
  const at = text.lastIndexOf(':') + 1
  if (!text.includes('.', at)) return text
  const quad = parseIp(text.slice(at))
  return quad === null || !isIpv4(quad) ? null : `${text.slice(0, at)}${(quad >>> 16).toString(16)}:${(quad & 0xffff).toString(16)}`
}

/** `parseIp` for text known to be good (constants, tests). Throws RangeError. */
export function ip(text: string): IpAddress {
  const address = parseIp(text)
  if (address === null) throw new RangeError(`not an IP address: ${JSON.stringify(text)}`)
  return address
}

/** Canonical text: dotted quad, or RFC 5952. */
export function formatIp(address: IpAddress): string {
  if (isIpv4(address)) return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`
  return new ipaddr.IPv6([...ipToBytes(address)]).toRFC5952String()
}

/** Total order: IPv4 before IPv6, then by value. */
export function compareIp(a: IpAddress, b: IpAddress): number {
  if (isIpv4(a) !== isIpv4(b)) return isIpv4(a) ? -1 : 1
  return a < b ? -1 : a > b ? 1 : 0
}

/** fe80::/10 (RFC 4291 §2.5.6). */
export function isLinkLocalIpv6(address: IpAddress): boolean {
  return isIpv6(address) && address >> 118n === 0x3fan
}

/** An address that can be a next hop or a peer: not unspecified, loopback, multicast, class E or 0/8. */
export function isUsableUnicast(address: IpAddress): boolean {
  if (isIpv4(address)) {
    const first = address >>> 24
    return first !== 0 && first !== 127 && first < 224
  }
  return address !== 0n && address !== 1n && address >> 120n !== 0xffn && address >> 32n !== 0xffffn
}
