// Communities as people write them, both ways. Parsing is exact: text that is not a community gives null.
import { type Asn, formatIp, type Ipv4, ipv4, isIpv4, parseAsn, parseIp } from '../../net/index.ts'
import { type AsPathSegment, type Community, community, type LargeCommunity, WELL_KNOWN_COMMUNITY } from '../attributes.ts'
import { EXTENDED_COMMUNITY } from '../iana.ts'

const NAME_OF = new Map<number, string>(Object.entries(WELL_KNOWN_COMMUNITY).map(([name, value]) => [value, name]))
const VALUE_OF = new Map<string, Community>(Object.entries(WELL_KNOWN_COMMUNITY))

const DECIMAL = /^(0|[1-9]\d{0,9})$/

/** An unsigned decimal without leading zeros, at most `max`; null otherwise. */
function decimal(text: string | undefined, max: number): number | null {
  if (text === undefined || !DECIMAL.test(text)) return null
  const value = Number(text)
  return value <= max ? value : null
}

/** `65000:1`, or the name of a well-known community. */
export function formatCommunity(value: Community): string {
  return NAME_OF.get(value) ?? `${value >>> 16}:${value & 0xffff}`
}

/** `65000:1`, or a well-known name in any case, with `_` or `-`. */
export function parseCommunity(text: string): Community | null {
  const named = VALUE_OF.get(text.toUpperCase().replaceAll('-', '_'))
  if (named !== undefined) return named
  const parts = text.split(':')
  const high = decimal(parts[0], 0xffff)
  const low = decimal(parts[1], 0xffff)
  return parts.length !== 2 || high === null || low === null ? null : community(((high << 16) | low) >>> 0)
}

/** `65000:1:2` (RFC 8092 §4). */
export function formatLargeCommunity(value: LargeCommunity): string {
  return value.join(':')
}

/** Exactly the canonical form of RFC 8092 §4. */
export function parseLargeCommunity(text: string): LargeCommunity | null {
  const parts = text.split(':')
  const first = decimal(parts[0], 0xffff_ffff)
  const second = decimal(parts[1], 0xffff_ffff)
  const third = decimal(parts[2], 0xffff_ffff)
  return parts.length !== 3 || first === null || second === null || third === null ? null : [first, second, third]
}

const SUBTYPE_NAMES: readonly (readonly [string, number])[] = [
  ['rt', EXTENDED_COMMUNITY.ROUTE_TARGET],
  ['ro', EXTENDED_COMMUNITY.ROUTE_ORIGIN],
]
const LINK_BANDWIDTH_TYPE = EXTENDED_COMMUNITY.TWO_OCTET_AS | EXTENDED_COMMUNITY.NON_TRANSITIVE

/**
 * `rt:65000:1`, `ro:10.0.0.1:1`, `rt:4200000000:1`, `lb:65000:BYTES_PER_SECOND`; anything else as 16 hex digits (`0x…`). A
 * four-octet-AS type whose AS fits two octets has it in asdot (`rt:0.65000:1`), so that the text tells the types apart.
 */
export function formatExtendedCommunity(value: bigint): string {
  const type = Number(value >> 56n)
  const subtype = Number((value >> 48n) & 0xffn)
  const name = SUBTYPE_NAMES.find(([, code]) => code === subtype)?.[0]
  const upper = Number((value >> 16n) & 0xffff_ffffn)
  const lower = Number(value & 0xffffn)
  if (type === LINK_BANDWIDTH_TYPE && subtype === EXTENDED_COMMUNITY.LINK_BANDWIDTH) {
    const bandwidth = floatOfBits(Number(value & 0xffff_ffffn))
    if (Number.isSafeInteger(bandwidth) && bandwidth >= 0 && !Object.is(bandwidth, -0)) return `lb:${upper >>> 16}:${bandwidth}`
  }
  if (name !== undefined && type === EXTENDED_COMMUNITY.TWO_OCTET_AS) return `${name}:${upper >>> 16}:${Number(value & 0xffff_ffffn)}`
  if (name !== undefined && type === EXTENDED_COMMUNITY.IPV4) return `${name}:${formatIp(ipv4(upper))}:${lower}`
  if (name !== undefined && type === EXTENDED_COMMUNITY.FOUR_OCTET_AS) return `${name}:${upper > 0xffff ? upper : `0.${upper}`}:${lower}`
  return `0x${value.toString(16).padStart(16, '0')}`
}

/** What `formatExtendedCommunity` writes; an AS over 65535 makes a four-octet-AS community (RFC 5668). */
export function parseExtendedCommunity(text: string): bigint | null {
  if (/^0x[0-9a-fA-F]{16}$/.test(text)) return BigInt(text)
  const [name, administrator, number, ...rest] = text.split(':')
  if (administrator === undefined || rest.length > 0) return null
  if (name === 'lb') {
    const as = decimal(administrator, 0xffff)
    const bandwidth = number !== undefined && /^\d{1,16}$/.test(number) ? Number(number) : null
    if (as === null || bandwidth === null) return null
    return compose(LINK_BANDWIDTH_TYPE, EXTENDED_COMMUNITY.LINK_BANDWIDTH, (BigInt(as) << 32n) | BigInt(bitsOfFloat(bandwidth)))
  }
  const subtype = SUBTYPE_NAMES.find(([known]) => known === name)?.[1]
  if (subtype === undefined) return null
  const address = parseIp(administrator)
  if (address !== null) return isIpv4(address) ? wide(EXTENDED_COMMUNITY.IPV4, subtype, address, number) : null
  const as = administrator === '0' ? 0 : parseExactAsn(administrator)
  if (as === null) return null
  if (as > 0xffff || administrator.includes('.')) return wide(EXTENDED_COMMUNITY.FOUR_OCTET_AS, subtype, as, number)
  const low = decimal(number, 0xffff_ffff)
  return low === null ? null : compose(EXTENDED_COMMUNITY.TWO_OCTET_AS, subtype, (BigInt(as) << 32n) | BigInt(low))
}

function parseExactAsn(text: string): Asn | 0 | null {
  if (text === '0.0') return 0
  return /^0\d/.test(text) ? null : parseAsn(text)
}

/** The layouts with a four-octet administrator and a two-octet number. */
function wide(type: number, subtype: number, administrator: Asn | Ipv4 | 0, number: string | undefined): bigint | null {
  const low = decimal(number, 0xffff)
  return low === null ? null : compose(type, subtype, (BigInt(administrator) << 16n) | BigInt(low))
}

function compose(type: number, subtype: number, rest: bigint): bigint {
  return (BigInt(type) << 56n) | (BigInt(subtype) << 48n) | rest
}

function floatOfBits(bits: number): number {
  return new Float32Array(Uint32Array.of(bits).buffer)[0] ?? 0
}

function bitsOfFloat(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0] ?? 0
}

const BRACKETS: { readonly [T in AsPathSegment['type']]: readonly [string, string, string] } = {
  sequence: ['', ' ', ''],
  set: ['{', ',', '}'],
  confedSequence: ['(', ' ', ')'],
  confedSet: ['[', ',', ']'],
}

/** `65001 65002 {65003,65004}`; confederation segments in parentheses and brackets (RFC 5065). Empty for an empty path. */
export function formatAsPath(segments: readonly AsPathSegment[]): string {
  return segments
    .map(({ type, asns }) => {
      const [open, between, close] = BRACKETS[type]
      return `${open}${asns.join(between)}${close}`
    })
    .join(' ')
}
