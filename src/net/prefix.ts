// IP prefixes: an address with its host bits zero, and a length.
import {
  bitsOf,
  compareIp,
  familyOf,
  formatIp,
  type IpAddress,
  type IpFamily,
  type Ipv4,
  type Ipv6,
  isIpv4,
  isIpv6,
  parseIp,
} from './ip.ts'

export type Prefix = { readonly address: IpAddress; readonly length: number }
/** Canonical text of a prefix (`10.0.0.0/8`), the form that keys maps. */
export type PrefixKey = string

/** A prefix from any address in it: host bits are cleared. Throws RangeError on a length the family does not have. */
export function prefix(address: IpAddress, length: number): Prefix {
  const bits = bitsOf(familyOf(address))
  if (!Number.isInteger(length) || length < 0 || length > bits) throw new RangeError(`prefix length must be 0..${bits}: ${length}`)
  return { address: maskAddress(address, length), length }
}

/** Clears the bits of `address` behind the first `length`. */
export function maskAddress(address: IpAddress, length: number): IpAddress {
  if (isIpv4(address)) return (length === 0 ? 0 : (address & (-1 << (32 - length))) >>> 0) as Ipv4
  const hostBits = BigInt(128 - length)
  return ((address >> hostBits) << hostBits) as Ipv6
}

/** Parses `address/length`, clearing host bits; null if it is not a prefix. */
export function parsePrefix(text: string): Prefix | null {
  const slash = text.indexOf('/')
  if (slash < 0) return null
  const address = parseIp(text.slice(0, slash))
  const lengthText = text.slice(slash + 1)
  if (address === null || !/^(0|[1-9]\d{0,2})$/.test(lengthText)) return null
  const length = Number(lengthText)
  return length <= bitsOf(familyOf(address)) ? prefix(address, length) : null
}

/** `parsePrefix` for text known to be good (constants, tests). Throws RangeError. */
export function cidr(text: string): Prefix {
  const parsed = parsePrefix(text)
  if (parsed === null) throw new RangeError(`not a prefix: ${JSON.stringify(text)}`)
  return parsed
}

export function formatPrefix(value: Prefix): PrefixKey {
  return `${formatIp(value.address)}/${value.length}`
}

export function prefixFamily(value: Prefix): IpFamily {
  return familyOf(value.address)
}

/** The /32 or /128 of an address. */
export function hostPrefix(address: IpAddress): Prefix {
  return { address, length: bitsOf(familyOf(address)) }
}

/** True if `inner` is `outer` or more specific than it. */
export function covers(outer: Prefix, inner: Prefix): boolean {
  return (
    inner.length >= outer.length &&
    prefixFamily(outer) === prefixFamily(inner) &&
    maskAddress(inner.address, outer.length) === outer.address
  )
}

export function containsAddress(outer: Prefix, address: IpAddress): boolean {
  return familyOf(outer.address) === familyOf(address) && maskAddress(address, outer.length) === outer.address
}

/** Total order: IPv4 before IPv6, then address, then shorter first. */
export function comparePrefix(a: Prefix, b: Prefix): number {
  return compareIp(a.address, b.address) || a.length - b.length
}

/** Last address of a prefix. */
export function lastAddress(value: Prefix): IpAddress {
  const { address, length } = value
  if (isIpv6(address)) return (address | ((1n << BigInt(128 - length)) - 1n)) as Ipv6
  return (length === 32 ? address : (address | (0xffff_ffff >>> length)) >>> 0) as Ipv4
}
