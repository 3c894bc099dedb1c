// Work that has to look at every row of a table, done a slice at a time. Requests of one kind that have not begun are joined,
// so that a hundred peers lost together cost one walk.
import { NONE } from './columns.ts'
import type { FamilyTables } from './family-tables.ts'

export type ScanKind = 'sweep' | 'reimport' | 'longLived' | 'nextHops' | 'touchPeers' | 'touchAll'

/** What is done for each path (`touchAll`: each prefix row) of a table. */
export type Visit = (tables: FamilyTables, row: number) => void

type Job = {
  readonly tables: FamilyTables
  readonly kind: ScanKind
  /** Only paths of these peers; null: every row. */
  readonly peers: Set<number> | null
  readonly visit: Visit
  readonly done: () => void
  cursor: number
}

/** Looking at a row and passing on is this much cheaper than working on one. */
const ROWS_PER_UNIT = 16

export class ScanJobs {
  readonly #jobs: Job[] = []

  get isEmpty(): boolean {
    return this.#jobs.length === 0
  }

  add(tables: FamilyTables, kind: ScanKind, peers: readonly number[] | null, visit: Visit, done: () => void = () => {}): void {
    const waiting = this.#jobs.find((job) => job.kind === kind && job.tables === tables && job.cursor === 1 && job.peers !== null)
    if (waiting !== undefined && peers !== null && kind !== 'nextHops') {
      for (const peer of peers) waiting.peers?.add(peer)
      return
    }
    this.#jobs.push({ tables, kind, peers: peers === null ? null : new Set(peers), visit, done, cursor: 1 })
  }

  /** Works for about `budget` units; returns how many it took. */
  run(budget: number): number {
    let spent = 0
    while (spent < budget) {
      const [job] = this.#jobs
      if (job === undefined) break
      spent += this.#slice(job, budget - spent)
      const end = job.kind === 'touchAll' ? job.tables.prefixes.end : job.tables.paths.end
      if (job.cursor < end) continue
      this.#jobs.shift()
      job.done()
    }
    return spent
  }

  #slice(job: Job, budget: number): number {
    const { tables, peers, visit } = job
    const isByPrefix = job.kind === 'touchAll'
    const { prefixes, paths } = tables
    const end = isByPrefix ? prefixes.end : paths.end
    let spent = 0
    let row = job.cursor
    for (; row < end && spent < budget; row++) {
      spent += 1 / ROWS_PER_UNIT
      const isWanted = isByPrefix ? prefixes.isUsed(row) : paths.isUsed(row) && (peers === null || peers.has(paths.peer[row] ?? NONE))
      if (!isWanted) continue
      spent++
      visit(tables, row)
    }
    job.cursor = row
    return spent
  }
}
