// The generated table: N IPv4 /24s or IPv6 /48s under 1000 attribute sets, in shuffled runs of mean 8, and its churn. Seeded,
// so every daemon and every run gets the same octets.
import type { Family } from '../src/bgp/family.ts'
import type { Table, UpdateWriter } from './table.ts'

export type GenerateOptions = {
  readonly family: Family
  readonly prefixes: number
  readonly attributeSets: number
  /** Number of the first prefix: tables with disjoint ranges hold disjoint prefixes. */
  readonly firstPrefix: number
  readonly seed: number
  /** First ASN of every AS_PATH, the feeder's own; null for iBGP, which sends LOCAL_PREF instead. */
  readonly firstAsn: number | null
}

const MAX_RUN = 15 // uniform 1..15: mean 8
const FIRST_IPV4_SLASH24 = 20 << 16 // 20.0.0.0
const FIRST_IPV6_GROUP = 0x2a00
/** Origin ASNs start here, one for each attribute set, so that a receiver can tell the sets apart. */
export const FIRST_ORIGIN_ASN = 100_000

/** A small generator of uniform numbers in [0, 1) (mulberry32). */
export function random(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b_79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

export function generateTable(options: GenerateOptions): Table {
  const { family, prefixes, attributeSets, firstPrefix, firstAsn } = options
  const next = random(options.seed)
  const octets = family === 'IPv4Unicast' ? 4 : 7
  const nlri = new Uint8Array(prefixes * octets)
  const offsets = Uint32Array.from({ length: prefixes + 1 }, (_, index) => index * octets)
  for (let index = 0; index < prefixes; index++) writePrefix(nlri, index * octets, family, firstPrefix + index)
  const runs: { start: number; length: number; set: number }[] = []
  for (let start = 0; start < prefixes; ) {
    const length = Math.min(1 + Math.floor(next() * MAX_RUN), prefixes - start)
    runs.push({ start, length, set: Math.floor(next() * attributeSets) })
    start += length
  }
  shuffle(runs, next)
  return {
    family,
    nlri,
    offsets,
    runStarts: Uint32Array.from(runs, (run) => run.start),
    runLengths: Uint32Array.from(runs, (run) => run.length),
    runSets: Uint32Array.from(runs, (run) => run.set),
    attributeSets: Array.from({ length: attributeSets }, (_, set) => attributeSet(set, firstAsn, next)),
  }
}

function writePrefix(nlri: Uint8Array, at: number, family: Family, number: number): void {
  if (family === 'IPv4Unicast') {
    const slash24 = FIRST_IPV4_SLASH24 + number
    nlri.set([24, slash24 >>> 16, (slash24 >>> 8) & 0xff, slash24 & 0xff], at)
  } else {
    nlri.set([48, FIRST_IPV6_GROUP >>> 8, FIRST_IPV6_GROUP & 0xff, ...u32Octets(number)], at)
  }
}

function shuffle<T>(items: T[], next: () => number): void {
  for (let last = items.length - 1; last > 0; last--) {
    const other = Math.floor(next() * (last + 1))
    const [a, b] = [items[last], items[other]]
    if (a === undefined || b === undefined) continue
    items[last] = b
    items[other] = a
  }
}

/** ORIGIN, AS_PATH of 3 to 6, MED on 30 %, 1 to 4 communities on 50 %; types ascending. */
function attributeSet(set: number, firstAsn: number | null, next: () => number): Uint8Array {
  const length = 3 + Math.floor(next() * 4)
  const path = Array.from({ length: length - 1 }, () => 1_000 + Math.floor(next() * 60_000))
  path.push(FIRST_ORIGIN_ASN + set)
  if (firstAsn !== null) path[0] = firstAsn
  const octets = [0x40, 1, 1, Math.floor(next() * 3), 0x40, 2, 2 + path.length * 4, 2, path.length, ...path.flatMap(u32Octets)]
  if (set % 10 < 3) octets.push(0x80, 4, 4, ...u32Octets(Math.floor(next() * 1_000)))
  if (firstAsn === null) octets.push(0x40, 5, 4, ...u32Octets(100))
  if (Math.floor(set / 10) % 2 === 0) {
    const values = Array.from(
      { length: 1 + Math.floor(next() * 4) },
      () => Math.floor(1 + next() * 60_000) * 65_536 + Math.floor(next() * 1_000),
    )
    values.sort((a, b) => a - b)
    octets.push(0xc0, 8, values.length * 4, ...values.flatMap(u32Octets))
  }
  return Uint8Array.from(octets)
}

function u32Octets(value: number): readonly number[] {
  return [Math.floor(value / 0x100_0000), (value >>> 16) & 0xff, (value >>> 8) & 0xff, value & 0xff]
}

/** Announces the whole table, in the order of its runs. */
export function announceAll(table: Table, to: UpdateWriter): void {
  for (let run = 0; run < table.runStarts.length; run++) to.announce(run, table.runSets[run] ?? 0)
}

/**
 * Churn over a table that has been announced: each turn touches runs at random until `fraction` of all prefixes is changed.
 * A run that is announced is withdrawn or announced anew with another set (evenly); a withdrawn one comes back.
 */
export class Churn {
  readonly #table: Table
  readonly #perTurn: number
  readonly #next: () => number
  readonly #order: number[]
  readonly #sets: Int32Array // by run: the set it is announced with; -1: withdrawn

  constructor(table: Table, options: { readonly fraction: number; readonly seed: number }) {
    this.#table = table
    this.#perTurn = Math.round((table.offsets.length - 1) * options.fraction)
    this.#next = random(options.seed)
    this.#order = Array.from(table.runStarts.keys())
    this.#sets = Int32Array.from(table.runSets)
  }

  /** Appends the messages of one turn; returns how many prefixes they change. */
  turn(to: UpdateWriter): number {
    shuffle(this.#order, this.#next)
    const sets = this.#table.attributeSets.length
    let changed = 0
    for (const run of this.#order) {
      if (changed >= this.#perTurn) break
      const set = this.#sets[run] ?? -1
      if (set >= 0 && (sets === 1 || this.#next() < 0.5)) {
        to.withdraw(run)
        this.#sets[run] = -1
      } else {
        const other = set < 0 ? Math.floor(this.#next() * sets) : (set + 1 + Math.floor(this.#next() * (sets - 1))) % sets
        to.announce(run, other)
        this.#sets[run] = other
      }
      changed += this.#table.runLengths[run] ?? 0
    }
    return changed
  }
}
