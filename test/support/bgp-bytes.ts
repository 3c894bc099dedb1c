// BGP messages built octet by octet, for peers that misbehave on purpose: nothing here is checked, and nothing is shared with the
// codec under test.

export type RawOpen = {
  readonly version?: number
  readonly asn: number
  readonly holdTimeSeconds: number
  readonly routerId: string
  /** Code and value. Default: IPv4 and IPv6 unicast, route refresh, 4-octet AS. */
  readonly capabilities?: readonly (readonly [number, Buffer])[]
}

/** Octets from hexadecimal text; spaces are ignored. */
export function hex(text: string): Buffer {
  return Buffer.from(text.replaceAll(/\s/g, ''), 'hex')
}

export function u16(value: number): Buffer {
  return Buffer.of((value >>> 8) & 255, value & 255)
}

export function u32(value: number): Buffer {
  return Buffer.concat([u16(value >>> 16), u16(value & 0xffff)])
}

/** Header and body (RFC 4271 §4.1). `length` lies about the length. */
export function message(type: number, body: Buffer, length = 19 + body.length): Buffer {
  return Buffer.concat([Buffer.alloc(16, 255), u16(length), Buffer.of(type), body])
}

export const KEEPALIVE = message(4, Buffer.alloc(0))

export function ipv4Octets(address: string): Buffer {
  return Buffer.from(address.split('.').map(Number))
}

export function defaultCapabilities(asn: number): readonly (readonly [number, Buffer])[] {
  return [
    [1, hex('0001 00 01')],
    [1, hex('0002 00 01')],
    [2, Buffer.alloc(0)],
    [65, u32(asn)],
  ]
}

export function open({ version = 4, asn, holdTimeSeconds, routerId, capabilities = defaultCapabilities(asn) }: RawOpen): Buffer {
  const parameters = Buffer.concat(
    capabilities.map(([code, value]) => Buffer.concat([Buffer.of(2, 2 + value.length, code, value.length), value])),
  )
  const head = Buffer.concat([Buffer.of(version), u16(asn > 0xffff ? 23_456 : asn), u16(holdTimeSeconds), ipv4Octets(routerId)])
  return message(1, Buffer.concat([head, Buffer.of(parameters.length), parameters]))
}

export function notification(code: number, subcode: number, data: Buffer = Buffer.alloc(0)): Buffer {
  return message(3, Buffer.concat([Buffer.of(code, subcode), data]))
}

/** A path attribute; the length takes two octets when `flags` says so (0x10). */
export function attribute(flags: number, type: number, value: Buffer): Buffer {
  const length = (flags & 0x10) !== 0 ? u16(value.length) : Buffer.of(value.length)
  return Buffer.concat([Buffer.of(flags, type), length, value])
}

/** `198.51.100.0/24` as NLRI. */
export function nlri(prefix: string): Buffer {
  const [address = '', length = ''] = prefix.split('/')
  return Buffer.concat([Buffer.of(Number(length)), ipv4Octets(address).subarray(0, Math.ceil(Number(length) / 8))])
}

export function update(parts: {
  readonly withdrawn?: readonly string[]
  readonly attributes?: readonly Buffer[]
  readonly announced?: readonly string[]
}): Buffer {
  const withdrawn = Buffer.concat((parts.withdrawn ?? []).map(nlri))
  const attributes = Buffer.concat(parts.attributes ?? [])
  const announced = Buffer.concat((parts.announced ?? []).map(nlri))
  return message(2, Buffer.concat([u16(withdrawn.length), withdrawn, u16(attributes.length), attributes, announced]))
}

export const ORIGIN_IGP = attribute(0x40, 1, Buffer.of(0))

/** AS_PATH of one AS_SEQUENCE of 4-octet ASNs. */
export function asPath(...asns: readonly number[]): Buffer {
  return attribute(0x40, 2, asns.length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.of(2, asns.length), ...asns.map(u32)]))
}

export function nextHop(address: string): Buffer {
  return attribute(0x40, 3, ipv4Octets(address))
}
