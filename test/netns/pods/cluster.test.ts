// 200 pods on three nodes, made through the plugin: every address is one pod's, all reach one another over the router by both
// families with the addresses they have, and when they are gone nothing of them is left.
import { expect, test } from '@jest/globals'
import { cidr, containsAddress, ip } from '../../../src/net/index.ts'
import { until } from '../../support/poll.ts'
import { describeWith } from '../../support/tier.ts'
import { allocationsIn } from './blocks.ts'
import { CLUSTER_PROGRAMS, Cluster, OUTSIDE, POOLS } from './cluster.ts'
import { inTurns } from './in-turns.ts'
import { withNamespaces } from './namespaces.ts'
import { type ClusterNode, SHIM } from './node.ts'
import { dial, Listeners, type Pair, type Pod, pingFailures, podOf, tcpFailures } from './reachability.ts'

const PODS = 200
const ADDS_AT_ONCE = 50

type PlacedPod = Pod & { readonly node: ClusterNode; readonly containerId: string }

describeWith([...CLUSTER_PROGRAMS, SHIM], 'a cluster of three nodes', () => {
  test('200 pods all reach one another by TCP and ping, dual stack, and leave nothing behind', async () => {
    await using cluster = await Cluster.start('pods', { nodes: 3 })
    const names = Array.from({ length: PODS }, (_, index) => `pod${index}`)
    await withNamespaces(cluster, names, async (paths) => {
      const pods = await inTurns(paths, ADDS_AT_ONCE, (netns, index) => addPod(cluster.node((index % 3) + 1), `pod${index}`, netns))
      expect(new Set(pods.map(({ addresses }) => addresses.ipv4)).size).toBe(PODS)
      expect(new Set(pods.map(({ addresses }) => addresses.ipv6)).size).toBe(PODS)
      {
        await using _listeners = await Listeners.in(pods)
        await allReachOneAnother(cluster, pods)
      }
      await inTurns(pods, ADDS_AT_ONCE, (pod) => pod.node.remove(pod))
      for (const node of cluster.nodes) {
        expect(await node.podTraces()).toEqual([])
        await node.untilForgotten()
      }
      await until('no address is in use', async () => {
        const left = await allocationsIn(cluster.store)
        if (left.length > 0) throw new Error(left.slice(0, 10).join('\n'))
        return true
      })
    })
  }, 900_000)
})

async function addPod(node: ClusterNode, name: string, netns: string): Promise<PlacedPod> {
  const call = { containerId: name, netns }
  const pod = podOf(name, netns, await node.add(call))
  for (const family of ['ipv4', 'ipv6'] as const) expect(containsAddress(cidr(POOLS[family]), ip(pod.addresses[family]))).toBe(true)
  return { ...pod, node, containerId: name }
}

async function allReachOneAnother(cluster: Cluster, pods: readonly PlacedPod[]): Promise<void> {
  const [first, ...others] = pods
  if (first === undefined) throw new Error('no pods')
  const at = (index: number): PlacedPod => pods[index % pods.length] ?? first
  // step by step, so that no pod has to hear from all others at once
  const pairs: readonly Pair[] = others.flatMap((_, step) => pods.map((pod, index): Pair => [pod, at(index + step + 1)]))
  expect(pairs).toHaveLength(PODS * (PODS - 1))
  const last: readonly Pair[] = [1, 2, 3].map((step): Pair => [first, at(pods.length - step)])
  for (const family of ['ipv4', 'ipv6'] as const) {
    await until(`the last blocks are known everywhere (${family})`, async () => (await tcpFailures(last, family)).length === 0, {
      explain: () => cluster.nodes.map((node) => node.log()).join('\n'),
    })
    expect(await tcpFailures(pairs, family)).toEqual([])
    // and the world beyond the router reaches a pod, and the pod is seen there as itself
    expect(await dial(cluster.net.pathOf('outside'), first.addresses[family])).toBe(`${first.name} ${OUTSIDE[family]}`)
  }
  expect(await pingFailures(pairs)).toEqual([])
  // and the counting can fail: nobody has these addresses
  const nobody: Pod = { ...at(1), name: 'nobody', addresses: { ipv4: '10.244.255.254', ipv6: `${POOLS.ipv6.split('/')[0]}ffff` } }
  expect(await pingFailures([[first, nobody]])).toHaveLength(2)
  for (const family of ['ipv4', 'ipv6'] as const) expect(await tcpFailures([[first, nobody]], family, 2_000)).toHaveLength(1)
}
