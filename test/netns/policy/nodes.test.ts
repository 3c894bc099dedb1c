// Nodes as policy sees them: pods of the node's own network are no endpoints and no peers, the kubelet reaches its own pods whatever is
// denied, other nodes are addresses like any other, and the way of a pod to its own node is a choice.
import { expect, test } from '@jest/globals'
import type { ClusterState } from '../../policy/state.ts'
import type { Manifest } from '../../support/agent-manifests.ts'
import { describeWith } from '../../support/tier.ts'
import { type Addresses, PolicyCluster, PROGRAMS } from './cluster.ts'
import type { Probe } from './prober.ts'

const PODS = { 'x/server': 'n1', 'x/client': 'n1', 'x/friend': 'n1', 'x/far': 'n2' }
const CLOSED = { closed: 'yes' }
const FRIEND = { friend: 'yes' }
const NOTHING: ClusterState = {
  namespaces: { x: {} },
  pods: { 'x/server': { labels: CLOSED }, 'x/client': { labels: CLOSED }, 'x/friend': { labels: FRIEND }, 'x/far': { labels: {} } },
  policies: [],
}

/** In the network of its node, with the labels of all others together. */
function daemon(node: string, { ipv4, ipv6 }: Addresses): Manifest {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: `daemon-${node}`, namespace: 'x', labels: { ...CLOSED, ...FRIEND } } as Manifest['metadata'],
    spec: { nodeName: node, hostNetwork: true, containers: [{ name: 'main', ports: [{ name: 'http', containerPort: 80 }] }] },
    status: { phase: 'Running', hostIP: ipv4, podIP: ipv4, podIPs: [{ ip: ipv4 }, { ip: ipv6 }] },
  }
}

/** Isolates what is labelled `closed`, in both directions; admits these peers. */
function closed(...peers: readonly object[]): ClusterState {
  const [ingress, egress] = peers.length === 0 ? [[], []] : [[{ from: peers }], [{ to: peers }]]
  const spec = { podSelector: { matchLabels: CLOSED }, policyTypes: ['Ingress', 'Egress'], ingress, egress }
  return {
    ...NOTHING,
    policies: [{ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'closed', namespace: 'x' }, spec }],
  }
}

function clusterPolicy(spec: object): ClusterState {
  const policy = { apiVersion: 'policy.networking.k8s.io/v1alpha2', kind: 'ClusterNetworkPolicy', metadata: { name: 'wall' } }
  return { ...NOTHING, policies: [{ ...policy, spec: { tier: 'Admin', priority: 1, ...spec } }] }
}

const FRIENDS = { podSelector: { matchLabels: FRIEND } }
const blocks = ({ ipv4, ipv6 }: Addresses): readonly object[] => [{ ipBlock: { cidr: `${ipv4}/32` } }, { ipBlock: { cidr: `${ipv6}/128` } }]

/** `a -> b`, by TCP and UDP and both families. */
function probesOf(cluster: PolicyCluster, way: string): readonly Probe[] {
  const [from = '', to = ''] = way.split(' -> ')
  return Object.values(cluster.addressesOf(to)).flatMap((address) =>
    (['TCP', 'UDP'] as const).map((protocol) => ({ from, to, address, protocol, port: 80 })),
  )
}

async function expectWays(cluster: PolicyCluster, ways: Readonly<Record<string, boolean>>): Promise<void> {
  const probes = Object.keys(ways).map((way) => probesOf(cluster, way))
  const expected = Object.values(ways).flatMap((passes, at) => (probes[at] ?? []).map(() => passes))
  expect(await cluster.differences(probes.flat(), expected)).toEqual([])
}

/** What policy is not about. */
const AMONG_NODES = { 'client -> n1': true, 'n1 -> client': true, 'n1 -> n2': true, 'n2 -> n1': true }

describeWith(PROGRAMS, 'nodes', () => {
  test('pods of the node network are no subjects and no peers; the own node reaches its pods, another is an address [policy 64, 66, 67, 105, 107]', async () => {
    await using cluster = await PolicyCluster.start('nod', { nodes: ['n1', 'n2'], pods: PODS, ports: { tcp: [80], udp: [80] } })
    const { world } = cluster
    const [n1, n2, server] = [cluster.addressesOf('n1'), cluster.addressesOf('n2'), cluster.addressesOf('x/server')]
    await world.net.ipBatch('n1', ['address add 192.0.2.11/32 dev lo', 'address add 2001:db8::11/128 dev lo'])
    world.write('daemons', [daemon('n1', n1), daemon('n2', n2)])
    const ways = ['n1 -> x/server', 'n2 -> x/server', 'client -> x/server', 'x/client -> n2', 'x/client -> client', 'x/client -> x/friend']
    await cluster.meet([...ways, ...Object.keys(AMONG_NODES)].flatMap((way) => probesOf(cluster, way)))

    await cluster.apply(closed(FRIENDS))
    await expectWays(cluster, {
      ...AMONG_NODES,
      'x/friend -> x/server': true,
      'n1 -> x/server': true,
      'n2 -> x/server': false,
      'client -> x/server': false,
      'x/client -> x/friend': true,
      'x/client -> n2': false,
      'x/client -> client': false,
      'x/client -> n1': true, // its own node
      'n2 -> x/friend': true,
    })
    for (const [source, address] of [
      [n1.ipv4, server.ipv4],
      ['192.0.2.11', server.ipv4],
      [n1.ipv6, server.ipv6],
      ['2001:db8::11', server.ipv6],
    ] as const)
      expect([source, await cluster.connects('n1', source, address)]).toEqual([source, true])
    const shown = await world.ask<readonly { name: string }[]>('n1', 'GET', '/v1/policy/pods')
    expect(shown.map(({ name }) => name).sort()).toEqual(['client', 'friend', 'server'])
    const members = (await world.net.exec('n1', 'ipset', ['save'])).stdout
    expect(members).toMatch(new RegExp(`^add fib4-p-\\S+ ${cluster.addressesOf('x/friend').ipv4}$`, 'm'))
    expect(members).not.toMatch(/^add fib[46]-p-\S+ (10\.0\.0\.1|fd00::1)\d$/m)

    await cluster.apply(closed(...blocks(n2)))
    await expectWays(cluster, {
      ...AMONG_NODES,
      'n2 -> x/server': true,
      'x/client -> n2': true,
      'x/friend -> x/server': false,
      'client -> x/server': false,
    })
    await cluster.apply(closed())
    await expectWays(cluster, { ...AMONG_NODES, 'n1 -> x/server': true, 'n2 -> x/server': false, 'x/client -> n1': true })

    // ClusterNetworkPolicies: neither subjects nor peers; nodes are named as nodes.
    const all = { namespaces: {} }
    const friends = [{ pods: { namespaceSelector: {}, podSelector: { matchLabels: FRIEND } } }]
    await cluster.apply(
      clusterPolicy({ subject: all, ingress: [{ action: 'Deny', from: friends }], egress: [{ action: 'Deny', to: friends }] }),
    )
    await expectWays(cluster, {
      ...AMONG_NODES,
      'x/friend -> x/server': false,
      'x/client -> x/friend': false,
      'n2 -> x/server': true,
      'x/client -> n2': true,
    })
    await cluster.apply(clusterPolicy({ subject: all, egress: [{ action: 'Deny', to: [{ nodes: {} }] }] }))
    await expectWays(cluster, {
      ...AMONG_NODES,
      'x/client -> n2': false,
      'x/client -> n1': false, // such a policy binds the way to the own node, too
      'x/client -> x/friend': true,
      'n1 -> x/server': true,
    })
  })

  test('a pod to its own node: --policy-own-node allow leaves it alone, police makes NetworkPolicies bind it [policy 65, 91, 113]', async () => {
    const pods = { 'x/client': 'n1' }
    await using cluster = await PolicyCluster.start('own', { nodes: ['n1'], pods, ports: { tcp: [80], udp: [80] } })
    const state = (isolated: ClusterState): ClusterState => ({ ...isolated, pods: { 'x/client': { labels: CLOSED } } })
    const node = cluster.world.node('n1')
    const both = ['x/client -> n1', 'n1 -> x/client', 'x/client -> client']
    await cluster.meet(both.flatMap((way) => probesOf(cluster, way)))
    await cluster.apply(state(closed()))
    await expectWays(cluster, { 'x/client -> n1': true, 'n1 -> x/client': true, 'x/client -> client': false })
    const ids: string[] = []
    for (const probe of [...probesOf(cluster, 'x/client -> n1'), ...probesOf(cluster, 'n1 -> x/client')]) {
      const id = `${probe.from} ${probe.address} ${probe.protocol}`
      expect([id, await cluster.prober.connect(id, probe)]).not.toEqual([id, null])
      ids.push(id)
    }
    await cluster.untilAlive(ids)

    await node.kill()
    await node.launch({ args: ['--policy-own-node', 'police'] })
    // Whatever the pod began is cut; what its node began goes on, and may begin anew.
    const ofNode = ids.filter((id) => id.startsWith('n1'))
    await cluster.untilAlive(
      ofNode,
      ids.filter((id) => !ofNode.includes(id)),
    )
    await expectWays(cluster, { 'x/client -> n1': false, 'n1 -> x/client': true, 'x/client -> client': false })
    await cluster.apply(state(closed(...blocks(cluster.addressesOf('n1')))))
    await cluster.world.net.ip('x-client', '-6 neigh flush dev eth0')
    await expectWays(cluster, { 'x/client -> n1': true, 'n1 -> x/client': true, 'x/client -> client': false })
    await cluster.apply(state(closed()))
    await expectWays(cluster, { 'x/client -> n1': false })

    await node.kill()
    await node.launch()
    await cluster.apply(state(closed()))
    await expectWays(cluster, { 'x/client -> n1': true, 'n1 -> x/client': true, 'x/client -> client': false })
  })
})
