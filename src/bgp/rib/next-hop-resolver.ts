// Whether a next hop can be used, and through which gateways (RFC 4271 §5.1.3, §9.1.2.1). The answer depends on who told the
// path: a directly connected external peer may only name next hops on the shared link, and a link-local address means
// something on the link of its session only. Such circumstances are a `ResolutionScope`; peers in the same ones share it.
import {
  compareIp,
  type FibNextHop,
  familyOf,
  formatIp,
  type IpAddress,
  isIpv4,
  isLinkLocalIpv6,
  isUsableUnicast,
  type Prefix,
} from '../../net/index.ts'
import type { NextHop } from '../attributes.ts'
import { NONE } from './columns.ts'
import { CARRIAGES, type Carriage, type Encapsulation, PLAIN } from './encapsulation.ts'
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
  /** Through a tunnel of ours (IP-in-IP). */
  readonly encapsulated: boolean
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
  /** By index of carriage, then by number of next hop; undefined: not asked for yet. */
  readonly resolved: readonly (Resolution | undefined)[][]
}

/** What next hops are resolved against. */
export type Surroundings = {
  /** null: not known yet. */
  readonly host: HostView | null
  /** Take every next hop as usable. */
  readonly resolveAll: boolean
  readonly encapsulation: Encapsulation | null
}

/** A BGP route that covers an address: its own next hop and the scope of who told it. */
export type CoveringRoute = { readonly prefix: Prefix; readonly nextHop: number; readonly scope: ResolutionScope }
/** Candidates from the most specific on; only routes selected best, learned from a peer. */
export type FindCovering = (address: IpAddress, longerThan: number) => Iterable<CoveringRoute>

/** Routes through routes through routes: more than this is a misconfiguration, not a network. */
const MAX_DEPTH = 8

const USABLE: Resolution = { metric: 0, reason: null, nextHops: [], dependsOnBgp: false, encapsulated: false }

export class NextHopResolver {
  readonly #nextHops: NextHopTable
  readonly #findCovering: FindCovering
  readonly #scopes = new Map<string, ResolutionScope>()
  #around: Surroundings = { host: null, resolveAll: false, encapsulation: null }
  #hasNewDependence = false

  constructor(nextHops: NextHopTable, findCovering: FindCovering) {
    this.#nextHops = nextHops
    this.#findCovering = findCovering
    nextHops.onAdd.add((id) => {
      for (const { resolved } of this.#scopes.values()) for (const known of resolved) known[id] = undefined
    })
  }

  scope(facts: ScopeFacts): ResolutionScope {
    const key = `${facts.onLinkOf ?? ''}|${facts.interfaceIndex ?? ''}`
    let scope = this.#scopes.get(key)
    if (scope === undefined) {
      scope = { key, facts, resolved: CARRIAGES.map(() => []) }
      this.#scopes.set(key, scope)
    }
    return scope
  }

  /** Forgets scopes that no peer uses any more. */
  retain(used: ReadonlySet<ResolutionScope>): void {
    for (const [key, scope] of this.#scopes) if (!used.has(scope)) this.#scopes.delete(key)
  }

  /** `carriage`: how the prefix in question may go. */
  resolve(scope: ResolutionScope, nextHop: number, carriage: Carriage): Resolution {
    const resolved = scope.resolved[carriage.index]
    if (resolved === undefined) throw new RangeError(`no carriage has the number ${carriage.index}`)
    const known = resolved[nextHop]
    if (known !== undefined) return known
    const found = this.#resolve(scope, nextHop, carriage, [])
    resolved[nextHop] = found
    if (found.dependsOnBgp) this.#hasNewDependence = true
    return found
  }

  /** True once after a next hop has come up whose resolution BGP routes may change: `watched` has grown. */
  takeNewDependence(): boolean {
    const isNew = this.#hasNewDependence
    this.#hasNewDependence = false
    return isNew
  }

  /** Takes over new surroundings; returns, by scope, the next hops whose answer changed, whatever the carriage. */
  setSurroundings(around: Surroundings): Map<ResolutionScope, Set<number>> {
    this.#around = around
    return this.#reexamine(() => true)
  }

  /** BGP routes have changed that may carry next hops. */
  reexamineRecursive(): Map<ResolutionScope, Set<number>> {
    return this.#reexamine((resolution) => resolution.dependsOnBgp)
  }

  /** Addresses whose resolution may change when a BGP route that covers them does. */
  *watched(): Generator<IpAddress> {
    for (const { resolved } of this.#scopes.values()) {
      for (const known of resolved) {
        for (const [id, resolution] of known.entries()) {
          if (resolution?.dependsOnBgp !== true) continue
          const value = this.#nextHops.get(id)
          if (value !== null) yield value.address
        }
      }
    }
  }

  #reexamine(which: (resolution: Resolution) => boolean): Map<ResolutionScope, Set<number>> {
    const changed = new Map<ResolutionScope, Set<number>>()
    for (const scope of this.#scopes.values()) {
      for (const carriage of CARRIAGES) {
        const ids = this.#reexamineIn(scope, carriage, which)
        if (ids.length > 0) changed.set(scope, new Set([...(changed.get(scope) ?? []), ...ids]))
      }
    }
    return changed
  }

  #reexamineIn(scope: ResolutionScope, carriage: Carriage, which: (resolution: Resolution) => boolean): readonly number[] {
    const resolved = scope.resolved[carriage.index] ?? []
    const changed: number[] = []
    for (const [id, before] of resolved.entries()) {
      if (before === undefined || !which(before)) continue
      if (this.#nextHops.get(id) === null) {
        resolved[id] = undefined
        continue
      }
      const after = this.#resolve(scope, id, carriage, [])
      if (after.dependsOnBgp && !before.dependsOnBgp) this.#hasNewDependence = true
      if (!sameResolution(before, after)) changed.push(id)
      else if (before.dependsOnBgp === after.dependsOnBgp) continue
      resolved[id] = after
    }
    return changed
  }

  #resolve(scope: ResolutionScope, id: number, carriage: Carriage, through: readonly IpAddress[]): Resolution {
    const value = this.#nextHops.get(id)
    const { host, resolveAll } = this.#around
    if (resolveAll || id === NONE || value === null) return USABLE
    const { address } = value
    if (!isUsableUnicast(address)) return unusable(`next hop ${formatIp(address)} is not a unicast address`)
    if (host === null) return unusable('the network of this host is not known yet')
    if (host.isOwn(address)) return unusable(`next hop ${formatIp(address)} is our own address`)
    const onLink = this.#isTunnelled(address, carriage, host) ? null : linkLocalOf(value, scope, host)
    if (onLink !== null) return onLink
    const underlay = this.#resolveGlobal(scope, address, host, through)
    return underlay.metric >= 0 && this.#isTunnelled(address, carriage, host) ? this.#encapsulate(address, underlay, host) : underlay
  }

  /** A node that is on-link needs no tunnel, unless there is always to be one. */
  #isTunnelled(address: IpAddress, { tunnel }: Carriage, host: HostView): boolean {
    if (tunnel === null || familyOf(address) !== tunnel.family || this.#around.encapsulation?.isNode(address) !== true) return false
    return tunnel.mode === 'Always' || host.connectedTo(address) === null
  }

  /** Onlink through the tunnel device to the node itself, which `underlay` says how to reach. */
  #encapsulate(node: IpAddress, underlay: Resolution, host: HostView): Resolution {
    const { encapsulation } = this.#around
    if (encapsulation === null) return underlay
    if (underlay.encapsulated)
      return unusable(`next hop ${formatIp(node)} is reached through a tunnel itself, and a tunnel does not go through another`)
    const { name, kernelModule } = encapsulation.deviceTo(node)
    const interfaceIndex = host.interfaceNamed(name)
    const needs = `next hop ${formatIp(node)} needs the tunnel device ${name}`
    if (interfaceIndex === null) return unusable(`${needs}, which is missing: does the kernel have the module ${kernelModule}?`)
    if (!host.isUp(interfaceIndex)) return unusable(`${needs}, which is down`)
    return { ...underlay, nextHops: [{ gateway: node, interfaceIndex, onlink: true }], encapsulated: true }
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
        const carriage = this.#around.encapsulation?.carriageOf(route.prefix) ?? PLAIN
        const found = this.#resolve(route.scope, route.nextHop, carriage, [...through, address])
        if (found.metric >= 0) return { ...found, dependsOnBgp: true }
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
  return { metric, reason: null, nextHops: sortedNextHops(nextHops), dependsOnBgp, encapsulated: false }
}

function unusable(reason: string): Resolution {
  return { metric: -1, reason, nextHops: [], dependsOnBgp: false, encapsulated: false }
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
    a.encapsulated === b.encapsulated &&
    a.nextHops.length === b.nextHops.length &&
    a.nextHops.every((hop, at) => compareFibNextHop(hop, b.nextHops[at] ?? hop) === 0)
  )
}
