// The network outside of the nodes: a namespace for each machine, two switches, and a top-of-rack router that runs BIRD. What the
// router's kernel does with routes to pods is watched: every change is kept with its time.
import type { ChildProcess } from 'node:child_process'
import { exec } from '../../../src/lib/exec.ts'
import { bird, type DaemonPeerConfig, daemonConfig, peerConfig } from '../daemons/index.ts'
import { buildNetns, type Netns } from '../netns.ts'
import { until } from '../poll.ts'
import { CONTROL, type Dual, NODES, type NodeSpec, OUTSIDE, TOR } from './layout.ts'
import { PATIENCE_MS } from './patience.ts'
import type { Place } from './process.ts'

type Bird = Awaited<ReturnType<typeof bird.start>>

export type RouteChange = { readonly atMs: number; readonly line: string }

const NO_REDIRECTS = 'for f in /proc/sys/net/ipv4/conf/*/send_redirects; do echo 0 >$f; done'
/** Connections to one address are spread over nodes by their ports, as a fabric does it. */
const SPREAD = 'for f in ipv4 ipv6; do echo 1 >/proc/sys/net/$f/fib_multipath_hash_policy; done'
const FORWARD = 'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'

export class Fabric implements AsyncDisposable {
  readonly net: Netns
  #bird: Bird | undefined
  readonly #watchers: ChildProcess[] = []
  readonly #changes: RouteChange[] = []
  /** Of `caughtUp`, as the watchers have shown them. */
  readonly #marksSeen = new Set<string>()
  #marks = 0

  private constructor(net: Netns) {
    this.net = net
  }

  static async build(): Promise<Fabric> {
    const rack = (name: 'rack-a' | 'rack-b') => ({
      name,
      ends: [
        { node: 'tor', name, addresses: withLength(TOR.addresses[name]) },
        ...NODES.filter((each) => each.rack === name).map((each) => ({
          node: each.name,
          name: 'eth0',
          addresses: withLength(each.address),
        })),
      ],
    })
    const link = (name: 'control' | 'outside', address: Dual) =>
      [
        { node: 'tor', name, addresses: withLength(TOR.addresses[name]) },
        { node: name, name: 'eth0', addresses: withLength(address) },
      ] as const
    const net = await buildNetns('cluster', {
      nodes: ['tor', 'control', 'outside', ...NODES.map(({ name }) => name)],
      switches: [rack('rack-a'), rack('rack-b')],
      links: [link('control', CONTROL), link('outside', OUTSIDE)],
    })
    const fabric = new Fabric(net)
    await net.exec('tor', 'sh', ['-c', `${FORWARD}; ${SPREAD}; ${NO_REDIRECTS}`])
    await Promise.all([
      fabric.#defaultRoute('control', TOR.addresses.control),
      fabric.#defaultRoute('outside', TOR.addresses.outside),
      ...NODES.map((node) => fabric.#prepareNode(node)),
    ])
    return fabric
  }

  /** Front of a command line that runs in the network namespace of `tor`, `control`, `outside` or a node. */
  place(name: string): Place {
    return ['nsenter', `--net=${this.net.pathOf(name)}`]
  }

  /** A namespace and a cable for a node that has none, after `unplug`. */
  async plug(node: NodeSpec): Promise<void> {
    const name = this.net.nameOf(node.name)
    await exec('ip', ['netns', 'add', name])
    await this.net.exec(node.name, 'sh', [
      '-c',
      'for f in all default lo; do echo 0 >/proc/sys/net/ipv6/conf/$f/accept_dad; done; ip link set lo up',
    ])
    const port = this.#portOf(node)
    await this.net.ipBatch(node.rack, [`link add ${port} type veth peer name eth0 netns ${name}`, `link set ${port} master br0 up`])
    const addresses = withLength(node.address).map((each) => `address add ${each} dev eth0${each.includes(':') ? ' nodad' : ''}`)
    await this.net.ipBatch(node.name, ['link set eth0 up', ...addresses])
    await this.#prepareNode(node)
  }

  /** Takes a node's cable and namespace away. Nothing may run in it any more. */
  async unplug(node: NodeSpec): Promise<void> {
    await this.net.ip(node.rack, `link del ${this.#portOf(node)}`)
    await exec('ip', ['netns', 'del', this.net.nameOf(node.name)])
  }

  /** Routes by hand, for networks without BGP: each node's range of pod addresses. */
  async staticRoutes(): Promise<void> {
    for (const at of ['tor', ...NODES.map(({ name }) => name)]) {
      const rack = NODES.find(({ name }) => name === at)?.rack
      const others = NODES.filter(({ name, rack: theirs }) => at === 'tor' || (name !== at && theirs === rack))
      if (others.length === 0) continue
      const commands = others.flatMap(({ podRange, address }) => [
        `route replace ${podRange.ipv4} via ${address.ipv4}`,
        `-6 route replace ${podRange.ipv6} via ${address.ipv6}`,
      ])
      for (const command of commands) await this.net.ip(at, command)
    }
  }

  /** BIRD on the router, with these sessions, the routes in its kernel, graceful restart as a helper; or other sessions for one that runs. */
  async setSessions(peers: readonly DaemonPeerConfig[]): Promise<void> {
    const { asn, routerId, addresses } = TOR
    const config = daemonConfig({ asn, routerId, addresses: addresses.control, peers, kernelRoutes: true, passOn: true })
    if (this.#bird !== undefined) return this.#bird.configure(config)
    this.#bird = await bird.start(this.net, 'tor', config)
    for (const family of ['-4', '-6']) this.#watch(family)
  }

  get tor(): Bird {
    if (this.#bird === undefined) throw new Error('this cluster has no BGP')
    return this.#bird
  }

  /** Every change of the router's kernel routes since `sinceMs` (of `performance.now()`), in the words of `ip monitor`. */
  routeChanges(sinceMs: number): readonly RouteChange[] {
    return this.#changes.filter(({ atMs }) => atMs >= sinceMs)
  }

  /** Resolves when every change that the router's kernel has made by now has been read: on a busy machine that may be seconds later. */
  async caughtUp(): Promise<void> {
    this.#marks++
    const marks = { '-4': `198.18.0.${this.#marks % 256}`, '-6': `2001:db8:18::${(this.#marks % 256).toString(16)}` } // RFC 2544, RFC 3849
    this.#marksSeen.clear()
    for (const [family, mark] of Object.entries(marks)) {
      await this.net.ip('tor', `${family} route add blackhole ${mark}`)
      await this.net.ip('tor', `${family} route del blackhole ${mark}`)
    }
    await until('the changes of routes are read', () => Object.values(marks).every((mark) => this.#marksSeen.has(mark)), {
      deadlineMs: PATIENCE_MS,
    })
  }

  /** The router's kernel routes that BGP brought. */
  async torRoutes(): Promise<readonly string[]> {
    const [four, six] = await Promise.all(['-4', '-6'].map((family) => this.net.ip('tor', `${family} route show proto bird`)))
    return `${four}${six}`.split('\n').filter((line) => line !== '' && !line.startsWith('\t'))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const each of this.#watchers) each.kill('SIGKILL')
    await this.#bird?.[Symbol.asyncDispose]()
    await this.net[Symbol.asyncDispose]()
  }

  #watch(family: string): void {
    const watcher = this.net.spawn('tor', 'ip', [family, 'monitor', 'route'], { stdio: ['ignore', 'pipe', 'inherit'] })
    this.#watchers.push(watcher)
    let rest = ''
    watcher.stdout?.setEncoding('utf8').on('data', (text: string) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) {
        if (line.includes('proto bird')) this.#changes.push({ atMs: performance.now(), line })
        const mark = /^Deleted blackhole (\S+)/.exec(line)?.[1]
        if (mark !== undefined) this.#marksSeen.add(mark)
      }
    })
  }

  async #prepareNode(node: NodeSpec): Promise<void> {
    await this.net.exec(node.name, 'sh', ['-c', FORWARD])
    await this.#defaultRoute(node.name, TOR.addresses[node.rack])
  }

  async #defaultRoute(name: string, { ipv4, ipv6 }: Dual): Promise<void> {
    await this.net.ip(name, `route replace default via ${ipv4} dev eth0`)
    await this.net.ip(name, `-6 route replace default via ${ipv6} dev eth0`)
  }

  /** The switch's end of a node's cable: `buildNetns` counts them, and the router's comes first. */
  #portOf(node: NodeSpec): string {
    return `p${1 + NODES.filter(({ rack }) => rack === node.rack).indexOf(node)}`
  }
}

/** Two racks of nodes with an AS each: a session for each family with each node, from the router's address in its rack. */
export function sessionsOfRacks(): readonly DaemonPeerConfig[] {
  return NODES.flatMap((node) =>
    (['ipv4', 'ipv6'] as const).map((family) =>
      peerConfig({
        address: node.address[family],
        localAddress: TOR.addresses[node.rack][family],
        asn: node.asn,
        families: [family === 'ipv4' ? 'IPv4Unicast' : 'IPv6Unicast'],
        gracefulRestart: { restartTimeSeconds: 120 },
        holdTimeSeconds: 30,
      }),
    ),
  )
}

function withLength({ ipv4, ipv6 }: Dual): readonly string[] {
  return [`${ipv4}/24`, `${ipv6}/64`]
}
