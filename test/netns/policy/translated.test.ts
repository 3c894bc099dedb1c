// Policy beside address translation: of sources when packets leave (outgoing NAT, kube-proxy's masquerade) and of destinations when they
// come (services). Judged are the pod's own address and the destination after translation, and answers find their way back.
import { expect, test } from '@jest/globals'
import type { ClusterState } from '../../policy/state.ts'
import { describeWith } from '../../support/tier.ts'
import { pool } from '../agent/world.ts'
import { type Addresses, HOST, PolicyCluster, PROGRAMS } from './cluster.ts'
import type { Probe } from './prober.ts'

const PODS = { 'x/server': 'n1', 'x/near': 'n1', 'x/other': 'n1', 'x/far': 'n2' }
const FAMILIES = ['ipv4', 'ipv6'] as const
type Family = (typeof FAMILIES)[number]
const TOOL = { ipv4: 'iptables', ipv6: 'ip6tables' } as const
const VIP: Addresses = { ipv4: '10.96.0.10', ipv6: 'fd00:96::10' }
const namespaces = { x: {} }
const pods: ClusterState['pods'] = Object.fromEntries(Object.keys(PODS).map((key) => [key, { labels: { app: key.split('/')[1] ?? '' } }]))
const NOTHING: ClusterState = { namespaces, pods, policies: [] }

type Rule = { readonly peers: readonly object[]; readonly ports?: readonly object[] }

function policy(app: string, direction: 'Ingress' | 'Egress', rules: readonly Rule[]): ClusterState {
  const [list, peersOf] = direction === 'Ingress' ? (['ingress', 'from'] as const) : (['egress', 'to'] as const)
  const spec = {
    podSelector: { matchLabels: { app } },
    policyTypes: [direction],
    [list]: rules.map(({ peers, ports = [] }) => ({ [peersOf]: peers, ports })),
  }
  const object = { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: app, namespace: 'x' }, spec }
  return { ...NOTHING, policies: [object] }
}

const blocks = ({ ipv4, ipv6 }: Addresses): readonly object[] => [{ ipBlock: { cidr: `${ipv4}/32` } }, { ipBlock: { cidr: `${ipv6}/128` } }]
const labelled = (app: string): object => ({ podSelector: { matchLabels: { app } } })
const onPort = (port: number): readonly object[] => [
  { protocol: 'TCP', port },
  { protocol: 'UDP', port },
]

function probesTo(from: string, to: string, where: Addresses, port: number): readonly Probe[] {
  return FAMILIES.flatMap((family) => (['TCP', 'UDP'] as const).map((protocol) => ({ from, to, address: where[family], protocol, port })))
}

/** `iptables -t nat -A CHAIN …` of a node, for one family. */
async function nat(cluster: PolicyCluster, node: string, family: Family, rule: readonly string[]): Promise<void> {
  await cluster.world.net.exec(node, TOOL[family], ['-w', '-t', 'nat', '-A', ...rule])
}

/** An address, with brackets where a port follows. */
const target = (family: Family, where: Addresses, port: number): string => `${family === 'ipv4' ? where.ipv4 : `[${where.ipv6}]`}:${port}`

/** Stands for kube-proxy: a service on port 8080 of an address whose only endpoint is `backend`:80. */
async function serve(cluster: PolicyCluster, node: string, address: Addresses, backend: Addresses): Promise<void> {
  for (const family of FAMILIES) {
    for (const protocol of ['tcp', 'udp']) {
      const to = target(family, backend, 80)
      const match = ['-d', address[family], '-p', protocol, '--dport', '8080']
      await nat(cluster, node, family, ['PREROUTING', ...match, '-j', 'DNAT', '--to-destination', to])
    }
  }
}

/** Everything that was translated to it takes the node's address, as with externalTrafficPolicy Cluster. */
async function masquerade(cluster: PolicyCluster, node: string, backend: Addresses): Promise<void> {
  for (const family of FAMILIES)
    await nat(cluster, node, family, ['POSTROUTING', '-d', backend[family], '-m', 'conntrack', '--ctstate', 'DNAT', '-j', 'MASQUERADE'])
}

/** Makes a connection of each kind; the client's addresses as the server sees them, by id. */
async function connections(cluster: PolicyCluster, probes: readonly Probe[]): Promise<ReadonlyMap<string, string | null>> {
  const made = new Map<string, string | null>()
  for (const probe of probes) {
    const id = `${probe.from} ${probe.address} ${probe.protocol} ${probe.port}`
    made.set(id, await cluster.prober.connect(id, probe))
  }
  return made
}

const addressOf = (cluster: PolicyCluster, name: string, { address }: Probe): string =>
  cluster.addressesOf(name)[address.includes(':') ? 'ipv6' : 'ipv4']

async function expectSources(cluster: PolicyCluster, probes: readonly Probe[], seenAs: string): Promise<readonly string[]> {
  const made = await connections(cluster, probes)
  expect([...made.values()]).toEqual(probes.map((probe) => addressOf(cluster, seenAs, probe)))
  return [...made.keys()]
}

describeWith(PROGRAMS, 'translated', () => {
  test('outgoing NAT: egress is judged by the original addresses, what is denied never leaves, what is cut stays cut [policy 71]', async () => {
    const pools = [pool('pods', '10.244.0.0/16', { natOutgoing: true }), pool('pods6', 'fd00:244::/112', { natOutgoing: true })]
    const options = { nodes: ['n1', 'n2'], pods: PODS, ports: { tcp: [80, 81], udp: [80, 81] }, pools, isHostToldOfPods: false }
    await using cluster = await PolicyCluster.start('snat', options)
    const { net } = cluster.world
    const host = cluster.addressesOf(HOST)
    /** Packets to the port that came to the host, whoever sent them. */
    const arrived = async (): Promise<number> => {
      const texts = await Promise.all(FAMILIES.map((family) => net.exec(HOST, `${TOOL[family]}-save`, ['-c', '-t', 'raw'])))
      return texts
        .flatMap(({ stdout }) => [...stdout.matchAll(/^\[(\d+):.*--dport 81 /gm)])
        .reduce((sum, [, count]) => sum + Number(count), 0)
    }
    for (const family of FAMILIES) {
      for (const protocol of ['tcp', 'udp'])
        await net.exec(HOST, TOOL[family], ['-w', '-t', 'raw', '-A', 'PREROUTING', '-p', protocol, '--dport', '81', '-j', 'RETURN'])
    }
    // Whoever answers at the host answers the node: it knows no way to pods.
    await cluster.meet(probesTo('x/near', HOST, host, 80))
    await cluster.apply(policy('near', 'Egress', [{ peers: blocks(host), ports: onPort(80) }]))
    const allowed = probesTo('x/near', HOST, host, 80)
    const ids = await expectSources(cluster, allowed, 'n1')
    await cluster.untilAlive(ids)
    expect(await cluster.differences(probesTo('x/near', HOST, host, 81), [false, false, false, false])).toEqual([])
    const known =
      (await net.exec('n1', 'conntrack', ['-L', '-f', 'ipv4'])).stdout + (await net.exec('n1', 'conntrack', ['-L', '-f', 'ipv6'])).stdout
    expect([known.includes('dport=80 '), known.includes('dport=81 ')]).toEqual([true, false])
    expect(await arrived()).toBe(0)
    // Nobody restricts another pod: its packets are translated, and counted.
    const others = await expectSources(cluster, probesTo('x/other', HOST, host, 81), 'n1')
    expect(await arrived()).toBeGreaterThan(0)
    // Between pods nothing is translated, so the ingress of a pod on another node knows its peers.
    await cluster.apply(policy('far', 'Ingress', [{ peers: [labelled('near')] }]))
    await expectSources(cluster, probesTo('x/near', 'x/far', cluster.addressesOf('x/far'), 80), 'x/near')
    expect(await cluster.differences(probesTo('x/other', 'x/far', cluster.addressesOf('x/far'), 80), [false, false, false, false])).toEqual(
      [],
    )
    // What is forbidden now is cut though it is translated; what is not goes on.
    await cluster.untilAlive([...ids, ...others])
    await cluster.apply(policy('near', 'Egress', [{ peers: blocks(host), ports: onPort(81) }]))
    await cluster.untilAlive(others, ids)
  })

  test('services: policy sees the backend and its port, and the client before a masquerade by this node [policy 44]', async () => {
    const options = { nodes: ['n1', 'n2'], pods: PODS, ports: { tcp: [80, 8080], udp: [80, 8080] } }
    await using cluster = await PolicyCluster.start('dnat', options)
    const server = cluster.addressesOf('x/server')
    const [n1, n2] = [cluster.addressesOf('n1'), cluster.addressesOf('n2')]
    for (const node of ['n1', 'n2']) await serve(cluster, node, VIP, server) // a ClusterIP
    for (const [node, address] of [
      ['n1', n1],
      ['n2', n2],
    ] as const)
      await serve(cluster, node, address, server) // a NodePort
    for (const node of ['n1', 'n2']) await masquerade(cluster, node, server)
    const byVip = (from: string): readonly Probe[] => probesTo(from, 'x/server', VIP, 8080)
    const byNode = (node: Addresses): readonly Probe[] => probesTo(HOST, 'x/server', node, 8080)
    const all = [...byVip('x/near'), ...byVip('x/other'), ...byVip('x/far'), ...byNode(n1), ...byNode(n2)]
    await cluster.meet(all)
    const groups = ['near', 'other', 'far', 'by n1', 'by n2']
    /** Only these of the groups pass: clients of the ClusterIP, and the host by the NodePort of n1 and of n2. */
    const passing = async (state: ClusterState, ...wanted: readonly string[]): Promise<void> => {
      await cluster.apply(state)
      const expected = groups.flatMap((group) => Array.from({ length: 4 }, () => wanted.includes(group)))
      expect({ wanted, wrong: await cluster.differences(all, expected) }).toEqual({ wanted, wrong: [] })
    }
    // The masquerade is real: the server sees the node ...
    await passing(NOTHING, ...groups)
    const ids = await expectSources(cluster, byVip('x/near'), 'n1')
    await expectSources(cluster, byNode(n1), 'n1')
    await expectSources(cluster, byVip('x/far'), 'n2')
    // ... but policy sees who asks; only what another node has rewritten comes as that node's [policy 69, 72].
    await passing(policy('server', 'Ingress', [{ peers: [labelled('near'), labelled('far')], ports: onPort(80) }]), 'near')
    await cluster.untilAlive(ids)
    await passing(policy('server', 'Ingress', [{ peers: blocks(n1), ports: onPort(80) }]))
    await passing(policy('server', 'Ingress', [{ peers: blocks(n2), ports: onPort(80) }]), 'far', 'by n2')
    await passing(policy('server', 'Ingress', [{ peers: blocks(cluster.addressesOf(HOST)), ports: onPort(80) }]), 'by n1')
    // The port is that of the backend [policy 48, 70], in both directions; no policy can name the service [policy 45].
    await passing(policy('server', 'Ingress', [{ peers: [], ports: onPort(8080) }]))
    await passing(policy('near', 'Egress', [{ peers: [labelled('server')], ports: onPort(80) }]), ...groups)
    await passing(
      policy('near', 'Egress', [{ peers: blocks(VIP) }, { peers: [labelled('server')], ports: onPort(8080) }]),
      ...groups.filter((group) => group !== 'near'),
    )
  })
})
