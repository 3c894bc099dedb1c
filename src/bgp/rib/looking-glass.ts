// The tables as people see them: every path with the reason it is best, lost, or cannot be used. Answers are pages; a page
// looks at a bounded number of rows, so that a million prefixes never hold up a KEEPALIVE.
import { formatIp, formatPrefix, ipv4, prefixFamily } from '../../net/index.ts'
import type { NextHop, PathAttributes } from '../attributes.ts'
import { FAMILIES, ipFamilyOf } from '../family.ts'
import type { PathStatus, PeerStatus, RouteStatus } from '../status.ts'
import { formatAsPath, formatCommunity, formatExtendedCommunity, formatLargeCommunity, hexOf } from '../wire/index.ts'
import { NONE } from './columns.ts'
import type { RoutePage, RouteQuery } from './contract.ts'
import { DECISION_STEPS, type DecisionStep, type Loss } from './decision.ts'
import type { FamilyTables } from './family-tables.ts'
import { MULTIPATH, OURSELVES } from './path-table.ts'
import type { PeerEntry } from './peer-entry.ts'
import { DIRTY } from './prefix-table.ts'
import { wordsOf } from './prefix-words.ts'
import type { RibState } from './state.ts'

const MAX_ROWS_PER_PAGE = 50_000

type Described = Pick<PathStatus, 'best' | 'multipath' | 'usable' | 'encapsulated' | 'reason'>

export class LookingGlass {
  readonly #state: RibState

  constructor(state: RibState) {
    this.#state = state
  }

  adjRibIn({ id, families }: PeerEntry, query: RouteQuery): RoutePage {
    const tables = this.#state.tables[query.family]
    const { arrivals } = families[query.family]
    return this.#page(query, (row) => {
      const isTold = (path: number): boolean => tables.paths.peer[path] === id && !arrivals.isCondemned(tables.paths.flags[path] ?? 0)
      return this.#paths(tables, row, isTold, 'raw')
    })
  }

  locRib(query: RouteQuery): RoutePage {
    const tables = this.#state.tables[query.family]
    const bestOnly = query.bestOnly === true
    return this.#page(query, (row) => {
      const isShown = (path: number): boolean => {
        const isUsed = ((tables.paths.flags[path] ?? 0) & MULTIPATH) !== 0 && tables.prefixes.bestPath[row] !== NONE
        return !bestOnly || isUsed || tables.prefixes.bestPath[row] === path
      }
      return this.#paths(tables, row, isShown, 'imported')
    })
  }

  adjRibOut({ id, families }: PeerEntry, query: RouteQuery): RoutePage {
    const { told } = families[query.family]
    if (told === null) return { routes: [], next: null }
    const { group, member } = told
    return this.#page(query, (row) => {
      const shown: PathStatus[] = []
      const reason = member.backlog?.isDirty(row) === true ? 'waiting to be sent: the peer reads slowly, or has just come' : 'sent'
      group.out.visit(row, (pathId, attributes, source) => {
        if (source === id) return
        const described = { best: true, multipath: false, usable: true, encapsulated: false, reason }
        shown.push(this.#status(source, pathId === 0 ? null : pathId, this.#state.attributes.get(attributes), false, described))
      })
      return shown
    })
  }

  ownAsRejected(peer: number): PeerStatus['ownAsRejected'] {
    const { tables } = this.#state
    const count = FAMILIES.reduce((sum, family) => sum + tables[family].ownAs.countOf(peer), 0)
    if (count === 0) return null
    const [example = ''] = FAMILIES.flatMap((family) => tables[family].ownAs.exampleOf(peer) ?? [])
    return { count, example }
  }

  #page({ family, prefix, after, limit }: RouteQuery, pathsOf: (row: number) => readonly PathStatus[]): RoutePage {
    const { prefixes } = this.#state.tables[family]
    const routes: RouteStatus[] = []
    const show = (row: number): void => {
      const paths = pathsOf(row)
      if (paths.length > 0) routes.push({ prefix: formatPrefix(prefixes.prefixOf(row)), paths })
    }
    if (prefix !== null) {
      const { w0, w1, w2, w3, length } = wordsOf(prefix)
      const row = prefixFamily(prefix) === ipFamilyOf(family) ? prefixes.find(w0, w1, w2, w3, length) : NONE
      if (row !== NONE) show(row)
      return { routes, next: null }
    }
    const end = Math.min(prefixes.end, after + 1 + MAX_ROWS_PER_PAGE)
    let row = after + 1
    for (; row < end && routes.length < limit; row++) if (prefixes.isUsed(row)) show(row)
    return { routes, next: row < prefixes.end ? row - 1 : null }
  }

  #paths(tables: FamilyTables, row: number, isShown: (path: number) => boolean, which: 'raw' | 'imported'): readonly PathStatus[] {
    const { prefixes, paths } = tables
    const shown: PathStatus[] = []
    let losses: Map<number, Loss> | null = null
    for (let path = prefixes.firstPath[row] ?? NONE; path !== NONE; path = paths.next[path] ?? NONE) {
      if (!isShown(path)) continue
      losses ??= tables.decision.losses(prefixes.firstPath[row] ?? NONE)
      const peer = paths.peer[path] ?? OURSELVES
      const own = this.#state.findPeer(peer)?.families[tables.family]
      const imported = paths.imported[path] ?? NONE
      const attributes = this.#state.attributes.get(which === 'imported' && imported !== NONE ? imported : (paths.raw[path] ?? NONE))
      const isStale = own?.arrivals.isStale(paths.flags[path] ?? 0) === true
      const hasPathId = peer !== OURSELVES && this.#state.findPeer(peer)?.session?.addPathReceive.includes(tables.family) === true
      const pathId = paths.pathId(path)
      const described = this.#describe(tables, row, path, losses)
      shown.push(this.#status(peer, hasPathId || pathId !== 0 ? pathId : null, attributes, isStale, described))
    }
    return shown
  }

  #describe(tables: FamilyTables, row: number, path: number, losses: ReadonlyMap<number, Loss>): Described {
    const { prefixes, paths, decision } = tables
    const best = prefixes.bestPath[row] === path
    const multipath = best || (((paths.flags[path] ?? 0) & MULTIPATH) !== 0 && prefixes.bestPath[row] !== NONE)
    const usable = decision.isUsable(path)
    if (!usable) return { best, multipath: best, usable, encapsulated: false, reason: this.#whyUnusable(tables, row, path) }
    const encapsulated = decision.resolution(path)?.encapsulated === true
    const shown = { best, multipath, usable, encapsulated }
    const loss = losses.get(path)
    if (((prefixes.flags[row] ?? 0) & DIRTY) !== 0) return { ...shown, reason: 'waiting for selection' }
    if (loss === undefined) return { ...shown, reason: `best: ${whyBest([...losses.values()])}` }
    const shares = multipath ? '; shares the traffic (multipath)' : ''
    return { ...shown, reason: `lost: ${lossText(loss)}${shares}` }
  }

  #whyUnusable({ prefixes, paths, decision, family }: FamilyTables, row: number, path: number): string {
    const peer = paths.peer[path] ?? OURSELVES
    const imported = paths.imported[path] ?? NONE
    if (imported !== NONE) return `unusable: ${decision.resolution(path)?.reason ?? 'no next hop'}`
    const imports = this.#state.findPeer(peer)?.families[family].imports
    const { w0, w1, w2, w3, length } = wordsOf(prefixes.prefixOf(row))
    const reason = imports?.cache.explain(paths.raw[path] ?? NONE, OURSELVES, w0, w1, w2, w3, length) ?? null
    return reason === null ? 'not accepted' : `not accepted: ${reason}`
  }

  #status(peer: number, pathId: number | null, attributes: PathAttributes, stale: boolean, described: Described): PathStatus {
    const { aggregator, originatorId } = attributes
    return {
      peer: peer === OURSELVES ? 'local' : (this.#state.findPeer(peer)?.config.key ?? 'removed peer'),
      pathId,
      ...described,
      stale,
      origin: attributes.origin,
      asPath: formatAsPath(attributes.asPath),
      nextHop: attributes.nextHop === null ? null : nextHopText(attributes.nextHop),
      med: attributes.med,
      localPref: attributes.localPref,
      communities: attributes.communities.map(formatCommunity),
      largeCommunities: attributes.largeCommunities.map(formatLargeCommunity),
      extendedCommunities: [...attributes.extendedCommunities.map(formatExtendedCommunity), ...attributes.ipv6ExtendedCommunities],
      originatorId: originatorId === null ? null : idText(originatorId),
      clusterList: attributes.clusterList.map(idText),
      onlyToCustomer: attributes.onlyToCustomer,
      atomicAggregate: attributes.atomicAggregate,
      aggregator: aggregator === null ? null : `${aggregator.asn} ${formatIp(aggregator.address)}`,
      unknownAttributes: attributes.unknown.map(({ type, flags, value }) => ({ type, flags, valueHex: hexOf(value) })),
    }
  }
}

function nextHopText({ address, linkLocal }: NextHop): string {
  return linkLocal === null || linkLocal === address ? formatIp(address) : `${formatIp(address)} (${formatIp(linkLocal)})`
}

function idText(id: number): string {
  return formatIp(ipv4(id))
}

const ORIGINS = ['igp', 'egp', 'incomplete'] as const

/** `longer AS path (3 > 2)`. */
function lossText({ step, own, better }: Loss): string {
  switch (step) {
    case 'longLivedStale':
      return 'long-lived stale'
    case 'local':
      return 'we originate this prefix ourselves'
    case 'localPref':
      return `lower local preference (${-own} < ${-better})`
    case 'encapsulated':
      return 'encapsulated (IP-in-IP), the best plain'
    case 'asPathLength':
      return `longer AS path (${own} > ${better})`
    case 'origin':
      return `worse origin (${ORIGINS[own] ?? own}, not ${ORIGINS[better] ?? better})`
    case 'med':
      return `higher MED (${own} > ${better})`
    case 'external':
      return 'from an internal peer, the best from an external one'
    case 'metric':
      return `higher metric to the next hop (${own} > ${better})`
    case 'routerId':
      return `higher router ID (${idText(own)} > ${idText(better)})`
    case 'clusterList':
      return `longer cluster list (${own} > ${better})`
    case 'peerAddress':
      return 'higher peer address'
    case 'pathId':
      return `higher path identifier (${own} > ${better})`
  }
}

/** What decided, seen from the winner: the last step at which anybody was put aside. */
function whyBest(losses: readonly Loss[]): string {
  const last = losses.toSorted((a, b) => order(b.step) - order(a.step) || a.own - b.own)[0]
  if (last === undefined) return 'only path'
  const { step, own, better } = last
  switch (step) {
    case 'longLivedStale':
      return 'not long-lived stale'
    case 'local':
      return 'originated here'
    case 'localPref':
      return `higher local preference (${-better} > ${-own})`
    case 'encapsulated':
      return 'plain, the others encapsulated (IP-in-IP)'
    case 'asPathLength':
      return `shorter AS path (${better} < ${own})`
    case 'origin':
      return `better origin (${ORIGINS[better] ?? better}, not ${ORIGINS[own] ?? own})`
    case 'med':
      return `lower MED (${better} < ${own})`
    case 'external':
      return 'from an external peer'
    case 'metric':
      return `lower metric to the next hop (${better} < ${own})`
    case 'routerId':
      return `lower router ID (${idText(better)} < ${idText(own)})`
    case 'clusterList':
      return `shorter cluster list (${better} < ${own})`
    case 'peerAddress':
      return 'lower peer address'
    case 'pathId':
      return `lower path identifier (${better} < ${own})`
  }
}

function order(step: DecisionStep): number {
  return DECISION_STEPS.indexOf(step)
}
