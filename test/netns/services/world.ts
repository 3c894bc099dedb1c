// A rack with services: three nodes with an agent each behind one top-of-rack router (BIRD), a client beyond it, and one endpoint at
// each node. Rules stand for kube-proxy: what is for a service address is translated in PREROUTING, to the endpoint of that node or
// of another. Every node is an AS of its own; both families; nothing but BGP tells where anything is.
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type AgentStatus, CONTROL_SOCKET } from '../../../src/agent/control-api.ts'
import type { RouteStatus } from '../../../src/bgp/status.ts'
import { requestJson } from '../../../src/lib/unix-http.ts'
import { fibula } from '../../support/agent.ts'
import { type Bird, bird } from '../../support/daemons/bird.ts'
import { daemonConfig, peerConfig, type ReceivedPath } from '../../support/daemons/daemon.ts'
import { buildNetns, type LinkEnd, type Netns } from '../../support/netns.ts'
import { NetnsProcess } from '../../support/netns-process.ts'
import { until } from '../../support/poll.ts'

/** What `describeWith` has to find. */
export const PROGRAMS: readonly string[] = [
  ...fibula.programs,
  ...bird.programs,
  'iptables',
  'ip6tables',
  'conntrack',
  'python3',
  'tcpdump',
  'tshark',
]

const [FIBULA = ''] = fibula.programs
const API = 'fibula.network/v1alpha1'
const TOR_ASN = 65_000
const NUMBERS = [1, 2, 3] as const
export const PORT = 5_005
export const VIP = { ipv4: '192.0.2.10', ipv6: '2001:db8:1b::10' } as const
export const CLUSTER_IP = { ipv4: '10.96.0.10', ipv6: 'fd00:96::10' } as const
/** Cluster IPs that no service has. */
export const UNUSED_IP = { ipv4: '10.96.0.77', ipv6: 'fd00:96::77' } as const
export const RANGES = {
  serviceClusterIPs: [{ cidr: '10.96.0.0/16' }, { cidr: 'fd00:96::/112' }],
  serviceLoadBalancerIPs: [{ cidr: '192.0.2.0/24' }, { cidr: '2001:db8:1b::/64' }],
}

type Manifest = Readonly<Record<string, unknown>>
export type NodeNumber = (typeof NUMBERS)[number]
/** Of the endpoint at a node. */
export type EndpointState = 'ready' | 'notReady' | 'terminating' | 'ended'
type Family = 'ipv4' | 'ipv6'

export class Rack implements AsyncDisposable {
  readonly net: Netns
  readonly tor: Bird
  readonly #folder: string
  readonly #agents = new Map<NodeNumber, NetnsProcess>()
  readonly #endpoints = new Map<NodeNumber, NetnsProcess>()
  #started = 0

  private constructor(net: Netns, tor: Bird, folder: string) {
    this.net = net
    this.tor = tor
    this.#folder = folder
  }

  /** Every node has its sessions to the router. No endpoint runs, and there is no service. */
  static async start(topic: string): Promise<Rack> {
    const net = await buildNetns(topic, {
      nodes: ['tor', 'client', ...NUMBERS.flatMap((number) => [nodeOf(number), endpointOf(number)])],
      links: [
        [
          { node: 'tor', name: 'outside', addresses: ['10.9.0.1/24', 'fd09::1/64'] },
          { node: 'client', name: 'eth0', addresses: ['10.9.0.2/24', 'fd09::2/64'] },
        ],
        ...NUMBERS.flatMap((number): readonly (readonly [LinkEnd, LinkEnd])[] => [
          [
            { node: 'tor', name: `rack${number}`, addresses: [`10.1.${number}.1/24`, `fd01:${number}::1/64`] },
            { node: nodeOf(number), name: 'eth0', addresses: [`10.1.${number}.2/24`, `fd01:${number}::2/64`] },
          ],
          [
            { node: nodeOf(number), name: 'pod0', addresses: [`10.244.${number}.1/24`, `fd00:244:${number}::1/64`] },
            { node: endpointOf(number), name: 'eth0', addresses: [`10.244.${number}.2/24`, `fd00:244:${number}::2/64`] },
          ],
        ]),
      ],
    })
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), `fib-${topic}-`))
    await using started = new AsyncDisposableStack()
    started.use(net)
    started.defer(() => fs.rmSync(folder, { recursive: true, force: true }))
    const defaults = (via4: string, via6: string) => [`route add default via ${via4}`, `route add default via ${via6}`]
    // Spread by ports too, as a fabric does.
    const spreading = 'echo 1 > /proc/sys/net/ipv4/fib_multipath_hash_policy; echo 1 > /proc/sys/net/ipv6/fib_multipath_hash_policy'
    const forwarding = 'echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding'
    // A packet that comes back from a node with the client's address is a loop, and not the router's to drop.
    const noFilter = 'for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 > $f; done'
    await net.exec('tor', 'sh', ['-c', `${forwarding}; ${spreading}; ${noFilter}`])
    await net.ipBatch('client', defaults('10.9.0.1', 'fd09::1'))
    for (const number of NUMBERS) {
      await net.ipBatch(nodeOf(number), defaults(`10.1.${number}.1`, `fd01:${number}::1`))
      await net.ipBatch(endpointOf(number), defaults(`10.244.${number}.1`, `fd00:244:${number}::1`))
    }
    fs.mkdirSync(path.join(folder, 'store'))
    const tor = started.use(await bird.start(net, 'tor', TOR))
    const rack = new Rack(net, tor, folder)
    started.defer(() => rack.#end())
    rack.configure()
    for (const number of NUMBERS) rack.node(number)
    for (const number of NUMBERS) rack.launch(number)
    for (const number of NUMBERS) await rack.untilEstablished(number)
    started.move()
    return rack
  }

  /** Ranges of services, and more of the spec, for all nodes. */
  configure(spec: Readonly<Record<string, unknown>> = RANGES): void {
    const pool = (name: string, cidr: string): Manifest => ({ apiVersion: API, kind: 'IPPool', metadata: { name }, spec: { cidr } })
    this.#write('cluster', [
      {
        apiVersion: API,
        kind: 'BGPConfiguration',
        metadata: { name: 'default' },
        spec: { nodeToNodeMesh: { enabled: false }, connectRetryTime: '1s', ...spec },
      },
      pool('pods-v4', '10.244.0.0/16'),
      pool('pods-v6', 'fd00:244::/32'),
      ...NUMBERS.map(
        (number): Manifest => ({
          apiVersion: API,
          kind: 'BGPConfiguration',
          metadata: { name: `node-${number}` },
          spec: {
            nodeSelector: { matchLabels: { name: nodeOf(number) } },
            networks: [`10.244.${number}.0/24`, `fd00:244:${number}::/64`],
          },
        }),
      ),
    ])
  }

  /** Writes a node and its peers. */
  node(
    number: NodeNumber,
    { cordoned = false, excluded = false }: { readonly cordoned?: boolean; readonly excluded?: boolean } = {},
  ): void {
    const peer = (family: 'IPv4' | 'IPv6', peerIP: string): Manifest => ({
      apiVersion: API,
      kind: 'BGPPeer',
      metadata: { name: `tor-${number}-${family.toLowerCase()}` },
      spec: { node: nodeOf(number), peerIP, asNumber: TOR_ASN, addressFamilies: [`${family}Unicast`] },
    })
    this.#write(`node-${number}`, [
      {
        apiVersion: 'v1',
        kind: 'Node',
        metadata: {
          name: nodeOf(number),
          labels: {
            name: nodeOf(number),
            ...(excluded ? { 'node.kubernetes.io/exclude-from-external-load-balancers': '' } : {}),
          },
          annotations: {
            'fibula.network/asn': String(64_600 + number),
            'fibula.network/ipv4-address': `10.1.${number}.2/24`,
            'fibula.network/ipv6-address': `fd01:${number}::2/64`,
          },
        },
        spec: { unschedulable: cordoned },
      },
      peer('IPv4', `10.1.${number}.1`),
      peer('IPv6', `fd01:${number}::1`),
    ])
  }

  launch(number: NodeNumber): void {
    const name = nodeOf(number)
    const runDir = this.#runFolder(number)
    fs.mkdirSync(runDir, { recursive: true })
    const options = { '--node': name, '--store': `dir:${path.join(this.#folder, 'store')}`, '--run-dir': runDir, '--metrics-port': '0' }
    const log = path.join(this.#folder, `${name}.log`)
    this.#agents.set(number, new NetnsProcess(this.net, name, FIBULA, ['agent', ...Object.entries(options).flat()], log))
  }

  async kill(number: NodeNumber): Promise<void> {
    await this.#agents.get(number)?.end('SIGKILL')
  }

  log(number: NodeNumber): string {
    return this.#agents.get(number)?.log() ?? ''
  }

  async untilEstablished(number: NodeNumber): Promise<void> {
    const explain = (): string => this.log(number)
    for (const address of [`10.1.${number}.2`, `fd01:${number}::2`]) {
      const isUp = (): Promise<boolean> => {
        this.#agents.get(number)?.assertRunning()
        return this.tor.established(address)
      }
      await until(`the router has its session to ${address}`, isUp, { explain })
    }
  }

  /** The service `default/web`, with its addresses, on the port of the endpoints. */
  service(spec: Readonly<Record<string, unknown>> = {}): void {
    this.#write('service', [
      {
        apiVersion: 'v1',
        kind: 'Service',
        metadata: { name: 'web', namespace: 'default' },
        spec: { type: 'LoadBalancer', clusterIPs: [CLUSTER_IP.ipv4, CLUSTER_IP.ipv6], ports: [{ port: PORT, protocol: 'UDP' }], ...spec },
        status: { loadBalancer: { ingress: [{ ip: VIP.ipv4 }, { ip: VIP.ipv6 }] } },
      },
    ])
  }

  /** Its endpoints by node, in one slice a family with this name; other slices go. */
  slices(states: Readonly<Partial<Record<NodeNumber, EndpointState>>>, name = 'web'): void {
    const slice = (addressType: 'IPv4' | 'IPv6'): Manifest => ({
      apiVersion: 'discovery.k8s.io/v1',
      kind: 'EndpointSlice',
      metadata: { name: `${name}-${addressType.toLowerCase()}`, namespace: 'default', labels: { 'kubernetes.io/service-name': 'web' } },
      addressType,
      endpoints: NUMBERS.flatMap((number) => {
        const state = states[number]
        if (state === undefined) return []
        const conditions = {
          ready: state === 'ready',
          serving: state === 'ready' || state === 'terminating',
          terminating: state === 'terminating' || state === 'ended',
        }
        return [
          { addresses: [addressType === 'IPv4' ? `10.244.${number}.2` : `fd00:244:${number}::2`], conditions, nodeName: nodeOf(number) },
        ]
      }),
      ports: [{ port: PORT, protocol: 'UDP' }],
    })
    this.#write('slices', [slice('IPv4'), slice('IPv6')])
  }

  /** Starts the endpoint at a node, and resolves when it answers. */
  async endpoint(number: NodeNumber): Promise<void> {
    const log = path.join(this.#folder, `${endpointOf(number)}-${this.#started++}.log`)
    const program = path.join(import.meta.dirname, 'endpoint.py')
    const started = new NetnsProcess(this.net, endpointOf(number), 'python3', [program, endpointOf(number), String(PORT)], log)
    this.#endpoints.set(number, started)
    await until(`endpoint ${number} listens`, () => {
      started.assertRunning()
      return started.log().includes('ready')
    })
  }

  async endEndpoint(number: NodeNumber): Promise<void> {
    await this.#endpoints.get(number)?.end('SIGKILL')
  }

  /** The rules of kube-proxy on a node: its service leads to the endpoint at `to`; null: to nobody, so there are none. */
  async proxy(number: NodeNumber, to: NodeNumber | null): Promise<void> {
    for (const family of ['ipv4', 'ipv6'] as const) {
      const target = family === 'ipv4' ? `10.244.${to}.2` : `fd00:244:${to}::2`
      const addresses = to === null ? [] : [VIP[family], CLUSTER_IP[family]]
      // From another node's endpoint the answer has to come back this way: masqueraded, as kube-proxy does for policy Cluster.
      const lines = [
        '*nat',
        ':TEST-SERVICES - [0:0]',
        ':TEST-MASQUERADE - [0:0]',
        ...addresses.map((address) => `-A TEST-SERVICES -d ${address} -j DNAT --to-destination ${target}`),
        ...(to === null || to === number
          ? []
          : addresses.map((address) => `-A TEST-MASQUERADE -m conntrack --ctorigdst ${address} -j MASQUERADE`)),
        'COMMIT',
      ]
      const tool = family === 'ipv4' ? 'iptables' : 'ip6tables'
      await this.net.exec(nodeOf(number), `${tool}-restore`, ['--noflush', '-w'], { input: `${lines.join('\n')}\n` })
      for (const [chain, target] of [
        ['PREROUTING', 'TEST-SERVICES'],
        ['OUTPUT', 'TEST-SERVICES'],
        ['POSTROUTING', 'TEST-MASQUERADE'],
      ] as const) {
        const rule = ['-w', '-t', 'nat', '-C', chain, '-j', target]
        const isThere = await this.net.exec(nodeOf(number), tool, rule).then(
          () => true,
          () => false,
        )
        if (!isThere) await this.net.exec(nodeOf(number), tool, rule.with(3, '-A'))
      }
    }
    await this.net.exec(nodeOf(number), 'conntrack', ['-F']) // as kube-proxy forgets where datagrams went before
  }

  /** Nodes whose path for a prefix the router has, and uses. */
  async nextHops(prefix: string): Promise<readonly NodeNumber[]> {
    const table = await this.net.ip('tor', `${prefix.includes(':') ? '-6' : '-4'} route show ${prefix}`)
    return NUMBERS.filter((number) => table.includes(`dev rack${number} `))
  }

  async untilNextHops(prefix: string, nodes: readonly NodeNumber[]): Promise<void> {
    let seen: readonly NodeNumber[] = []
    await until(
      `the router leads ${prefix} to ${nodes.length === 0 ? 'nobody' : `nodes ${nodes.join(', ')}`}`,
      async () => {
        seen = await this.nextHops(prefix)
        return seen.join() === nodes.join()
      },
      { explain: () => `nodes ${seen.join(', ')}\n${NUMBERS.map((number) => this.log(number)).join('\n')}` },
    )
  }

  /** Of both families. */
  async untilServiceAt(address: { readonly ipv4: string; readonly ipv6: string }, nodes: readonly NodeNumber[]): Promise<void> {
    await this.untilNextHops(address.ipv4, nodes) // the kernel shows a host route without its length
    await this.untilNextHops(address.ipv6, nodes)
  }

  /** What the router has been told of a prefix by a node. */
  async told(number: NodeNumber, prefix: string): Promise<ReceivedPath | null> {
    const peer = prefix.includes(':') ? `fd01:${number}::2` : `10.1.${number}.2`
    return (await this.tor.received(peer)).find((each) => each.prefix === prefix) ?? null
  }

  /** UPDATEs and withdrawals that the router has received from a node, as it counts them. */
  async updatesFrom(number: NodeNumber): Promise<string> {
    const at = 2 * (number - 1)
    const texts = await Promise.all([at, at + 1].map((each) => this.tor.control(`show protocols all p${each}`)))
    return texts.flatMap((text) => text.match(/Import (updates|withdraws):.*/g) ?? []).join('\n')
  }

  ask<T>(number: NodeNumber, resource: string): Promise<T> {
    return this.#request<T>(number, resource)
  }

  status(number: NodeNumber): Promise<AgentStatus> {
    return this.#request(number, '/v1/status')
  }

  routes(number: NodeNumber): Promise<readonly RouteStatus[]> {
    return this.#request(number, '/v1/bgp/routes')
  }

  /** Names of the endpoints that answer this many connections, one after another. */
  async answerers(from: string, address: string, count: number): Promise<ReadonlySet<string>> {
    const program = `import socket
for _ in range(${count}):
  with socket.create_connection(("${address}", ${PORT}), 30) as s: print(s.recv(100).decode())`
    const { stdout } = await this.net.exec(from, 'python3', ['-c', program])
    return new Set(
      stdout
        .trim()
        .split('\n')
        .map((line) => line.split(' ')[0] ?? ''),
    )
  }

  /** One connection to an address; the name of the endpoint that answered, and from where it was asked. */
  async connect(from: string, address: string, withinSeconds = 30): Promise<readonly [name: string, client: string]> {
    const program = `import socket
s=socket.create_connection(("${address}", ${PORT}), ${withinSeconds})
print(s.recv(100).decode())`
    const { stdout } = await this.net.exec(from, 'python3', ['-c', program])
    const [name = '', client = ''] = stdout.trim().split(' ')
    return [name, client.replace(/^::ffff:/, '')]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#end()
    await this.tor[Symbol.asyncDispose]()
    await this.net[Symbol.asyncDispose]()
    fs.rmSync(this.#folder, { recursive: true, force: true })
  }

  async #end(): Promise<void> {
    await Promise.all([...this.#agents.values(), ...this.#endpoints.values()].map((each) => each.end('SIGKILL')))
  }

  #runFolder(number: NodeNumber): string {
    return path.join(this.#folder, `run-${number}`)
  }

  async #request<T>(number: NodeNumber, resource: string): Promise<T> {
    const socketPath = path.join(this.#runFolder(number), CONTROL_SOCKET)
    const answer = await requestJson({ socketPath, method: 'GET', path: resource, timeoutMs: 30_000 })
    if (answer.status !== 200) throw new Error(`${resource}: ${answer.status} ${JSON.stringify(answer.body)}`)
    return answer.body as T
  }

  #write(name: string, manifests: readonly Manifest[]): void {
    const file = path.join(this.#folder, 'store', `${name}.yaml`)
    fs.writeFileSync(`${file}.new`, manifests.map((each) => JSON.stringify(each)).join('\n---\n'))
    fs.renameSync(`${file}.new`, file)
  }
}

export type Requests = { readonly sent: number; readonly lost: readonly number[]; readonly by: Readonly<Record<string, number>> }
/** What is known meanwhile: the number of the next request, and those that may still be answered. */
type Progress = Requests & { readonly next: number; readonly waiting: readonly number[] }

/** Requests from the client to an address, 100 a second. */
export class Requester implements AsyncDisposable {
  readonly #child: ReturnType<Netns['spawn']>
  #text = ''

  private constructor(child: ReturnType<Netns['spawn']>) {
    this.#child = child
    child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
      this.#text += chunk
    })
  }

  /** Resolves once answers come; what was lost until then does not count. */
  static async start(rack: Rack, address: string): Promise<Requester> {
    const program = path.join(import.meta.dirname, 'requests.py')
    const requester = new Requester(
      rack.net.spawn('client', 'python3', [program, address, String(PORT)], { stdio: ['pipe', 'pipe', 'inherit'] }),
    )
    await until(`answers from ${address}`, () => requester.#text.includes('ready'))
    requester.#child.stdin?.write('begin\n')
    return requester
  }

  /** Resolves when what it has counted so far is so: a test that goes on by the clock alone may have sent nothing in between. */
  async untilCounted(what: string, isSo: (requests: Progress) => boolean): Promise<void> {
    let last = ''
    const look = async (): Promise<boolean> => {
      last = await this.#ask('now')
      return isSo(JSON.parse(last) as Progress)
    }
    await until(what, look, { explain: () => last })
  }

  /** Resolves when each of these endpoints has answered. */
  untilAnsweredBy(...names: readonly string[]): Promise<void> {
    return this.untilCounted(`answers of ${names.join(' and ')}`, ({ by }) => names.every((name) => (by[name] ?? 0) > 0))
  }

  /** Resolves when nothing is under way any more of what has been sent until now: where it went may end without loss. */
  async settled(): Promise<void> {
    const { next } = JSON.parse(await this.#ask('now')) as Progress
    await this.untilCounted('what was sent before is answered', ({ waiting }) => waiting.every((number) => number >= next))
  }

  async finish(): Promise<Requests> {
    return JSON.parse(await this.#ask('end')) as Requests
  }

  /** The next count it prints, as a whole line. */
  #ask(command: 'now' | 'end'): Promise<string> {
    const from = this.#text.length
    this.#child.stdin?.write(`${command}\n`)
    return until('the count of requests', () => /^(\{.*\})\n/m.exec(this.#text.slice(from))?.[1], { everyMs: 10 })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#child.once('exit', () => resolve())
    this.#child.kill('SIGKILL')
    await promise
  }
}

const TOR = daemonConfig({
  asn: TOR_ASN,
  routerId: '10.9.0.1',
  addresses: { ipv4: '10.9.0.1', ipv6: 'fd09::1' },
  peers: NUMBERS.flatMap((number) => {
    const session = (address: string, localAddress: string, family: 'IPv4Unicast' | 'IPv6Unicast') =>
      peerConfig({ address, localAddress, asn: 64_600 + number, families: [family], gracefulRestart: { restartTimeSeconds: 120 } })
    return [
      session(`10.1.${number}.2`, `10.1.${number}.1`, 'IPv4Unicast'),
      session(`fd01:${number}::2`, `fd01:${number}::1`, 'IPv6Unicast'),
    ]
  }),
  passOn: true,
  kernelRoutes: true,
})

export function nodeOf(number: NodeNumber): string {
  return `n${number}`
}

export function endpointOf(number: NodeNumber): string {
  return `e${number}`
}

export const FAMILIES: readonly Family[] = ['ipv4', 'ipv6']
