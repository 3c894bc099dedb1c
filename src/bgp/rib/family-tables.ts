// Everything the speaker holds of one address family: prefixes, paths, the queue of prefixes whose best path has to be
// selected again, and the groups of peers that are told. The order of work is always the same: paths change and their
// prefixes join the queue; `decide` empties it, row by row; then the FIB is told, then the groups.
import type { Family } from '../family.ts'
import { NlriReader, type NlriRun } from '../wire/index.ts'
import type { Arrivals } from './arrivals.ts'
import type { AttributeTable } from './attribute-table.ts'
import { NONE, RowQueue } from './columns.ts'
import { Decision } from './decision.ts'
import { FibWriter, type NextHopSets } from './fib-writer.ts'
import type { ImportPolicy } from './import-policy.ts'
import type { NextHopResolver } from './next-hop-resolver.ts'
import type { OutcomeCache } from './outcome-cache.ts'
import { OwnAsRejections } from './own-as.ts'
import { LONG_LIVED, OURSELVES, OWN_AS, PathTable } from './path-table.ts'
import type { PeerColumns } from './peer-columns.ts'
import { DIRTY, HAS_OWN_AS, PrefixTable } from './prefix-table.ts'
import type { PrefixSet, PrefixWords } from './prefix-words.ts'
import type { Deliver, UpdateGroup } from './update-group.ts'

/** A peer may tell this many paths for one prefix (RFC 7911); what goes beyond is not taken in (rule 130). */
const MAX_PATHS_PER_PREFIX = 64

export type SharedTables = {
  readonly attributes: AttributeTable
  readonly peers: PeerColumns
  readonly resolver: NextHopResolver
  readonly nextHopSets: NextHopSets
}

/** What announcing a path needs to know about its peer. */
export type Announcer = {
  readonly peer: number
  readonly arrivals: Arrivals
  readonly imports: OutcomeCache
  readonly policy: ImportPolicy
}

export class FamilyTables {
  readonly family: Family
  readonly prefixes: PrefixTable
  readonly paths = new PathTable()
  readonly queue = new RowQueue()
  readonly decision: Decision
  readonly fib: FibWriter
  readonly ownAs: OwnAsRejections
  readonly groups = new Map<string, UpdateGroup>()
  installRoutes = true
  /** Learned prefixes in these ranges are for passing on alone; null: there are none such. */
  notInstalled: PrefixSet | null = null
  /** Addresses of next hops that BGP routes of this family may carry; a change of such a route raises `touchedWatched`. */
  watched: PrefixSet | null = null
  touchedWatched = false
  readonly #shared: SharedTables
  readonly #reader = new NlriReader()
  /** Rows found without any path. */
  readonly #unused: number[] = []

  constructor(family: Family, shared: SharedTables) {
    this.family = family
    this.#shared = shared
    this.prefixes = new PrefixTable(family)
    const { attributes, peers, resolver, nextHopSets } = shared
    this.decision = new Decision({ prefixes: this.prefixes, paths: this.paths, attributes, peers, resolver })
    this.fib = new FibWriter(this.prefixes, nextHopSets)
    this.ownAs = new OwnAsRejections(this.prefixes, this.paths, attributes)
  }

  // paths come and go

  /** `raw` must be held until this returns. */
  announce({ peer, arrivals, imports, policy }: Announcer, raw: number, run: NlriRun): void {
    const { prefixes, paths } = this
    const reader = this.#reader
    const outcome = imports.outcome(raw, OURSELVES)
    const isOwnAs = outcome === NONE && policy.isOwnAsLoop(this.#shared.attributes.get(raw))
    reader.reset(run)
    while (reader.next()) {
      const w0 = reader.word0 | 0
      const w1 = reader.word1 | 0
      const w2 = reader.word2 | 0
      const w3 = reader.word3 | 0
      const { length, pathId } = reader
      const row = prefixes.findOrAdd(w0, w1, w2, w3, length)
      let path = this.#findPath(row, peer, pathId)
      if (path === NONE) {
        if (run.addPath && this.#countPaths(row, peer) >= MAX_PATHS_PER_PREFIX) continue
        path = this.#addPath(row, peer, pathId, arrivals)
      } else {
        const flags = arrivals.renewed(paths.flags[path] ?? 0)
        paths.flags[path] = flags & ~LONG_LIVED
        if (paths.raw[path] === raw && (flags & LONG_LIVED) === 0) continue
      }
      this.#setAttributes(path, raw, outcome >= 0 ? outcome : imports.settle(outcome, w0, w1, w2, w3, length), arrivals)
      if (isOwnAs || ((paths.flags[path] ?? 0) & OWN_AS) !== 0) this.setOwnAs(path, isOwnAs && policy.isOfPool(w0, w1, w2, w3, length))
    }
  }

  withdraw(peer: number, arrivals: Arrivals, run: NlriRun): void {
    const reader = this.#reader
    reader.reset(run)
    while (reader.next()) {
      const row = this.prefixes.find(reader.word0 | 0, reader.word1 | 0, reader.word2 | 0, reader.word3 | 0, reader.length)
      if (row === NONE) continue
      const path = this.#findPath(row, peer, reader.pathId)
      if (path !== NONE) this.removePath(path, arrivals)
    }
  }

  /** A path we originate; no policy applies. */
  originate({ w0, w1, w2, w3, length }: PrefixWords, attributes: number, arrivals: Arrivals): void {
    const row = this.prefixes.findOrAdd(w0, w1, w2, w3, length)
    const known = this.#findPath(row, OURSELVES, 0)
    const path = known === NONE ? this.#addPath(row, OURSELVES, 0, arrivals) : known
    this.#setAttributes(path, attributes, attributes, arrivals)
  }

  revoke({ w0, w1, w2, w3, length }: PrefixWords, arrivals: Arrivals): void {
    const row = this.prefixes.find(w0, w1, w2, w3, length)
    const path = row === NONE ? NONE : this.#findPath(row, OURSELVES, 0)
    if (path !== NONE) this.removePath(path, arrivals)
  }

  /** Another result of import policy for a path that stays. */
  setImported(path: number, imported: number, arrivals: Arrivals): void {
    if (this.paths.imported[path] !== imported) this.#setAttributes(path, this.paths.raw[path] ?? NONE, imported, arrivals)
  }

  /** The path is refused because our own AS is in its AS_PATH, or not (any more). */
  setOwnAs(path: number, isRefused: boolean): void {
    if (this.ownAs.mark(path, isRefused)) this.touch(this.paths.prefix[path] ?? NONE)
  }

  removePath(path: number, arrivals: Arrivals): void {
    const { paths, prefixes } = this
    const { attributes } = this.#shared
    const row = paths.prefix[path] ?? NONE
    const following = paths.next[path] ?? NONE
    if (prefixes.firstPath[row] === path) prefixes.firstPath[row] = following
    else {
      let before = prefixes.firstPath[row] ?? NONE
      while (paths.next[before] !== path) before = paths.next[before] ?? NONE
      paths.next[before] = following
    }
    if (prefixes.bestPath[row] === path) prefixes.bestPath[row] = NONE
    const imported = paths.imported[path] ?? NONE
    attributes.release(paths.raw[path] ?? NONE)
    if (imported !== NONE) {
      attributes.release(imported)
      arrivals.accepted--
    }
    this.ownAs.forget(path)
    arrivals.removed(paths.flags[path] ?? 0)
    paths.remove(path)
    this.touch(row)
  }

  /** The best path of `row` has to be selected again. */
  touch(row: number): void {
    const flags = this.prefixes.flags[row] ?? 0
    if ((flags & DIRTY) !== 0) return
    this.prefixes.flags[row] = flags | DIRTY
    this.queue.push(row)
  }

  // work

  /** Selects best paths for up to `limit` prefixes of the queue; returns for how many. */
  decide(limit: number): number {
    const { prefixes, queue, decision } = this
    let done = 0
    for (; done < limit; done++) {
      const row = queue.shift()
      if (row === NONE) break
      const flags = prefixes.flags[row] ?? 0
      prefixes.flags[row] = flags & ~DIRTY
      const best = decision.select(prefixes.firstPath[row] ?? NONE)
      prefixes.bestPath[row] = best
      this.fib.update(row, this.#fibSet(row, best))
      if ((flags & HAS_OWN_AS) !== 0) this.ownAs.selected(row, best === NONE || decision.resolution(best)?.encapsulated === true)
      for (const group of this.groups.values()) group.evaluate(row, best)
      if (this.watched !== null && this.#carriesNextHop(row, this.watched)) this.touchedWatched = true
      if (prefixes.firstPath[row] === NONE) this.#unused.push(row)
    }
    return done
  }

  /** Tells the groups what `decide` and `walk` changed; only then may rows without paths go, since until then messages name them. */
  emit(deliver: Deliver): void {
    for (const group of this.groups.values()) group.emit(deliver)
    for (const row of this.#unused) this.freeIfDone(row)
    this.#unused.length = 0
  }

  /** Goes on bringing groups with a changed policy up to date, up to `limit` rows; returns how many were looked at. */
  walk(limit: number): number {
    const { prefixes } = this
    let done = 0
    for (const group of this.groups.values()) {
      if (group.walk === null) continue
      let row = group.walk
      const end = Math.min(prefixes.end, row + limit - done)
      done += end - row
      for (; row < end; row++) {
        // Rows in the queue come to every group anyway, as they then are.
        if (prefixes.isUsed(row) && ((prefixes.flags[row] ?? 0) & DIRTY) === 0) group.evaluate(row, prefixes.bestPath[row] ?? NONE)
      }
      group.walk = row < prefixes.end ? row : null
      if (done >= limit) break
    }
    return done
  }

  /** Frees the row, if it then can be, when messages that may name it have gone out. */
  freeLater(row: number): void {
    if (this.prefixes.firstPath[row] === NONE) this.#unused.push(row)
  }

  /** Gives the row of a prefix back once nobody has, or is owed, anything about it. */
  freeIfDone(row: number): void {
    const { prefixes } = this
    if (!prefixes.isUsed(row) || prefixes.firstPath[row] !== NONE || ((prefixes.flags[row] ?? 0) & DIRTY) !== 0) return
    if (prefixes.fibSet[row] !== 0) return
    for (const group of this.groups.values()) if (!group.isDoneWith(row)) return
    prefixes.remove(row)
  }

  /** Number of the path of `peer` with this identifier, or none. */
  findPath(row: number, peer: number, pathId: number): number {
    return this.#findPath(row, peer, pathId)
  }

  #carriesNextHop(row: number, watched: PrefixSet): boolean {
    const { word0, word1, word2, word3, length } = this.prefixes
    return watched.hasWithin(word0[row] ?? 0, word1[row] ?? 0, word2[row] ?? 0, word3[row] ?? 0, length[row] ?? 0)
  }

  #fibSet(row: number, best: number): number {
    const { decision } = this
    if (best === NONE || !this.installRoutes) return 0
    if (this.notInstalled?.covers(...this.prefixes.wordsAt(row)) === true) return 0
    if (decision.multipathCount === 1) {
      const resolution = decision.resolution(best)
      return resolution === null ? 0 : this.#shared.nextHopSets.idOf(resolution)
    }
    const resolutions = decision.multipath.slice(0, decision.multipathCount).map((path) => decision.resolution(path))
    return this.#shared.nextHopSets.idOfMany(resolutions.filter((resolution) => resolution !== null))
  }

  #findPath(row: number, peer: number, pathId: number): number {
    const { paths } = this
    let path = this.prefixes.firstPath[row] ?? NONE
    while (path !== NONE && (paths.peer[path] !== peer || paths.pathId(path) !== pathId)) path = paths.next[path] ?? NONE
    return path
  }

  #countPaths(row: number, peer: number): number {
    const { paths } = this
    let count = 0
    for (let path = this.prefixes.firstPath[row] ?? NONE; path !== NONE; path = paths.next[path] ?? NONE)
      if (paths.peer[path] === peer) count++
    return count
  }

  #addPath(row: number, peer: number, pathId: number, arrivals: Arrivals): number {
    const { paths, prefixes } = this
    const path = paths.add(row, peer, pathId)
    paths.flags[path] = arrivals.stamp
    paths.next[path] = prefixes.firstPath[row] ?? NONE
    prefixes.firstPath[row] = path
    arrivals.added()
    return path
  }

  #setAttributes(path: number, raw: number, imported: number, arrivals: Arrivals): void {
    const { paths } = this
    const { attributes } = this.#shared
    const rawBefore = paths.raw[path] ?? NONE
    const importedBefore = paths.imported[path] ?? NONE
    attributes.hold(raw)
    if (rawBefore !== NONE) attributes.release(rawBefore)
    paths.raw[path] = raw
    if (imported !== NONE) {
      attributes.hold(imported)
      arrivals.accepted++
    }
    if (importedBefore !== NONE) {
      attributes.release(importedBefore)
      arrivals.accepted--
    }
    paths.imported[path] = imported
    if (imported !== NONE || importedBefore !== NONE) this.touch(paths.prefix[path] ?? NONE)
  }
}
