// A Rib with peers that remember what they were told: every chunk is decoded with the real codec and applied to a table, so
// that tests speak about what a peer holds, not about messages.
import { type Community, community, ORIGINATED, type PathAttributes, routerId } from '../../../src/bgp/attributes.ts'
import { FAMILIES, type Family, ipFamilyOf } from '../../../src/bgp/family.ts'
import type { Filter, FilterRule } from '../../../src/bgp/filter.ts'
import { type PeerId, Rib, type RibConfig, type RibPeerConfig, type RibSession } from '../../../src/bgp/rib/index.ts'
import type { RouteStatus } from '../../../src/bgp/status.ts'
import { createDecodeContext, decodeMessage, decodePrefixes, type NlriRun, type UpdateMessage } from '../../../src/bgp/wire/index.ts'
import {
  type Asn,
  asn,
  cidr,
  type FibBatch,
  type FibNextHop,
  formatIp,
  formatPrefix,
  type HostNetwork,
  ip,
  ipFromBytes,
  type Prefix,
  prefix,
} from '../../../src/net/index.ts'
import { encodePrefixes, nlriRun } from '../wire/runs.ts'

export const V4: Family = 'IPv4Unicast'
export const V6: Family = 'IPv6Unicast'

export const CONFIG: RibConfig = {
  asn: asn(65_000),
  routerId: routerId(0x0a00_00fe),
  mode: 'Router',
  clusterId: null,
  maximumPaths: 1,
  multipathAsPathRelax: false,
  filters: {},
  importBounds: [],
  serviceRanges: [],
  encapsulation: null,
  installRoutes: true,
  resolveAll: false,
  draining: false,
}

/** A host on 10.0.0.0/24 and 2001:db8::/64 with a default route, both addresses on eth0 (index 2), a second link eth1. */
export const HOST: HostNetwork = {
  routes: [
    { prefix: cidr('10.0.0.0/24'), interfaceIndex: 2, gateway: null, metric: 0 },
    { prefix: cidr('2001:db8::/64'), interfaceIndex: 2, gateway: null, metric: 0 },
    { prefix: cidr('10.1.0.0/24'), interfaceIndex: 3, gateway: null, metric: 0 },
    { prefix: cidr('172.16.0.0/12'), interfaceIndex: 2, gateway: ip('10.0.0.1'), metric: 20 },
  ],
  localAddresses: [
    { address: ip('10.0.0.254'), prefixLength: 24, interfaceIndex: 2 },
    { address: ip('2001:db8::fe'), prefixLength: 64, interfaceIndex: 2 },
    { address: ip('fe80::fe'), prefixLength: 64, interfaceIndex: 2 },
    { address: ip('10.1.0.254'), prefixLength: 24, interfaceIndex: 3 },
    { address: ip('fe80::1:fe'), prefixLength: 64, interfaceIndex: 3 },
  ],
  interfaces: [
    { index: 2, name: 'eth0', up: true },
    { index: 3, name: 'eth1', up: true },
  ],
}

export function peerConfig(key: string, address: string, number: number, more: Partial<RibPeerConfig> = {}): RibPeerConfig {
  return {
    key,
    address: ip(address),
    interface: null,
    asn: asn(number),
    localAsn: null,
    addPath: { receive: false, send: 0 },
    role: null,
    ttlSecurity: null,
    ebgpMultihop: null,
    filters: [],
    allowLocalAs: 0,
    nextHopMode: 'Auto',
    routeReflectorClient: false,
    clusterNode: false,
    ...more,
  }
}

export function sessionOf(config: RibPeerConfig, more: Partial<RibSession> = {}): RibSession {
  const isInternal = config.asn === (config.localAsn ?? CONFIG.asn)
  return {
    peerType: isInternal ? 'iBGP' : 'eBGP',
    remoteAsn: config.asn,
    remoteRouterId: routerId(typeof config.address === 'number' ? config.address : Number(config.address & 0xffff_ffffn) || 1),
    localAddress: typeof config.address === 'number' ? ip('10.0.0.254') : ip('2001:db8::fe'),
    families: [V4],
    fourOctetAs: true,
    extendedMessage: false,
    addPathSend: config.addPath.send > 0 ? [V4] : [],
    addPathReceive: [],
    extendedNextHop: false,
    role: config.role,
    longLived: [],
    ...more,
  }
}

/** `path('10.0.0.1', [65001, 7])`. */
export function path(nextHop: string, asns: readonly number[], more: Partial<PathAttributes> = {}): PathAttributes {
  return {
    ...ORIGINATED,
    nextHop: { address: ip(nextHop), linkLocal: null },
    asPath: asns.length === 0 ? [] : [{ type: 'sequence', asns: asns.map(asn) }],
    ...more,
  }
}

export function communities(...values: readonly number[]): readonly Community[] {
  return values.map(community).sort((a, b) => a - b)
}

export function rule(action: 'Accept' | 'Reject', more: Partial<FilterRule> = {}): FilterRule {
  return {
    action,
    prefix: null,
    communities: null,
    asPathPrefix: null,
    asPathContains: null,
    source: null,
    peerType: null,
    operations: [],
    ...more,
  }
}

export function filter(name: string, rules: { readonly import?: readonly FilterRule[]; readonly export?: readonly FilterRule[] }): Filter {
  const { import: inward = [], export: outward = [] } = rules
  return { name, import: { 4: inward, 6: inward }, export: { 4: outward, 6: outward } }
}

/** What a peer holds, by prefix (with `#id` where path identifiers are in use). */
export type Held = Map<string, PathAttributes>

export class TestPeer {
  readonly id: PeerId
  config: RibPeerConfig
  session: RibSession | null = null
  readonly held: Held = new Map()
  /** False: the next delivery fills its buffer. */
  hasRoom = true
  isBlocked = false
  messages = 0
  readonly tablesSent: Family[] = []
  /** What the Rib must never do; looked at by `expectNoFaults`. */
  readonly faults: string[] = []
  #context = createDecodeContext({
    peerType: 'eBGP',
    localAsn: 0,
    peerAsn: 0,
    enforceFirstAs: false,
    fourOctetAs: true,
    extendedMessage: false,
    families: new Set(FAMILIES),
    addPathReceive: new Set(),
    extendedNextHop: true,
  })

  constructor(id: PeerId, config: RibPeerConfig) {
    this.id = id
    this.config = config
  }

  up(session: RibSession): void {
    this.session = session
    this.held.clear()
    this.isBlocked = false
    this.tablesSent.length = 0
    this.#context = createDecodeContext({
      peerType: session.peerType,
      localAsn: session.remoteAsn,
      peerAsn: CONFIG.asn,
      enforceFirstAs: false,
      fourOctetAs: session.fourOctetAs,
      extendedMessage: session.extendedMessage,
      families: new Set(FAMILIES),
      addPathReceive: new Set(session.addPathSend),
      extendedNextHop: session.extendedNextHop,
    })
  }

  take(chunks: readonly Uint8Array[]): boolean {
    if (this.session === null) this.faults.push('told something without a session')
    if (this.isBlocked) this.faults.push('told something although its buffer is full')
    for (const chunk of chunks) {
      for (let at = 0; at < chunk.length; ) {
        const length = ((chunk[at + 16] ?? 0) << 8) | (chunk[at + 17] ?? 0)
        this.#apply(chunk.subarray(at, at + length))
        at += length
      }
    }
    if (!this.hasRoom) this.isBlocked = true
    return this.hasRoom
  }

  #apply(bytes: Uint8Array): void {
    this.messages++
    const message = decodeMessage(bytes, this.#context)
    if (!message.ok || message.value.kind !== 'update') {
      this.faults.push(`not an UPDATE: ${JSON.stringify(message)}`)
      return
    }
    const { withdrawn, announced, malformations } = message.value
    for (const { reason } of malformations) this.faults.push(`malformed: ${reason}`)
    for (const run of withdrawn)
      for (const key of keysOf(run)) if (!this.held.delete(key)) this.faults.push(`${key} withdrawn, which it did not hold`)
    for (const { run, attributes } of announced) for (const key of keysOf(run)) this.held.set(key, attributes)
  }
}

function keysOf(run: NlriRun): string[] {
  return decodePrefixes(run).map((each) => (run.addPath ? `${formatPrefix(each.prefix)}#${each.pathId}` : formatPrefix(each.prefix)))
}

/** A Rib, its peers, and the FIB it asks for. */
export class Bench {
  readonly rib: Rib
  readonly peers = new Map<PeerId, TestPeer>()
  /** Prefix to gateways (`address%interface`). */
  readonly fib = new Map<string, readonly string[]>()
  readonly fibBatches: FibBatch[] = []
  wakes = 0
  readonly #sets = new Map<number, readonly FibNextHop[]>()

  constructor(config: Partial<RibConfig> = {}, host: HostNetwork | null = HOST) {
    this.rib = new Rib(
      { ...CONFIG, ...config },
      {
        deliver: (id, chunks) => this.peers.get(id)?.take(chunks) ?? false,
        tableSent: (id, family) => this.peers.get(id)?.tablesSent.push(family),
        fib: (batch) => this.#install(batch),
        wake: () => {
          this.wakes++
        },
      },
    )
    if (host !== null) this.rib.setHostNetwork(host)
  }

  /** An established peer. */
  peer(key: string, address: string, number: number, more: Partial<RibPeerConfig> = {}, session: Partial<RibSession> = {}): TestPeer {
    const peer = this.add(peerConfig(key, address, number, more))
    this.up(peer, session)
    return peer
  }

  add(config: RibPeerConfig): TestPeer {
    const peer = new TestPeer(this.rib.addPeer(config), config)
    this.peers.set(peer.id, peer)
    return peer
  }

  up(peer: TestPeer, more: Partial<RibSession> = {}): void {
    const session = sessionOf(peer.config, more)
    peer.up(session)
    this.rib.sessionUp(peer.id, session)
  }

  announce(peer: TestPeer, attributes: PathAttributes, ...prefixes: readonly string[]): void {
    this.rib.applyUpdate(peer.id, announcement(attributes, prefixes))
    this.settle()
  }

  withdraw(peer: TestPeer, ...prefixes: readonly string[]): void {
    this.rib.applyUpdate(peer.id, withdrawal(prefixes))
    this.settle()
  }

  settle(budget?: number): void {
    for (let turns = 0; this.rib.flush(budget); turns++) if (turns > 100_000) throw new Error('the tables do not come to rest')
  }

  /** Everything of the Loc-RIB about a prefix. */
  route(text: string): RouteStatus | undefined {
    const at = cidr(text)
    return this.rib.locRib({ family: familyOfPrefix(at), prefix: at, after: 0, limit: 1 }).routes[0]
  }

  /** The best path of a prefix: who told it. */
  best(text: string): string | null {
    return this.route(text)?.paths.find(({ best }) => best)?.peer ?? null
  }

  reason(text: string, peer: string): string | undefined {
    return this.route(text)?.paths.find((each) => each.peer === peer)?.reason
  }

  faults(): string[] {
    return [...this.peers.values()].flatMap((peer) => peer.faults.map((fault) => `${peer.config.key}: ${fault}`))
  }

  #install({ family, count, addresses, lengths, nextHopSets, newSets }: FibBatch): void {
    this.fibBatches.push({ family, count, addresses, lengths, nextHopSets, newSets })
    for (const { id, nextHops } of newSets) {
      if (this.#sets.has(id)) throw new Error(`next hop set ${id} is shown twice`)
      this.#sets.set(id, nextHops)
    }
    const octets = family === 4 ? 4 : 16
    for (let at = 0; at < count; at++) {
      const key = formatPrefix(prefix(ipFromBytes(family, addresses, at * octets), lengths[at] ?? 0))
      const set = nextHopSets[at] ?? 0
      if (set === 0) {
        if (!this.fib.delete(key)) throw new Error(`route to ${key} removed, which was not there`)
        continue
      }
      const hops = this.#sets.get(set)
      if (hops === undefined) throw new Error(`next hop set ${set} was never shown`)
      this.fib.set(
        key,
        hops.map(({ gateway, interfaceIndex, onlink }) => `${formatIp(gateway)}%${interfaceIndex}${onlink ? ' onlink' : ''}`),
      )
    }
  }
}

export function familyOfPrefix(value: Prefix): Family {
  return typeof value.address === 'number' ? V4 : V6
}

export function runOf(prefixes: readonly string[], pathIds: readonly number[] | null = null): NlriRun {
  const values = prefixes.map(cidr)
  const family = values[0] === undefined ? V4 : familyOfPrefix(values[0])
  return nlriRun(family, encodePrefixes(values, pathIds), pathIds !== null)
}

export function announcement(
  attributes: PathAttributes,
  prefixes: readonly string[],
  pathIds: readonly number[] | null = null,
): UpdateMessage {
  return { kind: 'update', withdrawn: [], announced: [{ run: runOf(prefixes, pathIds), attributes }], endOfRib: null, malformations: [] }
}

export function withdrawal(prefixes: readonly string[], pathIds: readonly number[] | null = null): UpdateMessage {
  return { kind: 'update', withdrawn: [runOf(prefixes, pathIds)], announced: [], endOfRib: null, malformations: [] }
}

export function asPathOf(attributes: PathAttributes | undefined): readonly Asn[] | undefined {
  return attributes?.asPath.flatMap(({ asns }) => asns)
}

export { ipFamilyOf }
