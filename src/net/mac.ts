// Ethernet MAC addresses in canonical text.
import type { Brand } from '../lib/brand.ts'

export type Mac = Brand<string, 'Mac'>

/** Parses six hex octets separated by colons; null otherwise. Canonical form is lower case. */
export function parseMac(text: string): Mac | null {
  return /^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$/.test(text) ? (text.toLowerCase() as Mac) : null
}
