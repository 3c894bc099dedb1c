// Runs of NLRI from lists of prefixes, with the writer that UPDATEs are packed with.
import type { Family } from '../../../src/bgp/family.ts'
import { maxNlriOctets, type NlriRun, writeNlri } from '../../../src/bgp/wire/index.ts'
import { NlriScan } from '../../../src/bgp/wire/nlri.ts'
import { u32 } from '../../../src/bgp/wire/octets.ts'
import { ipToBytes, type Prefix } from '../../../src/net/index.ts'

/** Octets of a list of prefixes, each with its path identifier unless `pathIds` is null. */
export function encodePrefixes(prefixes: readonly Prefix[], pathIds: readonly number[] | null = null): Uint8Array {
  const out = new Uint8Array(prefixes.length * maxNlriOctets('IPv6Unicast', true))
  let at = 0
  for (const [index, { address, length }] of prefixes.entries()) {
    const octets = ipToBytes(address)
    const pathId = pathIds === null ? null : (pathIds[index] ?? 0)
    at = writeNlri(out, at, length, u32(octets, 0), u32(octets, 4), u32(octets, 8), u32(octets, 12), pathId)
  }
  return out.slice(0, at)
}

/** A run over NLRI octets. Throws RangeError if they are not well formed. */
export function nlriRun(family: Family, bytes: Uint8Array, addPath = false): NlriRun {
  const scan = new NlriScan()
  if (!scan.scan(bytes, 0, bytes.length, family, addPath)) throw new RangeError('not a run of NLRI')
  return { family, addPath, bytes, count: scan.count }
}
