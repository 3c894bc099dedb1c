// A real runtime: 50 containers started and stopped by containerd through the conflist that the agent wrote, with the agent killed
// in between. Everything that has an address answers, and in the end nobody has one.
import { expect, test } from '@jest/globals'
import { until } from '../../support/poll.ts'
import { describeWith } from '../../support/tier.ts'
import { allocationsIn } from './blocks.ts'
import { CLUSTER_PROGRAMS, Cluster, OUTSIDE } from './cluster.ts'
import { CONTAINERD_PROGRAMS, Containerd } from './containerd.ts'
import { inTurns } from './in-turns.ts'
import { SHIM } from './node.ts'
import { dial } from './reachability.ts'

const CONTAINERS = 50
const AT_ONCE = 10
const PORT = 8_080

describeWith([...CLUSTER_PROGRAMS, ...CONTAINERD_PROGRAMS, SHIM], 'containerd', () => {
  test('ctr run --cni: 50 containers start, answer before and after the agent was killed, and stop', async () => {
    await using cluster = await Cluster.start('containerd', { nodes: 1 })
    const node = cluster.node(1)
    await using containerd = await Containerd.start(cluster, node)
    const ids = Array.from({ length: CONTAINERS }, (_, index) => `c${index}`)
    const results = await inTurns(ids, AT_ONCE, (id) => containerd.run(id, PORT))
    const addresses = results.flatMap(({ ips }) => ips.map(({ address }) => address.split('/')[0] ?? ''))
    expect(new Set(addresses).size).toBe(CONTAINERS * 2)

    await allAnswer(cluster, addresses)
    await node.kill()
    await allAnswer(cluster, addresses)
    await node.launch()
    await allAnswer(cluster, addresses)

    await inTurns(ids, AT_ONCE, (id) => containerd.stop(id))
    expect(await node.podTraces()).toEqual([])
    await node.untilForgotten()
    await until('no address is in use', async () => {
      const left = await allocationsIn(cluster.store)
      if (left.length > 0) throw new Error(left.slice(0, 10).join('\n'))
      return true
    })
  }, 600_000)
})

/** From beyond the router, which learned of the pods by BGP, and from the node. */
async function allAnswer(cluster: Cluster, addresses: readonly string[]): Promise<void> {
  const outside = cluster.net.pathOf('outside')
  await inTurns(addresses, AT_ONCE, async (target) => {
    const own = target.includes(':') ? OUTSIDE.ipv6 : `::ffff:${OUTSIDE.ipv4}`
    expect(await until(`${target} answers`, () => dial(outside, target, PORT))).toBe(`${own}\n`)
    expect(await dial(cluster.net.pathOf('n1'), target, PORT)).not.toBe('')
  })
}
