// Reads a real table: an MRT file of TABLE_DUMP_V2 records (RFC 6396 §4.3), plain or gzipped, as RouteViews and RIPE RIS
// publish them. Of each prefix the first path is taken; prefixes with equal attributes are sent together, as a router would.
import { createReadStream } from 'node:fs'
import { createGunzip } from 'node:zlib'
import type { Family } from '../src/bgp/family.ts'
import { random } from './generate.ts'
import { u16, u32 } from './messages.ts'
import type { Table } from './table.ts'

export type MrtOptions = {
  readonly family: Family
  /** Put in front of every AS_PATH, as the feeder is an eBGP peer. */
  readonly firstAsn: number
  /** Stop after so many prefixes; null: all. */
  readonly limit: number | null
}

const TABLE_DUMP_V2 = 13
const RIB_UNICAST = { IPv4Unicast: 2, IPv6Unicast: 4 } as const
const MRT_HEADER_BYTES = 12
const ATTRIBUTE = { asPath: 2, nextHop: 3, localPref: 5, originatorId: 9, clusterList: 10, mpReach: 14, mpUnreach: 15 } as const
/** What does not belong into an UPDATE to an eBGP peer, or is written by the feeder itself. */
const DROPPED: ReadonlySet<number> = new Set([
  ATTRIBUTE.nextHop,
  ATTRIBUTE.localPref,
  ATTRIBUTE.originatorId,
  ATTRIBUTE.clusterList,
  ATTRIBUTE.mpReach,
  ATTRIBUTE.mpUnreach,
])
const AS_SEQUENCE = 2
const MAX_RUN_PREFIXES = 500

/** Throws Error if the file cannot be read or holds no such table. */
export async function tableFromMrt(file: string, options: MrtOptions): Promise<Table> {
  const collected = new MrtTable(options)
  const source = createReadStream(file)
  const stream: AsyncIterable<Buffer> = file.endsWith('.gz') ? source.pipe(createGunzip()) : source
  let held: Buffer = Buffer.alloc(0)
  for await (const chunk of stream) {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk])
    const used = collected.push(held)
    held = held.subarray(used)
    if (collected.isFull) break
  }
  return collected.table(file)
}

/** Collects RIB entries, grouped by their attributes. */
export class MrtTable {
  readonly #options: MrtOptions
  readonly #setByOctets = new Map<string, number>()
  readonly #sets: Uint8Array[] = []
  readonly #prefixesOfSet: Uint8Array[][] = []
  #prefixes = 0

  constructor(options: MrtOptions) {
    this.#options = options
  }

  get isFull(): boolean {
    return this.#options.limit !== null && this.#prefixes >= this.#options.limit
  }

  /** Takes the whole records at the start of `bytes`; returns how many octets they had. */
  push(bytes: Uint8Array): number {
    let at = 0
    while (at + MRT_HEADER_BYTES <= bytes.length && !this.isFull) {
      const end = at + MRT_HEADER_BYTES + u32(bytes, at + 8)
      if (end > bytes.length) break
      if (u16(bytes, at + 4) === TABLE_DUMP_V2 && u16(bytes, at + 6) === RIB_UNICAST[this.#options.family]) {
        this.#ribRecord(bytes.subarray(at + MRT_HEADER_BYTES, end))
      }
      at = end
    }
    return at
  }

  /** Sequence number, prefix, entry count, then entries: peer index, time, attribute length, attributes. */
  #ribRecord(record: Uint8Array): void {
    const bits = record[4] ?? 0
    const prefixEnd = 5 + ((bits + 7) >>> 3)
    if (u16(record, prefixEnd) === 0) return
    const start = prefixEnd + 2 + 8
    const attributes = this.#ownAttributes(record.subarray(start, start + u16(record, start - 2)))
    const key = Buffer.from(attributes).toString('latin1')
    let set = this.#setByOctets.get(key)
    if (set === undefined) {
      set = this.#sets.push(attributes) - 1
      this.#setByOctets.set(key, set)
      this.#prefixesOfSet.push([])
    }
    this.#prefixesOfSet[set]?.push(record.slice(4, prefixEnd))
    this.#prefixes++
  }

  /** AS_PATHs of these dumps are 4-octet whatever the peer spoke (RFC 6396 §4.3.4). */
  #ownAttributes(attributes: Uint8Array): Uint8Array {
    const parts: Uint8Array[] = []
    for (let at = 0; at + 3 <= attributes.length; ) {
      const type = attributes[at + 1] ?? 0
      const extended = ((attributes[at] ?? 0) & 0x10) !== 0
      const valueStart = at + (extended ? 4 : 3)
      const end = valueStart + (extended ? u16(attributes, at + 2) : (attributes[at + 2] ?? 0))
      if (type === ATTRIBUTE.asPath) parts.push(prepended(attributes.subarray(valueStart, end), this.#options.firstAsn))
      else if (!DROPPED.has(type)) parts.push(attributes.subarray(at, end))
      at = end
    }
    return new Uint8Array(Buffer.concat(parts))
  }

  /** Throws Error if nothing was found. */
  table(file: string): Table {
    if (this.#prefixes === 0) throw new Error(`${file}: no ${this.#options.family} RIB of TABLE_DUMP_V2 in it`)
    const runs: { start: number; length: number; set: number }[] = []
    const nlri: Uint8Array[] = []
    for (const [set, prefixes] of this.#prefixesOfSet.entries()) {
      for (let from = 0; from < prefixes.length; from += MAX_RUN_PREFIXES) {
        const run = prefixes.slice(from, from + MAX_RUN_PREFIXES)
        runs.push({ start: nlri.length, length: run.length, set })
        nlri.push(...run)
      }
    }
    const next = random(1)
    const order = runs.map((run) => ({ run, rank: next() })).sort((a, b) => a.rank - b.rank)
    const offsets = new Uint32Array(nlri.length + 1)
    for (const [index, prefix] of nlri.entries()) offsets[index + 1] = (offsets[index] ?? 0) + prefix.length
    return {
      family: this.#options.family,
      nlri: new Uint8Array(Buffer.concat(nlri)),
      offsets,
      runStarts: Uint32Array.from(order, ({ run }) => run.start),
      runLengths: Uint32Array.from(order, ({ run }) => run.length),
      runSets: Uint32Array.from(order, ({ run }) => run.set),
      attributeSets: this.#sets,
    }
  }
}

/** The path with `asn` in front, as attribute octets; a full or missing first AS_SEQUENCE gets a new one before it. */
function prepended(path: Uint8Array, asn: number): Uint8Array {
  const own = Uint8Array.of(asn >>> 24, (asn >>> 16) & 0xff, (asn >>> 8) & 0xff, asn & 0xff)
  const joins = path.length > 0 && path[0] === AS_SEQUENCE && (path[1] ?? 255) < 255
  const head = Uint8Array.of(AS_SEQUENCE, joins ? (path[1] ?? 0) + 1 : 1)
  const value = Buffer.concat([head, own, joins ? path.subarray(2) : path])
  return new Uint8Array(Buffer.concat([Uint8Array.of(0x50, ATTRIBUTE.asPath, value.length >>> 8, value.length & 0xff), value]))
}
