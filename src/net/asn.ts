// Autonomous system numbers (RFC 6793: four octets).
import type { Brand } from '../lib/brand.ts'

export type Asn = Brand<number, 'Asn'>

/** AS_TRANS stands in for a four-octet ASN where only two octets fit (RFC 6793 §9). */
export const AS_TRANS = 23456

/** Mints an ASN; AS 0 is never one (RFC 7607 §2). Throws RangeError. */
export function asn(value: number): Asn {
  if (!Number.isInteger(value) || value < 1 || value > 0xffff_ffff) throw new RangeError(`not an ASN (1..4294967295): ${value}`)
  return value as Asn
}

/** Parses `65001`, or asdot `1.10` (RFC 5396); null if it is neither. */
export function parseAsn(text: string): Asn | null {
  const dotted = /^(\d{1,5})\.(\d{1,5})$/.exec(text)
  const high = Number(dotted?.[1] ?? 0)
  const low = Number(dotted?.[2] ?? 0)
  if (dotted !== null && (high > 0xffff || low > 0xffff)) return null
  const value = dotted !== null ? high * 65536 + low : /^\d{1,10}$/.test(text) ? Number(text) : 0
  return value >= 1 && value <= 0xffff_ffff ? asn(value) : null
}
