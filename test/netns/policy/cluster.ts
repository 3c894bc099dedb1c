// Real agents with real pods, a folder of manifests that says what policy there is, and probes between all of them that are held against the
// reference evaluator. A state is written as one file, so that the agents see it whole.

import { formatIp, ip } from '../../../src/net/index.ts'
import { evaluate, viewOf } from '../../../src/policy/index.ts'
import { type ClusterState, flowOf, namespaceOf, stateOf } from '../../policy/state.ts'
import type { Manifest } from '../../support/agent-manifests.ts'
import { until } from '../../support/poll.ts'
import { PROGRAMS as AGENT_PROGRAMS, World } from '../agent/world.ts'
import type { PluginCall } from '../pods/node.ts'
import { MassProber, type Probe, type ProbeOptions, type ProbePorts, type ProbeProtocol } from './prober.ts'

/** What `describeWith` has to find. */
export const PROGRAMS: readonly string[] = [...AGENT_PROGRAMS, 'python3', 'iptables-nft-save', 'iptables-legacy-save', 'conntrack']
export const HOST = 'client'
/** Limits that tell what is broken from what is slow. */
const LAUNCH_WITHIN_MS = 120_000
const MEET_WITHIN_MS = 90_000
const AGREE_WITHIN_MS = 20_000
export type Addresses = { readonly ipv4: string; readonly ipv6: string }
export type Variant = 'nft' | 'legacy'

/** Pods by `namespace/name`: the node that each is on. */
export type Placement = Readonly<Record<string, string>>
export type PolicyClusterOptions = {
  readonly nodes: readonly string[]
  readonly pods: Placement
  readonly ports: ProbePorts
  readonly variant?: Variant
  /** Those that have a network from the beginning; default: all. */
  readonly added?: readonly string[]
  /** More arguments of every agent. */
  readonly agentArgs?: readonly string[]
  /** Instead of one pool of each family without outgoing NAT. */
  readonly pools?: readonly Manifest[]
  /** Whether the host has routes to pods; default: it has. */
  readonly isHostToldOfPods?: boolean
}

export class PolicyCluster implements AsyncDisposable {
  readonly world: World
  readonly prober: MassProber
  readonly variant: Variant
  readonly placement: Placement
  readonly nodes: readonly string[]
  /** Of pods, nodes and the host beside the cluster. */
  readonly addresses: ReadonlyMap<string, Addresses>
  #marker = 20_000

  private constructor(
    world: World,
    prober: MassProber,
    { variant = 'nft', pods, nodes }: PolicyClusterOptions,
    addresses: Map<string, Addresses>,
  ) {
    this.world = world
    this.prober = prober
    this.variant = variant
    this.placement = pods
    this.nodes = nodes
    this.addresses = addresses
  }

  /** Pods have their networks; the cluster has no policy yet. */
  static async start(topic: string, options: PolicyClusterOptions): Promise<PolicyCluster> {
    const { nodes, pods, ports, pools, variant = 'nft', agentArgs = [], isHostToldOfPods = true } = options
    const [names, added] = [Object.keys(pods), options.added ?? Object.keys(pods)]
    const world = await World.make(topic, {
      nodes,
      pods: names.map(namespaceOf),
      others: [HOST],
      ...(pools === undefined ? {} : { pools }),
    })
    const prober = new MassProber(world.net, HOST)
    try {
      if (variant === 'legacy') await Promise.all(nodes.map((node) => hintLegacy(world, node)))
      await Promise.all(nodes.map((name) => world.node(name).launch({ args: agentArgs, deadlineMs: LAUNCH_WITHIN_MS })))
      const addresses = new Map<string, Addresses>(nodes.map((name, at) => [name, { ipv4: `10.0.0.${at + 11}`, ipv6: `fd00::${at + 11}` }]))
      addresses.set(HOST, { ipv4: '10.0.0.101', ipv6: 'fd00::101' })
      const cluster = new PolicyCluster(world, prober, options, addresses)
      for (const name of added) await cluster.add(name)
      if (isHostToldOfPods) await Promise.all(added.map((name) => cluster.#routeFromHost(name)))
      const ends = [
        ...names.map((name) => [name, world.net.pathOf(namespaceOf(name))]),
        ...[...nodes, HOST].map((name) => [name, world.net.pathOf(name)]),
      ]
      await prober.open(Object.fromEntries(ends), ports)
      // What a test begins with: nodes know the way to each other's pods.
      await cluster.meet(cluster.allProbes([['TCP', ports.tcp[0] ?? 80]], added))
      return cluster
    } catch (cause) {
      prober[Symbol.dispose]()
      await world[Symbol.asyncDispose]()
      throw cause
    }
  }

  /** ADD of a pod of the placement, with its Kubernetes name. */
  async add(key: string): Promise<Addresses> {
    const addresses = await this.attach(key, 'eth0')
    ;(this.addresses as Map<string, Addresses>).set(key, addresses)
    return addresses
  }

  /** ADD of an interface of a pod; its addresses. */
  async attach(key: string, ifName: string): Promise<Addresses> {
    const { ips } = await this.world.node(this.nodeOf(key)).add(this.#callOf(key, ifName))
    const one = (isIpv6: boolean): string => ips.find(({ address }) => address.includes(':') === isIpv6)?.address.split('/')[0] ?? ''
    return { ipv4: one(false), ipv6: one(true) }
  }

  /** DEL of an interface of a pod. */
  detach(key: string, ifName = 'eth0'): Promise<void> {
    return this.world.node(this.nodeOf(key)).remove(this.#callOf(key, ifName))
  }

  nodeOf(key: string): string {
    const node = this.placement[key]
    if (node === undefined) throw new RangeError(`no pod ${key}`)
    return node
  }

  addressesOf(name: string): Addresses {
    const found = this.addresses.get(name)
    if (found === undefined) throw new RangeError(`${name} has no address`)
    return found
  }

  /** Writes a state and waits until every node has its rules in the kernel. */
  async apply(state: ClusterState): Promise<void> {
    const marker = ++this.#marker
    this.write(state, marker)
    await Promise.all(this.nodes.map((node) => this.#untilWritten(node, marker)))
  }

  /** Writes a state; `marker`, if any, is a port that a rule names. */
  write(state: ClusterState, marker?: number): void {
    this.world.write('state', this.manifests(state, marker))
  }

  manifests(state: ClusterState, marker?: number): readonly Manifest[] {
    return [
      ...manifestsOf(state, this.placement, this.addresses),
      ...(marker === undefined ? [] : [markerPolicy(marker)]),
    ] as readonly Manifest[]
  }

  /** Every pair of ends, in both families, by every protocol and port. A pod does not ask itself. */
  allProbes(ports: readonly (readonly [ProbeProtocol, number])[], ends: readonly string[] = [...this.addresses.keys()]): readonly Probe[] {
    const isPod = (name: string): boolean => name.includes('/')
    return ends.flatMap((from) =>
      ends
        .filter((to) => to !== from && (isPod(from) || isPod(to)))
        .flatMap((to) =>
          Object.values(this.addressesOf(to)).flatMap((address) =>
            ports.map(([protocol, port]): Probe => ({ from, to, address, protocol, port })),
          ),
        ),
    )
  }

  /** What the evaluator says of each. */
  expected(state: ClusterState, probes: readonly Probe[]): readonly boolean[] {
    const objects = manifestsOf(state, this.placement, this.addresses)
    const nodes = this.nodes.map((name) => ({ name, addresses: Object.values(this.addressesOf(name)).map(ip) }))
    const view = viewOf(stateOf(objects, nodes), { node: '', ownNodeEgress: 'allow', missingPods: 'deny' })
    return probes.map((probe) => {
      const source = this.addressesOf(probe.from)[probe.address.includes(':') ? 'ipv6' : 'ipv4']
      return evaluate(view, flowOf(source, probe.address, probe.protocol, probe.port)).allowed
    })
  }

  /**
   * Probes whose packets the kernel treats otherwise than expected, in words. Members that leave sets go a little after
   * the chains have changed, and a packet may be lost: those that differ are tried again, three times at least. */
  async differences(
    probes: readonly Probe[],
    expected: readonly boolean[],
    options: Omit<ProbeOptions, 'expected'> = {},
    withinMs = AGREE_WITHIN_MS,
  ): Promise<readonly string[]> {
    const endMs = performance.now() + withinMs
    let left = probes.map((probe, at) => ({ probe, expected: expected[at] === true }))
    for (let attempt = 1; ; attempt++) {
      const passed = await this.prober.probe(
        left.map(({ probe }) => probe),
        { ...options, expected: left.map((each) => each.expected) },
      )
      left = left.filter((each, at) => each.expected !== passed[at])
      if (left.length === 0 || (attempt >= 3 && performance.now() > endMs)) break
    }
    return left.map(({ probe: { from, to, address, protocol, port }, expected: should }) => {
      return `${from} -> ${to} (${address}) ${protocol}:${port} should ${should ? 'pass' : 'not pass'}`
    })
  }

  /** Whether a TCP connection from one of the addresses of a namespace can be made. */
  async connects(namespace: string, source: string, address: string, port = 80, waitSeconds = 30): Promise<boolean> {
    const program = `import socket; socket.create_connection(("${address}", ${port}), ${waitSeconds}, ("${source}", 0))`
    return this.world.net.exec(namespace, 'python3', ['-c', program]).then(
      () => true,
      () => false,
    )
  }

  /** Connections that are alive, of some that were made: `dead` are waited for until they are cut, and stay so, whoever speaks. */
  async untilAlive(alive: readonly string[], dead: readonly string[] = [], first: 'client' | 'server' = 'client'): Promise<void> {
    const second = first === 'client' ? 'server' : 'client'
    const isSo = async (): Promise<boolean> => {
      const cut = dead.length === 0 ? [] : await this.prober.exchange(dead, first)
      return !cut.includes(true) && !(await this.prober.exchange(alive, first, 10_000)).includes(false)
    }
    await until(`${alive.length} connections live, ${dead.length} are cut`, isSo, { explain: () => this.explain() })
    if (dead.length > 0 && (await this.prober.exchange(dead, second)).includes(true)) throw new Error('what was cut goes on')
    if ((await this.prober.exchange(alive, second, 10_000)).includes(false)) throw new Error('what is permitted was cut')
  }

  /** Before there is a policy: everything passes, and the first packets find their neighbours. Rejects if one does not. */
  async meet(probes: readonly Probe[], options: Omit<ProbeOptions, 'expected'> = {}): Promise<void> {
    const all = probes.map(() => true)
    const differences = await this.differences(probes, all, options, MEET_WITHIN_MS)
    if (differences.length > 0) throw new Error(['there is no policy, but', ...differences.slice(0, 20), this.explain()].join('\n'))
  }

  /** `iptables-save` of both families of a node. */
  async rules(node: string, variant: Variant = this.variant): Promise<readonly [string, string]> {
    const save = async (tool: string): Promise<string> => (await this.world.net.exec(node, `${tool}-${variant}-save`, [])).stdout
    return Promise.all([save('iptables'), save('ip6tables')])
  }

  explain(): string {
    return this.nodes.map((name) => this.world.node(name).log()).join('\n')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.prober[Symbol.dispose]()
    await this.world[Symbol.asyncDispose]()
  }

  #callOf(key: string, ifName: string): PluginCall {
    const [namespace = '', name = ''] = key.split('/')
    return { ...this.world.call(namespaceOf(key)), ifName, pod: { namespace, name } }
  }

  async #untilWritten(node: string, marker: number): Promise<void> {
    await until(`${node} has the rules`, async () => (await this.rules(node)).every((text) => text.includes(`--dport ${marker} `)), {
      explain: () => this.world.node(node).log(),
    })
  }

  /** The host knows where pods are; it is in no session. */
  async #routeFromHost(key: string): Promise<void> {
    const [node, pod] = [this.addressesOf(this.nodeOf(key)), this.addressesOf(key)]
    await this.world.net.ipBatch(HOST, [`route add ${pod.ipv4}/32 via ${node.ipv4}`, `route add ${pod.ipv6}/128 via ${node.ipv6}`])
  }
}

/** As kubelet leaves it where the tools of the host are legacy. */
async function hintLegacy(world: World, node: string): Promise<void> {
  for (const tool of ['iptables', 'ip6tables'])
    await world.net.exec(node, `${tool}-legacy`, ['-w', '-t', 'mangle', '-N', 'KUBE-IPTABLES-HINT'])
}

/** Of all pods, and of no packet: that a rule with its port is in the kernel shows that this state is. */
function markerPolicy(port: number): object {
  return {
    apiVersion: 'policy.networking.k8s.io/v1alpha2',
    kind: 'ClusterNetworkPolicy',
    metadata: { name: 'zz-marker' },
    spec: {
      tier: 'Admin',
      priority: 1000,
      subject: { namespaces: {} },
      egress: [
        {
          action: 'Accept',
          to: [{ networks: ['198.18.0.1/32', '2001:db8:ffff::1/128'] }],
          protocols: [{ tcp: { destinationPort: { number: port } } }],
        },
      ],
    },
  }
}

/** Manifests of a state, with the addresses that pods have got. */
export function manifestsOf(
  { namespaces, pods, policies }: ClusterState,
  placement: Placement,
  addresses: ReadonlyMap<string, Addresses>,
): readonly object[] {
  const podObjects = Object.entries(pods)
    .filter(([key]) => addresses.has(key))
    .map(([key, { labels = {}, ports = [] }]) => {
      const [namespace = '', name = ''] = key.split('/')
      const { ipv4 = '', ipv6 = '' } = addresses.get(key) ?? {}
      return {
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { namespace, name, labels },
        spec: { nodeName: placement[key], containers: [{ name: 'main', ports }] },
        status: { phase: 'Running', podIP: ipv4, podIPs: [{ ip: formatIp(ip(ipv4)) }, { ip: formatIp(ip(ipv6)) }] },
      }
    })
  const namespaceObjects = Object.entries(namespaces).map(([name, labels]) => ({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name, labels },
  }))
  return [...namespaceObjects, ...podObjects, ...policies]
}
