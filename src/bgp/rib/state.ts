// What the parts of the Rib share: the tables, the peers, configuration and surroundings. The parts know one another only
// through it.
import type { IpAddress } from '../../net/index.ts'
import { FAMILIES, type Family, ipFamilyOf } from '../family.ts'
import { AttributeTable } from './attribute-table.ts'
import type { RibConfig, RibPeerConfig } from './contract.ts'
import { coveringRoutes } from './covering-routes.ts'
import { Encapsulation } from './encapsulation.ts'
import { FamilyTables } from './family-tables.ts'
import { NextHopSets } from './fib-writer.ts'
import type { HostView } from './host-view.ts'
import { NextHopResolver, type Surroundings } from './next-hop-resolver.ts'
import { NextHopTable } from './next-hop-table.ts'
import { NOBODY } from './path-table.ts'
import { PeerColumns } from './peer-columns.ts'
import { newPeerEntry, type PeerEntry, Serials } from './peer-entry.ts'
import { PrefixSet } from './prefix-words.ts'
import { ScanJobs } from './scan-jobs.ts'
import type { UpdateGroup } from './update-group.ts'

export class RibState {
  readonly nextHops = new NextHopTable()
  readonly attributes = new AttributeTable(this.nextHops)
  readonly columns = new PeerColumns()
  readonly resolver: NextHopResolver
  readonly nextHopSets = new NextHopSets()
  readonly tables: Readonly<Record<Family, FamilyTables>>
  readonly jobs = new ScanJobs()
  readonly #serials = new Serials()
  readonly #peers: (PeerEntry | null)[] = [null]
  readonly #freeIds: number[] = []
  readonly #addresses = new Map<IpAddress, number>()
  #filterKeys = new Map<string, number>()
  config: RibConfig
  /** Null: the host's network is not known yet. */
  host: HostView | null = null
  /** Stands for `importBounds` and `serviceRanges` in keys. */
  rangesKey = 0
  #encapsulation: Encapsulation | null = null

  constructor(config: RibConfig) {
    const { attributes, columns: peers, nextHopSets, nextHops } = this
    this.config = config
    this.resolver = new NextHopResolver(nextHops, (address, longerThan) =>
      coveringRoutes(this.tables, { attributes, peers }, address, longerThan),
    )
    const shared = { attributes, peers, resolver: this.resolver, nextHopSets }
    this.tables = { IPv4Unicast: new FamilyTables('IPv4Unicast', shared), IPv6Unicast: new FamilyTables('IPv6Unicast', shared) }
    this.takeConfig(config)
  }

  takeConfig(config: RibConfig): void {
    this.config = config
    this.#filterKeys = new Map(Object.entries(config.filters).map(([name, filter]) => [name, this.#serials.of(filter)]))
    this.rangesKey = this.#serials.of([config.importBounds, config.serviceRanges])
    this.#encapsulation = config.encapsulation === null ? null : new Encapsulation(config.encapsulation)
    for (const family of FAMILIES) {
      const tables = this.tables[family]
      tables.decision.encapsulation = this.#encapsulation
      tables.decision.options = { maximumPaths: config.maximumPaths, asPathRelax: config.multipathAsPathRelax }
      tables.installRoutes = config.installRoutes
      const services = new PrefixSet(config.mode === 'Host' ? config.serviceRanges : [], ipFamilyOf(family))
      tables.notInstalled = services.isEmpty ? null : services
    }
  }

  /** What next hops are resolved against. */
  get surroundings(): Surroundings {
    return { host: this.host, resolveAll: this.config.resolveAll, encapsulation: this.#encapsulation }
  }

  /** Stand for filters, with their content, in keys. */
  filterKeys(names: readonly string[]): readonly number[] {
    return names.map((name) => this.#filterKeys.get(name) ?? 0)
  }

  // peers

  /** Throws RangeError beyond 65534 peers. */
  addPeer(config: RibPeerConfig): PeerEntry {
    const id = this.#freeIds.pop() ?? this.#peers.length
    if (id >= NOBODY) throw new RangeError(`more than ${NOBODY - 1} peers`)
    const peer = newPeerEntry(id, config)
    this.#peers[id] = peer
    this.columns.add(id)
    this.identify(peer)
    return peer
  }

  identify({ id, config: { address, interface: link, key } }: PeerEntry): void {
    this.columns.identify(id, address, `${link ?? ''} ${key}`)
  }

  /** Its number may go to another peer. */
  freePeer({ id }: PeerEntry): void {
    this.#peers[id] = null
    this.columns.remove(id)
    this.#freeIds.push(id)
  }

  /** Throws RangeError for a number not in use. */
  peer(id: number): PeerEntry {
    const peer = this.findPeer(id)
    if (peer === null) throw new RangeError(`no peer has the number ${id}`)
    return peer
  }

  findPeer(id: number): PeerEntry | null {
    return this.#peers[id] ?? null
  }

  *peers(): Generator<PeerEntry> {
    for (const peer of this.#peers) if (peer !== null && !peer.isRemoved) yield peer
  }

  /** True if a configured peer has this address. */
  isPeerAddress(address: IpAddress): boolean {
    return this.#addresses.has(address)
  }

  countAddress(address: IpAddress, by: 1 | -1): void {
    const count = (this.#addresses.get(address) ?? 0) + by
    if (count > 0) this.#addresses.set(address, count)
    else this.#addresses.delete(address)
  }

  *groups(): Generator<UpdateGroup> {
    for (const family of FAMILIES) yield* this.tables[family].groups.values()
  }
}
