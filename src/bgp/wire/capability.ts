// Capabilities (RFC 5492), one row each, both directions side by side. A known code with an impossible inside becomes an
// `unknown` one: ignored, but still there for people to see (RFC 5492 §3).
import { CAPABILITY, GRACEFUL_RESTART_FLAG, ROLE } from '../iana.ts'
import { malformedOpen } from './error.ts'
import type { Capability, RoleName } from './message.ts'
import { copyOf, u16, u32 } from './octets.ts'
import { OctetWriter } from './writer.ts'

type Known = Exclude<Capability, { readonly kind: 'unknown' }>
type Kind = Known['kind']
type Of<K extends Kind> = Extract<Known, { readonly kind: K }>

type CapabilityCodec<K extends Kind> = {
  readonly code: number
  /** Null if the value is impossible. */
  decode(value: Uint8Array): Of<K> | null
  encode(out: OctetWriter, capability: Of<K>): void
}

const ROLE_NAMES: readonly RoleName[] = ['Provider', 'RouteServer', 'RouteServerClient', 'Customer', 'Peer']

/** Reads entries of `octets` each from `start`; null if they do not divide the rest. */
function entries<T>(value: Uint8Array, start: number, octets: number, read: (at: number) => T): T[] | null {
  if (value.length < start || (value.length - start) % octets !== 0) return null
  const found: T[] = []
  for (let at = start; at < value.length; at += octets) found.push(read(at))
  return found
}

const CODECS: { readonly [K in Kind]: CapabilityCodec<K> } = {
  multiprotocol: {
    code: CAPABILITY.MULTIPROTOCOL,
    decode: (value) => (value.length === 4 ? { kind: 'multiprotocol', afi: u16(value, 0), safi: value[3] ?? 0 } : null),
    encode: (out, { afi, safi }) => void out.u16(afi).u8(0).u8(safi),
  },
  routeRefresh: {
    code: CAPABILITY.ROUTE_REFRESH,
    decode: (value) => (value.length === 0 ? { kind: 'routeRefresh' } : null),
    encode: () => {},
  },
  extendedNextHop: {
    code: CAPABILITY.EXTENDED_NEXT_HOP,
    decode(value) {
      const found = entries(value, 0, 6, (at) => ({ afi: u16(value, at), safi: u16(value, at + 2), nextHopAfi: u16(value, at + 4) }))
      return found === null ? null : { kind: 'extendedNextHop', entries: found }
    },
    encode(out, capability) {
      for (const { afi, safi, nextHopAfi } of capability.entries) out.u16(afi).u16(safi).u16(nextHopAfi)
    },
  },
  extendedMessage: {
    code: CAPABILITY.EXTENDED_MESSAGE,
    decode: (value) => (value.length === 0 ? { kind: 'extendedMessage' } : null),
    encode: () => {},
  },
  role: {
    code: CAPABILITY.ROLE,
    decode(value) {
      const role = value.length === 1 ? ROLE_NAMES[value[0] ?? 255] : undefined
      return role === undefined ? null : { kind: 'role', role }
    },
    encode: (out, { role }) => void out.u8(ROLE[role]),
  },
  gracefulRestart: {
    code: CAPABILITY.GRACEFUL_RESTART,
    decode(value) {
      const families = entries(value, 2, 4, (at) => ({
        afi: u16(value, at),
        safi: value[at + 2] ?? 0,
        forwardingPreserved: ((value[at + 3] ?? 0) & GRACEFUL_RESTART_FLAG.FORWARDING_PRESERVED) !== 0,
      }))
      if (families === null) return null
      const first = u16(value, 0)
      return {
        kind: 'gracefulRestart',
        restarting: ((first >> 12) & GRACEFUL_RESTART_FLAG.RESTARTING) !== 0,
        notification: ((first >> 12) & GRACEFUL_RESTART_FLAG.NOTIFICATION) !== 0,
        restartTimeSeconds: first & 0xfff,
        families,
      }
    },
    encode(out, { restarting, notification, restartTimeSeconds, families }) {
      const flags = (restarting ? GRACEFUL_RESTART_FLAG.RESTARTING : 0) | (notification ? GRACEFUL_RESTART_FLAG.NOTIFICATION : 0)
      out.u16((flags << 12) | Math.min(0xfff, restartTimeSeconds))
      for (const { afi, safi, forwardingPreserved } of families)
        out
          .u16(afi)
          .u8(safi)
          .u8(forwardingPreserved ? GRACEFUL_RESTART_FLAG.FORWARDING_PRESERVED : 0)
    },
  },
  fourOctetAs: {
    code: CAPABILITY.FOUR_OCTET_AS,
    decode: (value) => (value.length === 4 ? { kind: 'fourOctetAs', asn: u32(value, 0) } : null),
    encode: (out, { asn }) => void out.u32(asn),
  },
  addPath: {
    code: CAPABILITY.ADD_PATH,
    decode(value) {
      const found = entries(value, 0, 4, (at) => ({ afi: u16(value, at), safi: value[at + 2] ?? 0, mode: value[at + 3] ?? 0 }))
      if (found === null) return null
      // RFC 7911 §4: a tuple with any other mode is ignored.
      const families = found
        .filter(({ mode }) => mode >= 1 && mode <= 3)
        .map(({ afi, safi, mode }) => ({ afi, safi, send: (mode & 2) !== 0, receive: (mode & 1) !== 0 }))
      return { kind: 'addPath', families }
    },
    encode(out, { families }) {
      for (const { afi, safi, send, receive } of families)
        out
          .u16(afi)
          .u8(safi)
          .u8((send ? 2 : 0) | (receive ? 1 : 0))
    },
  },
  enhancedRouteRefresh: {
    code: CAPABILITY.ENHANCED_ROUTE_REFRESH,
    decode: (value) => (value.length === 0 ? { kind: 'enhancedRouteRefresh' } : null),
    encode: () => {},
  },
  longLivedGracefulRestart: {
    code: CAPABILITY.LONG_LIVED_GRACEFUL_RESTART,
    decode(value) {
      const families = entries(value, 0, 7, (at) => ({
        afi: u16(value, at),
        safi: value[at + 2] ?? 0,
        forwardingPreserved: ((value[at + 3] ?? 0) & GRACEFUL_RESTART_FLAG.FORWARDING_PRESERVED) !== 0,
        staleTimeSeconds: u32(value, at + 3) & 0xff_ffff,
      }))
      return families === null ? null : { kind: 'longLivedGracefulRestart', families }
    },
    encode(out, { families }) {
      for (const { afi, safi, forwardingPreserved, staleTimeSeconds } of families) {
        const time = Math.min(0xff_ffff, staleTimeSeconds)
        out
          .u16(afi)
          .u8(safi)
          .u8(forwardingPreserved ? GRACEFUL_RESTART_FLAG.FORWARDING_PRESERVED : 0)
        out.u8(time >>> 16).u16(time)
      }
    },
  },
}

const DECODERS = new Map<number, (value: Uint8Array) => Known | null>(Object.values(CODECS).map(({ code, decode }) => [code, decode]))

/** The code a capability has on the wire. */
export function capabilityCode(capability: Capability): number {
  return capability.kind === 'unknown' ? capability.code : CODECS[capability.kind].code
}

/** Appends the capabilities in `bytes`, the value of one optional parameter. Throws DecodeError 2/0 if one runs past its end. */
export function decodeCapabilities(bytes: Uint8Array, into: Capability[]): void {
  let at = 0
  while (at < bytes.length) {
    if (bytes.length - at < 2) throw malformedOpen('capabilities end inside a capability header')
    const code = bytes[at] ?? 0
    const end = at + 2 + (bytes[at + 1] ?? 0)
    if (end > bytes.length) throw malformedOpen(`capability ${code} runs past the end of its parameter`)
    const value = copyOf(bytes, at + 2, end)
    into.push(DECODERS.get(code)?.(value) ?? { kind: 'unknown', code, value })
    at = end
  }
}

/** Code, length, value. Throws RangeError if the value exceeds 255 octets. */
export function encodeCapability(capability: Capability): Uint8Array {
  const value = new OctetWriter()
  if (capability.kind === 'unknown') value.bytes(capability.value)
  else encodeKnown(value, capability)
  if (value.length > 255) throw new RangeError(`capability ${capabilityCode(capability)} does not fit 255 octets`)
  return new OctetWriter().u8(capabilityCode(capability)).u8(value.length).bytes(value.finish()).finish()
}

function encodeKnown<K extends Kind>(out: OctetWriter, capability: Of<K> & { readonly kind: K }): void {
  CODECS[capability.kind].encode(out, capability)
}
