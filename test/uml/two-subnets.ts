// Two subnets with a router between that knows no pod: nodes a and b on one, c on the other, a pod with both families on each.
// Routes and tunnels of the nodes are ours (KernelRoutes); the routes of BGP come from the test.
import { systemClock } from '../../src/lib/clock.ts'
import { silentLog } from '../../src/lib/log.ts'
import { ip } from '../../src/net/index.ts'
import { applySysctls, KernelRoutes, NO_LOCAL_ROUTES, TUNNELS } from '../../src/routes/index.ts'
import { fibBatch, via } from '../support/fib-batch.ts'
import { buildNetns, type Netns } from '../support/netns.ts'
import type { NetnsProcess } from '../support/netns-process.ts'
import { until } from '../support/poll.ts'
import { captureOn, patient, startStream } from './programs.ts'

export type NodeName = 'a' | 'b' | 'c'
export const NODES = {
  a: { ipv4: '10.1.0.11', ipv6: 'fd01::11', pod4: '10.244.1.5', pod6: 'fd44:0:0:1::5', router4: '10.1.0.254', router6: 'fd01::fe' },
  b: { ipv4: '10.1.0.12', ipv6: 'fd01::12', pod4: '10.244.2.5', pod6: 'fd44:0:0:2::5', router4: '10.1.0.254', router6: 'fd01::fe' },
  c: { ipv4: '10.2.0.13', ipv6: 'fd02::13', pod4: '10.244.3.5', pod6: 'fd44:0:0:3::5', router4: '10.2.0.254', router6: 'fd02::fe' },
} as const
export type Way = 'plain' | 'tunnel' | 'router'

const NAMES: readonly NodeName[] = ['a', 'b', 'c']
const POD_LINK = 'fib0123456789a'
const GATEWAY = '169.254.1.1'
const GATEWAY6 = 'fe80::ecee:eeff:feee:eeee'
/** Namespaces `a`, `b`, `c`, their pods `pod-a` …, `router`; disposing ends everything. */
export class TwoSubnets implements AsyncDisposable {
  readonly net: Netns
  readonly #kernels = new Map<NodeName, KernelRoutes>()
  readonly #sets = new Map<NodeName, number>()

  private constructor(net: Netns) {
    this.net = net
  }

  static async build(): Promise<TwoSubnets> {
    const net = await buildNetns('tunnel', {
      nodes: [...NAMES, ...NAMES.map((name) => `pod-${name}`), 'router'],
      switches: [
        {
          name: 'one',
          ends: [
            ...(['a', 'b'] as const).map((node) => ({
              node,
              name: 'eth0',
              addresses: [`${NODES[node].ipv4}/24`, `${NODES[node].ipv6}/64`],
            })),
            { node: 'router', name: 'eth1', addresses: ['10.1.0.254/24', 'fd01::fe/64'] },
          ],
        },
        {
          name: 'two',
          ends: [
            { node: 'c', name: 'eth0', addresses: ['10.2.0.13/24', 'fd02::13/64'] },
            { node: 'router', name: 'eth2', addresses: ['10.2.0.254/24', 'fd02::fe/64'] },
          ],
        },
      ],
      links: NAMES.map((name) => [
        { node: name, name: POD_LINK },
        { node: `pod-${name}`, name: 'eth0', addresses: [`${NODES[name].pod4}/32`, `${NODES[name].pod6}/128`] },
      ]),
    })
    const subnets = new TwoSubnets(net)
    try {
      await subnets.#configure()
      return subnets
    } catch (cause) {
      await subnets[Symbol.asyncDispose]()
      throw cause
    }
  }

  kernel(node: NodeName): KernelRoutes {
    const kernel = this.#kernels.get(node)
    if (kernel === undefined) throw new Error(`node ${node} is not up`)
    return kernel
  }

  /** Both families, from every node to every pod. */
  async route(wayOf: (from: NodeName, to: NodeName) => Way): Promise<void> {
    for (const from of NAMES) {
      for (const to of NAMES) {
        if (from === to) continue
        const way = wayOf(from, to)
        for (const family of [4, 6] as const) this.#route(from, to, way, family)
        await this.#onRouter(to, way)
      }
    }
  }

  indexOf(node: NodeName, name: string): number {
    const link = this.kernel(node)
      .syncer.links()
      .find((each) => each.name === name)
    if (link === undefined) throw new Error(`node ${node} has no ${name}`)
    return link.index
  }

  stream(node: string, ...args: readonly string[]): NetnsProcess {
    return startStream(this.net, node, ...args)
  }

  capture(node: string, name: string, filter: string): Promise<NetnsProcess> {
    return captureOn(this.net, node, name, filter)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const kernel of this.#kernels.values()) await kernel[Symbol.asyncDispose]()
    await this.net[Symbol.asyncDispose]()
  }

  async #configure(): Promise<void> {
    const { net } = this
    const forward = 'echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding'
    await net.exec('router', 'sh', ['-c', forward])
    for (const name of NAMES) {
      const { router4, router6, ipv4, ipv6, pod4, pod6 } = NODES[name]
      const other = name === 'c' ? ['10.1.0.0/24', 'fd01::/64'] : ['10.2.0.0/24', 'fd02::/64']
      // Routes to the other subnet of its own beside a default route: for IPv6, an onlink gateway there would be refused.
      await net.ipBatch(name, [
        `route add default via ${router4}`,
        `route add default via ${router6}`,
        `route add ${other[0]} via ${router4}`,
        `route add ${other[1]} via ${router6}`,
        `link set ${POD_LINK} address ee:ee:ee:ee:ee:ee`,
      ])
      await net.exec(name, 'sh', ['-c', `${forward}; echo 1 > /proc/sys/net/ipv4/conf/${POD_LINK}/proxy_arp`])
      await net.ipBatch(name, [`address replace ${GATEWAY6}/64 dev ${POD_LINK} nodad`])
      await net.ipBatch(`pod-${name}`, [
        `route add ${GATEWAY} dev eth0 scope link`,
        `route add default via ${GATEWAY} dev eth0`,
        `route add default via ${GATEWAY6} dev eth0`,
      ])
      const kernel = net.run(name, () => new KernelRoutes({ log: silentLog, clock: systemClock, onHostNetwork: () => {} }))
      this.#kernels.set(name, kernel)
      kernel.syncer.setLocal({ ...NO_LOCAL_ROUTES, preferredSource: { ipv4: ip(ipv4), ipv6: ip(ipv6) } })
      const added = kernel.syncer.ensurePods([pod4, pod6].map((address) => ({ address: ip(address), interface: POD_LINK })))
      if (!added.ok) throw new Error(added.error.message)
      kernel.setTunnels({ ipv4: { local: ip(ipv4) }, ipv6: { local: ip(ipv6) } })
      await until(
        `the tunnels of ${name}`,
        () => {
          kernel.syncer.poll()
          return [4, 6].every((family) =>
            kernel.syncer.links().some((link) => link.name === TUNNELS[family === 4 ? 4 : 6].name && link.isUp),
          )
        },
        patient(2_000),
      )
      net.run(name, () => applySysctls({ ...kernel.syncer.uplinks([]), expectedNeighbours: 3 }))
    }
  }

  #route(from: NodeName, to: NodeName, way: Way, family: 4 | 6): void {
    const target = NODES[to]
    const prefix = family === 4 ? `${target.pod4}/32` : `${target.pod6}/128`
    const node = family === 4 ? target.ipv4 : target.ipv6
    const hop =
      way === 'tunnel'
        ? via(node, this.indexOf(from, TUNNELS[family].name), true)
        : via(way === 'plain' ? node : family === 4 ? NODES[from].router4 : NODES[from].router6, this.indexOf(from, 'eth0'))
    const set = (this.#sets.get(from) ?? 0) + 1
    this.#sets.set(from, set)
    const { syncer } = this.kernel(from)
    syncer.applyBatch(fibBatch({ [prefix]: set }, { [set]: [hop] }))
    const [status] = syncer.status(prefix)
    if (status?.state !== 'inSync') throw new Error(`${from} to ${prefix}: ${status?.state} ${status?.detail}`)
  }

  /** The fabric carries the routes to a node's pods while somebody sends them by it. */
  async #onRouter(to: NodeName, way: Way): Promise<void> {
    if (way !== 'router') return
    const { pod4, pod6, ipv4, ipv6 } = NODES[to]
    await this.net.ipBatch('router', [`route replace ${pod4}/32 via ${ipv4}`, `route replace ${pod6}/128 via ${ipv6}`])
  }
}
