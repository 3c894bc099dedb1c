// An address that another pod gets: what conntrack knew of the one before is gone with it, so nobody comes in, or gets out, by a
// connection of his.
import { expect, test } from '@jest/globals'
import type { ClusterState } from '../../policy/state.ts'
import type { Manifest } from '../../support/agent-manifests.ts'
import { until } from '../../support/poll.ts'
import { describeWith } from '../../support/tier.ts'
import { PolicyCluster, PROGRAMS } from './cluster.ts'
import type { Probe } from './prober.ts'

const PODS = { 'x/old': 'n1', 'x/new': 'n1', 'x/near': 'n1', 'x/far': 'n2' }
const added = ['x/old', 'x/near', 'x/far']
const pods: ClusterState['pods'] = Object.fromEntries(added.map((key) => [key, { labels: {} }]))
const OPEN: ClusterState = { namespaces: { x: {} }, pods, policies: [] }
const CLOSED: ClusterState = {
  ...OPEN,
  policies: [
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: 'new', namespace: 'x' },
      spec: { podSelector: { matchLabels: { app: 'new' } }, policyTypes: ['Ingress', 'Egress'] },
    },
  ],
}
const CLIENT_PORT = 4_000

describeWith(PROGRAMS, 'a successor', () => {
  test('has no part in connections of the pod that had its address before, from either side [policy 80, 81]', async () => {
    // That a change cuts what it forbids would hide what is shown here.
    const agentArgs = ['--policy-connections', 'keep']
    const options = { nodes: ['n1', 'n2'], pods: PODS, added, ports: { tcp: [80], udp: [80] }, agentArgs }
    await using cluster = await PolicyCluster.start('suc', options)
    const { world, prober } = cluster
    await cluster.apply(CLOSED)
    const old = cluster.addressesOf('x/old')
    const incoming = ['x/near', 'x/far'].flatMap((from) =>
      Object.values(old).map((address): Probe => ({ from, to: 'x/old', address, protocol: 'UDP', port: 80 })),
    )
    const outgoing = Object.values(cluster.addressesOf('x/far')).map(
      (address): Probe => ({ from: 'x/old', to: 'x/far', address, protocol: 'UDP', port: 80 }),
    )
    const idOf = ({ from, address }: Probe): string => `${from} ${address}`
    for (const probe of incoming) expect(await prober.connect(idOf(probe), probe)).not.toBeNull()
    for (const probe of outgoing) expect(await prober.connect(idOf(probe), probe, { clientPort: CLIENT_PORT })).not.toBeNull()
    const tracked = async (): Promise<readonly string[]> => {
      const tables = await Promise.all(['ipv4', 'ipv6'].map((family) => world.net.exec('n1', 'conntrack', ['-L', '-f', family])))
      const isOfOld = (line: string): boolean =>
        line.split(' ').some((word) => Object.values(old).some((each) => word.endsWith(`=${each}`)))
      return tables.flatMap(({ stdout }) => stdout.split('\n').filter(isOfOld))
    }
    expect((await tracked()).length).toBeGreaterThanOrEqual(6)

    await cluster.detach('x/old')
    expect(await tracked()).toEqual([])
    const annotations = { 'fibula.network/ip-addrs': JSON.stringify(Object.values(old)) }
    const successor = { metadata: { name: 'new', namespace: 'x', labels: { app: 'new' }, annotations } as Manifest['metadata'] }
    world.write('new', [{ apiVersion: 'v1', kind: 'Pod', ...successor, spec: { nodeName: 'n1', containers: [{ name: 'main' }] } }])
    // The address is free a little after DEL has answered, and the annotation known a little after it was written.
    await until(
      'the successor has the address',
      async () => {
        const addresses = await cluster.add('x/new')
        if (addresses.ipv4 !== old.ipv4) await cluster.detach('x/new')
        return addresses.ipv4 === old.ipv4 && addresses.ipv6 === old.ipv6
      },
      { explain: () => cluster.explain() },
    )
    const ids = incoming.map(idOf)
    for (const id of ids) await prober.move(id, 'x/new', 80)
    const outcomes = async (): Promise<readonly boolean[]> => {
      const inward = await prober.exchange(ids, 'client')
      const outward: boolean[] = []
      for (const [at, probe] of outgoing.entries()) {
        const again = { ...probe, from: 'x/new' }
        const from = await prober.connect(`new ${at}`, again, { clientPort: CLIENT_PORT, waitMs: 1_000 })
        outward.push(from !== null)
      }
      return [...inward, ...(await prober.exchange(ids, 'server')), ...outward]
    }
    const all = ids.length * 2 + outgoing.length
    expect(await outcomes()).toEqual(Array.from({ length: all }, () => false))
    // It was policy that kept them apart: without it the very same packets arrive.
    await cluster.apply(OPEN)
    await until('they meet', async () => (await outcomes()).every(Boolean), { explain: () => cluster.explain() })
  })
})
