// Drives ExaBGP: announcements go into a named pipe that its helper process reads, received updates come out of the helper as one
// JSON object a line. ExaBGP keeps no table and passes nothing on: the driver replays the events of the present session.
import { execFileSync } from 'node:child_process'
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

type ExaNlri = { readonly nlri: string; readonly 'path-information'?: string }
type ExaUpdate = {
  readonly attribute?: {
    readonly origin?: ReceivedPath['origin']
    readonly 'as-path'?: readonly (number | readonly number[])[]
    readonly med?: number
    readonly 'local-preference'?: number
    readonly community?: readonly (readonly [number, number])[]
    readonly 'large-community'?: readonly (readonly [number, number, number])[]
    readonly 'extended-community'?: readonly { readonly string: string }[]
  }
  readonly announce?: Readonly<Record<string, Readonly<Record<string, readonly ExaNlri[]>>>>
  readonly withdraw?: Readonly<Record<string, readonly ExaNlri[]>>
}
type ExaEvent = {
  readonly type: string
  readonly neighbor: {
    readonly address: { readonly peer: string }
    readonly state?: string
    readonly message?: { readonly update?: ExaUpdate }
  }
}

// ExaBGP takes a helper whose standard output is closed for a dead one: the reader of the pipe keeps it open.
const HELPER = `#!/bin/sh
exec 3<>"$1"
cat <&3 &
exec cat >>"$2"
`

class Exabgp implements Daemon {
  readonly name = 'exabgp'
  readonly #net: Netns
  readonly #node: string
  readonly #folder = runFolder('exabgp')
  readonly #config: DaemonConfig
  #announced: readonly Announcement[] = []
  #process: NetnsProcess

  constructor(net: Netns, node: string, config: DaemonConfig) {
    this.#net = net
    this.#node = node
    this.#config = config
    fs.writeFileSync(this.#file('helper.sh'), HELPER, { mode: 0o755 })
    execFileSync('mkfifo', [this.#file('commands')])
    this.#process = this.#spawn()
  }

  async ready(): Promise<void> {
    await until('exabgp has loaded its configuration', () => {
      this.#process.assertRunning()
      return this.#process.log(Number.POSITIVE_INFINITY).includes('loaded new configuration successfully') // it may have said more since
    })
    await this.setAnnounced(this.#config.announce)
  }

  async established(peer: string): Promise<boolean> {
    const states = this.#events(peer).filter((event) => event.type === 'state')
    return states.at(-1)?.neighbor.state === 'up'
  }

  async received(peer: string): Promise<readonly ReceivedPath[]> {
    const isIbgp = this.#config.peers.find((each) => each.address === peer)?.asn === this.#config.asn
    const held = new Map<string, ReceivedPath>()
    for (const event of this.#events(peer)) {
      if (event.type === 'state') held.clear()
      const update = event.neighbor.message?.update
      if (update !== undefined) apply(held, update, isIbgp)
    }
    return [...held.values()].sort(comparePaths)
  }

  async setAnnounced(announcements: readonly Announcement[]): Promise<void> {
    const wanted = new Set(announcements.map((each) => this.#render(each, announcements)))
    const present = new Set(this.#announced.map((each) => this.#render(each, this.#announced)))
    const lines = [
      ...[...present].filter((each) => !wanted.has(each)).map((each) => `withdraw route ${each}`),
      ...[...wanted].filter((each) => !present.has(each)).map((each) => `announce route ${each}`),
    ]
    if (lines.length > 0) await this.#tell(lines)
    this.#announced = announcements
  }

  async stop(): Promise<void> {
    await this.#process.end('SIGTERM')
  }

  async kill(): Promise<void> {
    await this.#process.end('SIGKILL')
  }

  async restart(): Promise<void> {
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

  /** Writes into the pipe once its helper reads it: to open it before would hold this whole process up, for ever if no helper comes. */
  async #tell(lines: readonly string[]): Promise<void> {
    const { pipe } = await until('the helper reads its pipe', () => {
      this.#process.assertRunning()
      return { pipe: fs.openSync(this.#file('commands'), fs.constants.O_WRONLY | fs.constants.O_NONBLOCK) }
    })
    try {
      fs.writeSync(pipe, `${lines.join('\n')}\n`)
    } finally {
      fs.closeSync(pipe)
    }
  }

  #file(name: string): string {
    return path.join(this.#folder, name)
  }

  #events(peer: string): readonly ExaEvent[] {
    const text = fs.existsSync(this.#file('events')) ? fs.readFileSync(this.#file('events'), 'utf8') : ''
    const whole = text.slice(0, text.lastIndexOf('\n') + 1)
    const events = whole.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as ExaEvent]))
    return events.filter((event) => event.neighbor?.address.peer === peer)
  }

  #render(announcement: Announcement, all: readonly Announcement[]): string {
    const { prefix, behind, communities, largeCommunities, extendedCommunities } = announcement
    const own = this.#config.addresses[familyOfPrefix(prefix) === 'IPv4Unicast' ? 'ipv4' : 'ipv6']
    const ordinal = all.filter((each) => each.prefix === prefix).indexOf(announcement)
    const isEbgp = this.#config.peers.some((peer) => peer.asn !== this.#config.asn)
    const asPath = [...(isEbgp ? [this.#config.asn] : []), ...(behind ?? [])]
    const list = (name: string, values: readonly string[] | undefined): string =>
      values === undefined || values.length === 0 ? '' : ` ${name} [ ${values.join(' ')} ]`
    return [
      `${prefix} next-hop ${announcement.nextHop ?? own} origin igp`,
      ` as-path [ ${asPath.join(' ')} ]`,
      announcement.med === undefined ? '' : ` med ${announcement.med}`,
      announcement.localPref === undefined ? '' : ` local-preference ${announcement.localPref}`,
      list('community', communities),
      list('large-community', largeCommunities),
      list(
        'extended-community',
        extendedCommunities?.map((each) => each.replace(/^rt:/, 'target:').replace(/^soo:/, 'origin:')),
      ),
      this.#config.peers.some((peer) => peer.addPath.send) ? ` path-information 0.0.0.${ordinal + 1}` : '',
    ].join('')
  }

  #spawn(): NetnsProcess {
    fs.writeFileSync(this.#file('exabgp.conf'), renderExabgp(this.#config, this.#folder))
    fs.rmSync(this.#file('events'), { force: true })
    const env = {
      ...process.env,
      exabgp_daemon_user: 'root',
      exabgp_api_cli: 'false',
      exabgp_api_ack: 'false',
      exabgp_tcp_bind: [...new Set(this.#config.peers.map((peer) => peer.localAddress))].join(' '),
      exabgp_tcp_port: '179',
      exabgp_log_destination: 'stdout',
      exabgp_log_level: 'INFO',
    }
    return new NetnsProcess(this.#net, this.#node, 'exabgp', [this.#file('exabgp.conf')], this.#file('exabgp.log'), { env })
  }
}

/** ExaBGP's configuration for ours; `folder` holds the helper, its pipe and its output. */
export function renderExabgp(config: DaemonConfig, folder: string): string {
  return [
    `process driver { run ${folder}/helper.sh ${folder}/commands ${folder}/events; encoder json; }`,
    ...config.peers.map((peer) => renderPeer(config, peer)),
    '',
  ].join('\n')
}

function renderPeer(config: DaemonConfig, peer: DaemonPeerConfig): string {
  const names: { readonly [F in Family]: string } = { IPv4Unicast: 'ipv4 unicast;', IPv6Unicast: 'ipv6 unicast;' }
  const families = peer.families.map((family) => names[family]).join(' ')
  const { send, receive } = peer.addPath
  const addPath = send && receive ? 'send/receive' : send ? 'send' : receive ? 'receive' : 'disable'
  const restart = peer.gracefulRestart
  return `neighbor ${peer.address} {
  router-id ${config.routerId}; local-address ${peer.localAddress}; local-as ${config.asn}; peer-as ${peer.asn};
  hold-time ${peer.holdTimeSeconds}; group-updates false; passive ${peer.passive};
  ${peer.password === null ? '' : `md5-password "${peer.password}";`}
  family { ${families} }
  capability { asn4 enable; route-refresh enable; ${restart === null ? '' : `graceful-restart ${restart.restartTimeSeconds};`} ${
    addPath === 'disable' ? '' : `add-path ${addPath};`
  } extended-message ${peer.extendedMessage ? 'enable' : 'disable'}; }
  ${addPath === 'disable' ? '' : `add-path { ${families} }`}
  api { processes [ driver ]; neighbor-changes; receive { parsed; update; notification; open; } }
}`
}

function apply(held: Map<string, ReceivedPath>, update: ExaUpdate, isIbgp: boolean): void {
  const key = (each: ExaNlri): string => `${each.nlri} ${each['path-information'] ?? ''}`
  for (const each of Object.values(update.withdraw ?? {}).flat()) held.delete(key(each))
  for (const byNextHop of Object.values(update.announce ?? {}))
    for (const [nextHop, nlris] of Object.entries(byNextHop)) {
      if (nextHop.startsWith('fe80')) continue // the second half of a pair of next hops is shown as a route of its own
      for (const each of nlris) held.set(key(each), pathOf(each.nlri, nextHop, update.attribute ?? {}, isIbgp))
    }
}

function pathOf(prefix: string, nextHop: string, attribute: NonNullable<ExaUpdate['attribute']>, isIbgp: boolean): ReceivedPath {
  const extended = (attribute['extended-community'] ?? []).map((each) => each.string)
  return {
    prefix,
    nextHop,
    asPath: (attribute['as-path'] ?? []).map((each) => (typeof each === 'number' ? String(each) : `{${each.join(' ')}}`)).join(' '),
    origin: attribute.origin ?? 'incomplete',
    med: attribute.med ?? null,
    localPref: isIbgp ? (attribute['local-preference'] ?? null) : null,
    communities: sorted((attribute.community ?? []).map((each) => each.join(':'))),
    largeCommunities: sorted((attribute['large-community'] ?? []).map((each) => each.join(':'))),
    extendedCommunities: sorted(extended.map((each) => each.replace(/^target:/, 'rt:').replace(/^origin:/, 'soo:'))),
    onlyToCustomer: null,
  }
}

export const exabgp: DaemonDriver = {
  name: 'exabgp',
  programs: ['exabgp'],
  supports: new Set(['md5', 'addPathSend', 'addPathReceive', 'gracefulRestart', 'extendedMessage', 'foreignAsPath']),
  async start(net, node, config) {
    assertSupported(exabgp, config)
    return await readied(new Exabgp(net, node, config))
  },
}
