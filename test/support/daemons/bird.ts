// Drives BIRD 2: a configuration file, `birdc configure` for changes, `show route all import table` for what it received.
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
  type Feature,
  familyOfPrefix,
  type ReceivedPath,
  readied,
  runFolder,
  sorted,
} from './daemon.ts'

const ROLES: { readonly [R in RoleName]: string } = {
  Provider: 'provider',
  RouteServer: 'rs_server',
  RouteServerClient: 'rs_client',
  Customer: 'customer',
  Peer: 'peer',
}

const ORIGINS: Readonly<Record<string, ReceivedPath['origin']>> = { IGP: 'igp', EGP: 'egp', Incomplete: 'incomplete' }

export class Bird implements Daemon {
  readonly name = 'bird'
  readonly #net: Netns
  readonly #node: string
  readonly #folder = runFolder('bird')
  #config: DaemonConfig
  #process: NetnsProcess

  constructor(net: Netns, node: string, config: DaemonConfig) {
    this.#net = net
    this.#node = node
    this.#config = config
    this.#process = this.#spawn()
  }

  async ready(): Promise<void> {
    await until('birdc answers', async () => {
      this.#process.assertRunning()
      return (await this.control('show status')).includes('up and running')
    })
  }

  async established(peer: string): Promise<boolean> {
    return (await this.control(`show protocols ${this.#protocol(peer)}`)).includes('Established')
  }

  /** The time of the last change of a session's state, in BIRD's words. */
  async since(peer: string): Promise<string> {
    const name = this.#protocol(peer)
    const line = (await this.control(`show protocols ${name}`)).split('\n').find((each) => each.startsWith(`${name} `))
    const time = line?.split(/\s+/)[4] // name, BGP, table, state, since
    if (time === undefined) throw new Error(`BIRD shows nothing of its session with ${peer}`)
    return time
  }

  async received(peer: string): Promise<readonly ReceivedPath[]> {
    const protocol = this.#protocol(peer)
    const session = this.#config.peers.find((each) => each.address === peer)
    const isIbgp = session?.asn === this.#config.asn
    const paths: ReceivedPath[] = []
    for (const family of session?.families ?? []) {
      const text = await this.control(`show route all import table ${protocol}.${family === 'IPv4Unicast' ? 'ipv4' : 'ipv6'}`)
      paths.push(...parseRoutes(text, isIbgp))
    }
    return paths.sort(comparePaths)
  }

  async setAnnounced(announce: readonly Announcement[]): Promise<void> {
    await this.configure({ ...this.#config, announce })
  }

  /** Goes over to another configuration; sessions whose settings stay are not reset. */
  async configure(config: DaemonConfig): Promise<void> {
    this.#config = config
    this.#write()
    await this.control('configure')
  }

  async stop(): Promise<void> {
    await this.#process.end('SIGTERM')
  }

  async kill(): Promise<void> {
    await this.#process.end('SIGKILL')
  }

  async restart(): Promise<void> {
    this.#config = { ...this.#config, restarting: true }
    this.#process = this.#spawn()
    await this.ready()
  }

  /** Everything it shows of a prefix, in its own words. */
  show(prefix: string): Promise<string> {
    return this.control(`show route all ${prefix}`)
  }

  log(): string {
    return this.#process.log()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    fs.rmSync(this.#folder, { recursive: true, force: true })
  }

  /** One `birdc` command; its output. */
  async control(command: string): Promise<string> {
    return (await exec('birdc', ['-s', path.join(this.#folder, 'bird.ctl'), ...command.split(' ')])).stdout
  }

  #protocol(peer: string): string {
    const at = this.#config.peers.findIndex((each) => each.address === peer)
    if (at < 0) throw new RangeError(`no peer ${peer}`)
    return `p${at}`
  }

  #write(): void {
    fs.writeFileSync(path.join(this.#folder, 'bird.conf'), renderBird(this.#config))
  }

  #spawn(): NetnsProcess {
    this.#write()
    const file = (name: string): string => path.join(this.#folder, name)
    const args = ['-f', '-c', file('bird.conf'), '-s', file('bird.ctl'), ...(this.#config.restarting ? ['-R'] : [])]
    return new NetnsProcess(this.#net, this.#node, 'bird', args, file('bird.log'))
  }
}

/** BIRD's configuration for ours. */
export function renderBird(config: DaemonConfig): string {
  const learned = config.passOn ? 'if source = RTS_BGP then accept;' : ''
  // one rule for all prefixes with the same attributes: a chain of ten thousand rules would keep BIRD busy for a minute
  const alike = Map.groupBy(numbered(config.announce), ({ protocol, announcement }) => `${protocol} ${operations(announcement)}`)
  const rules = [...alike.values()].map((group) => {
    const prefixes = group.map(({ announcement }) => announcement.prefix).join(', ')
    const [{ protocol, announcement } = { protocol: '', announcement: { prefix: '' } }] = group
    return `if proto = "${protocol}" && net ~ [ ${prefixes} ] then { ${operations(announcement)} accept; }`
  })
  return `log stderr { info, remote, warning, error, auth, fatal, bug };
router id ${config.routerId};
protocol device {}
${renderStatics(config.announce)}
filter announced { ${rules.join('\n  ')} ${learned} reject; }
${config.kernelRoutes ? renderKernel() : ''}
${config.peers.map((peer, at) => renderPeer(config, peer, at)).join('\n')}
`
}

type Numbered = { readonly protocol: string; readonly announcement: Announcement }

/** A static protocol has one route for a prefix: the second path of a prefix goes into the second protocol. */
function numbered(announce: readonly Announcement[]): readonly Numbered[] {
  const seen = new Map<string, number>()
  return announce.map((announcement) => {
    const at = seen.get(announcement.prefix) ?? 0
    seen.set(announcement.prefix, at + 1)
    return { protocol: `${familyOfPrefix(announcement.prefix) === 'IPv4Unicast' ? 'four' : 'six'}${at}`, announcement }
  })
}

function renderStatics(announce: readonly Announcement[]): string {
  const byProtocol = Map.groupBy(numbered(announce), (each) => each.protocol)
  return [...byProtocol]
    .map(([protocol, routes]) => {
      const lines = routes.map(({ announcement }) => `route ${announcement.prefix} blackhole;`)
      return `protocol static ${protocol} { ${protocol.startsWith('four') ? 'ipv4' : 'ipv6'}; ${lines.join(' ')} }`
    })
    .join('\n')
}

function operations(announcement: Announcement): string {
  const tuple = (value: string): string => `(${value.split(':').join(',')})`
  return [
    ...(announcement.behind ?? []).toReversed().map((asn) => `bgp_path.prepend(${asn});`),
    ...(announcement.nextHop === undefined ? [] : [`bgp_next_hop = ${announcement.nextHop};`]),
    ...(announcement.med === undefined ? [] : [`bgp_med = ${announcement.med};`]),
    ...(announcement.localPref === undefined ? [] : [`bgp_local_pref = ${announcement.localPref};`]),
    ...(announcement.communities ?? []).map((each) => `bgp_community.add(${tuple(each)});`),
    ...(announcement.largeCommunities ?? []).map((each) => `bgp_large_community.add(${tuple(each)});`),
    ...(announcement.extendedCommunities ?? []).map((each) => `bgp_ext_community.add(${tuple(each)});`),
  ].join(' ')
}

function renderKernel(): string {
  return ['ipv4', 'ipv6']
    .map(
      (channel) =>
        `protocol kernel { persist; graceful restart on; merge paths on; ${channel} { import none; export where source = RTS_BGP; }; }`,
    )
    .join('\n')
}

function renderPeer(config: DaemonConfig, peer: DaemonPeerConfig, at: number): string {
  const { addPath, gracefulRestart } = peer
  const longLived = gracefulRestart?.longLivedStaleTimeSeconds ?? 0
  const paths = addPath.send && addPath.receive ? 'on' : addPath.send ? 'tx' : addPath.receive ? 'rx' : 'off'
  const channel = (family: 'IPv4Unicast' | 'IPv6Unicast', name: string): string =>
    peer.families.includes(family)
      ? `  ${name} { import all; import table on; export filter announced; add paths ${paths}; extended next hop ${
          peer.extendedNextHop && name === 'ipv4' ? 'on' : 'off'
        }; ${gracefulRestart === null ? '' : 'graceful restart on;'} };`
      : ''
  return `protocol bgp p${at} {
  local ${peer.localAddress} as ${config.asn};
  neighbor ${peer.address} as ${peer.asn};
  ${peer.interface === null ? '' : `interface "${peer.interface}";`}
  ${peer.multihop === null ? 'direct' : `multihop ${peer.multihop}`}; enable as4 ${peer.fourOctetAs ? 'on' : 'off'}; connect delay time 1; connect retry time 1; error wait time 1,2; error forget time 5;
  hold time ${peer.holdTimeSeconds}; keepalive time ${Math.max(1, Math.floor(peer.holdTimeSeconds / 3))};
  passive ${peer.passive ? 'on' : 'off'}; ttl security ${peer.ttlSecurity ? 'on' : 'off'};
  enable extended messages ${peer.extendedMessage ? 'on' : 'off'};
  ${peer.password === null ? '' : `password "${peer.password}";`}
  ${peer.role === null ? '' : `local role ${ROLES[peer.role]};`}
  ${gracefulRestart === null ? 'graceful restart off;' : `graceful restart on; graceful restart time ${gracefulRestart.restartTimeSeconds};`}
  ${longLived === 0 ? 'long lived graceful restart off;' : `long lived graceful restart on; long lived stale time ${longLived};`}
${channel('IPv4Unicast', 'ipv4')}
${channel('IPv6Unicast', 'ipv6')}
}`
}

/** `show route all`: a line that names prefix (or, for a further path, nothing) and protocol, then indented attributes. */
function parseRoutes(text: string, isIbgp: boolean): readonly ReceivedPath[] {
  const paths: ReceivedPath[] = []
  let prefix = ''
  let attributes: Map<string, string> | undefined
  const finish = (): void => {
    if (attributes !== undefined) paths.push(pathOf(prefix, attributes, isIbgp))
    attributes = undefined
  }
  for (const line of text.split('\n')) {
    const head = /^(\S+\/\d+)?\s+\w+ \[/.exec(line)
    const attribute = /^\s+BGP\.([\w ]+?)(?: \[\w+\])?: ?(.*)$/.exec(line)
    if (head !== null) {
      finish()
      prefix = head[1] ?? prefix
      attributes = new Map()
    } else if (attribute !== null) attributes?.set(attribute[1] ?? '', (attribute[2] ?? '').trim())
  }
  finish()
  return paths
}

function pathOf(prefix: string, attributes: ReadonlyMap<string, string>, isIbgp: boolean): ReceivedPath {
  const numberOf = (name: string): number | null => (attributes.has(name) ? Number(attributes.get(name)) : null)
  const tuples = (name: string): readonly string[] =>
    sorted(
      [...(attributes.get(name) ?? '').matchAll(/\(([^)]*)\)/g)].map((match) =>
        (match[1] ?? '').replaceAll(', ', ':').replaceAll(',', ':'),
      ),
    )
  const origin = ORIGINS[attributes.get('origin') ?? '']
  if (origin === undefined) throw new Error(`BIRD shows no origin for ${prefix}`)
  return {
    prefix,
    nextHop: (attributes.get('next_hop') ?? '').split(' ')[0] ?? '',
    asPath: attributes.get('as_path') ?? '',
    origin,
    med: numberOf('med'),
    localPref: isIbgp ? numberOf('local_pref') : null,
    communities: tuples('community'),
    largeCommunities: tuples('large_community'),
    extendedCommunities: tuples('ext_community'),
    onlyToCustomer: numberOf('otc'),
  }
}

const SUPPORTS: ReadonlySet<Feature> = new Set<Feature>([
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
  'linkLocal',
  'multihop',
  'twoOctetAs',
  'longLivedGracefulRestart',
  'role',
  'kernelRoutes',
])

/** BIRD, and what only it is asked for. */
export const bird: Omit<DaemonDriver, 'start'> & { start(net: Netns, node: string, config: DaemonConfig): Promise<Bird> } = {
  name: 'bird',
  programs: ['bird', 'birdc'],
  supports: SUPPORTS,
  async start(net, node, config) {
    assertSupported(bird, config)
    return await readied(new Bird(net, node, config))
  },
}
