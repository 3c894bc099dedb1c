// A node and pods' empty namespaces in a throwaway corner of the kernel, with PodLinks acting in the node's.
import { type PodLink, PodLinks, type WiredLink, type WiringFault } from '../../../../src/cni/index.ts'
import type { Result } from '../../../../src/lib/result.ts'
import { formatIp, type IpAddress, ip, isIpv4 } from '../../../../src/net/index.ts'
import { Rtnetlink } from '../../../../src/sys/rtnetlink/index.ts'
import { buildNetns, type Netns } from '../../../support/netns.ts'

export type WiringNode = AsyncDisposable & {
  readonly net: Netns
  /** Call it inside `inNode`. */
  readonly links: PodLinks
  /** Runs synchronous work in the node's namespace. */
  inNode<T>(work: () => T extends PromiseLike<unknown> ? never : T): T
  attach(link: PodLink): Result<WiredLink, WiringFault>
  /** As `attach`, for links that must succeed; adds host routes as the route syncer would. */
  wire(link: PodLink): Promise<WiredLink>
  /** What there is in a namespace: links, addresses, routes, neighbours, rules, in words. */
  snapshot(node: string): Promise<string>
}

/** Duplicate address detection is on, as it is by default: nothing here works because it were off. */
const LIKE_A_NODE = 'for f in all default; do echo 1 > /proc/sys/net/ipv6/conf/$f/accept_dad; done'
const FORWARDING = 'echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding'

export async function openNode(pods: readonly string[], openNetlink: () => Rtnetlink = () => new Rtnetlink()): Promise<WiringNode> {
  const net = await buildNetns('wiring', {
    nodes: ['host', ...pods],
    stubs: [{ node: 'host', name: 'uplink', addresses: ['192.0.2.1/24', '2001:db8::1/64'] }],
  })
  await net.exec('host', 'sh', ['-c', `${LIKE_A_NODE}; ${FORWARDING}`])
  for (const pod of pods) await net.exec(pod, 'sh', ['-c', `${LIKE_A_NODE}; ip link set lo down`])
  const links = net.run('host', () => new PodLinks(openNetlink))
  return {
    net,
    links,
    inNode: (work) => net.run('host', work),
    attach: (link) => net.run('host', () => links.attach(link)),
    async wire(link) {
      const made = net.run('host', () => links.attach(link))
      if (!made.ok) throw new Error(made.error.message)
      await net.ipBatch(
        'host',
        link.addresses.map((address) => `route add ${prefixOf(address)} dev ${link.hostInterface}`),
      )
      return made.value
    },
    async snapshot(node) {
      const show = ['-details address', '-4 route show table all', '-6 route show table all', 'neighbour', 'rule', '-6 rule']
      const parts = await Promise.all(show.map((what) => net.ip(node, what)))
      return parts.join('\n').replaceAll(/(valid_lft|preferred_lft|expires) \d+sec/g, '')
    },
    async [Symbol.asyncDispose]() {
      links[Symbol.dispose]()
      await net[Symbol.asyncDispose]()
    },
  }
}

/** A pod's link: `number` makes names and addresses, `over` changes what matters to the test. */
export function linkOf(net: Netns, pod: string, number: number, over: Partial<PodLink> = {}): PodLink {
  return {
    containerId: pod,
    ifName: 'eth0',
    netns: net.pathOf(pod),
    hostInterface: `fib${number.toString(16).padStart(11, '0')}`,
    addresses: [ip(`10.244.0.${number}`), ip(`fd00:244::${number.toString(16)}`)],
    mtu: 1500,
    mac: null,
    ...over,
  }
}

function prefixOf(address: IpAddress): string {
  return `${formatIp(address)}/${isIpv4(address) ? 32 : 128}`
}
