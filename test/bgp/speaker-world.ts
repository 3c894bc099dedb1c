// Whole speakers joined by memory under a fake clock, for tests of what only shows between them.

import { routerId } from '../../src/bgp/attributes.ts'
import type { GracefulRestartConfig, OriginatedPrefix, PeerConfig, SpeakerConfig } from '../../src/bgp/config.ts'
import { FAMILIES, type Family } from '../../src/bgp/family.ts'
import { Speaker } from '../../src/bgp/speaker.ts'
import { FakeClock } from '../../src/lib/clock.ts'
import { silentLog } from '../../src/lib/log.ts'
import { asn, cidr, type FibBatch, formatIp, formatPrefix, type HostNetwork, ip, ipFromBytes, prefix } from '../../src/net/index.ts'
import { MemoryNetwork } from '../support/memory-transport.ts'
import { settings } from './peer/peer-world.ts'

export const GRACEFUL: GracefulRestartConfig = { enabled: true, restartTimeSeconds: 120, longLivedStaleTimeSeconds: 0, notification: false }

/** A peer as configuration names it, with the settings that tests of single peers use too. */
export function peer(address: string, remoteAsn: number, changes: Partial<PeerConfig> = {}): PeerConfig {
  return { ...settings(address, { asn: asn(remoteAsn), gracefulRestart: GRACEFUL }), ...changes }
}

export function originate(...prefixes: readonly string[]): readonly OriginatedPrefix[] {
  return prefixes.map((text) => ({ prefix: cidr(text), communities: [], largeCommunities: [] }))
}

export function config(
  ownAsn: number,
  identifier: number,
  peers: readonly PeerConfig[],
  changes: Partial<SpeakerConfig> = {},
): SpeakerConfig {
  return {
    asn: asn(ownAsn),
    routerId: routerId(identifier),
    mode: 'Router',
    clusterId: null,
    listen: { addresses: [], port: 179 },
    maximumPaths: 16,
    installRoutes: true,
    multipathAsPathRelax: true,
    peers,
    filters: {},
    originated: [],
    importBounds: [],
    serviceRanges: [],
    encapsulation: null,
    ...changes,
  }
}

/** One link 10.0.0.0/24 with this address on it. */
function onLink(address: string): HostNetwork {
  return {
    routes: [{ prefix: cidr('10.0.0.0/24'), interfaceIndex: 1, gateway: null, metric: 0 }],
    localAddresses: [{ address: ip(address), prefixLength: 24, interfaceIndex: 1 }],
    interfaces: [{ index: 1, name: 'eth0', up: true }],
  }
}

export class TestSpeaker {
  readonly speaker: Speaker
  /** The FIB as the speaker told it: prefix -> gateways. */
  readonly fib = new Map<string, readonly string[]>()
  /** The same with all the kernel is told: `address%interface`, ` onlink`. */
  readonly hops = new Map<string, readonly string[]>()
  readonly #sets = new Map<number, FibBatch['newSets'][number]['nextHops']>()
  releases = 0
  /** How often we were told that problems may have changed. */
  problemChanges = 0

  constructor(world: World, addresses: readonly string[], initial: SpeakerConfig, peersUpBefore: readonly string[] | null) {
    this.speaker = new Speaker(
      {
        clock: world.clock,
        log: silentLog,
        random: () => 0.5,
        transport: world.network.host(...addresses),
        peersUpBefore,
        observer: {
          bestPathsChanged: (batch) => this.#applyBatch(batch),
          selectionReleased: () => {
            this.releases++
          },
          sessionsChanged: () => {},
          problemsChanged: () => {
            this.problemChanges++
          },
        },
      },
      initial,
    )
    this.speaker.setHostNetwork(onLink(addresses[0] ?? ''))
  }

  states(): Readonly<Record<string, string>> {
    return Object.fromEntries(this.speaker.peers().map(({ name, state }) => [name, state]))
  }

  status(name: string) {
    const found = this.speaker.peers().find((each) => each.name === name)
    if (found === undefined) throw new Error(`no peer ${name}`)
    return found
  }

  /** Prefixes of Loc-RIB with a best path, sorted. */
  best(): readonly string[] {
    return this.#table('locRib')
      .filter(({ paths }) => paths.some(({ best }) => best))
      .map((route) => route.prefix)
      .sort()
  }

  /** Loc-RIB. */
  routes() {
    return this.#table('locRib')
  }

  received(name: string) {
    return this.#table('adjRibIn', name)
  }

  advertised(name: string) {
    return this.#table('adjRibOut', name)
  }

  #table(table: 'locRib' | 'adjRibIn' | 'adjRibOut', name = '') {
    const where = table === 'locRib' ? { table } : { table, peer: name }
    return FAMILIES.flatMap((family: Family) => this.speaker.routes({ ...where, family, prefix: null, after: 0, limit: 1000 }).routes)
  }

  #applyBatch(batch: FibBatch): void {
    for (const { id, nextHops } of batch.newSets) this.#sets.set(id, nextHops)
    const octets = batch.family === 4 ? 4 : 16
    for (let at = 0; at < batch.count; at++) {
      const key = formatPrefix(prefix(ipFromBytes(batch.family, batch.addresses, at * octets), batch.lengths[at] ?? 0))
      const set = batch.nextHopSets[at] ?? 0
      this.fib.delete(key)
      this.hops.delete(key)
      if (set === 0) continue
      const nextHops = this.#sets.get(set) ?? []
      this.fib.set(
        key,
        nextHops.map(({ gateway }) => formatIp(gateway)),
      )
      this.hops.set(
        key,
        nextHops.map(({ gateway, interfaceIndex, onlink }) => `${formatIp(gateway)}%${interfaceIndex}${onlink ? ' onlink' : ''}`),
      )
    }
  }
}

export class World {
  readonly clock = new FakeClock()
  readonly network = new MemoryNetwork({ clock: this.clock })

  /** `at`: its address, or several. */
  start(at: string | readonly string[], initial: SpeakerConfig, peersUpBefore: readonly string[] | null = null): TestSpeaker {
    return new TestSpeaker(this, typeof at === 'string' ? [at] : at, initial, peersUpBefore)
  }

  run(seconds: number): void {
    this.clock.advance(seconds * 1000)
  }
}
