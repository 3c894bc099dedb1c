// Work on whole tables, asked for by what happens to peers and next hops, and done by `ScanJobs` a slice at a time.
import type { Prefix } from '../../net/index.ts'
import { WELL_KNOWN_COMMUNITY } from '../attributes.ts'
import { FAMILIES, type Family, ipFamilyOf } from '../family.ts'
import { withCommunity } from './attribute-edit.ts'
import { NONE } from './columns.ts'
import type { FamilyTables } from './family-tables.ts'
import type { ResolutionScope } from './next-hop-resolver.ts'
import { EPOCH_MASK, LONG_LIVED, OURSELVES } from './path-table.ts'
import { PrefixSet } from './prefix-words.ts'
import type { RibState } from './state.ts'

export class TableWork {
  readonly #state: RibState
  /** Called when a sweep is over. */
  readonly #swept: () => void

  constructor(state: RibState, swept: () => void) {
    this.#state = state
    this.#swept = swept
  }

  /** Every prefix is selected again. */
  touchAll(): void {
    const { jobs, tables } = this.#state
    for (const family of FAMILIES) jobs.add(tables[family], 'touchAll', null, (at, row) => at.touch(row))
  }

  /** Every prefix inside one of these is selected again. */
  touchInside(ranges: readonly Prefix[]): void {
    if (ranges.length === 0) return
    const { jobs, tables } = this.#state
    for (const family of FAMILIES) {
      const inside = new PrefixSet(ranges, ipFamilyOf(family))
      if (inside.isEmpty) continue
      jobs.add(tables[family], 'touchAll', null, (at, row) => {
        if (inside.covers(...at.prefixes.wordsAt(row))) at.touch(row)
      })
    }
  }

  /** Every prefix that a peer told is selected again. */
  touchPeer(family: Family, id: number): void {
    const { jobs, tables } = this.#state
    if (this.#state.peer(id).families[family].arrivals.isEmpty) return
    jobs.add(tables[family], 'touchPeers', [id], (at, path) => at.touch(at.paths.prefix[path] ?? NONE))
  }

  /** Every prefix with a path through one of these next hops is selected again. */
  touchNextHops(changed: ReadonlyMap<ResolutionScope, ReadonlySet<number>>): void {
    if (changed.size === 0) return
    const { attributes, columns, jobs, tables } = this.#state
    for (const family of FAMILIES) {
      jobs.add(tables[family], 'nextHops', null, (at, path) => {
        const scope = columns.scope(at.paths.peer[path] ?? OURSELVES)
        const nextHop = attributes.nextHop[at.paths.imported[path] ?? NONE] ?? NONE
        if (scope !== null && changed.get(scope)?.has(nextHop) === true) at.touch(at.paths.prefix[path] ?? NONE)
      })
    }
  }

  /** What is condemned of a peer goes. */
  sweep(id: number, family: Family): void {
    const { jobs, tables } = this.#state
    if (!this.#state.peer(id).families[family].arrivals.hasCondemned) return
    const visit = (at: FamilyTables, path: number): void => {
      const arrivals = this.#state.findPeer(at.paths.peer[path] ?? OURSELVES)?.families[family].arrivals
      if (arrivals?.isCondemned(at.paths.flags[path] ?? 0) === true) at.removePath(path, arrivals)
    }
    jobs.add(tables[family], 'sweep', [id], visit, this.#swept)
  }

  /** What is stale of a peer becomes long-lived stale, or goes (RFC 9494 §4.2). */
  makeLongLived(id: number, family: Family): void {
    const { jobs, tables } = this.#state
    jobs.add(tables[family], 'longLived', [id], (at, path) => this.#makeLongLived(at, path))
  }

  /** The number of an attribute set with LLGR_STALE added; none for none. */
  longLived(imported: number): number {
    const { attributes } = this.#state
    if (imported === NONE) return NONE
    return attributes.intern(withCommunity(attributes.get(imported), WELL_KNOWN_COMMUNITY.LLGR_STALE))
  }

  /** Before a new epoch begins: paths of the one whose number comes round join the next, or go if they are to go anyway. */
  makeRoomForEpoch(id: number, family: Family): void {
    const { arrivals } = this.#state.peer(id).families[family]
    const expiring = arrivals.expiringStamp
    if (expiring === null) return
    const tables = this.#state.tables[family]
    const { paths } = tables
    for (let path = 1; path < paths.end; path++) {
      const flags = paths.flags[path] ?? 0
      if (paths.peer[path] !== id || (flags & EPOCH_MASK) !== expiring) continue
      if (arrivals.isCondemned(flags)) tables.removePath(path, arrivals)
      else paths.flags[path] = arrivals.restamped(flags)
    }
  }

  #makeLongLived(tables: FamilyTables, path: number): void {
    const { paths } = tables
    const { attributes } = this.#state
    const arrivals = this.#state.findPeer(paths.peer[path] ?? OURSELVES)?.families[tables.family].arrivals
    const flags = paths.flags[path] ?? 0
    if (arrivals === undefined || !arrivals.longLived || !arrivals.isStale(flags) || arrivals.isCondemned(flags)) return
    if (attributes.get(paths.raw[path] ?? NONE).communities.includes(WELL_KNOWN_COMMUNITY.NO_LLGR)) {
      tables.removePath(path, arrivals)
      return
    }
    paths.flags[path] = flags | LONG_LIVED
    tables.setImported(path, this.longLived(paths.imported[path] ?? NONE), arrivals)
  }
}
