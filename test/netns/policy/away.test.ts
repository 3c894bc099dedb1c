// The store is away, while an agent runs and when one starts: the kernel is left alone, what policy there was goes on for every packet, new
// pods wait, and when the store is back its changes take effect.
import fs from 'node:fs'
import { expect, test } from '@jest/globals'
import type { ClusterState } from '../../policy/state.ts'
import { until } from '../../support/poll.ts'
import { describeWith } from '../../support/tier.ts'
import { PolicyCluster, PROGRAMS } from './cluster.ts'
import type { Probe } from './prober.ts'

const PODS = { 'x/server': 'n1', 'x/friend': 'n1', 'x/stranger': 'n1', 'x/late': 'n1' }
const pods: ClusterState['pods'] = Object.fromEntries(Object.keys(PODS).map((key) => [key, { labels: { app: key.split('/')[1] ?? '' } }]))

/** The server admits one of them. */
function admitting(app: string): ClusterState {
  const ingress = [{ from: [{ podSelector: { matchLabels: { app } } }] }]
  const spec = { podSelector: { matchLabels: { app: 'server' } }, policyTypes: ['Ingress'], ingress }
  return {
    namespaces: { x: {} },
    pods,
    policies: [{ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'server', namespace: 'x' }, spec }],
  }
}

/** All of ours in the filter table, in order, without counters. */
async function rules(cluster: PolicyCluster): Promise<string> {
  const texts = await cluster.rules('n1')
  return texts.map((text) => text.replaceAll(/^#.*$|\[\d+:\d+\]/gm, '')).join('\n')
}

describeWith(PROGRAMS, 'while the store is away', () => {
  test('what was in force stays in force, through a kill and a start without it; then what changed meanwhile is taken over [policy 86]', async () => {
    const options = { nodes: ['n1'], pods: PODS, added: ['x/server', 'x/friend', 'x/stranger'], ports: { tcp: [80], udp: [80] } }
    await using cluster = await PolicyCluster.start('awy', options)
    const { world, prober } = cluster
    const [node, away] = [world.node('n1'), `${world.store}-away`]
    const probes = (from: string): readonly Probe[] =>
      Object.values(cluster.addressesOf('x/server')).flatMap((address) =>
        (['TCP', 'UDP'] as const).map((protocol) => ({ from, to: 'x/server', address, protocol, port: 80 })),
      )
    const isInForce = async (passes: string, isDenied: string): Promise<void> => {
      const expected = [passes, isDenied].flatMap((from) => probes(from).map(() => from === passes))
      expect(await cluster.differences([...probes(passes), ...probes(isDenied)], expected)).toEqual([])
    }
    await cluster.apply(admitting('friend'))
    await isInForce('x/friend', 'x/stranger')
    const before = await rules(cluster)
    const ids: string[] = []
    for (const probe of probes('x/friend')) {
      const id = `${probe.address} ${probe.protocol}`
      expect([id, await prober.connect(id, probe)]).not.toEqual([id, null])
      ids.push(id)
    }
    const isUntouched = async (): Promise<void> => {
      expect(await rules(cluster)).toBe(before)
      await isInForce('x/friend', 'x/stranger')
      await cluster.untilAlive(ids)
    }
    const saysSo = (): Promise<unknown> =>
      until(
        'the agent says what is wrong',
        async () => JSON.stringify((await world.status('n1')).problems).includes('there is no folder'),
        {
          explain: () => node.log(),
        },
      )

    fs.renameSync(world.store, away)
    await saysSo()
    await isUntouched()
    await node.kill()
    await isUntouched()
    await node.launch()
    await saysSo()
    await isUntouched()
    // A pod that comes now waits: nobody knows what is to apply to it.
    let hasCome = false
    const coming = cluster.add('x/late').then(() => {
      hasCome = true
    })
    await isUntouched()
    expect([hasCome, fs.existsSync(world.store)]).toEqual([false, false])

    fs.renameSync(away, world.store)
    await coming
    await cluster.untilAlive(ids)
    await cluster.apply(admitting('stranger'))
    await isInForce('x/stranger', 'x/friend')
    await cluster.untilAlive([], ids)
    await cluster.apply(admitting('late'))
    await isInForce('x/late', 'x/stranger')
    await until('nothing is wrong any more', async () => (await world.status('n1')).problems.length === 0, { explain: () => node.log() })
  })
})
