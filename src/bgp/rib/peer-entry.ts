// One configured peer as the tables see it, and the facts that policy and encoding follow from.
import { type IpAddress, type Ipv6, isIpv6, isLinkLocalIpv6, type Prefix } from '../../net/index.ts'
import type { NextHop } from '../attributes.ts'
import type { Family } from '../family.ts'
import { ipFamilyOf } from '../family.ts'
import type { Filter } from '../filter.ts'
import type { EncodeContext } from '../wire/index.ts'
import { Arrivals } from './arrivals.ts'
import type { RibConfig, RibPeerConfig, RibSession } from './contract.ts'
import type { ExportFacts } from './export-policy.ts'
import type { HostView } from './host-view.ts'
import type { ImportFacts, ImportPolicy } from './import-policy.ts'
import type { ScopeFacts } from './next-hop-resolver.ts'
import type { OutcomeCache } from './outcome-cache.ts'
import type { Member, UpdateGroup } from './update-group.ts'

/** What a peer has in one family. */
export type PeerFamily = {
  readonly arrivals: Arrivals
  imports: { readonly key: string; readonly cache: OutcomeCache; readonly policy: ImportPolicy } | null
  /** Where it is told from, while a session carries the family. */
  told: { readonly group: UpdateGroup; readonly member: Member } | null
}

export type PeerEntry = {
  readonly id: number
  config: RibPeerConfig
  session: RibSession | null
  readonly families: Readonly<Record<Family, PeerFamily>>
  /** Removed by configuration; its number is free again once its paths are gone. */
  isRemoved: boolean
}

export function newPeerEntry(id: number, config: RibPeerConfig): PeerEntry {
  const family = (): PeerFamily => ({ arrivals: new Arrivals(), imports: null, told: null })
  return { id, config, session: null, families: { IPv4Unicast: family(), IPv6Unicast: family() }, isRemoved: false }
}

/** What we call ourselves towards the peer. */
function localAsnOf({ asn }: RibConfig, { localAsn }: RibPeerConfig): RibConfig['asn'] {
  return localAsn ?? asn
}

export function peerTypeOf(config: RibConfig, peer: PeerEntry): 'eBGP' | 'iBGP' {
  return peer.session?.peerType ?? (peer.config.asn === localAsnOf(config, peer.config) ? 'iBGP' : 'eBGP')
}

/** External, and on the same link: what RFC 4271 §5.1.3 says about next hops applies. */
function isSingleHop(config: RibConfig, peer: PeerEntry): boolean {
  const { ebgpMultihop, ttlSecurity } = peer.config
  return peerTypeOf(config, peer) === 'eBGP' && ebgpMultihop === null && (ttlSecurity ?? 1) <= 1
}

/** The interface a session runs over, if its peer is on a link of ours. */
function linkOf({ config }: PeerEntry, host: HostView | null): number | null {
  if (host === null) return null
  if (config.interface !== null) return host.interfaceNamed(config.interface)
  return host.connectedTo(config.address)?.interfaceIndex ?? null
}

export function scopeFacts(config: RibConfig, peer: PeerEntry, host: HostView | null): ScopeFacts {
  return { onLinkOf: isSingleHop(config, peer) ? peer.config.address : null, interfaceIndex: linkOf(peer, host) }
}

function filtersOf(config: RibConfig, names: readonly string[]): readonly Filter[] {
  return names.flatMap((name) => config.filters[name] ?? [])
}

export function importFacts(config: RibConfig, peer: PeerEntry, family: Family): ImportFacts {
  const { mode, asn, routerId, clusterId, importBounds, serviceRanges } = config
  const { config: own } = peer
  const peerType = peerTypeOf(config, peer)
  return {
    family,
    mode,
    peerType,
    clusterNode: own.clusterNode,
    ownAsns: [...new Set([asn, localAsnOf(config, own)])],
    allowLocalAs: own.allowLocalAs,
    routerId,
    clusterId,
    remoteAsn: own.asn,
    role: own.role,
    filters: filtersOf(config, own.filters),
    importBounds,
    serviceRanges,
  }
}

export function exportFacts(config: RibConfig, peer: PeerEntry, session: RibSession, family: Family, host: HostView | null): ExportFacts {
  const { config: own } = peer
  const { peerType, fourOctetAs, extendedMessage, addPathSend, extendedNextHop, longLived } = session
  const context: EncodeContext = { peerType, fourOctetAs, extendedMessage, addPathSend: new Set(addPathSend), extendedNextHop }
  return {
    family,
    mode: config.mode,
    peerType,
    isClient: own.routeReflectorClient,
    clusterId: config.clusterId,
    localAsn: localAsnOf(config, own),
    role: peerType === 'eBGP' ? own.role : null,
    nextHopMode: own.nextHopMode,
    self: selfNextHop(peer, session, family, host),
    link: isSingleHop(config, peer) ? sharedSubnet(own.address, family, host) : null,
    longLived: longLived.some((each) => each.family === family),
    draining: config.draining,
    filters: filtersOf(config, own.filters),
    context,
  }
}

export function addPathLimit(peer: PeerEntry, session: RibSession, family: Family): number {
  return session.addPathSend.includes(family) ? Math.max(1, peer.config.addPath.send) : 0
}

function sharedSubnet(address: IpAddress, family: Family, host: HostView | null): Prefix | null {
  const connected = host?.connectedTo(address)?.prefix ?? null
  return connected !== null && isIpv6(connected.address) === (ipFamilyOf(family) === 6) ? connected : null
}

/**
 * Our own next hop for a family: the session's address where it is of that family, else one of its interface (rule 120). IPv6
 * carries our link-local address along when the peer is on the link (RFC 2545 §3). IPv4 over an IPv6 session goes by the IPv6
 * address if that was agreed on (RFC 8950).
 */
function selfNextHop(peer: PeerEntry, session: RibSession, family: Family, host: HostView | null): NextHop | null {
  const { localAddress, extendedNextHop } = session
  const isV6Session = isIpv6(localAddress)
  if (family === 'IPv4Unicast' && !isV6Session) return { address: localAddress, linkLocal: null }
  const viaV6 = family === 'IPv6Unicast' || (isV6Session && extendedNextHop)
  const link = linkOf(peer, host) ?? null
  if (!viaV6) {
    const address = host?.addressOn(link ?? host.interfaceOf(localAddress), 4, null) ?? null
    return address === null ? null : { address, linkLocal: null }
  }
  const linkLocal = linkLocalBeside(localAddress, link, host)
  if (isV6Session && !isLinkLocalIpv6(localAddress)) return { address: localAddress, linkLocal }
  const global =
    host?.addressOn(link ?? host.interfaceOf(localAddress), 6, isLinkLocalIpv6(localAddress) ? null : peer.config.address) ?? null
  if (global !== null) return { address: global, linkLocal }
  // Nothing but link-local addresses on the link: it stands in for the global one, as BIRD and FRR do.
  return isLinkLocalIpv6(localAddress) && isIpv6(localAddress) ? { address: localAddress, linkLocal: localAddress } : null
}

function linkLocalBeside(localAddress: IpAddress, link: number | null, host: HostView | null): Ipv6 | null {
  if (isIpv6(localAddress) && isLinkLocalIpv6(localAddress)) return localAddress
  return link === null ? null : (host?.linkLocalOn(link) ?? null)
}

/** A short name for each distinct value ever seen: equal numbers, equal values. */
export class Serials {
  readonly #numbers = new Map<string, number>()

  of(value: unknown): number {
    const text = JSON.stringify(value, bigintAsText)
    const known = this.#numbers.get(text)
    if (known !== undefined) return known
    this.#numbers.set(text, this.#numbers.size + 1)
    return this.#numbers.size
  }
}

/** Group key: everything that makes what peers are told, or its encoding, differ. */
export function exportKey(facts: ExportFacts, limit: number, filterKeys: readonly number[]): string {
  const { filters: _, context, ...rest } = facts
  return JSON.stringify([rest, limit, filterKeys, { ...context, addPathSend: [...context.addPathSend] }], bigintAsText)
}

function bigintAsText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? `${value}n` : value
}
