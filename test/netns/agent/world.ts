// Agents that serve pods, on one link and in one node-to-node mesh, with one folder of manifests; and namespaces that stand for pods.
// Everything is asked as a container runtime and a person ask it: by the plugin and by the control socket.
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { type AgentStatus, CONTROL_SOCKET, type IpamStatus, type PodStatus } from '../../../src/agent/control-api.ts'
import type { RouteStatus } from '../../../src/bgp/status.ts'
import { requestJson } from '../../../src/lib/unix-http.ts'
import { fibula } from '../../support/agent.ts'
import type { Manifest } from '../../support/agent-manifests.ts'
import { buildNetns, type Netns } from '../../support/netns.ts'
import { until } from '../../support/poll.ts'
import { allocationsIn } from '../pods/blocks.ts'
import { ClusterNode, SHIM } from '../pods/node.ts'

/** What `describeWith` has to find. */
export const PROGRAMS: readonly string[] = [...fibula.programs, SHIM, 'ping']

const API = 'fibula.network/v1alpha1'
const POOLS: readonly Manifest[] = [pool('pods', '10.244.0.0/16'), pool('pods6', 'fd00:244::/112')]

export type WorldOptions = {
  readonly nodes: readonly string[]
  /** Namespaces for pods. */
  readonly pods: readonly string[]
  /** Hosts on the link that are no nodes; the first has 10.0.0.101. */
  readonly others?: readonly string[]
  /** Instead of one pool of each family. */
  readonly pools?: readonly Manifest[]
  readonly objects?: readonly Manifest[]
}

export class World implements AsyncDisposable {
  readonly net: Netns
  readonly nodes: Readonly<Record<string, ClusterNode>>
  readonly #folder: string

  private constructor(net: Netns, nodes: World['nodes'], folder: string) {
    this.net = net
    this.nodes = nodes
    this.#folder = folder
  }

  /** Agents are not started yet. */
  static async make(topic: string, { nodes: names, pods, others = [], pools = POOLS, objects = [] }: WorldOptions): Promise<World> {
    const end = (node: string, host: number) => ({ node, name: 'eth0', addresses: [`10.0.0.${host}/24`, `fd00::${host}/64`] })
    const ends = [...names.map((node, at) => end(node, at + 11)), ...others.map((node, at) => end(node, at + 101))]
    const net = await buildNetns(topic, { nodes: [...names, ...others, ...pods], switches: [{ name: 'lan', ends }] })
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), `fib-${topic}-`))
    const store = path.join(folder, 'store')
    fs.mkdirSync(store)
    const nodes = Object.fromEntries(names.map((name) => [name, new ClusterNode(net, name, { folder, store, wrap: [] })]))
    const world = new World(net, nodes, folder)
    world.write('cluster', [...names.map(nodeManifest), CONFIGURATION, ...objects])
    world.write('pools', pools)
    return world
  }

  /** Starts every agent and waits until each of them can give pods a network and has its sessions. */
  static async start(topic: string, options: WorldOptions): Promise<World> {
    const world = await World.make(topic, options)
    try {
      await Promise.all(options.nodes.map((name) => world.node(name).launch()))
      for (const name of options.nodes) {
        await until(
          `${name} has its sessions`,
          async () => {
            const { sessions } = await world.status(name)
            return sessions.established === 2 * (options.nodes.length - 1)
          },
          { explain: () => world.node(name).log() },
        )
      }
      return world
    } catch (cause) {
      await world[Symbol.asyncDispose]()
      throw cause
    }
  }

  get store(): string {
    return path.join(this.#folder, 'store')
  }

  node(name: string): ClusterNode {
    const node = this.nodes[name]
    if (node === undefined) throw new RangeError(`no node ${name}`)
    return node
  }

  /** Replaces one file of manifests. */
  write(name: string, manifests: readonly Manifest[]): void {
    const file = path.join(this.store, `${name}.yaml`)
    fs.writeFileSync(`${file}.new`, manifests.map((each) => JSON.stringify(each)).join('\n---\n'))
    fs.renameSync(`${file}.new`, file)
  }

  status(node: string): Promise<AgentStatus> {
    return this.ask(node, 'GET', '/v1/status')
  }

  pods(node: string): Promise<readonly PodStatus[]> {
    return this.ask(node, 'GET', '/v1/pods')
  }

  ipam(node: string): Promise<IpamStatus> {
    return this.ask(node, 'GET', '/v1/ipam')
  }

  routes(node: string, query: string): Promise<readonly RouteStatus[]> {
    return this.ask(node, 'GET', `/v1/bgp/routes?${query}`)
  }

  /** Rejects unless the answer is a success. */
  async ask<T>(node: string, method: 'GET' | 'POST', resource: string, body?: unknown): Promise<T> {
    const socketPath = path.join(this.node(node).runFolder, CONTROL_SOCKET)
    const answer = await requestJson({ socketPath, method, path: resource, timeoutMs: 30_000, ...(body === undefined ? {} : { body }) })
    if (answer.status !== 200) throw new Error(`${method} ${resource}: ${answer.status} ${JSON.stringify(answer.body)}`)
    return answer.body as T
  }

  /** What a pod's ADD and DEL say of it; the container has the name of its namespace. */
  call(pod: string): { readonly containerId: string; readonly netns: string } {
    return { containerId: pod, netns: this.net.pathOf(pod) }
  }

  /** Attaches a pod to a node; its addresses. */
  async add(node: string, pod: string): Promise<{ readonly ipv4: string; readonly ipv6: string }> {
    const { ips } = await this.node(node).add(this.call(pod))
    const one = (isIpv6: boolean): string => ips.find(({ address }) => address.includes(':') === isIpv6)?.address.split('/')[0] ?? ''
    return { ipv4: one(false), ipv6: one(true) }
  }

  remove(node: string, pod: string): Promise<void> {
    return this.node(node).remove(this.call(pod))
  }

  /** Waits until one namespace reaches an address. */
  async reaches(from: string, address: string): Promise<void> {
    await until(`${from} reaches ${address}`, () => this.net.exec(from, 'ping', ['-n', '-q', '-c', '1', '-W', '1', address]), {
      explain: () =>
        Object.values(this.nodes)
          .map((node) => node.log())
          .join('\n'),
    })
  }

  /** Nothing in the kernel, the state directory and the store speaks of a pod of this node any more. */
  async leavesNothing(node: string): Promise<void> {
    await until(
      `nothing is left on ${node}`,
      async () => {
        const left = [...(await this.node(node).podTraces()), ...this.node(node).journal(), ...(await allocationsIn(this.store))]
        if (left.length > 0) throw new Error(left.join('\n'))
        return true
      },
      { explain: () => this.node(node).log() },
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(Object.values(this.nodes).map((node) => node.kill()))
    await this.net[Symbol.asyncDispose]()
    fs.rmSync(this.#folder, { recursive: true, force: true })
  }
}

const CONFIGURATION: Manifest = {
  apiVersion: API,
  kind: 'BGPConfiguration',
  metadata: { name: 'default' },
  spec: { asNumber: 64_512, connectRetryTime: '1s' },
}

export function pool(name: string, cidr: string, spec: Readonly<Record<string, unknown>> = {}): Manifest {
  return { apiVersion: API, kind: 'IPPool', metadata: { name }, spec: { cidr, ...spec } }
}

function nodeManifest(name: string, at: number): Manifest {
  const annotations = { 'fibula.network/ipv4-address': `10.0.0.${at + 11}/24`, 'fibula.network/ipv6-address': `fd00::${at + 11}/64` }
  return { apiVersion: 'v1', kind: 'Node', metadata: { name, annotations } }
}
