// The tables as one would write them without a thought for speed: everything is worked out anew from what was told, on each
// question. Import and export policy are the real ones (they are pure, and have tests of their own); everything that `Rib`
// does incrementally is done here from scratch.
import { type PathAttributes, WELL_KNOWN_COMMUNITY } from '../../../src/bgp/attributes.ts'
import type { Family } from '../../../src/bgp/family.ts'
import { PLAIN } from '../../../src/bgp/rib/encapsulation.ts'
import { ExportPolicy, type PathSource } from '../../../src/bgp/rib/export-policy.ts'
import { HostView } from '../../../src/bgp/rib/host-view.ts'
import { ImportPolicy } from '../../../src/bgp/rib/import-policy.ts'
import type { RibConfig, RibPeerConfig, RibSession } from '../../../src/bgp/rib/index.ts'
import { NextHopResolver } from '../../../src/bgp/rib/next-hop-resolver.ts'
import { NextHopTable } from '../../../src/bgp/rib/next-hop-table.ts'
import type { PolicyCase } from '../../../src/bgp/rib/outcome-cache.ts'
import { exportFacts, importFacts, newPeerEntry, type PeerEntry, scopeFacts } from '../../../src/bgp/rib/peer-entry.ts'
import { applyOperations, decidingRule } from '../../../src/bgp/rib/policy.ts'
import { wordsOf } from '../../../src/bgp/rib/prefix-words.ts'
import {
  cidr,
  compareIp,
  containsAddress,
  covers,
  familyOf,
  formatIp,
  type HostNetwork,
  type IpAddress,
  isIpv4,
  prefixFamily,
} from '../../../src/net/index.ts'

export type ModelPath = { raw: PathAttributes; stale: boolean; longLived: boolean; seen: boolean }

/** One peer: what it told, by family and `prefix#pathId`. */
export class ModelPeer {
  readonly entry: PeerEntry
  readonly told: Record<Family, Map<string, ModelPath>> = { IPv4Unicast: new Map(), IPv6Unicast: new Map() }
  routerId = 0

  constructor(id: number, config: RibPeerConfig) {
    this.entry = newPeerEntry(id, config)
  }

  up(session: RibSession): void {
    this.entry.session = session
    this.routerId = session.remoteRouterId
  }
}

export type Candidate = {
  readonly peer: ModelPeer | null
  readonly pathId: number
  readonly attributes: PathAttributes
  readonly metric: number
  readonly encapsulated: boolean
  readonly gateways: readonly string[]
}

export class Model {
  config: RibConfig
  host: HostNetwork | null
  readonly peers = new Map<number, ModelPeer>()
  originated = new Map<string, PathAttributes>()

  constructor(config: RibConfig, host: HostNetwork | null) {
    this.config = config
    this.host = host
  }

  prefixes(family: Family): Set<string> {
    const all = new Set<string>()
    for (const prefix of this.originated.keys()) if (prefix.includes(':') === (family === 'IPv6Unicast')) all.add(prefix)
    for (const peer of this.peers.values()) for (const key of peer.told[family].keys()) all.add(key.slice(0, key.indexOf('#')))
    return all
  }

  /** Usable paths of a prefix, best first. */
  ranking(family: Family, prefix: string): Candidate[] {
    let left = this.candidates(family, prefix)
    const ranked: Candidate[] = []
    while (left.length > 0) {
      const best = bestOf(left)
      ranked.push(best)
      left = left.filter((each) => each !== best)
    }
    return ranked
  }

  candidates(family: Family, prefix: string): Candidate[] {
    const found: Candidate[] = []
    const own = this.originated.get(prefix)
    if (own !== undefined) found.push({ peer: null, pathId: 0, attributes: own, metric: 0, encapsulated: false, gateways: [] })
    const host = this.host === null ? null : new HostView(this.host)
    for (const peer of this.peers.values()) {
      for (const [key, path] of peer.told[family]) {
        if (key.slice(0, key.indexOf('#')) !== prefix) continue
        const imported = this.imported(peer, family, prefix, path)
        if (imported === null) continue
        const plain = this.#resolve(peer, imported, host)
        if (plain.metric < 0) continue
        const { metric } = plain
        const tunnel = this.#tunnel(prefix, imported, host)
        if (tunnel !== null && tunnel.interfaceIndex === null) continue
        const nextHops = tunnel === null ? plain.nextHops : [tunnel]
        const gateways = nextHops.map(
          ({ gateway, interfaceIndex, onlink }) => `${formatIp(gateway)}%${interfaceIndex}${onlink ? ' onlink' : ''}`,
        )
        const pathId = Number(key.slice(key.indexOf('#') + 1))
        found.push({ peer, pathId, attributes: imported, metric, encapsulated: tunnel !== null, gateways })
      }
    }
    return found
  }

  /** Paths refused for our own AS at the end of their AS_PATH, where nothing carries their prefix plain. */
  ownAsRejected(peer: ModelPeer): number {
    const { asn, importBounds } = this.config
    if (peer.entry.config.asn === asn) return 0
    return (['IPv4Unicast', 'IPv6Unicast'] as const)
      .flatMap((family) => [...peer.told[family]].map(([key, { raw }]) => ({ family, prefix: key.slice(0, key.indexOf('#')), raw })))
      .filter(({ raw }) => raw.asPath.at(-1)?.asns.at(-1) === asn)
      .filter(({ prefix }) => importBounds.some((bound) => covers(bound, cidr(prefix))))
      .filter(({ family, prefix }) => this.ranking(family, prefix)[0]?.encapsulated !== false).length
  }

  imported(peer: ModelPeer, family: Family, prefix: string, path: ModelPath): PathAttributes | null {
    const policy = new ImportPolicy(importFacts(this.config, peer.entry, family))
    const imported = evaluate(policy, path.raw, 0, prefix)
    if (imported === null || !path.longLived) return imported
    const { LLGR_STALE } = WELL_KNOWN_COMMUNITY
    if (imported.communities.includes(LLGR_STALE)) return imported
    return { ...imported, communities: [...imported.communities, LLGR_STALE].sort((a, b) => a - b) }
  }

  /** What `peer` should hold of a family: key to attributes; with add-path the identifiers are not predicted, so `prefix#n` counts up in order of preference. */
  heldBy(peer: ModelPeer, family: Family): Map<string, PathAttributes[]> {
    const held = new Map<string, PathAttributes[]>()
    const { session, config } = peer.entry
    if (session === null || !session.families.includes(family)) return held
    const host = this.host === null ? null : new HostView(this.host)
    const policy = new ExportPolicy(exportFacts(this.config, peer.entry, session, family, host), {
      source: (id) => this.#source(id),
      isPeerAddress: (address) => this.#isPeerAddress(address),
    })
    const hasAddPath = session.addPathSend.includes(family)
    for (const prefix of this.prefixes(family)) {
      const ranked = this.ranking(family, prefix)
      const several: PathAttributes[] = []
      let sendable = 0
      for (const { peer: source, attributes } of hasAddPath ? ranked : ranked.slice(0, 1)) {
        const exported = evaluate(policy, attributes, source?.entry.id ?? 0, prefix)
        if (exported === null || sendable >= (hasAddPath ? Math.max(1, config.addPath.send) : 1)) continue
        sendable++
        if (source !== peer) several.push(exported)
      }
      if (several.length > 0) held.set(prefix, several)
    }
    return held
  }

  /** Prefix to gateways. */
  fib(): Map<string, readonly string[]> {
    const fib = new Map<string, readonly string[]>()
    for (const family of ['IPv4Unicast', 'IPv6Unicast'] as const) {
      for (const prefix of this.prefixes(family)) {
        const best = this.ranking(family, prefix)[0]
        if (best === undefined || best.gateways.length === 0) continue
        const { mode, serviceRanges } = this.config
        if (mode === 'Host' && serviceRanges.some((range) => covers(range, cidr(prefix)))) continue // passed on, not used
        fib.set(prefix, this.#multipath(family, prefix, best))
      }
    }
    return fib
  }

  #multipath(family: Family, prefix: string, best: Candidate): readonly string[] {
    const { maximumPaths, multipathAsPathRelax } = this.config
    const equal = survivors(this.candidates(family, prefix), 9)
      .filter((each) => multipathAsPathRelax || JSON.stringify(each.attributes.asPath) === JSON.stringify(best.attributes.asPath))
      .sort((a, b) => compareFrom(9, a, b))
    const others = equal.filter((each) => !isSame(each, best)).slice(0, maximumPaths - 1)
    return [...new Set([best, ...others].flatMap(({ gateways }) => gateways))]
  }

  #resolve(peer: ModelPeer, attributes: PathAttributes, host: HostView | null) {
    const nextHops = new NextHopTable()
    const resolver = new NextHopResolver(nextHops, () => [])
    resolver.setSurroundings({ host, resolveAll: this.config.resolveAll, encapsulation: null })
    const id = attributes.nextHop === null ? 0 : nextHops.hold(attributes.nextHop)
    return resolver.resolve(resolver.scope(scopeFacts(this.config, peer.entry, host)), id, PLAIN)
  }

  /** Where the tunnel leads that a path has to take, or null; without an interface: it cannot. */
  #tunnel(prefix: string, { nextHop }: PathAttributes, host: HostView | null) {
    const { encapsulation } = this.config
    if (encapsulation === null || nextHop === null || host === null) return null
    const to = cidr(prefix)
    const { address } = nextHop
    const pool = encapsulation.pools.filter((each) => covers(each.prefix, to)).sort((a, b) => b.prefix.length - a.prefix.length)[0]
    if (pool === undefined || prefixFamily(to) !== familyOf(address) || !encapsulation.nodes.includes(address)) return null
    if (encapsulation.nodes.some((node) => containsAddress(to, node))) return null
    const isOnLink = host.match(address)?.routes.some(({ gateway }) => gateway === null) === true
    if (pool.mode === 'CrossSubnet' && isOnLink) return null
    const { ipv4, ipv6 } = encapsulation.device
    const name = isIpv4(address) ? ipv4 : ipv6
    const device = this.host?.interfaces.find((each) => each.name === name && each.up)
    return { gateway: address, interfaceIndex: device?.index ?? null, onlink: true }
  }

  #source(id: number): PathSource {
    const peer = this.peers.get(id)
    if (peer === undefined) return { kind: 'local', isClient: false, routerId: null, address: null }
    const { config } = peer.entry
    return {
      kind: config.asn === this.config.asn ? 'iBGP' : 'eBGP',
      isClient: config.routeReflectorClient,
      routerId: peer.routerId as PathSource['routerId'],
      address: config.address,
    }
  }

  #isPeerAddress(address: IpAddress): boolean {
    return [...this.peers.values()].some(({ entry }) => entry.config.address === address)
  }
}

function isSame(a: Candidate, b: Candidate): boolean {
  return a.peer === b.peer && a.pathId === b.pathId
}

function evaluate(policy: PolicyCase, attributes: PathAttributes, source: number, prefix: string): PathAttributes | null {
  const judged = policy.judge(attributes, source)
  if (judged.kind === 'rejected') return null
  const { w0, w1, w2, w3, length } = wordsOf(cidr(prefix))
  if (policy.refuses(w0, w1, w2, w3, length) !== null) return null
  const placed = decidingRule(judged.residue, w0, w1, w2, w3, length)
  if (placed === null && policy.refusesByDefault(w0, w1, w2, w3, length) !== null) return null
  if (placed?.rule.action === 'Reject') return null
  const finished = policy.finish(applyOperations(judged.base, placed?.rule.operations ?? []), attributes, source)
  return typeof finished === 'string' ? null : finished
}

const ORIGINS = ['igp', 'egp', 'incomplete']
const hops = ({ attributes }: Candidate): number =>
  attributes.asPath.reduce((sum, { type, asns }) => sum + (type === 'sequence' ? asns.length : type === 'set' ? 1 : 0), 0)
const neighbour = ({ attributes }: Candidate): number =>
  attributes.asPath[0]?.type === 'sequence' ? (attributes.asPath[0].asns[0] ?? 0) : 0
const isExternal = ({ peer }: Candidate): boolean =>
  peer?.entry.session?.peerType === 'eBGP' || (peer !== null && peer.entry.config.asn !== 65_000)

/** Steps of bgp.md 2.4 in order, and plain before encapsulated; negative: the first is better. MED only says something between equal neighbours. */
const STEPS: readonly ((a: Candidate, b: Candidate) => number)[] = [
  (a, b) => Number(isLongLived(a)) - Number(isLongLived(b)),
  (a, b) => Number(a.peer !== null) - Number(b.peer !== null),
  (a, b) => (b.attributes.localPref ?? 100) - (a.attributes.localPref ?? 100),
  (a, b) => Number(a.encapsulated) - Number(b.encapsulated),
  (a, b) => hops(a) - hops(b),
  (a, b) => ORIGINS.indexOf(a.attributes.origin) - ORIGINS.indexOf(b.attributes.origin),
  (a, b) => (neighbour(a) === neighbour(b) ? (a.attributes.med ?? 0) - (b.attributes.med ?? 0) : 0),
  (a, b) => Number(isExternal(b)) - Number(isExternal(a)),
  (a, b) => a.metric - b.metric,
  (a, b) => (a.attributes.originatorId ?? a.peer?.routerId ?? 0) - (b.attributes.originatorId ?? b.peer?.routerId ?? 0),
  (a, b) => a.attributes.clusterList.length - b.attributes.clusterList.length,
  (a, b) => (a.peer === null || b.peer === null ? 0 : compareIp(a.peer.entry.config.address, b.peer.entry.config.address)),
  (a, b) => (a.peer === b.peer || a.peer === null || b.peer === null ? 0 : a.peer.entry.config.key < b.peer.entry.config.key ? -1 : 1),
  (a, b) => a.pathId - b.pathId,
]

function isLongLived({ attributes }: Candidate): boolean {
  return attributes.communities.includes(WELL_KNOWN_COMMUNITY.LLGR_STALE)
}

/** RFC 4271 §9.1.2.2 to the letter: at each step, remove what another that is left beats. */
function survivors(candidates: readonly Candidate[], steps: number): Candidate[] {
  let left = [...candidates]
  for (const step of STEPS.slice(0, steps)) {
    const before = left
    left = before.filter((each) => !before.some((other) => step(other, each) < 0))
  }
  return left
}

function bestOf(candidates: readonly Candidate[]): Candidate {
  const [best] = survivors(candidates, STEPS.length)
  if (best === undefined) throw new Error('a choice among nothing')
  return best
}

function compareFrom(first: number, a: Candidate, b: Candidate): number {
  for (const step of STEPS.slice(first)) {
    const difference = step(a, b)
    if (difference !== 0) return difference
  }
  return 0
}
