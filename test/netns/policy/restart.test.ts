// The agent is killed, comes back, and finds policy changed, the rules damaged: what was in force stays in force.
import { expect, test } from '@jest/globals'
import type { ClusterState } from '../../policy/state.ts'
import { until } from '../../support/poll.ts'
import { describeWith } from '../../support/tier.ts'
import { PolicyCluster, PROGRAMS } from './cluster.ts'
import type { Probe } from './prober.ts'
import { Stream, type StreamFlow } from './stream.ts'

const PODS = { 'x/server': 'n1', 'x/friend': 'n1', 'x/stranger': 'n1', 'x/late': 'n1' }
const pods: ClusterState['pods'] = Object.fromEntries(Object.keys(PODS).map((key) => [key, { labels: { app: key.split('/')[1] ?? '' } }]))
const NO_POLICY: ClusterState = { namespaces: { x: {} }, pods, policies: [] }
const POLICY: ClusterState = {
  ...NO_POLICY,
  policies: [
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: 'server', namespace: 'x' },
      spec: {
        podSelector: { matchLabels: { app: 'server' } },
        policyTypes: ['Ingress'],
        ingress: [{ from: [{ podSelector: { matchLabels: { app: 'friend' } } }] }],
      },
    },
  ],
}
const FOREIGN = [
  '*filter',
  ':OTHERS - [0:0]',
  '-A FORWARD -s 203.0.113.0/24 -j OTHERS',
  '-A OTHERS -j DROP',
  ':KUBE-FORWARD - [0:0]',
  '-A KUBE-FORWARD -j RETURN',
  'COMMIT',
  '',
]

/** Without counters and comments, in order. */
async function ours(cluster: PolicyCluster): Promise<readonly string[]> {
  return (await cluster.rules('n1')).flatMap((text) =>
    text
      .split('\n')
      .filter((line) => /^-A|^:/.test(line))
      .map((line) => line.replace(/ \[\d+:\d+\]$/, '')),
  )
}

function probe(cluster: PolicyCluster, from: string, to = 'x/server'): readonly Probe[] {
  return Object.values(cluster.addressesOf(to)).map((address): Probe => ({ from, to, address, protocol: 'TCP', port: 80 }))
}

/** The server admits its friend, and nobody else. */
async function expectPolicy(cluster: PolicyCluster): Promise<void> {
  const probes = [...probe(cluster, 'x/stranger'), ...probe(cluster, 'x/friend')]
  expect(await cluster.differences(probes, [false, false, true, true])).toEqual([])
}

const start = (topic: string, keys: readonly string[] = Object.keys(PODS)): Promise<PolicyCluster> =>
  PolicyCluster.start(topic, { nodes: ['n1'], pods: PODS, added: keys, ports: { tcp: [80], udp: [80] } })

describeWith(PROGRAMS, 'restart', () => {
  test('killed and started again: 0 differences, nothing in the kernel changes, other people’s rules stay', async () => {
    await using cluster = await start('rst')
    const node = cluster.world.node('n1')
    await cluster.world.net.exec('n1', 'iptables-restore', ['--noflush', '--wait'], { input: FOREIGN.join('\n') })
    await cluster.apply(POLICY)
    const flows = ['friend', 'stranger'].flatMap((from, at) =>
      Object.values(cluster.addressesOf('x/server')).map(
        (address): StreamFlow => ({ id: `${from} ${address}`, from: `x-${from}`, to: 'x-server', address, port: 5001 + at }),
      ),
    )
    const before = await ours(cluster)
    using stream = await Stream.start(cluster.world.net, flows, 10)
    for (let round = 0; round < 2; round++) {
      await node.kill()
      expect(await ours(cluster)).toEqual(before)
      await node.launch()
      await until('policy is enforced', async () =>
        (await cluster.world.ask<readonly { state: string }[]>('n1', 'GET', '/v1/policy/pods')).some(({ state }) => state === 'enforced'),
      )
      expect(await ours(cluster)).toEqual(before)
    }
    const report = await stream.end()
    for (const [id, { sent, received }] of Object.entries(report.flows))
      expect([id, received]).toEqual([id, id.startsWith('friend') ? sent : 0])
    expect(before.join('\n')).toContain('-A OTHERS -j DROP')
  })

  test('the last policy goes while the agent is down: so do its rules, and other people’s stay', async () => {
    await using cluster = await start('lst')
    const node = cluster.world.node('n1')
    const clean = await ours(cluster)
    expect(clean.join('\n')).not.toContain('fib-policy')
    await cluster.world.net.exec('n1', 'iptables-restore', ['--noflush', '--wait'], { input: FOREIGN.join('\n') })
    const foreign = await ours(cluster)
    await cluster.apply(POLICY)
    await expectPolicy(cluster)
    await node.kill()
    cluster.write(NO_POLICY)
    expect(await cluster.differences(probe(cluster, 'x/stranger'), [false, false])).toEqual([])
    await node.launch()
    await until('no rule of policy is left', async () => (await ours(cluster)).join() === foreign.join(), {
      explain: () => cluster.explain(),
    })
    expect(await cluster.differences(probe(cluster, 'x/stranger'), [true, true])).toEqual([])
    // With nft a rule that is gone lets go of its sets a little later.
    const sets = async (): Promise<string> => (await cluster.world.net.exec('n1', 'ipset', ['list', '-n'])).stdout
    await until('no set of policy is left', async () => !/^fib[46]-[pnca]-/m.test(await sets()), { explain: () => cluster.explain() })
  })

  test('damage is repaired, and what is left in the other variant is swept', async () => {
    await using cluster = await start('drf')
    const { net } = cluster.world
    await cluster.apply(POLICY)
    const before = await ours(cluster)
    await cluster.world.node('n1').kill()
    await net.exec('n1', 'iptables', ['-w', '-D', 'FORWARD', '-o', 'fib+', '-m', 'comment', '--comment', 'fibula', '-j', 'fib-policy-to'])
    await net.exec('n1', 'ip6tables', ['-w', '-F', 'fib-policy-to'])
    const legacy = [
      '*filter',
      ':fib-policy-to - [0:0]',
      '-A fib-policy-to -j DROP',
      '-A FORWARD -o fib+ -m comment --comment fibula -j fib-policy-to',
      'COMMIT',
      '',
    ]
    await net.exec('n1', 'iptables-legacy-restore', ['--noflush', '--wait'], { input: legacy.join('\n') })
    await cluster.world.node('n1').launch()
    await until(
      'the rules are as they were',
      async () => (await ours(cluster)).join() === before.join() && !(await cluster.rules('n1', 'legacy')).join().includes('fib-policy'),
      { explain: () => cluster.explain() },
    )
    await expectPolicy(cluster)
  })
})
