// What the kernel's table should hold, and what to write so that it does: own blocks as blackholes, helper routes to peers that
// are `reachableBy` a gateway, BGP's best paths; then, row by row, desired minus actual. Pure: no I/O, no clock.
import {
  containsAddress,
  type FibNextHop,
  familyOf,
  formatIp,
  type IpAddress,
  type IpFamily,
  isLinkLocalIpv6,
  type Prefix,
  prefix,
  prefixFamily,
} from '../net/index.ts'
import { CREATE, type HostAddress, REMOVE, REPLACE } from './backend.ts'
import { BLACKHOLE, fitsFamily, type NextHop, type RouteBody, shareNextHop, unicast } from './route.ts'
import type { Shape } from './shape.ts'

/** Routes this node needs whatever BGP says. Replaces what was asked before. */
export type LocalRoutes = {
  /** Own blocks: addresses in them that no pod has must not follow a default route back to the fabric. */
  readonly blackholes: readonly Prefix[]
  /** Peers that are reachable by a gateway only (`reachableBy`). The gateway is on a link of this host. */
  readonly statics: readonly { readonly prefix: Prefix; readonly gateway: IpAddress }[]
  /** This node's address of each family, the source of packets it sends itself. */
  readonly preferredSource: { readonly ipv4: IpAddress | null; readonly ipv6: IpAddress | null }
}

export const NO_LOCAL_ROUTES: LocalRoutes = { blackholes: [], statics: [], preferredSource: { ipv4: null, ipv6: null } }

export type LocalEntry = { readonly prefix: Prefix; readonly shape: Shape }

/**
 * The address to prefer as source, or null while this host does not have it in usable state: the kernel refuses, or silently
 * drops, every route that names a source it does not own.
 */
export function usableSource(family: IpFamily, local: LocalRoutes, addresses: readonly HostAddress[]): IpAddress | null {
  const wanted = family === 4 ? local.preferredSource.ipv4 : local.preferredSource.ipv6
  return wanted !== null && addresses.some(({ address, isUsable }) => isUsable && address === wanted) ? wanted : null
}

/** This node's own routes of one family. A static wins over a blackhole for the same prefix. */
export function planLocal(family: IpFamily, local: LocalRoutes, addresses: readonly HostAddress[]): readonly LocalEntry[] {
  const source = usableSource(family, local, addresses)
  const blackholes = local.blackholes.map((own): LocalEntry => ({ prefix: own, shape: { kind: 'body', body: BLACKHOLE } }))
  const statics = local.statics.map((each): LocalEntry => ({ prefix: each.prefix, shape: staticShape(each.gateway, source, addresses) }))
  return [...blackholes, ...statics].filter((entry) => prefixFamily(entry.prefix) === family)
}

function staticShape(gateway: IpAddress, source: IpAddress | null, addresses: readonly HostAddress[]): Shape {
  if (isLinkLocalIpv6(gateway)) return { kind: 'impossible', reason: `gateway ${formatIp(gateway)} is link-local: it names no interface` }
  const onLink = addresses
    .filter((own) => familyOf(own.address) === familyOf(gateway) && containsAddress(prefix(own.address, own.prefixLength), gateway))
    .sort((a, b) => b.prefixLength - a.prefixLength || a.interfaceIndex - b.interfaceIndex)
  const [best] = onLink
  if (best === undefined) return { kind: 'impossible', reason: `no interface of this host is on the link of gateway ${formatIp(gateway)}` }
  if (onLink.some((own) => own.address === gateway)) {
    return { kind: 'impossible', reason: `gateway ${formatIp(gateway)} is an address of this host` }
  }
  return { kind: 'body', body: unicast([{ gateway, interfaceIndex: best.interfaceIndex, onlink: false }], source) }
}

/** More would make one route longer than the messages we build. */
const MAX_NEXT_HOPS = 256

/**
 * What a next hop set of BGP comes to in the kernel. What leaves by `outerInterface`, the IPv6 tunnel, names the far node as the
 * destination of an outer header and not as a gateway: of an IPv6 gateway the kernel demands that no route but the default one
 * leads to it by another interface (ip6_route_check_nh_onlink), and one to the far node's subnet usually does.
 */
export function planNextHops(
  family: IpFamily,
  nextHops: readonly FibNextHop[] | undefined,
  source: IpAddress | null,
  outerInterface: number | null = null,
): Shape {
  if (nextHops === undefined || nextHops.length === 0) return { kind: 'impossible', reason: 'the speaker named no next hop' }
  if (nextHops.length > MAX_NEXT_HOPS) return { kind: 'impossible', reason: `more than ${MAX_NEXT_HOPS} next hops` }
  if (nextHops.some((hop) => hop.interfaceIndex === 0)) return { kind: 'impossible', reason: 'a next hop names no interface' }
  const body = unicast(
    nextHops.map((hop) => (family === 6 && hop.interfaceIndex === outerInterface ? throughTunnel(hop, source) : hop)),
    source,
  )
  return fitsFamily(body, family) ? { kind: 'body', body } : { kind: 'impossible', reason: 'an IPv6 route cannot have an IPv4 gateway' }
}

function throughTunnel({ gateway, interfaceIndex }: FibNextHop, source: IpAddress | null): NextHop {
  return { gateway: null, interfaceIndex, onlink: false, outer: { destination: gateway, source } }
}

/** Nothing to write for a row. */
export const KEEP = -1
export type Decision = typeof KEEP | typeof CREATE | typeof REPLACE | typeof REMOVE

export type Row = {
  /** null: no route wanted. */
  readonly desired: Shape | null
  /** Our route in the kernel; null: none. */
  readonly installed: RouteBody | null
  readonly isSame: boolean
  /** From before our time and not asked for since. */
  readonly isStale: boolean
  /** What the kernel has refused lately. */
  readonly failing: 'nothing' | 'write' | 'removal'
  /** `taken`: another route has our metric, so ours would replace it. `connected`: see `isConnected`. */
  readonly foreign: 'none' | 'taken' | 'connected'
}

export type Policy = { readonly installRoutes: boolean; readonly maySweep: boolean }

/** What to write for one row. A changed route is replaced in one step, so that there is never none (make before break). */
export function decide(row: Row, { installRoutes, maySweep }: Policy): Decision {
  const { desired, installed, isSame, isStale, failing, foreign } = row
  const drop = installed === null || failing === 'removal' ? KEEP : REMOVE
  if (!installRoutes) return drop
  if (desired === null) return isStale && !maySweep ? KEEP : drop
  if (foreign === 'connected') return drop
  if (isSame) return KEEP
  if (desired.kind === 'impossible' || foreign === 'taken') return drop
  if (installed === null) return failing === 'write' ? KEEP : CREATE
  if (failing === 'nothing') return REPLACE
  return shareNextHop(installed, desired.body) ? KEEP : drop // while it is refused, a route partly right is better than none
}
