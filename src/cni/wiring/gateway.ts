// What every pod's link has in common (decision 13). Fixed, so that a pod's routes and neighbours never have to change.
import { ip, type Mac, parseMac } from '../../net/index.ts'

/** MAC of every host end. */
export const HOST_MAC: Mac = known(parseMac('ee:ee:ee:ee:ee:ee'))

/** A pod's IPv4 gateway: an address that nobody has (RFC 3927); the host end answers ARP for it. */
export const GATEWAY_IPV4 = ip('169.254.1.1')

/** A pod's IPv6 gateway: the link-local address of the host end, from its MAC (RFC 4291 appendix A). */
export const GATEWAY_IPV6 = linkLocalOf(HOST_MAC)

/** The link-local address that goes with a MAC (modified EUI-64). */
export function linkLocalOf(mac: Mac): ReturnType<typeof ip> {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = mac.split(':').map((octet) => Number.parseInt(octet, 16))
  const word = (high: number, low: number): string => ((high << 8) | low).toString(16)
  return ip(`fe80::${word(a ^ 2, b)}:${word(c, 0xff)}:${word(0xfe, d)}:${word(e, f)}`)
}

/** True for names of host ends: links so named are ours to remove. */
export function isHostInterface(name: string): boolean {
  return /^fib[0-9a-f]{11}$/.test(name)
}

function known<T>(value: T | null): T {
  if (value === null) throw new RangeError('a constant of this file is malformed')
  return value
}
