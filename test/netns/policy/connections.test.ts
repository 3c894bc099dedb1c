// Established connections when policy changes (decision 15): those that are still permitted go on, translated ones too; those that are not
// are cut within seconds, whoever speaks first; nothing else is.
import { expect, test } from '@jest/globals'
import type { ClusterState } from '../../policy/state.ts'
import { holds } from '../../support/poll.ts'
import { describeWith } from '../../support/tier.ts'
import { PolicyCluster, PROGRAMS } from './cluster.ts'
import type { Probe } from './prober.ts'

const PODS = { 'x/server': 'n1', 'x/near': 'n1', 'x/far': 'n2' }
const [VIP4, VIP6] = ['10.96.0.10', 'fd00:96::10']
const namespaces = { x: {} }
const pods: ClusterState['pods'] = Object.fromEntries(Object.keys(PODS).map((key) => [key, { labels: { app: key.split('/')[1] ?? '' } }]))

const PORT = 80
/** Nobody may ask for it once there is a policy. */
const OTHER_PORT = 81

/** The server admits these only, to one port. */
function admitting(...apps: readonly string[]): ClusterState {
  const from = [{ podSelector: { matchExpressions: [{ key: 'app', operator: 'In', values: apps }] } }]
  const ingress = [{ from, ports: ['TCP', 'UDP'].map((protocol) => ({ protocol, port: PORT })) }]
  const policy = {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name: 'server', namespace: 'x' },
    spec: { podSelector: { matchLabels: { app: 'server' } }, policyTypes: ['Ingress'], ingress },
  }
  return { namespaces, pods, policies: [policy] }
}

/** Stands for kube-proxy: one service, whose only endpoint is the server. */
async function translate(cluster: PolicyCluster): Promise<void> {
  const { ipv4, ipv6 } = cluster.addressesOf('x/server')
  for (const node of cluster.nodes) {
    for (const [tool, vip, to] of [
      ['iptables', VIP4, ipv4],
      ['ip6tables', VIP6, ipv6],
    ] as const)
      await cluster.world.net.exec(node, tool, ['-w', '-t', 'nat', '-A', 'PREROUTING', '-d', vip, '-j', 'DNAT', '--to-destination', to])
  }
}

async function connectAll(cluster: PolicyCluster): Promise<readonly string[]> {
  const { ipv4, ipv6 } = cluster.addressesOf('x/server')
  const ids: string[] = []
  for (const from of ['x/near', 'x/far']) {
    for (const address of [ipv4, ipv6, VIP4, VIP6]) {
      for (const protocol of ['TCP', 'UDP'] as const) {
        const id = `${from} ${address} ${protocol}`
        const probe: Probe = { from, to: 'x/server', address, protocol, port: PORT }
        expect([id, await cluster.prober.connect(id, probe)]).not.toEqual([id, null])
        ids.push(id)
      }
    }
  }
  return ids
}

const start = (topic: string, agentArgs: readonly string[] = []): Promise<PolicyCluster> =>
  PolicyCluster.start(topic, { nodes: ['n1', 'n2'], pods: PODS, ports: { tcp: [PORT, OTHER_PORT], udp: [PORT] }, agentArgs })

describeWith(PROGRAMS, 'connections', () => {
  test.each(['server', 'client'] as const)('what a change forbids is cut, and only that; the %s speaks first', async (first) => {
    await using cluster = await start('con')
    await translate(cluster)
    const ids = await connectAll(cluster)
    await cluster.untilAlive(ids, [], first)
    // All connections of the server are judged together: when the one to the other port is cut, the others have been, too.
    const address = cluster.addressesOf('x/server').ipv4
    expect(
      await cluster.prober.connect('other', { from: 'x/near', to: 'x/server', address, protocol: 'TCP', port: OTHER_PORT }),
    ).not.toBeNull()
    await cluster.apply(admitting('near', 'far'))
    await cluster.untilAlive(ids, ['other'], first)
    await cluster.apply(admitting('near'))
    const stay = ids.filter((id) => id.startsWith('x/near'))
    const cut = ids.filter((id) => !stay.includes(id))
    await cluster.untilAlive(stay, cut, first)
    for (let round = 0; round < 2; round++) expect(await cluster.prober.exchange(cut, first)).toEqual(cut.map(() => false))
    await cluster.apply({ ...admitting('near'), pods: { ...pods, 'x/near': { labels: { app: 'other' } } } })
    await cluster.untilAlive([], ids, first)
  })

  test('with --policy-connections keep they go on, and new ones do not', async () => {
    await using cluster = await start('kep', ['--policy-connections', 'keep'])
    const { ipv4 } = cluster.addressesOf('x/server')
    const probe: Probe = { from: 'x/far', to: 'x/server', address: ipv4, protocol: 'TCP', port: PORT }
    expect(await cluster.prober.connect('kept', probe)).not.toBeNull()
    await cluster.apply(admitting('near'))
    await holds('the connection goes on', 2_000, async () => (await cluster.prober.exchange(['kept'], 'client', 30_000))[0] === true)
    await cluster.untilAlive(['kept'])
    expect(await cluster.differences([probe], [false])).toEqual([])
  })
})
