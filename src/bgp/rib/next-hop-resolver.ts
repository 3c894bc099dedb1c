// Whether a next hop can be used, and through which gateways (RFC 4271 §5.1.3, §9.1.2.1). The answer depends on who told the
// path: a directly connected external peer may only name next hops on the shared link, and a link-local address means
// something on the link of its session only. Such circumstances are a `ResolutionScope`; peers in the same ones share it.
import {
  compareIp,
  type FibNextHop,
  formatIp,
  type IpAddress,
  isIpv4,
  isLinkLocalIpv6,
  isUsableUnicast,
  type Prefix,
} from '../../net/index.ts'
import type { NextHop } from '../attributes.ts'
import { NONE } from './columns.ts'
import type { HostView } from './host-view.ts'
import type { NextHopTable } from './next-hop-table.ts'

export type Resolution = {
  /** Cost of reaching the next hop; -1: unusable. */
  readonly metric: number
  /** Why it is unusable, in words. */
  readonly reason: string | null
  readonly nextHops: readonly FibNextHop[]
  /** Found through another BGP route, or not at all: has to be looked at again when BGP routes change. */
  readonly dependsOnBgp: boolean
}

export type ScopeFacts = {
  /** The peer's address, if its next hops must be on the link to it (single-hop external peers, RFC 4271 §5.1.3). */
  readonly onLinkOf: IpAddress | null
  /** Interface on which link-local next hops are meant. */
  readonly interfaceIndex: number | null
}

export type ResolutionScope = {
  readonly key: string
  readonly facts: ScopeFacts
  /** By number of next hop; undefined: not asked for yet. */
  readonly resolved: (Resolution | undefined)[]
}

/** A BGP route that covers an address: its own next hop and the scope of who told it. */
export type CoveringRoute = { readonly prefix: Prefix; readonly nextHop: number; readonly scope: ResolutionScope }
/** Candidates from the most specific on; only routes selected best, learned from a peer. */
export type FindCovering = (address: IpAddress, longerThan: number) => Iterable<CoveringRoute>

/** Routes through routes through routes: more than this is a misconfiguration, not a network. */
const MAX_DEPTH = 8

const USABLE: Resolution = { metric: 0, reason: null, nextHops: [], dependsOnBgp: false }

export class NextHopResolver {
  readonly #nextHops: NextHopTable
  readonly #findCovering: FindCovering
  readonly #scopes = new Map<string, ResolutionScope>()
  #host: HostView | null = null
  #resolveAll = false
  #hasNewDependence = false

  constructor(nextHops: NextHopTable, findCovering: FindCovering) {
    this.#nextHops = nextHops
    this.#findCovering = findCovering
    nextHops.onAdd.add((id) => {
      for (const { resolved } of this.#scopes.values()) resolved[id] = undefined
    })
  }

  scope(facts: ScopeFacts): ResolutionScope {
    const key = `${facts.onLinkOf ?? ''}|${facts.interfaceIndex ?? ''}`
    let scope = this.#scopes.get(key)
    if (scope === undefined) {
      scope = { key, facts, resolved: [] }
      this.#scopes.set(key, scope)
    }
    return scope
  }

  /** Forgets scopes that no peer uses any more. */
  retain(used: ReadonlySet<ResolutionScope>): void {
    for (const [key, scope] of this.#scopes) if (!used.has(scope)) this.#scopes.delete(key)
  }

  resolve(scope: ResolutionScope, nextHop: number): Resolution {
    const known = scope.resolved[nextHop]
    if (known !== undefined) return known
    const found = this.#resolve(scope, nextHop, [])
    scope.resolved[nextHop] = found
    if (found.dependsOnBgp) this.#hasNewDependence = true
    return found
  }

  /** True once after a next hop has come up whose resolution BGP routes may change: `watched` has grown. */
  takeNewDependence(): boolean {
    const isNew = this.#hasNewDependence
    this.#hasNewDependence = false
    return isNew
  }

  /** Takes over a new view; returns, by scope, the next hops whose answer changed. */
  setHost(host: HostView | null, resolveAll: boolean): Map<ResolutionScope, Set<number>> {
    this.#host = host
    this.#resolveAll = resolveAll
    return this.#reexamine(() => true)
  }

  /** BGP routes have changed that may carry next hops. */
  reexamineRecursive(): Map<ResolutionScope, Set<number>> {
    return this.#reexamine((resolution) => resolution.dependsOnBgp)
  }

  /** Addresses whose resolution may change when a BGP route that covers them does. */
  *watched(): Generator<IpAddress> {
    for (const { resolved } of this.#scopes.values()) {
      for (const [id, resolution] of resolved.entries()) {
        if (resolution?.dependsOnBgp !== true) continue
        const value = this.#nextHops.get(id)
        if (value !== null) yield value.address
      }
    }
  }

  #reexamine(which: (resolution: Resolution) => boolean): Map<ResolutionScope, Set<number>> {
    const changed = new Map<ResolutionScope, Set<number>>()
    for (const scope of this.#scopes.values()) {
      for (const [id, before] of scope.resolved.entries()) {
        if (before === undefined || !which(before)) continue
        if (this.#nextHops.get(id) === null) {
          scope.resolved[id] = undefined
          continue
        }
        const after = this.#resolve(scope, id, [])
        if (after.dependsOnBgp && !before.dependsOnBgp) this.#hasNewDependence = true
        if (sameResolution(before, after)) {
          if (before.dependsOnBgp !== after.dependsOnBgp) scope.resolved[id] = after
          continue
        }
        scope.resolved[id] = after
        const ids = changed.get(scope) ?? new Set()
        changed.set(scope, ids.add(id))
      }
    }
    return changed
  }

  #resolve(scope: ResolutionScope, id: number, through: readonly IpAddress[]): Resolution {
    const value = this.#nextHops.get(id)
    if (this.#resolveAll || id === NONE || value === null) return USABLE
    if (!isUsableUnicast(value.address)) return unusable(`next hop ${formatIp(value.address)} is not a unicast address`)
    const host = this.#host
    if (host === null) return unusable('the network of this host is not known yet')
    if (host.isOwn(value.address)) return unusable(`next hop ${formatIp(value.address)} is our own address`)
    const onLink = linkLocalOf(value, scope, host)
    if (onLink !== null) return onLink
    return this.#resolveGlobal(scope, value.address, host, through)
  }

  #resolveGlobal(scope: ResolutionScope, address: IpAddress, host: HostView, through: readonly IpAddress[]): Resolution {
    const { onLinkOf } = scope.facts
    const match = host.match(address)
    const connected = match?.routes.find(({ gateway }) => gateway === null)
    if (connected !== undefined)
      return usable(connected.metric, [{ gateway: address, interfaceIndex: connected.interfaceIndex, onlink: false }], false)
    if (onLinkOf !== null && compareIp(onLinkOf, address) !== 0)
      return unusable(`next hop ${formatIp(address)} is not on the link to the peer (RFC 4271 §5.1.3)`)
    if (onLinkOf === null && through.length < MAX_DEPTH) {
      const longerThan = match?.prefix.length ?? -1
      for (const route of this.#findCovering(address, longerThan)) {
        const next = this.#nextHops.get(route.nextHop)
        if (next === null || next.address === address || through.includes(next.address)) continue // not through itself (RFC 4271 §9.1.2.1)
        const found = this.#resolve(route.scope, route.nextHop, [...through, address])
        if (found.metric >= 0) return usable(found.metric, found.nextHops, true)
      }
    }
    if (match === null) return { ...unusable(`no route to next hop ${formatIp(address)}`), dependsOnBgp: onLinkOf === null }
    return usable(
      match.routes[0]?.metric ?? 0,
      match.routes.flatMap(({ gateway, interfaceIndex }) =>
        gateway === null ? [] : [{ gateway, interfaceIndex, onlink: !host.isOnLink(gateway, interfaceIndex) }],
      ),
      onLinkOf === null,
    )
  }
}

/** A link-local next hop, alone or beside a global one, is used as it is on the session's own link (RFC 2545 §3). */
function linkLocalOf({ address, linkLocal }: NextHop, { facts }: ResolutionScope, host: HostView): Resolution | null {
  const alone = isLinkLocalIpv6(address)
  const gateway = linkLocal ?? (alone ? address : null)
  if (gateway === null) return null
  const { interfaceIndex } = facts
  if (interfaceIndex === null)
    return alone ? unusable(`link-local next hop ${formatIp(address)} from a peer that is not on a link of ours`) : null
  if (host.isOwn(gateway) && host.linkLocalOn(interfaceIndex) === gateway)
    return unusable(`next hop ${formatIp(gateway)} is our own address`)
  // Beside a global address on another link, the link-local one is of no use to us.
  if (!alone && host.connectedTo(address)?.interfaceIndex !== interfaceIndex) return null
  if (!host.isUp(interfaceIndex)) return unusable(`the link of next hop ${formatIp(gateway)} is down`)
  return usable(0, [{ gateway, interfaceIndex, onlink: false }], false)
}

function usable(metric: number, nextHops: readonly FibNextHop[], dependsOnBgp: boolean): Resolution {
  return { metric, reason: null, nextHops: sortedNextHops(nextHops), dependsOnBgp }
}

function unusable(reason: string): Resolution {
  return { metric: -1, reason, nextHops: [], dependsOnBgp: false }
}

/** Sorted and distinct, as a FIB batch wants them. */
export function sortedNextHops(nextHops: readonly FibNextHop[]): readonly FibNextHop[] {
  if (nextHops.length < 2) return nextHops
  return [...nextHops].sort(compareFibNextHop).filter((hop, at, all) => at === 0 || compareFibNextHop(hop, all[at - 1] ?? hop) !== 0)
}

function compareFibNextHop(a: FibNextHop, b: FibNextHop): number {
  return a.interfaceIndex - b.interfaceIndex || compareIp(a.gateway, b.gateway) || Number(a.onlink) - Number(b.onlink)
}

export function nextHopKey({ gateway, interfaceIndex, onlink }: FibNextHop): string {
  return `${isIpv4(gateway) ? '' : '6:'}${gateway}%${interfaceIndex}${onlink ? '!' : ''}`
}

function sameResolution(a: Resolution, b: Resolution): boolean {
  return (
    a.metric === b.metric &&
    a.reason === b.reason &&
    a.nextHops.length === b.nextHops.length &&
    a.nextHops.every((hop, at) => compareFibNextHop(hop, b.nextHops[at] ?? hop) === 0)
  )
}
