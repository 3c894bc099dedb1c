// A cluster on one machine: nodes with an agent each behind one top-of-rack router (BIRD), one folder of manifests for all, and a
// host beyond the router. Every node is an AS of its own, dual stack, in a subnet of its own; nothing but BGP tells where pods are.
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fibula } from '../../support/agent.ts'
import type { Manifest } from '../../support/agent-manifests.ts'
import { bird } from '../../support/daemons/bird.ts'
import { type Daemon, daemonConfig, peerConfig } from '../../support/daemons/daemon.ts'
import { buildNetns, type LinkEnd, type Netns } from '../../support/netns.ts'
import { until } from '../../support/poll.ts'
import { ClusterNode } from './node.ts'

/** Everything `Cluster.start` needs, for `describeWith`. */
export const CLUSTER_PROGRAMS: readonly string[] = [...fibula.programs, ...bird.programs]

const API = 'fibula.network/v1alpha1'
const TOR_ASN = 65_000
const FIRST_NODE_ASN = 64_601
const GRACEFUL_RESTART = { restartTimeSeconds: 120 }
/** Host beyond the router; the network beyond is no pod's and no node's. */
export const OUTSIDE = { ipv4: '10.9.0.2', ipv6: 'fd09::2' } as const
export const POOLS = { ipv4: '10.244.0.0/16', ipv6: 'fd00:10:244::/112' } as const

export type ClusterOptions = {
  readonly nodes: number
  /** Over the spec of both pools. */
  readonly pool?: Readonly<Record<string, unknown>>
  /** Instead of starting `bin/fibula agent` as it is: what stands before it. */
  readonly wrap?: readonly string[]
}

export class Cluster implements AsyncDisposable {
  readonly net: Netns
  readonly nodes: readonly ClusterNode[]
  readonly #folder: string
  readonly #tor: Daemon

  private constructor(net: Netns, nodes: readonly ClusterNode[], folder: string, tor: Daemon) {
    this.net = net
    this.nodes = nodes
    this.#folder = folder
    this.#tor = tor
  }

  /** Resolves when every node has its session to the router and says that it can give pods a network. */
  static async start(topic: string, { nodes: count, pool = {}, wrap = [] }: ClusterOptions): Promise<Cluster> {
    const numbers = Array.from({ length: count }, (_, index) => index + 1)
    const net = await buildNetns(topic, {
      nodes: ['tor', 'outside', ...numbers.map(nameOf)],
      links: [
        [
          { node: 'tor', name: 'outside', addresses: ['10.9.0.1/24', 'fd09::1/64'] },
          { node: 'outside', name: 'eth0', addresses: [`${OUTSIDE.ipv4}/24`, `${OUTSIDE.ipv6}/64`] },
        ],
        ...numbers.map((number): readonly [LinkEnd, LinkEnd] => [
          { node: 'tor', name: `rack${number}`, addresses: [`${address(number, 1).ipv4}/24`, `${address(number, 1).ipv6}/64`] },
          { node: nameOf(number), name: 'eth0', addresses: [`${address(number, 2).ipv4}/24`, `${address(number, 2).ipv6}/64`] },
        ]),
      ],
    })
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), `fib-${topic}-`))
    const started = new AsyncDisposableStack()
    started.use(net)
    started.defer(() => fs.rmSync(folder, { recursive: true, force: true }))
    try {
      const forwarding = 'echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding'
      await net.exec('tor', 'sh', ['-c', forwarding])
      await net.ipBatch('outside', defaultRoutes({ ipv4: '10.9.0.1', ipv6: 'fd09::1' }))
      for (const number of numbers) await net.ipBatch(nameOf(number), defaultRoutes(address(number, 1)))
      const store = path.join(folder, 'store')
      fs.mkdirSync(store)
      const manifests = [...numbers.flatMap(nodeManifests), ...clusterManifests(pool)]
      fs.writeFileSync(path.join(store, 'cluster.yaml'), manifests.map((each) => JSON.stringify(each)).join('\n---\n'))
      const tor = started.use(await bird.start(net, 'tor', torConfig(numbers)))
      const nodes = numbers.map((number) => new ClusterNode(net, nameOf(number), { folder, store, wrap }))
      for (const node of nodes) started.defer(() => node.kill())
      await Promise.all(nodes.map((node) => node.launch()))
      for (const number of numbers)
        await until(`the router has its session to node ${number}`, () => tor.established(address(number, 2).ipv4), {
          explain: () => `${nodes[number - 1]?.log() ?? ''}\n${tor.log()}`,
        })
      started.move() // it lives on
      return new Cluster(net, nodes, folder, tor)
    } catch (cause) {
      await started.disposeAsync()
      throw cause
    }
  }

  /** A node by its number, the first is 1. */
  node(number: number): ClusterNode {
    const node = this.nodes[number - 1]
    if (node === undefined) throw new RangeError(`no node ${number}`)
    return node
  }

  /** The folder of manifests, for `--store dir:`. */
  get store(): string {
    return path.join(this.#folder, 'store')
  }

  /** A folder of its own for whoever runs in the cluster; gone with it. */
  scratch(name: string): string {
    const folder = path.join(this.#folder, name)
    fs.mkdirSync(folder, { recursive: true })
    return folder
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.kill()))
    await this.#tor[Symbol.asyncDispose]()
    await this.net[Symbol.asyncDispose]()
    fs.rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** Addresses in the subnet of a node; host 1 is the router. */
export function address(number: number, host: number): { readonly ipv4: string; readonly ipv6: string } {
  return { ipv4: `10.1.${number}.${host}`, ipv6: `fd01:${number}::${host}` }
}

function nameOf(number: number): string {
  return `n${number}`
}

function defaultRoutes(gateway: { readonly ipv4: string; readonly ipv6: string }): readonly string[] {
  return [`route add default via ${gateway.ipv4}`, `route add default via ${gateway.ipv6}`]
}

function torConfig(numbers: readonly number[]) {
  return daemonConfig({
    asn: TOR_ASN,
    routerId: '10.9.0.1',
    addresses: { ipv4: '10.9.0.1', ipv6: 'fd09::1' },
    peers: numbers.flatMap((number) => [
      peerConfig({
        address: address(number, 2).ipv4,
        localAddress: address(number, 1).ipv4,
        asn: FIRST_NODE_ASN + number - 1,
        families: ['IPv4Unicast'],
        gracefulRestart: GRACEFUL_RESTART,
      }),
      peerConfig({
        address: address(number, 2).ipv6,
        localAddress: address(number, 1).ipv6,
        asn: FIRST_NODE_ASN + number - 1,
        families: ['IPv6Unicast'],
        gracefulRestart: GRACEFUL_RESTART,
      }),
    ]),
    passOn: true,
    kernelRoutes: true,
  })
}

function nodeManifests(number: number): readonly Manifest[] {
  const own = address(number, 2)
  const router = address(number, 1)
  const peer = (family: 'IPv4' | 'IPv6', peerIP: string): Manifest => ({
    apiVersion: API,
    kind: 'BGPPeer',
    metadata: { name: `tor-${number}-${family.toLowerCase()}` },
    spec: { node: nameOf(number), peerIP, asNumber: TOR_ASN, addressFamilies: [`${family}Unicast`], connectRetryTime: '1s' },
  })
  return [
    {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: {
        name: nameOf(number),
        annotations: {
          'fibula.network/asn': String(FIRST_NODE_ASN + number - 1),
          'fibula.network/ipv4-address': `${own.ipv4}/24`,
          'fibula.network/ipv6-address': `${own.ipv6}/64`,
        },
      },
    },
    peer('IPv4', router.ipv4),
    peer('IPv6', router.ipv6),
  ]
}

function clusterManifests(pool: Readonly<Record<string, unknown>>): readonly Manifest[] {
  const ipPool = (name: string, cidr: string): Manifest => ({
    apiVersion: API,
    kind: 'IPPool',
    metadata: { name },
    spec: { cidr, ...pool },
  })
  return [
    { apiVersion: API, kind: 'BGPConfiguration', metadata: { name: 'default' }, spec: { nodeToNodeMesh: { enabled: false } } },
    ipPool('pods-v4', POOLS.ipv4),
    ipPool('pods-v6', POOLS.ipv6),
  ]
}
