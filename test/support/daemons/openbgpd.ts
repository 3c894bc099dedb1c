// Drives OpenBGPD (portable): a configuration file, `bgpctl reload` for changes, `bgpctl -j show rib in … detail` for what it received.
import fs from 'node:fs'
import path from 'node:path'
import type { RoleName } from '../../../src/bgp/wire/message.ts'
import { exec } from '../../../src/lib/exec.ts'
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
  type ReceivedPath,
  readied,
  runFolder,
  sorted,
} from './daemon.ts'

const ROLES: { readonly [R in RoleName]: string } = {
  Provider: 'provider',
  RouteServer: 'rs',
  RouteServerClient: 'rs-client',
  Customer: 'customer',
  Peer: 'peer',
}
const ORIGINS: Readonly<Record<string, ReceivedPath['origin']>> = { IGP: 'igp', EGP: 'egp', incomplete: 'incomplete', '?': 'incomplete' }
/** Its processes change their root to this folder and give up root. */
const CHROOT = '/run/openbgpd'

type OpenbgpdPath = {
  readonly prefix: string
  readonly aspath: string
  readonly exit_nexthop: string
  readonly origin: string
  readonly metric: number
  readonly localpref: number
  readonly communities?: readonly string[]
  readonly large_communities?: readonly string[]
  readonly extended_communities?: readonly string[]
  readonly attributes?: readonly { readonly type: string; readonly as?: number }[]
}

class Openbgpd implements Daemon {
  readonly name = 'openbgpd'
  readonly #net: Netns
  readonly #node: string
  readonly #folder = runFolder('openbgpd')
  #config: DaemonConfig
  #process: NetnsProcess | undefined

  constructor(net: Netns, node: string, config: DaemonConfig) {
    this.#net = net
    this.#node = node
    this.#config = config
  }

  async ready(): Promise<void> {
    fs.mkdirSync(CHROOT, { recursive: true })
    await this.#prepareLoopback()
    this.#write()
    const args = ['-d', '-f', this.#file('bgpd.conf')]
    const started = new NetnsProcess(this.#net, this.#node, 'bgpd', args, this.#file('bgpd.log'))
    this.#process = started
    await until('bgpctl answers', async () => {
      started.assertRunning()
      return (await this.control(['show', 'summary'])).includes('neighbors')
    })
  }

  async established(peer: string): Promise<boolean> {
    const shown = JSON.parse(await this.control(['show', 'neighbor', peer])) as { neighbors: readonly { state?: string }[] }
    return shown.neighbors[0]?.state === 'Established'
  }

  async received(peer: string): Promise<readonly ReceivedPath[]> {
    const isIbgp = this.#config.peers.find((each) => each.address === peer)?.asn === this.#config.asn
    const shown = JSON.parse(await this.control(['show', 'rib', 'in', 'neighbor', peer, 'detail'])) as { rib?: readonly OpenbgpdPath[] }
    return (shown.rib ?? []).map((each) => pathOf(each, isIbgp)).sort(comparePaths)
  }

  async setAnnounced(announce: readonly Announcement[]): Promise<void> {
    this.#config = { ...this.#config, announce }
    this.#write()
    await this.control(['reload'])
  }

  async stop(): Promise<void> {
    await this.#process?.end('SIGTERM')
  }

  async kill(): Promise<void> {
    await this.#process?.end('SIGKILL')
  }

  async restart(): Promise<void> {
    await this.ready()
  }

  log(): string {
    return this.#process?.log() ?? ''
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    fs.rmSync(this.#folder, { recursive: true, force: true })
  }

  /** One `bgpctl` command with JSON output. */
  async control(args: readonly string[]): Promise<string> {
    return (await exec('bgpctl', ['-j', '-s', this.#file('bgpd.sock'), ...args])).stdout
  }

  #file(name: string): string {
    return path.join(this.#folder, name)
  }

  #write(): void {
    fs.writeFileSync(this.#file('bgpd.conf'), renderOpenbgpd(this.#config, this.#file('bgpd.sock')))
    fs.chmodSync(this.#file('bgpd.conf'), 0o600) // it refuses a file that others can read
  }

  /** On an IPv4 session 7.7 takes its IPv6 next hop from the loopback interface, and the other way round: give it the right ones. */
  async #prepareLoopback(): Promise<void> {
    const { ipv4, ipv6 } = this.#config.addresses
    const has = await this.#net.ip(this.#node, 'address show dev lo')
    if (has.includes(`${ipv4}/32`)) return
    await this.#net.ipBatch(this.#node, [
      'address del 127.0.0.1/8 dev lo',
      'address del ::1/128 dev lo',
      `address add ${ipv4}/32 dev lo`,
      `address add ${ipv6}/128 dev lo nodad`,
    ])
  }
}

/** OpenBGPD's configuration for ours. */
export function renderOpenbgpd(config: DaemonConfig, socket: string): string {
  if (!config.passOn && config.peers.length > 1) throw new Error('openbgpd passes on what it learns: with several peers, ask for passOn')
  const [first] = config.peers
  return `${[
    `AS ${config.asn}`,
    `router-id ${config.routerId}`,
    ...[...new Set(config.peers.map((peer) => peer.localAddress))].map((address) => `listen on ${address} port 179`),
    `socket "${socket}"`,
    'fib-update no',
    `holdtime ${first?.holdTimeSeconds ?? 90}`,
    'connect-retry 1',
    'nexthop qualify via default',
    ...config.announce.map(renderNetwork),
    ...config.peers.map(renderPeer),
    'allow from any',
    'allow to any',
  ].join('\n')}\n`
}

function renderNetwork(announcement: Announcement): string {
  const { prefix, nextHop, med, localPref, behind, communities, largeCommunities, extendedCommunities } = announcement
  if (behind !== undefined && behind.length > 0) throw new Error('openbgpd cannot put foreign ASNs behind its own')
  const set = [
    ...(nextHop === undefined ? [] : [`nexthop ${nextHop}`]),
    ...(med === undefined ? [] : [`med ${med}`]),
    ...(localPref === undefined ? [] : [`localpref ${localPref}`]),
    ...(communities ?? []).map((each) => `community ${each}`),
    ...(largeCommunities ?? []).map((each) => `large-community ${each}`),
    ...(extendedCommunities ?? []).map((each) => `ext-community ${each.replace(':', ' ')}`),
  ]
  return `network ${prefix}${set.length === 0 ? '' : ` set { ${set.join(' ')} }`}`
}

function renderPeer(peer: DaemonPeerConfig): string {
  return `neighbor ${peer.address} {
  remote-as ${peer.asn}
  local-address ${peer.localAddress}
  ${peer.passive ? 'passive' : ''}
  ${peer.ttlSecurity ? 'ttl-security yes' : ''}
  ${peer.password === null ? '' : `tcp md5sig password ${peer.password}`}
  announce IPv4 ${peer.families.includes('IPv4Unicast') ? 'unicast' : 'none'}
  announce IPv6 ${peer.families.includes('IPv6Unicast') ? 'unicast' : 'none'}
  announce add-path recv ${peer.addPath.receive ? 'yes' : 'no'}
  announce add-path send ${peer.addPath.send ? 'all' : 'no'}
  announce enhanced refresh yes
  announce restart ${peer.gracefulRestart === null ? 'no' : 'yes'}
  announce policy ${peer.role === null ? 'no' : ROLES[peer.role]}
}`
}

function pathOf(shown: OpenbgpdPath, isIbgp: boolean): ReceivedPath {
  const origin = ORIGINS[shown.origin]
  if (origin === undefined) throw new Error(`OpenBGPD shows an unknown origin for ${shown.prefix}: ${shown.origin}`)
  return {
    prefix: shown.prefix,
    nextHop: shown.exit_nexthop,
    asPath: shown.aspath,
    origin,
    med: shown.metric === 0 ? null : shown.metric, // it shows an absent MED as 0
    localPref: isIbgp ? shown.localpref : null,
    communities: sorted(shown.communities ?? []),
    largeCommunities: sorted(shown.large_communities ?? []),
    extendedCommunities: sorted((shown.extended_communities ?? []).map((each) => each.replace(' ', ':'))),
    onlyToCustomer: shown.attributes?.find((each) => each.type === 'OTC')?.as ?? null,
  }
}

export const openbgpd: DaemonDriver = {
  name: 'openbgpd',
  programs: ['bgpd', 'bgpctl'],
  supports: new Set(['md5', 'gtsm', 'addPathSend', 'addPathReceive', 'passOn', 'gracefulRestart', 'role']),
  async start(net, node, config) {
    assertSupported(openbgpd, config)
    return await readied(new Openbgpd(net, node, config))
  },
}
