// The most valuable test of the tables: after any sequence of events, every peer holds exactly what a model without any
// cleverness says it should hold, and the FIB has exactly the routes it should have.
import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import { type PathAttributes, routerId, WELL_KNOWN_COMMUNITY } from '../../../src/bgp/attributes.ts'
import type { EncapsulationConfig } from '../../../src/bgp/config.ts'
import { FAMILIES, type Family } from '../../../src/bgp/family.ts'
import type { RibConfig, RibPeerConfig, RibSession } from '../../../src/bgp/rib/index.ts'
import { cidr, type HostNetwork, ip } from '../../../src/net/index.ts'
import { Model, ModelPeer } from './model.ts'
import {
  announcement,
  Bench,
  CONFIG,
  communities,
  familyOfPrefix,
  filter,
  HOST,
  path,
  peerConfig,
  rule,
  sessionOf,
  type TestPeer,
  V4,
  V6,
  withdrawal,
} from './support.ts'

const PREFIXES = [
  '20.0.0.0/8',
  '20.1.0.0/16',
  '20.1.2.0/24',
  '20.1.2.3/32',
  '64.0.0.0/2',
  '30.0.0.0/9',
  '2a00::/16',
  '2a00:1::/32',
  '2a00:1:2::/48',
  '2c00::/6',
]

const V4_HOPS = ['10.0.0.1', '10.0.0.2', '10.0.0.3', '10.0.0.4', '172.16.0.9', '10.0.0.254', '9.9.9.9']
const V6_HOPS = ['2001:db8::1', '2001:db8::2', '2001:db8::3', '2001:dead::1']

/** Attributes to announce; external peers send no LOCAL_PREF, as the codec sees to it. */
function attributesFor(config: RibPeerConfig, family: Family, pick: number): PathAttributes {
  const isInternal = config.asn === CONFIG.asn
  const hops = family === V4 ? V4_HOPS : V6_HOPS
  const base = path(
    hops[pick % hops.length] ?? '10.0.0.1',
    isInternal ? ([[], [65_001], [65_002, 7]][pick % 3] ?? []) : [config.asn, ...([[], [7], [65_000], [8, 9]][(pick >> 2) % 4] ?? [])],
  )
  const tags =
    [[], [65_000 * 65_536 + 1], [WELL_KNOWN_COMMUNITY.NO_EXPORT], [WELL_KNOWN_COMMUNITY.NO_LLGR], [WELL_KNOWN_COMMUNITY.GRACEFUL_SHUTDOWN]][
      (pick >> 4) % 5
    ] ?? []
  return {
    ...base,
    origin: (pick >> 3) % 5 === 0 ? 'incomplete' : 'igp',
    med: [null, 10, 20][(pick >> 5) % 3] ?? null,
    localPref: isInternal ? ([100, 200][(pick >> 6) % 2] ?? 100) : null,
    originatorId: isInternal && (pick >> 7) % 4 === 0 ? routerId(0x0a00_00aa) : null,
    clusterList: isInternal && (pick >> 8) % 4 === 0 ? [routerId(77)] : [],
    communities: communities(...tags),
  }
}

const FILTERS = {
  tag: filter('tag', {
    import: [
      rule('Reject', { prefix: { cidr: cidr('20.1.2.0/24'), operator: 'In', minLength: 0, maxLength: 128 } }),
      rule('Accept', {
        communities: [{ kind: 'standard', value: communities(65_000 * 65_536 + 1)[0] ?? WELL_KNOWN_COMMUNITY.NOPEER }],
        operations: [{ kind: 'setLocalPreference', value: 300 }],
      }),
    ],
    export: [
      rule('Accept', {
        prefix: { cidr: cidr('20.0.0.0/8'), operator: 'Equal', minLength: 0, maxLength: 32 },
        operations: [{ kind: 'setMed', value: 5 }],
      }),
      rule('Reject', { asPathContains: CONFIG.asn }),
    ],
  }),
}

/** Two external peers alike, one internal pair of clients, a non-client, one with add-path, one over IPv6. */
const PEERS: readonly { readonly config: RibPeerConfig; readonly session: Partial<RibSession> }[] = [
  { config: peerConfig('ext-a', '10.0.0.1', 65_001), session: { families: [V4, V6] } },
  { config: peerConfig('ext-b', '10.0.0.2', 65_002), session: { families: [V4, V6] } },
  { config: peerConfig('client-a', '10.0.0.3', 65_000, { routeReflectorClient: true }), session: { families: [V4, V6] } },
  {
    config: peerConfig('client-b', '10.0.0.4', 65_000, { routeReflectorClient: true }),
    session: { families: [V4], longLived: [{ family: V4, forwardingPreserved: true, staleTimeSeconds: 60 }] },
  },
  { config: peerConfig('inner', '10.0.0.5', 65_000), session: { families: [V4, V6] } },
  {
    config: peerConfig('many', '10.0.0.6', 65_006, { addPath: { receive: true, send: 2 } }),
    session: { families: [V4, V6], addPathSend: [V4] },
  },
  { config: peerConfig('six', '2001:db8::7', 65_001), session: { families: [V6, V4], extendedNextHop: true } },
]

/** A host whose next hops are nodes too, one of them inside a pool, and pools inside pools. */
const TUNNELS: EncapsulationConfig = {
  pools: [
    { prefix: cidr('20.0.0.0/8'), mode: 'CrossSubnet' },
    { prefix: cidr('20.1.0.0/16'), mode: 'Always' },
    { prefix: cidr('30.0.0.0/8'), mode: 'CrossSubnet' },
    { prefix: cidr('2a00::/16'), mode: 'CrossSubnet' },
    { prefix: cidr('2c00::/6'), mode: 'Always' },
  ],
  nodes: ['172.16.0.9', '10.0.0.3', '9.9.9.9', '2001:db8::2', '2001:dead::1'].map(ip),
  device: { ipv4: 'fibipip', ipv6: 'fibip6tnl' },
}

const BOUNDS = [cidr('20.0.0.0/8'), cidr('2a00::/16')]

const CONFIGS: readonly Partial<RibConfig>[] = [
  { encapsulation: TUNNELS },
  { encapsulation: { ...TUNNELS, nodes: [...TUNNELS.nodes, ip('10.0.0.1'), ip('20.1.2.3')] }, maximumPaths: 3, multipathAsPathRelax: true },
  { encapsulation: { ...TUNNELS, pools: TUNNELS.pools.slice(1), device: { ipv4: 'eth9', ipv6: 'fibipip' } } },
  {},
  { maximumPaths: 3 },
  { maximumPaths: 3, multipathAsPathRelax: true },
  { mode: 'Host', serviceRanges: [cidr('20.1.2.0/24')], importBounds: [cidr('20.1.0.0/16'), cidr('2a00:1::/32')] },
  { clusterId: null },
  { filters: { tag: filter('tag', { export: [rule('Accept', { operations: [{ kind: 'prependAsPath', asns: [CONFIG.asn] }] })] }) } },
]

const TUNNEL = { index: 9, name: 'fibipip', up: true }
const FURTHER = { prefix: cidr('2001:dead::/32'), interfaceIndex: 2, gateway: ip('2001:db8::9'), metric: 7 }
const TUNNELLED_HOST = {
  ...HOST,
  routes: [...HOST.routes, FURTHER],
  interfaces: [...HOST.interfaces, TUNNEL, { index: 10, name: 'fibip6tnl', up: true }],
}
const HOSTS = [
  HOST,
  TUNNELLED_HOST,
  { ...HOST, interfaces: [...HOST.interfaces, { ...TUNNEL, up: false }] },
  {
    ...HOST,
    routes: [...HOST.routes, FURTHER, { prefix: cidr('172.16.0.9/32'), interfaceIndex: 2, gateway: null, metric: 1 }],
    interfaces: [...HOST.interfaces, TUNNEL],
  },
  {
    ...HOST,
    interfaces: [
      { index: 2, name: 'eth0', up: false },
      { index: 3, name: 'eth1', up: true },
    ],
  },
  { ...HOST, routes: [...HOST.routes, { prefix: cidr('0.0.0.0/0'), interfaceIndex: 3, gateway: ip('10.1.0.1'), metric: 5 }] },
  { ...HOST, routes: HOST.routes.filter(({ gateway }) => gateway === null) },
]

type Step =
  | {
      readonly kind: 'announce'
      readonly peer: number
      readonly prefixes: readonly number[]
      readonly pick: number
      readonly pathId: number
    }
  | { readonly kind: 'withdraw'; readonly peer: number; readonly prefixes: readonly number[]; readonly pathId: number }
  | { readonly kind: 'down' | 'up' | 'block' | 'unblock' | 'refresh' | 'removeAndAdd'; readonly peer: number }
  | {
      readonly kind: 'markStale' | 'longLived' | 'sweep' | 'clear' | 'beginRefresh' | 'endRefresh'
      readonly peer: number
      readonly family: Family
    }
  | { readonly kind: 'originate'; readonly prefixes: readonly number[] }
  | { readonly kind: 'configure' | 'host' | 'filters' | 'nextHopMode'; readonly value: number; readonly peer: number }
  | { readonly kind: 'pause' | 'resume'; readonly family: Family }
  | { readonly kind: 'flush'; readonly budget: number; readonly times: number }

const peer = fc.nat({ max: PEERS.length - 1 })
const family = fc.constantFrom<Family>(V4, V6)
const some = fc.uniqueArray(fc.nat({ max: PREFIXES.length - 1 }), { minLength: 1, maxLength: 4 })
const pathId = fc.nat({ max: 2 })
const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 14,
    arbitrary: fc.record({ kind: fc.constant('announce' as const), peer, prefixes: some, pick: fc.nat({ max: 4095 }), pathId }),
  },
  { weight: 5, arbitrary: fc.record({ kind: fc.constant('withdraw' as const), peer, prefixes: some, pathId }) },
  {
    weight: 8,
    arbitrary: fc.record({ kind: fc.constant('flush' as const), budget: fc.constantFrom(1, 3, 100), times: fc.nat({ max: 3 }) }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'down' as const,
        'up' as const,
        'block' as const,
        'block' as const,
        'unblock' as const,
        'refresh' as const,
        'removeAndAdd' as const,
      ),
      peer,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        'markStale' as const,
        'longLived' as const,
        'sweep' as const,
        'clear' as const,
        'beginRefresh' as const,
        'endRefresh' as const,
      ),
      peer,
      family,
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('originate' as const), prefixes: some }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('configure' as const, 'host' as const, 'filters' as const, 'nextHopMode' as const),
      value: fc.nat({ max: 71 }),
      peer,
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('pause' as const, 'resume' as const), family }) },
)

/** Rib and model side by side. */
class World {
  readonly config: RibConfig
  readonly bench: Bench
  readonly model: Model
  readonly peers: TestPeer[] = []
  readonly refreshing = new Set<string>()

  constructor(changes: Partial<RibConfig> = {}, host: HostNetwork = HOST) {
    this.config = { ...CONFIG, clusterId: routerId(500), maximumPaths: 1, filters: FILTERS, importBounds: BOUNDS, ...changes }
    this.bench = new Bench(this.config, host)
    this.model = new Model(this.config, host)
    for (const { config } of PEERS) this.#add(config)
    for (let index = 0; index < PEERS.length; index++) this.perform({ kind: 'up', peer: index })
  }

  perform(step: Step): void {
    const { rib } = this.bench
    switch (step.kind) {
      case 'announce':
        this.#announce(step)
        return
      case 'withdraw':
        this.#withdraw(step)
        return
      case 'flush':
        for (let times = 0; times <= step.times; times++) rib.flush(step.budget)
        return
      case 'originate': {
        const prefixes = step.prefixes.map((index) => PREFIXES[index] ?? '')
        rib.setOriginated(prefixes.map((each) => ({ prefix: cidr(each), communities: communities(5), largeCommunities: [] })))
        this.model.originated = new Map(
          prefixes.map((each) => [each, { ...path('0.0.0.0', []), nextHop: null, communities: communities(5) }]),
        )
        return
      }
      case 'configure':
        this.model.config = { ...this.config, ...CONFIGS[step.value % CONFIGS.length] }
        rib.configure(this.model.config)
        return
      case 'host':
        this.model.host = HOSTS[step.value % HOSTS.length] ?? HOST
        rib.setHostNetwork(this.model.host)
        return
      case 'filters':
        this.#reconfigure(step.peer, { filters: step.value % 2 === 0 ? ['tag'] : [] })
        return
      case 'nextHopMode':
        this.#reconfigure(step.peer, { nextHopMode: (['Auto', 'Self', 'Keep'] as const)[step.value % 3] ?? 'Auto' })
        return
      case 'pause':
      case 'resume':
        rib.setPaused(step.family, step.kind === 'pause')
        return
      case 'markStale':
      case 'longLived':
      case 'sweep':
      case 'clear':
      case 'beginRefresh':
      case 'endRefresh':
        this.#table(step.kind, step.peer, step.family)
        return
      default:
        this.#session(step.kind, step.peer)
    }
  }

  #at(index: number): { readonly own: TestPeer; readonly model: ModelPeer } {
    const own = this.peers[index]
    const model = own === undefined ? undefined : this.model.peers.get(own.id)
    if (own === undefined || model === undefined) throw new Error('no such peer')
    return { own, model }
  }

  #add(config: RibPeerConfig): TestPeer {
    const own = this.bench.add(config)
    this.peers.push(own)
    this.model.peers.set(own.id, new ModelPeer(own.id, config))
    return own
  }

  #announce({ peer: index, prefixes, pick, pathId: id }: Extract<Step, { kind: 'announce' }>): void {
    const { own, model } = this.#at(index)
    if (own.session === null) return
    for (const at of FAMILIES) {
      const names = prefixes.map((each) => PREFIXES[each] ?? '').filter((each) => familyOfPrefix(cidr(each)) === at)
      if (names.length === 0 || !own.session.families.includes(at)) continue
      const attributes = attributesFor(own.config, at, pick)
      const hasIds = own.config.addPath.receive && at === V4
      this.bench.rib.applyUpdate(own.id, announcement(attributes, names, hasIds ? names.map(() => id) : null))
      for (const name of names)
        model.told[at].set(`${name}#${hasIds ? id : 0}`, { raw: attributes, stale: false, longLived: false, seen: true })
    }
  }

  #withdraw({ peer: index, prefixes, pathId: id }: Extract<Step, { kind: 'withdraw' }>): void {
    const { own, model } = this.#at(index)
    if (own.session === null) return
    for (const at of FAMILIES) {
      const names = prefixes.map((each) => PREFIXES[each] ?? '').filter((each) => familyOfPrefix(cidr(each)) === at)
      if (names.length === 0) continue
      const hasIds = own.config.addPath.receive && at === V4
      this.bench.rib.applyUpdate(own.id, withdrawal(names, hasIds ? names.map(() => id) : null))
      for (const name of names) model.told[at].delete(`${name}#${hasIds ? id : 0}`)
    }
  }

  #reconfigure(index: number, more: Partial<RibPeerConfig>): void {
    const { own, model } = this.#at(index)
    own.config = { ...own.config, ...more }
    model.entry.config = own.config
    this.bench.rib.configurePeer(own.id, own.config)
  }

  #table(kind: 'markStale' | 'longLived' | 'sweep' | 'clear' | 'beginRefresh' | 'endRefresh', index: number, at: Family): void {
    const { own, model } = this.#at(index)
    const { rib } = this.bench
    const told = model.told[at]
    const refreshKey = `${index} ${at}`
    const removeIf = (isGone: (path: { stale: boolean; seen: boolean; raw: PathAttributes }) => boolean): void => {
      for (const [key, each] of told) if (isGone(each)) told.delete(key)
    }
    switch (kind) {
      case 'markStale':
        rib.markStale(own.id, at)
        removeIf(({ stale }) => stale)
        for (const each of told.values()) each.stale = true
        this.refreshing.delete(refreshKey)
        return
      case 'longLived':
        rib.startLongLived(own.id, at)
        removeIf(({ stale, raw }) => stale && raw.communities.includes(WELL_KNOWN_COMMUNITY.NO_LLGR))
        for (const each of told.values()) if (each.stale) each.longLived = true
        this.bench.settle() // the walk over the table must not meet what later steps mark stale
        return
      case 'sweep':
        rib.sweepStale(own.id, at)
        removeIf(({ stale }) => stale)
        return
      case 'clear':
        rib.clear(own.id, at)
        told.clear()
        this.refreshing.delete(refreshKey)
        return
      case 'beginRefresh':
        rib.beginRefresh(own.id, at)
        for (const each of told.values()) each.seen = false
        this.refreshing.add(refreshKey)
        return
      case 'endRefresh':
        rib.endRefresh(own.id, at)
        if (this.refreshing.delete(refreshKey)) removeIf(({ seen }) => !seen)
    }
  }

  #session(kind: 'down' | 'up' | 'block' | 'unblock' | 'refresh' | 'removeAndAdd', index: number): void {
    const { own, model } = this.#at(index)
    const { rib } = this.bench
    switch (kind) {
      case 'up': {
        if (own.session !== null) return
        this.bench.up(own, PEERS[index]?.session)
        model.up(sessionOf(own.config, PEERS[index]?.session))
        return
      }
      case 'down':
        if (own.session === null) return
        rib.sessionDown(own.id)
        own.session = null
        model.entry.session = null
        return
      case 'block':
        own.hasRoom = false
        return
      case 'unblock':
        this.unblock(own)
        return
      case 'refresh':
        for (const at of FAMILIES) rib.refresh(own.id, at)
        return
      case 'removeAndAdd': {
        rib.removePeer(own.id)
        this.model.peers.delete(own.id)
        own.session = null
        const config = own.config
        const again = this.bench.add(config)
        this.peers[index] = again
        this.model.peers.set(again.id, new ModelPeer(again.id, config))
      }
    }
  }

  unblock(own: TestPeer): void {
    own.hasRoom = true
    if (!own.isBlocked) return
    own.isBlocked = false
    this.bench.rib.writable(own.id)
  }

  finish(): void {
    for (const at of FAMILIES) this.bench.rib.setPaused(at, false)
    for (const own of this.peers) this.unblock(own)
    this.bench.settle()
  }

  expectAgreement(): void {
    expect(this.bench.faults()).toEqual([])
    for (const own of this.peers) {
      const model = this.model.peers.get(own.id)
      if (model === undefined) continue
      if (own.session !== null) {
        expect([own.config.key, heldTable(own)]).toEqual([own.config.key, modelTable(this.model, model, own.session)])
        expect([own.config.key, [...new Set(own.tablesSent)].sort()]).toEqual([own.config.key, [...own.session.families].sort()])
      }
      expect([own.config.key, this.bench.rib.ownAsRejected(own.id)?.count ?? 0]).toEqual([own.config.key, this.model.ownAsRejected(model)])
      for (const at of FAMILIES) {
        const told = [...model.told[at].values()]
        const accepted = [...model.told[at]].filter(
          ([key, each]) => this.model.imported(model, at, key.slice(0, key.indexOf('#')), each) !== null,
        )
        const advertised =
          own.session?.families.includes(at) === true ? [...own.held.keys()].filter((key) => key.includes(':') === (at === V6)).length : 0
        expect([own.config.key, at, this.bench.rib.counts(own.id, at)]).toEqual([
          own.config.key,
          at,
          { received: told.length, accepted: accepted.length, stale: told.filter(({ stale }) => stale).length, advertised },
        ])
      }
    }
    expect(sorted(this.bench.fib)).toEqual(sorted(this.model.fib()))
    for (const at of FAMILIES) expect(this.bench.rib.sizes(at).prefixes).toBe(this.model.prefixes(at).size)
  }
}

/** By prefix: the attributes held, without what the encoding may not carry. */
function heldTable(own: TestPeer): Record<string, string[]> {
  const table: Record<string, string[]> = {}
  for (const [key, attributes] of own.held) {
    const prefix = key.split('#')[0] ?? ''
    table[prefix] = [...(table[prefix] ?? []), text(attributes)].sort()
  }
  return table
}

function modelTable(model: Model, peer: ModelPeer, session: RibSession): Record<string, string[]> {
  const table: Record<string, string[]> = {}
  for (const at of session.families) for (const [prefix, several] of model.heldBy(peer, at)) table[prefix] = several.map(text).sort()
  return table
}

function text(attributes: PathAttributes): string {
  return JSON.stringify(attributes, (_key, value: unknown) => (typeof value === 'bigint' ? `${value}` : value))
}

function sorted(fib: ReadonlyMap<string, readonly string[]>): [string, string[]][] {
  return [...fib].map(([prefix, gateways]): [string, string[]] => [prefix, [...gateways].sort()]).sort(([a], [b]) => (a < b ? -1 : 1))
}

/** More on demand: FIBULA_RIB_RUNS=10000, and FIBULA_RIB_SEED=… to see a failure again. */
const { FIBULA_RIB_RUNS = '300', FIBULA_RIB_SEED } = process.env
const RUNS = Number(FIBULA_RIB_RUNS)
const SEED = FIBULA_RIB_SEED === undefined ? {} : { seed: Number(FIBULA_RIB_SEED) }

test('after any sequence of events every peer and the FIB hold what a naive model says [rule 69] [rule 72] [rule 125] [rule 127] [rule 137]', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), (steps) => {
      const world = new World()
      for (const each of steps) world.perform(each)
      world.finish()
      world.expectAgreement()
    }),
    { numRuns: RUNS, ...SEED },
  )
})

test('so they do where pods of nodes beyond the subnet are reached by IP-in-IP', () => {
  const tunnelling = { encapsulation: TUNNELS, maximumPaths: 3, multipathAsPathRelax: true }
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 60 }), (steps) => {
      const world = new World(tunnelling, TUNNELLED_HOST)
      for (const each of steps) world.perform(each)
      world.finish()
      world.expectAgreement()
    }),
    { numRuns: RUNS, ...SEED },
  )
})

test('when everything is taken away, nothing is left in the tables', () => {
  fc.assert(
    fc.property(fc.array(step, { minLength: 1, maxLength: 40 }), (steps) => {
      const world = new World()
      for (const each of steps) world.perform(each)
      world.finish()
      world.bench.rib.setOriginated([])
      for (const own of world.peers) world.bench.rib.removePeer(own.id)
      for (const own of world.peers) own.session = null
      world.bench.settle()
      for (const at of FAMILIES) {
        expect(world.bench.rib.sizes(at)).toEqual({ prefixes: 0, paths: 0, fibRoutes: 0, attributeSets: 0, updateGroups: 0 })
      }
      expect(world.bench.fib.size).toBe(0)
    }),
    { numRuns: Math.ceil(RUNS / 4), ...SEED },
  )
})
