// Text forms of communities (RFC 1997, RFC 8092, RFC 4360/5668), as manifests write them.

export type CommunityText =
  | { readonly kind: 'standard'; readonly value: number }
  | { readonly kind: 'large'; readonly value: readonly [number, number, number] }
  | { readonly kind: 'extended'; readonly value: bigint }

/** Well-known communities by name (IANA registry "BGP Well-known Communities"). */
const WELL_KNOWN: ReadonlyMap<string, number> = new Map([
  ['graceful-shutdown', 0xffff_0000], // RFC 8326
  ['accept-own', 0xffff_0001], // RFC 7611
  ['llgr-stale', 0xffff_0006], // RFC 9494
  ['no-llgr', 0xffff_0007], // RFC 9494
  ['blackhole', 0xffff_029a], // RFC 7999
  ['no-export', 0xffff_ff01], // RFC 1997
  ['no-advertise', 0xffff_ff02], // RFC 1997
  ['no-export-subconfed', 0xffff_ff03], // RFC 1997
  ['no-peer', 0xffff_ff04], // RFC 3765
])

/** Sub-types of extended communities we have names for (RFC 4360 §4, §5). */
const EXTENDED_SUBTYPE: Readonly<Record<string, bigint>> = { rt: 0x02n, soo: 0x03n }

/**
 * Parses `high:low`, `a:b:c`, `rt:…` and `soo:…` (with a 2-octet AS, a 4-octet AS or an IPv4 address), `0x` and 16 hex digits
 * for any other extended community, or a well-known name; null if it is none of them.
 */
export function parseCommunityText(text: string): CommunityText | null {
  const known = WELL_KNOWN.get(text.toLowerCase().replaceAll('_', '-'))
  if (known !== undefined) return { kind: 'standard', value: known }
  if (/^0x[0-9a-fA-F]{16}$/.test(text)) return { kind: 'extended', value: BigInt(text) }
  const parts = text.split(':')
  const subtype = parts.length === 3 ? EXTENDED_SUBTYPE[parts[0]?.toLowerCase() ?? ''] : undefined
  if (subtype !== undefined) return extended(subtype, parts[1] ?? '', parts[2] ?? '')
  const numbers = parts.map(decimal)
  const [a, b, c] = numbers
  if (numbers.some((part) => part === null) || a == null || b == null) return null
  if (numbers.length === 2) return a <= 0xffff && b <= 0xffff ? { kind: 'standard', value: a * 0x1_0000 + b } : null
  return numbers.length === 3 && c != null ? { kind: 'large', value: [a, b, c] } : null
}

function extended(subtype: bigint, administrator: string, assigned: string): CommunityText | null {
  const low = decimal(assigned)
  if (low === null) return null
  const address = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(administrator)?.slice(1).map(Number)
  const asNumber = decimal(administrator)
  if (address !== undefined) {
    if (address.some((octet) => octet > 255) || low > 0xffff) return null
    const value = address.reduce((sum, octet) => sum * 256 + octet, 0)
    return { kind: 'extended', value: (0x01n << 56n) | (subtype << 48n) | (BigInt(value) << 16n) | BigInt(low) }
  }
  if (asNumber === null) return null
  if (asNumber <= 0xffff) return { kind: 'extended', value: (subtype << 48n) | (BigInt(asNumber) << 32n) | BigInt(low) }
  if (low > 0xffff) return null // a four-octet AS leaves two octets (RFC 5668 §2)
  return { kind: 'extended', value: (0x02n << 56n) | (subtype << 48n) | (BigInt(asNumber) << 16n) | BigInt(low) }
}

function decimal(text: string): number | null {
  if (!/^(0|[1-9]\d{0,9})$/.test(text)) return null
  const value = Number(text)
  return value <= 0xffff_ffff ? value : null
}
