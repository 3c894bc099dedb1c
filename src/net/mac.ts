// Ethernet MAC addresses in canonical text.
import type { Brand } from '../lib/brand.ts'

export type Mac = Brand<string, 'Mac'>

/** Parses six hex octets separated by colons; null otherwise. Canonical form is lower case. */
export function parseMac(text: string): Mac | null {
  return /^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/.test(text) ? (text.toLowerCase() as Mac) : null
}

const HEX = Array.from({ length: 256 }, (_, octet) => octet.toString(16).padStart(2, '0'))

/** The canonical text of six octets. Throws RangeError for another number of them. */
export function macFromBytes(bytes: Uint8Array): Mac {
  if (bytes.length !== 6) throw new RangeError(`a MAC address of ${bytes.length} octets`)
  let text = ''
  for (const octet of bytes) text += text === '' ? HEX[octet] : `:${HEX[octet]}`
  return text as Mac
}
