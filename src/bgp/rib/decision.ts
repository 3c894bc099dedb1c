// The decision process (RFC 4271 §9.1.2.2, RFC 4456 §9, RFC 9494 §4.3): of the usable paths of a prefix, step by step those
// that fall short are put aside, until one is left. Since MED is compared only within one neighbouring AS, the steps work on
// the whole set and never on pairs in order of arrival: the answer does not depend on who came first. One step is ours: what the
// fabric carries beats what we would have to encapsulate, or an internal path with its empty AS_PATH would always tunnel.
import { sameAsPath } from './attribute-equality.ts'
import type { AttributeTable } from './attribute-table.ts'
import { NONE } from './columns.ts'
import { type Carriage, type Encapsulation, PLAIN } from './encapsulation.ts'
import type { NextHopResolver, Resolution } from './next-hop-resolver.ts'
import { MULTIPATH, OURSELVES, type PathTable } from './path-table.ts'
import type { PeerColumns } from './peer-columns.ts'
import type { PrefixTable } from './prefix-table.ts'

/** In the order they are asked. `onlyPath`: there was nothing to decide. */
export const DECISION_STEPS = [
  'longLivedStale',
  'local',
  'localPref',
  'encapsulated',
  'asPathLength',
  'origin',
  'med',
  'external',
  'metric',
  'routerId',
  'clusterList',
  'peerAddress',
  'pathId',
] as const
export type DecisionStep = (typeof DECISION_STEPS)[number]

/** The step after which the paths that are left make up the multipath set. */
const MULTIPATH_AFTER: DecisionStep = 'metric'

const NO_PATHS: readonly number[] = []

/** Why one path lost: the step, its own value there, and the one that was better. */
export type Loss = { readonly step: DecisionStep; readonly own: number; readonly better: number }

export type DecisionTables = {
  readonly prefixes: PrefixTable
  readonly paths: PathTable
  readonly attributes: AttributeTable
  readonly peers: PeerColumns
  readonly resolver: NextHopResolver
}

export type DecisionOptions = { readonly maximumPaths: number; readonly asPathRelax: boolean }

export class Decision {
  readonly #tables: DecisionTables
  options: DecisionOptions = { maximumPaths: 1, asPathRelax: false }
  /** null: everything goes plain. */
  encapsulation: Encapsulation | null = null
  /** After `select`: the multipath set, best path first. Its first `multipathCount` entries count, until the next call. */
  readonly multipath: number[] = []
  multipathCount = 0
  readonly #candidates: number[] = []

  constructor(tables: DecisionTables) {
    this.#tables = tables
  }

  /** The best of the list of paths that begins at `first`, or none. Marks the multipath set. */
  select(first: number): number {
    const { paths } = this.#tables
    this.multipathCount = 0
    if (first === NONE) return NONE
    if (paths.next[first] === NONE) return this.#selectOnly(first)
    const candidates = this.#candidates
    candidates.length = 0
    for (let path = first; path !== NONE; path = paths.next[path] ?? NONE) {
      paths.flags[path] = (paths.flags[path] ?? 0) & ~MULTIPATH
      if (this.isUsable(path)) candidates.push(path)
    }
    if (candidates.length === 0) return NONE
    let equals = NO_PATHS
    for (const step of DECISION_STEPS) {
      if (candidates.length > 1) this.#reduce(candidates, step)
      if (step === MULTIPATH_AFTER) equals = candidates.length > 1 ? [...candidates] : NO_PATHS
    }
    const best = candidates[0] ?? NONE
    this.#setMultipath(best, equals)
    return best
  }

  /** Up to `limit` paths in order of preference (RFC 7911 sends several). */
  rank(first: number, limit: number, isWanted: (path: number) => boolean): number[] {
    const { paths } = this.#tables
    const left: number[] = []
    for (let path = first; path !== NONE; path = paths.next[path] ?? NONE) if (this.isUsable(path)) left.push(path)
    const ranked: number[] = []
    while (left.length > 0 && ranked.length < limit) {
      const candidates = [...left]
      for (const step of DECISION_STEPS) if (candidates.length > 1) this.#reduce(candidates, step)
      const best = candidates[0] ?? NONE
      left.splice(left.indexOf(best), 1)
      if (isWanted(best)) ranked.push(best)
    }
    return ranked
  }

  /** Accepted by policy, and its next hop resolves. */
  isUsable(path: number): boolean {
    if (this.#tables.paths.imported[path] === NONE) return false
    const resolution = this.resolution(path)
    return resolution === null || resolution.metric >= 0
  }

  /** Where an accepted path leads; null for one of our own. */
  resolution(path: number): Resolution | null {
    const { paths, attributes, peers, resolver } = this.#tables
    const scope = peers.scope(paths.peer[path] ?? OURSELVES)
    if (scope === null) return null
    const nextHop = attributes.nextHop[paths.imported[path] ?? NONE] ?? NONE
    const { encapsulation } = this
    return resolver.resolve(scope, nextHop, encapsulation === null ? PLAIN : this.#carriage(encapsulation, paths.prefix[path] ?? NONE))
  }

  /** For people: why each usable path that is not the best lost. */
  losses(first: number): Map<number, Loss> {
    const { paths } = this.#tables
    const losses = new Map<number, Loss>()
    let candidates: number[] = []
    for (let path = first; path !== NONE; path = paths.next[path] ?? NONE) if (this.isUsable(path)) candidates.push(path)
    for (const step of DECISION_STEPS) {
      const left = [...candidates]
      if (left.length > 1) this.#reduce(left, step)
      for (const path of candidates) {
        if (left.includes(path)) continue
        const rival = left.find((other) => step !== 'med' || this.#neighbour(other) === this.#neighbour(path)) ?? left[0] ?? NONE
        losses.set(path, { step, own: this.#value(path, step), better: this.#value(rival, step) })
      }
      candidates = left
    }
    return losses
  }

  #carriage(encapsulation: Encapsulation, row: number): Carriage {
    const { word0, word1, word2, word3, length, wide } = this.#tables.prefixes
    return wide
      ? encapsulation.carriage(6, word0[row] ?? 0, word1[row] ?? 0, word2[row] ?? 0, word3[row] ?? 0, length[row] ?? 0)
      : encapsulation.carriage(4, word0[row] ?? 0, 0, 0, 0, length[row] ?? 0)
  }

  #selectOnly(path: number): number {
    const { paths } = this.#tables
    const flags = paths.flags[path] ?? 0
    if (!this.isUsable(path)) {
      if ((flags & MULTIPATH) !== 0) paths.flags[path] = flags & ~MULTIPATH
      return NONE
    }
    if ((flags & MULTIPATH) === 0) paths.flags[path] = flags | MULTIPATH
    this.multipath[0] = path
    this.multipathCount = 1
    return path
  }

  /** Keeps those with the least value at this step. */
  #reduce(candidates: number[], step: DecisionStep): void {
    if (step === 'med') {
      this.#reduceByMed(candidates)
      return
    }
    if (step === 'encapsulated' && this.encapsulation === null) return
    let least = Number.POSITIVE_INFINITY
    let kept = 0
    for (let at = 0; at < candidates.length; at++) {
      const path = candidates[at] ?? NONE
      const value = this.#value(path, step)
      if (value > least) continue
      if (value < least) {
        least = value
        kept = 0
      }
      candidates[kept++] = path
    }
    candidates.length = kept
  }

  /** MED means something only between paths of one neighbouring AS (RFC 4271 §9.1.2.2 c). */
  #reduceByMed(candidates: number[]): void {
    const { paths, attributes } = this.#tables
    const medOf = (path: number): number => attributes.med[paths.imported[path] ?? NONE] ?? 0
    let differs = false
    const first = medOf(candidates[0] ?? NONE)
    for (const path of candidates) if (medOf(path) !== first) differs = true
    if (!differs) return
    const least = new Map<number, number>()
    for (const path of candidates) {
      const neighbour = this.#neighbour(path)
      const med = medOf(path)
      if (med < (least.get(neighbour) ?? Number.POSITIVE_INFINITY)) least.set(neighbour, med)
    }
    let kept = 0
    for (let at = 0; at < candidates.length; at++) {
      const path = candidates[at] ?? NONE
      if (medOf(path) === least.get(this.#neighbour(path))) candidates[kept++] = path
    }
    candidates.length = kept
  }

  #neighbour(path: number): number {
    const { paths, attributes } = this.#tables
    return attributes.neighbourAs[paths.imported[path] ?? NONE] ?? 0
  }

  /** What is compared at a step; the least wins. */
  #value(path: number, step: DecisionStep): number {
    const { paths, attributes, peers } = this.#tables
    const id = paths.imported[path] ?? NONE
    const peer = paths.peer[path] ?? OURSELVES
    switch (step) {
      case 'longLivedStale':
        return attributes.longLivedStale[id] ?? 0
      case 'local':
        return peer === OURSELVES ? 0 : 1
      case 'localPref':
        return -(attributes.localPref[id] ?? 0)
      case 'encapsulated':
        return this.resolution(path)?.encapsulated === true ? 1 : 0
      case 'asPathLength':
        return attributes.asPathLength[id] ?? 0
      case 'origin':
        return attributes.origin[id] ?? 0
      case 'med':
        return attributes.med[id] ?? 0
      case 'external':
        return 1 - (peers.external[peer] ?? 0)
      case 'metric':
        return this.resolution(path)?.metric ?? 0
      case 'routerId': {
        const originator = attributes.originatorId[id] ?? 0
        return originator === 0 ? (peers.routerId[peer] ?? 0) : originator
      }
      case 'clusterList':
        return attributes.clusterLength[id] ?? 0
      case 'peerAddress':
        return peers.rank(peer)
      case 'pathId':
        return paths.pathId(path)
    }
  }

  /** `equals`: those left before the tie-breaks. Without those of another AS_PATH, in order of preference, no more than allowed. */
  #setMultipath(best: number, equals: readonly number[]): void {
    const { paths, attributes } = this.#tables
    const { maximumPaths, asPathRelax } = this.options
    const set = this.multipath
    set[0] = best
    let count = 1
    if (equals.length > 1 && maximumPaths > 1) {
      const bestPath = attributes.get(paths.imported[best] ?? NONE).asPath
      const joins = (path: number): boolean =>
        path !== best &&
        paths.peer[path] !== OURSELVES &&
        (asPathRelax || sameAsPath(attributes.get(paths.imported[path] ?? NONE).asPath, bestPath))
      const others = equals.filter(joins).sort((a, b) => this.#compareTieBreaks(a, b))
      for (const path of others.slice(0, maximumPaths - 1)) set[count++] = path
    }
    this.multipathCount = count
    for (let at = 0; at < count; at++) {
      const path = set[at] ?? NONE
      paths.flags[path] = (paths.flags[path] ?? 0) | MULTIPATH
    }
  }

  #compareTieBreaks(a: number, b: number): number {
    for (const step of ['routerId', 'clusterList', 'peerAddress', 'pathId'] as const) {
      const difference = this.#value(a, step) - this.#value(b, step)
      if (difference !== 0) return difference
    }
    return 0
  }
}
