// Drives GoBGP: a JSON configuration file, `gobgp global rib` for announcements, `gobgp neighbor adj-in -j` for what it received.
import fs from 'node:fs'
import path from 'node:path'
import type { Family } from '../../../src/bgp/family.ts'
import type { Netns } from '../netns.ts'
import { NetnsProcess } from '../netns-process.ts'
import { until } from '../poll.ts'
import {
  type Announcement,
  assertSupported,
  comparePaths,
  type Daemon,
  type DaemonConfig,
  type DaemonDriver,
  type DaemonPeerConfig,
  familyOfPrefix,
  type ReceivedPath,
  readied,
  runFolder,
  sorted,
} from './daemon.ts'

type GobgpAttribute = {
  readonly type: number
  readonly value?: unknown
  readonly as_paths?: readonly { readonly segment_type: number; readonly asns: readonly number[] }[]
  readonly nexthop?: string
  readonly metric?: number
  readonly communities?: readonly number[]
}
type GobgpPath = { readonly nlri: { readonly prefix: string }; readonly attrs: readonly GobgpAttribute[] }

const ORIGINS: readonly ReceivedPath['origin'][] = ['igp', 'egp', 'incomplete']
const AS_SET = 1

class Gobgp implements Daemon {
  readonly name = 'gobgp'
  readonly #net: Netns
  readonly #node: string
  readonly #folder = runFolder('gobgp')
  #config: DaemonConfig
  #announced: readonly Announcement[] = []
  #process: NetnsProcess

  constructor(net: Netns, node: string, config: DaemonConfig) {
    this.#net = net
    this.#node = node
    this.#config = config
    this.#process = this.#spawn()
  }

  async ready(): Promise<void> {
    await until('gobgp answers', async () => {
      this.#process.assertRunning()
      return (await this.control(['global'])).includes(this.#config.routerId)
    })
    await this.setAnnounced(this.#config.announce)
  }

  async established(peer: string): Promise<boolean> {
    const shown: unknown = JSON.parse(await this.control(['neighbor', peer, '-j']))
    return (shown as { state?: { session_state?: number } }).state?.session_state === 6
  }

  async received(peer: string): Promise<readonly ReceivedPath[]> {
    const isIbgp = this.#config.peers.find((each) => each.address === peer)?.asn === this.#config.asn
    const paths: ReceivedPath[] = []
    for (const family of ['ipv4', 'ipv6']) {
      const text = await this.control(['neighbor', peer, 'adj-in', '-a', family, '-j'])
      const byPrefix = JSON.parse(text) as Record<string, readonly GobgpPath[]>
      for (const each of Object.values(byPrefix).flat()) paths.push(pathOf(each, isIbgp))
    }
    return paths.sort(comparePaths)
  }

  async setAnnounced(announcements: readonly Announcement[]): Promise<void> {
    const key = (each: Announcement): string => JSON.stringify(each)
    const wanted = new Set(announcements.map(key))
    const present = new Set(this.#announced.map(key))
    for (const each of this.#announced) if (!wanted.has(key(each))) await this.#rib('del', each)
    for (const each of announcements) if (!present.has(key(each))) await this.#rib('add', each)
    this.#announced = announcements
    this.#config = { ...this.#config, announce: announcements }
  }

  async stop(): Promise<void> {
    await this.#process.end('SIGTERM')
  }

  async kill(): Promise<void> {
    await this.#process.end('SIGKILL')
  }

  async restart(): Promise<void> {
    this.#config = { ...this.#config, restarting: true }
    this.#announced = []
    this.#process = this.#spawn()
    await this.ready()
  }

  log(): string {
    return this.#process.log()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    fs.rmSync(this.#folder, { recursive: true, force: true })
  }

  /** One `gobgp` command; its output. */
  async control(args: readonly string[]): Promise<string> {
    return (await this.#net.exec(this.#node, 'gobgp', args)).stdout
  }

  /** Prefixes with several paths are told apart by an identifier, their place among the announcements. */
  async #rib(command: 'add' | 'del', announcement: Announcement): Promise<void> {
    const family = familyOfPrefix(announcement.prefix) === 'IPv4Unicast' ? 'ipv4' : 'ipv6'
    const list = command === 'add' ? this.#config.announce : this.#announced
    const identifier = list.filter((each) => each.prefix === announcement.prefix).indexOf(announcement)
    await this.control([
      'global',
      'rib',
      command,
      '-a',
      family,
      announcement.prefix,
      ...(identifier > 0 ? ['identifier', String(identifier)] : []),
      'origin',
      'igp',
      'nexthop',
      announcement.nextHop ?? this.#ownNextHop(family),
      ...option('med', announcement.med),
      ...option('local-pref', announcement.localPref),
      ...listOption('aspath', announcement.behind, ','),
      ...listOption('community', announcement.communities, ','),
      ...listOption('large-community', announcement.largeCommunities, ','),
      ...(announcement.extendedCommunities ?? []).flatMap((each) => {
        const [kind = '', ...rest] = each.split(':')
        return [kind, rest.join(':')]
      }),
    ])
  }

  #ownNextHop(family: 'ipv4' | 'ipv6'): string {
    const viaIpv6 = this.#config.peers.some((peer) => peer.extendedNextHop && peer.localAddress.includes(':'))
    return this.#config.addresses[viaIpv6 ? 'ipv6' : family]
  }

  #spawn(): NetnsProcess {
    const file = (name: string): string => path.join(this.#folder, name)
    fs.writeFileSync(file('gobgpd.json'), JSON.stringify(renderGobgp(this.#config), null, 1))
    const args = ['-f', file('gobgpd.json'), '-t', 'json', '--pprof-disable', '--api-hosts', '127.0.0.1:50051']
    return new NetnsProcess(this.#net, this.#node, 'gobgpd', [...args, ...(this.#config.restarting ? ['-r'] : [])], file('gobgpd.log'))
  }
}

function option(name: string, value: number | undefined): readonly string[] {
  return value === undefined ? [] : [name, String(value)]
}

function listOption(name: string, values: readonly (string | number)[] | undefined, separator: string): readonly string[] {
  return values === undefined || values.length === 0 ? [] : [name, values.join(separator)]
}

/** GoBGP's configuration for ours. */
export function renderGobgp(config: DaemonConfig): unknown {
  if (!config.passOn && config.peers.length > 1) throw new Error('gobgp passes on what it learns: with several peers, ask for passOn')
  return {
    global: {
      config: {
        as: config.asn,
        'router-id': config.routerId,
        port: 179,
        'local-address-list': [...new Set(config.peers.map((peer) => peer.localAddress))],
      },
    },
    neighbors: config.peers.map(renderPeer),
  }
}

function renderPeer(peer: DaemonPeerConfig): unknown {
  const restart = peer.gracefulRestart
  const names: { readonly [F in Family]: string } = { IPv4Unicast: 'ipv4-unicast', IPv6Unicast: 'ipv6-unicast' }
  return {
    config: {
      'neighbor-address': peer.address,
      'peer-as': peer.asn,
      ...(peer.password === null ? {} : { 'auth-password': peer.password }),
    },
    timers: {
      config: {
        'connect-retry': 1,
        'hold-time': peer.holdTimeSeconds,
        'keepalive-interval': Math.max(1, Math.floor(peer.holdTimeSeconds / 3)),
        'idle-hold-time-after-reset': 1,
      },
    },
    transport: { config: { 'local-address': peer.localAddress, 'passive-mode': peer.passive } },
    ...(peer.ttlSecurity ? { 'ttl-security': { config: { enabled: true, 'ttl-min': 255 } } } : {}),
    ...(restart === null ? {} : { 'graceful-restart': { config: { enabled: true, 'restart-time': restart.restartTimeSeconds } } }),
    'afi-safis': peer.families.map((family) => ({
      config: { 'afi-safi-name': names[family] },
      ...(restart === null ? {} : { 'mp-graceful-restart': { config: { enabled: true } } }),
      'add-paths': { config: { receive: peer.addPath.receive, 'send-max': peer.addPath.send ? 8 : 0 } },
    })),
  }
}

function pathOf({ nlri, attrs }: GobgpPath, isIbgp: boolean): ReceivedPath {
  const attribute = (type: number): GobgpAttribute | undefined => attrs.find((each) => each.type === type)
  const numberOf = (value: unknown): number | null => (typeof value === 'number' ? value : null)
  const segments = attribute(2)?.as_paths ?? []
  const large = (attribute(32)?.value ?? []) as readonly { ASN: number; LocalData1: number; LocalData2: number }[]
  const extended = (attribute(16)?.value ?? []) as readonly { subtype: number; value: string }[]
  return {
    prefix: nlri.prefix,
    nextHop: attribute(3)?.nexthop ?? attribute(14)?.nexthop ?? '',
    asPath: segments.map(({ segment_type, asns }) => (segment_type === AS_SET ? `{${asns.join(' ')}}` : asns.join(' '))).join(' '),
    origin: ORIGINS[Number(attribute(1)?.value)] ?? 'incomplete',
    med: attribute(4)?.metric ?? null,
    localPref: isIbgp ? numberOf(attribute(5)?.value) : null,
    communities: sorted((attribute(8)?.communities ?? []).map((value) => `${value >>> 16}:${value & 0xffff}`)),
    largeCommunities: sorted(large.map((each) => `${each.ASN}:${each.LocalData1}:${each.LocalData2}`)),
    extendedCommunities: sorted(
      extended.map((each) => `${each.subtype === 2 ? 'rt' : each.subtype === 3 ? 'soo' : each.subtype}:${each.value}`),
    ),
    onlyToCustomer: null,
  }
}

export const gobgp: DaemonDriver = {
  name: 'gobgp',
  programs: ['gobgpd', 'gobgp'],
  supports: new Set([
    'md5',
    'gtsm',
    'addPathSend',
    'addPathReceive',
    'passOn',
    'gracefulRestart',
    'gracefulRestartHelper',
    'gracefulRestartRestarter',
    'extendedNextHop',
    'foreignAsPath',
  ]),
  async start(net, node, config) {
    assertSupported(gobgp, config)
    return await readied(new Gobgp(net, node, config))
  },
}
