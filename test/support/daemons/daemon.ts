// One way to drive every BGP daemon we interoperate with: configuration in our terms, announcements and received routes as plain
// values. A driver renders them to its daemon's language and reads the daemon's own command line back; what a daemon cannot do is
// missing from its `supports`, and asking for it throws.
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { Family } from '../../../src/bgp/family.ts'
import type { RoleName } from '../../../src/bgp/wire/message.ts'
import type { Netns } from '../netns.ts'

export type DaemonName = 'bird' | 'frr' | 'gobgp' | 'exabgp' | 'openbgpd' | 'fibula'

/** What a daemon of the version in Debian 12 can do (`reference/bgp.md` section 5). */
export type Feature =
  | 'md5'
  | 'gtsm'
  | 'addPathSend'
  | 'addPathReceive'
  | 'passOn' // passes learned routes on to other peers
  | 'gracefulRestart' // offers the capability
  | 'gracefulRestartHelper'
  | 'gracefulRestartRestarter'
  | 'extendedMessage'
  | 'extendedNextHop'
  | 'role'
  | 'linkLocal' // peers by link-local address and interface
  | 'multihop'
  | 'twoOctetAs' // can leave out the 4-octet AS capability
  | 'longLivedGracefulRestart'
  | 'foreignAsPath' // can announce a path with foreign ASNs behind its own
  | 'kernelRoutes'

/** One session as the daemon sees it. */
export type DaemonPeerConfig = {
  /** Of the other side. */
  readonly address: string
  readonly localAddress: string
  /** Of the other side. */
  readonly asn: number
  readonly password: string | null
  readonly families: readonly Family[]
  readonly addPath: { readonly receive: boolean; readonly send: boolean }
  /** The daemon's own role (RFC 9234). */
  readonly role: RoleName | null
  /** `longLivedStaleTimeSeconds` 0: no long-lived graceful restart (RFC 9494). */
  readonly gracefulRestart: { readonly restartTimeSeconds: number; readonly longLivedStaleTimeSeconds?: number } | null
  readonly holdTimeSeconds: number
  readonly passive: boolean
  /** GTSM for a directly connected peer (RFC 5082). */
  readonly ttlSecurity: boolean
  readonly extendedNextHop: boolean
  /** Offer extended messages (RFC 8654) where the daemon has them. */
  readonly extendedMessage: boolean
  /** Of a link-local peer. */
  readonly interface: string | null
  /** TTL of an eBGP session over several hops. */
  readonly multihop: number | null
  /** Offer 4-octet AS numbers (RFC 6793). */
  readonly fourOctetAs: boolean
}

/** A prefix the daemon originates. What is left out is left to the daemon. */
export type Announcement = {
  readonly prefix: string
  /** Default: the daemon's own address of that family on the link. */
  readonly nextHop?: string
  readonly med?: number
  /** Sent to iBGP peers only. */
  readonly localPref?: number
  /** ASNs behind the daemon's own. */
  readonly behind?: readonly number[]
  /** `65001:7` */
  readonly communities?: readonly string[]
  /** `65001:2:3` */
  readonly largeCommunities?: readonly string[]
  /** `rt:65001:9` */
  readonly extendedCommunities?: readonly string[]
}

export type DaemonConfig = {
  readonly asn: number
  readonly routerId: string
  /** The daemon's addresses on the link: next hops of what it announces. */
  readonly addresses: { readonly ipv4: string; readonly ipv6: string }
  readonly peers: readonly DaemonPeerConfig[]
  readonly announce: readonly Announcement[]
  /** Best paths go into the kernel's table. */
  readonly kernelRoutes: boolean
  /** Pass on what is learned from one peer to the others. */
  readonly passOn: boolean
  /** The daemon comes back after a restart that preserved its forwarding state (sets R and F in its OPENs, RFC 4724). */
  readonly restarting: boolean
}

/** One path as a peer received it, normalized: lists sorted, local preference only where it travels (iBGP). */
export type ReceivedPath = {
  readonly prefix: string
  readonly nextHop: string
  /** ASNs in order, sets in braces: `65001 65002 {65003}`. */
  readonly asPath: string
  readonly origin: 'igp' | 'egp' | 'incomplete'
  readonly med: number | null
  readonly localPref: number | null
  readonly communities: readonly string[]
  readonly largeCommunities: readonly string[]
  readonly extendedCommunities: readonly string[]
  readonly onlyToCustomer: number | null
}

/** A running daemon. Disposing kills its whole process group and removes its files. */
export interface Daemon extends AsyncDisposable {
  readonly name: DaemonName
  established(peer: string): Promise<boolean>
  /** Everything held from a peer, both families, in the order of `comparePaths`. */
  received(peer: string): Promise<readonly ReceivedPath[]>
  /** Replaces the whole set of originated prefixes without resetting a session. */
  setAnnounced(announcements: readonly Announcement[]): Promise<void>
  /** Ends it as its service manager would, and waits. */
  stop(): Promise<void>
  /** SIGKILL to its BGP process, and waits: no goodbye of any kind. */
  kill(): Promise<void>
  /** Starts it again after `stop` or `kill`, as one that restarts gracefully. */
  restart(): Promise<void>
  /** The end of its log, for an error message. */
  log(): string
}

export interface DaemonDriver {
  readonly name: DaemonName
  /** Programs it needs. */
  readonly programs: readonly string[]
  readonly supports: ReadonlySet<Feature>
  /** Starts the daemon and resolves when it answers its command line. */
  start(net: Netns, node: string, config: DaemonConfig): Promise<Daemon>
}

/** A session with nothing special about it. */
export function peerConfig(
  required: Pick<DaemonPeerConfig, 'address' | 'localAddress' | 'asn'> & Partial<DaemonPeerConfig>,
): DaemonPeerConfig {
  return {
    password: null,
    families: ['IPv4Unicast', 'IPv6Unicast'],
    addPath: { receive: false, send: false },
    role: null,
    gracefulRestart: null,
    holdTimeSeconds: 30,
    passive: false,
    ttlSecurity: false,
    extendedNextHop: false,
    extendedMessage: false,
    interface: null,
    multihop: null,
    fourOctetAs: true,
    ...required,
  }
}

/** A daemon that announces nothing and installs nothing. */
export function daemonConfig(
  required: Pick<DaemonConfig, 'asn' | 'routerId' | 'addresses' | 'peers'> & Partial<DaemonConfig>,
): DaemonConfig {
  return { announce: [], kernelRoutes: false, passOn: false, restarting: false, ...required }
}

export function familyOfPrefix(prefix: string): Family {
  return prefix.includes(':') ? 'IPv6Unicast' : 'IPv4Unicast'
}

/** By prefix, then by everything else: a fixed order for comparing sets of paths. */
export function comparePaths(a: ReceivedPath, b: ReceivedPath): number {
  const [left, right] = [`${a.prefix} ${JSON.stringify(a)}`, `${b.prefix} ${JSON.stringify(b)}`]
  return left < right ? -1 : left > right ? 1 : 0
}

/** Communities in a fixed order, free of duplicates. */
export function sorted(values: readonly string[]): readonly string[] {
  return [...new Set(values)].sort()
}

/** A folder of its own for a daemon's configuration, sockets and log. */
export function runFolder(name: DaemonName): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), `fib-${name}-`))
  fs.chmodSync(folder, 0o755) // some daemons give up root before they open their files
  return folder
}

/** The daemon once it is ready; one that does not come up leaves nothing behind. */
export async function readied<D extends AsyncDisposable & { ready(): Promise<void> }>(daemon: D): Promise<D> {
  try {
    await daemon.ready()
    return daemon
  } catch (cause) {
    await daemon[Symbol.asyncDispose]()
    throw cause
  }
}

/** Throws if a configuration asks for what the daemon does not have: a test must not pass because a feature was left out. */
export function assertSupported(driver: Pick<DaemonDriver, 'name' | 'supports'>, config: DaemonConfig): void {
  const need = (feature: Feature, when: boolean): void => {
    if (when && !driver.supports.has(feature)) throw new Error(`${driver.name} does not have ${feature}`)
  }
  need('kernelRoutes', config.kernelRoutes)
  need('passOn', config.passOn)
  need('gracefulRestartRestarter', config.restarting)
  for (const peer of config.peers) {
    need('md5', peer.password !== null)
    need('gtsm', peer.ttlSecurity)
    need('addPathSend', peer.addPath.send)
    need('addPathReceive', peer.addPath.receive)
    need('gracefulRestart', peer.gracefulRestart !== null)
    need('extendedNextHop', peer.extendedNextHop)
    need('extendedMessage', peer.extendedMessage)
    need('role', peer.role !== null)
    need('linkLocal', peer.interface !== null)
    need('multihop', peer.multihop !== null)
    need('twoOctetAs', !peer.fourOctetAs)
    need('longLivedGracefulRestart', (peer.gracefulRestart?.longLivedStaleTimeSeconds ?? 0) > 0)
  }
}
