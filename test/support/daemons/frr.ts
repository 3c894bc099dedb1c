// Drives FRR: zebra and bgpd in a folder of their own, `vtysh` for changes, `show bgp … json` for what was received.
import fs from 'node:fs'
import { connect } from 'node:net'
import path from 'node:path'
import type { Family } from '../../../src/bgp/family.ts'
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
  familyOfPrefix,
  type ReceivedPath,
  readied,
  runFolder,
  sorted,
} from './daemon.ts'

const BGPD = '/usr/lib/frr/bgpd'
const ZEBRA = '/usr/lib/frr/zebra'
const ROLES: { readonly [R in RoleName]: string } = {
  Provider: 'provider',
  RouteServer: 'rs-server',
  RouteServerClient: 'rs-client',
  Customer: 'customer',
  Peer: 'peer',
}
const ORIGINS: Readonly<Record<string, ReceivedPath['origin']>> = { IGP: 'igp', EGP: 'egp', incomplete: 'incomplete' }
const SHOWN: { readonly [F in Family]: string } = { IPv4Unicast: 'ipv4 unicast', IPv6Unicast: 'ipv6 unicast' }

type FrrPath = {
  readonly aspath: { readonly string: string }
  readonly origin: string
  readonly metric?: number
  readonly locPrf?: number
  readonly community?: { readonly list: readonly string[] }
  readonly largeCommunity?: { readonly list: readonly string[] }
  readonly extendedCommunity?: { readonly string: string }
  readonly otc?: number
  readonly nexthops: readonly { readonly ip: string; readonly scope?: string }[]
  readonly peer: { readonly peerId: string }
}

export class Frr implements Daemon {
  readonly name = 'frr'
  readonly #net: Netns
  readonly #node: string
  readonly #folder = runFolder('frr')
  #config: DaemonConfig
  readonly #zebra: NetnsProcess
  #bgpd: NetnsProcess | undefined

  constructor(net: Netns, node: string, config: DaemonConfig) {
    this.#net = net
    this.#node = node
    this.#config = config
    this.#zebra = this.#spawn(ZEBRA, 'zebra', [])
  }

  async ready(): Promise<void> {
    await until('zebra listens', () => {
      this.#zebra.assertRunning()
      return listens(this.#file('zserv.api')) // bgpd that comes too early tries again after ten seconds only
    })
    fs.writeFileSync(this.#file('bgpd.conf'), renderFrr(this.#config))
    fs.rmSync(this.#file('bgpd.vty'), { force: true })
    const bgpd = this.#spawn(BGPD, 'bgpd', [...this.#config.peers.flatMap((peer) => ['-l', peer.localAddress]), '-p', '179'])
    this.#bgpd = bgpd
    await until('bgpd has read its configuration', async () => {
      bgpd.assertRunning()
      return (await this.control(['show running-config'])).includes(`router bgp ${this.#config.asn}`)
    })
  }

  async established(peer: string): Promise<boolean> {
    const shown = JSON.parse(await this.control([`show bgp neighbors ${peer} json`])) as Record<string, { bgpState?: string }>
    return shown[peer]?.bgpState === 'Established'
  }

  async received(peer: string): Promise<readonly ReceivedPath[]> {
    const isIbgp = this.#config.peers.find((each) => each.address === peer)?.asn === this.#config.asn
    const paths: ReceivedPath[] = []
    for (const family of ['IPv4Unicast', 'IPv6Unicast'] as const) {
      const listed = JSON.parse(await this.control([`show bgp ${SHOWN[family]} neighbors ${peer} routes json`])) as { routes?: object }
      for (const prefix of Object.keys(listed.routes ?? {})) {
        const shown = JSON.parse(await this.control([`show bgp ${SHOWN[family]} ${prefix} json`])) as { paths?: readonly FrrPath[] }
        const fromPeer = (shown.paths ?? []).filter((each) => each.peer.peerId === peer)
        paths.push(...fromPeer.map((each) => pathOf(prefix, each, isIbgp)))
      }
    }
    return paths.sort(comparePaths)
  }

  async setAnnounced(announce: readonly Announcement[]): Promise<void> {
    const key = (each: Announcement): string => JSON.stringify(each)
    const wanted = new Set(announce.map(key))
    const present = new Set(this.#config.announce.map(key))
    const gone = this.#config.announce.filter((each) => !wanted.has(key(each)))
    const added = announce.filter((each) => !present.has(key(each)))
    const lines = [
      ...added.map(renderRouteMap),
      `router bgp ${this.#config.asn}`,
      ...gone.flatMap((each) => inFamily(familyOfPrefix(each.prefix), [`no network ${each.prefix}`])),
      ...added.flatMap((each) => inFamily(familyOfPrefix(each.prefix), [networkLine(each)])),
    ]
    fs.writeFileSync(this.#file('change.conf'), `${lines.join('\n')}\n`)
    await exec('vtysh', ['--vty_socket', this.#folder, '-d', 'bgpd', '-f', this.#file('change.conf')])
    this.#config = { ...this.#config, announce }
  }

  async stop(): Promise<void> {
    await this.#bgpd?.end('SIGTERM')
  }

  async kill(): Promise<void> {
    await this.#bgpd?.end('SIGKILL')
  }

  async restart(): Promise<void> {
    this.#config = { ...this.#config, restarting: true }
    await this.ready()
  }

  /** Asks a peer for all its routes again (RFC 2918). */
  async refresh(peer: string): Promise<void> {
    await this.control([`clear bgp ${peer} soft in`])
  }

  log(): string {
    return [this.#zebra.log(), this.#bgpd?.log() ?? ''].join('\n')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    await this.#zebra.end('SIGKILL')
    fs.rmSync(this.#folder, { recursive: true, force: true })
  }

  /** `vtysh` commands to bgpd; their output. */
  async control(commands: readonly string[]): Promise<string> {
    const args = ['--vty_socket', this.#folder, '-d', 'bgpd', ...commands.flatMap((command) => ['-c', command])]
    return (await exec('vtysh', args)).stdout
  }

  #file(name: string): string {
    return path.join(this.#folder, name)
  }

  #spawn(program: string, name: 'zebra' | 'bgpd', more: readonly string[]): NetnsProcess {
    const conf = this.#file(`${name}.conf`)
    if (name === 'zebra') fs.writeFileSync(conf, '')
    for (const file of [this.#folder, conf]) fs.chownSync(file, ...frrOwner())
    const args = ['-u', 'frr', '-g', 'frr', '--vty_socket', this.#folder, '-z', this.#file('zserv.api'), '-i', this.#file(`${name}.pid`)]
    const log = this.#file(`${name}.log`)
    return new NetnsProcess(this.#net, this.#node, program, [...args, '-P', '0', '-f', conf, '--log', 'stdout', ...more], log)
  }
}

/** Somebody accepts connections on a unix socket: that its file is there says less. */
export function listens(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(socketPath)
    socket.once('error', () => resolve(false))
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
  })
}

/** User and group that FRR runs as: it must be able to read its files. */
export function frrOwner(): readonly [number, number] {
  const line = fs.readFileSync('/etc/passwd', 'utf8').match(/^frr:[^:]*:(\d+):(\d+):/m)
  if (line === null) throw new Error('no user frr: is the package frr installed?')
  return [Number(line[1]), Number(line[2])]
}

/** FRR's configuration for ours. Route maps come first: bgpd looks up a later one only after a delay. */
export function renderFrr(config: DaemonConfig): string {
  if (!config.passOn && config.peers.length > 1) throw new Error('frr passes on what it learns: with several peers, ask for passOn')
  const restarts = config.peers.flatMap((peer) => (peer.gracefulRestart === null ? [] : [peer.gracefulRestart]))
  const ofFamily = (family: Family): readonly string[] =>
    inFamily(family, [
      ...config.announce.filter((each) => familyOfPrefix(each.prefix) === family).map(networkLine),
      ...config.peers.flatMap((peer) => (peer.families.includes(family) ? activation(peer) : [`no neighbor ${peer.address} activate`])),
    ])
  return `${[
    'bgp route-map delay-timer 0',
    'route-map in permit 10',
    'exit',
    'route-map out permit 10',
    'exit',
    ...config.announce.map(renderRouteMap),
    `router bgp ${config.asn}`,
    `bgp router-id ${config.routerId}`,
    'no bgp network import-check',
    'bgp bestpath as-path multipath-relax',
    'no bgp default ipv4-unicast',
    ...(restarts.length === 0
      ? ['bgp graceful-restart-disable']
      : [
          'bgp graceful-restart',
          'bgp graceful-restart preserve-fw-state',
          `bgp graceful-restart restart-time ${restarts[0]?.restartTimeSeconds}`,
        ]),
    ...config.peers.flatMap(sessionLines),
    ...ofFamily('IPv4Unicast'),
    ...ofFamily('IPv6Unicast'),
  ].join('\n')}\n`
}

function sessionLines(peer: DaemonPeerConfig): readonly string[] {
  const n = `neighbor ${peer.address}`
  return [
    `${n} remote-as ${peer.asn}`,
    `${n} update-source ${peer.localAddress}`,
    `${n} timers ${Math.max(1, Math.floor(peer.holdTimeSeconds / 3))} ${peer.holdTimeSeconds}`,
    `${n} timers connect 1`,
    `${n} advertisement-interval 0`,
    ...(peer.password === null ? [] : [`${n} password ${peer.password}`]),
    ...(peer.passive ? [`${n} passive`] : []),
    ...(peer.ttlSecurity ? [`${n} ttl-security hops 1`] : []),
    ...(peer.role === null ? [] : [`${n} local-role ${ROLES[peer.role]}`]),
    ...(peer.extendedNextHop ? [`${n} capability extended-nexthop`] : []),
  ]
}

function activation(peer: DaemonPeerConfig): readonly string[] {
  const n = `neighbor ${peer.address}`
  return [
    `${n} activate`,
    `${n} route-map in in`,
    `${n} route-map out out`,
    ...(peer.addPath.send ? [`${n} addpath-tx-all-paths`] : []),
    ...(peer.addPath.receive ? [] : [`${n} disable-addpath-rx`]),
  ]
}

function inFamily(family: Family, lines: readonly string[]): readonly string[] {
  return [`address-family ${SHOWN[family]}`, ...lines, 'exit-address-family']
}

function mapName(announcement: Announcement): string {
  return `of-${announcement.prefix.replaceAll(/[^0-9a-f]/g, '-')}`
}

function networkLine(announcement: Announcement): string {
  return `network ${announcement.prefix} route-map ${mapName(announcement)}`
}

function renderRouteMap(announcement: Announcement): string {
  const { nextHop, behind, communities, largeCommunities, extendedCommunities } = announcement
  const family = familyOfPrefix(announcement.prefix)
  return [
    `route-map ${mapName(announcement)} permit 10`,
    ...(nextHop === undefined ? [] : [family === 'IPv4Unicast' ? `set ip next-hop ${nextHop}` : `set ipv6 next-hop global ${nextHop}`]),
    ...(announcement.med === undefined ? [] : [`set metric ${announcement.med}`]),
    ...(announcement.localPref === undefined ? [] : [`set local-preference ${announcement.localPref}`]),
    ...(behind === undefined || behind.length === 0 ? [] : [`set as-path prepend ${behind.join(' ')}`]),
    ...(communities === undefined || communities.length === 0 ? [] : [`set community ${communities.join(' ')}`]),
    ...(largeCommunities === undefined || largeCommunities.length === 0 ? [] : [`set large-community ${largeCommunities.join(' ')}`]),
    ...(extendedCommunities ?? []).map((each) => `set extcommunity ${each.replace(':', ' ')}`),
    'exit',
  ].join('\n')
}

function pathOf(prefix: string, shown: FrrPath, isIbgp: boolean): ReceivedPath {
  const origin = ORIGINS[shown.origin]
  if (origin === undefined) throw new Error(`FRR shows an unknown origin for ${prefix}: ${shown.origin}`)
  const global = shown.nexthops.find((each) => each.scope !== 'link-local')
  const extended = (shown.extendedCommunity?.string ?? '').split(' ').filter((each) => each !== '')
  return {
    prefix,
    nextHop: global?.ip ?? '',
    asPath: shown.aspath.string === 'Local' ? '' : shown.aspath.string,
    origin,
    med: shown.metric ?? null,
    localPref: isIbgp ? (shown.locPrf ?? null) : null,
    communities: sorted(shown.community?.list ?? []),
    largeCommunities: sorted(shown.largeCommunity?.list ?? []),
    extendedCommunities: sorted(extended.map((each) => each.replace(/^(RT|SoO):/, (_, kind: string) => `${kind.toLowerCase()}:`))),
    onlyToCustomer: shown.otc ?? null,
  }
}

/** FRR, and what only it is asked for. */
export const frr: Omit<DaemonDriver, 'start'> & { start(net: Netns, node: string, config: DaemonConfig): Promise<Frr> } = {
  name: 'frr',
  programs: [BGPD, ZEBRA, 'vtysh'],
  supports: new Set([
    'md5',
    'gtsm',
    'addPathSend',
    'addPathReceive',
    'passOn',
    'gracefulRestart',
    'gracefulRestartHelper',
    'gracefulRestartRestarter',
    'extendedMessage',
    'extendedNextHop',
    'foreignAsPath',
    'role',
    'kernelRoutes',
  ]),
  async start(net, node, config) {
    assertSupported(frr, config)
    return await readied(new Frr(net, node, config))
  },
}
