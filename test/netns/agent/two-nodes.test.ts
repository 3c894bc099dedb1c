// Two agents that serve pods, and a BGP session of each family between them: pods reach one another, a restart under traffic loses
// nothing, a borrowed address beats the blackhole of its block, and a node that is drained says goodbye.
import { expect, test } from '@jest/globals'
import { until, untilEqual } from '../../support/poll.ts'
import { Prober } from '../../support/prober.ts'
import { describeWith } from '../../support/tier.ts'
import { PROGRAMS, pool, World } from './world.ts'

const MINUTES = 180_000

describeWith(PROGRAMS, 'two nodes', () => {
  test(
    'pods of two nodes reach one another by both families; kill -9 and a start in between lose nothing',
    async () => {
      await using world = await World.start('two', { nodes: ['n1', 'n2'], pods: ['p1', 'p2'] })
      const first = await world.add('n1', 'p1')
      const second = await world.add('n2', 'p2')
      for (const address of [second.ipv4, second.ipv6]) await world.reaches('p1', address)
      for (const [a, b] of [
        [first.ipv4, second.ipv4],
        [first.ipv6, second.ipv6],
      ] as const) {
        await using prober = await Prober.start(world.net, { node: 'p1', address: a }, { node: 'p2', address: b })
        await world.node('n1').kill()
        await world.node('n1').launch()
        await until('the sessions are back', async () => (await world.status('n1')).sessions.established === 2)
        await until('the kernel holds what is wanted, and nothing stale', async () => {
          const { desired, inKernel, failed } = (await world.status('n1')).routes
          return (await world.status('n1')).ready && desired === inKernel && failed === 0
        })
        const results = await prober.finish()
        expect(results.map(({ lost, sent }) => [lost, sent > 20])).toEqual([
          [0, true],
          [0, true],
        ])
      }
      await world.remove('n1', 'p1')
      await world.remove('n2', 'p2')
      await world.leavesNothing('n1')
      await world.leavesNothing('n2')
    },
    2 * MINUTES,
  )

  test(
    'a borrowed address is advertised as a host route, which beats the blackhole of the block it is from',
    async () => {
      // One block for two nodes: who comes second borrows. IPv4 alone, so that every ADD has one address.
      const pools = [pool('pods', '10.244.0.0/27', { blockSize: 27 })]
      await using world = await World.make('borrow', { nodes: ['n1', 'n2'], pods: ['p1', 'p2'], pools })
      await world.node('n1').launch()
      const first = await world.add('n1', 'p1')
      await world.node('n2').launch()
      const second = await world.add('n2', 'p2')
      expect(await world.pods('n2')).toEqual([expect.objectContaining({ addresses: [expect.objectContaining({ borrowed: true })] })])
      await untilEqual('n2 advertises the address', [`${second.ipv4}/32`], async () => (await world.status('n2')).originated)
      await world.reaches('p1', second.ipv4)
      await world.reaches('p2', first.ipv4)
      const routes = await world.net.ip('n1', 'route show')
      expect(routes).toMatch(/^blackhole 10\.244\.0\.0\/27 /m)
      expect(routes).toMatch(new RegExp(`^${second.ipv4} via 10\\.0\\.0\\.12 `, 'm'))

      await world.remove('n2', 'p2')
      await until('the host route is withdrawn', async () => (await world.status('n2')).originated.length === 0)
      await until('the block’s owner has dropped it', async () => !(await world.net.ip('n1', 'route show')).includes('via 10.0.0.12'))
      await world.remove('n1', 'p1')
      await world.leavesNothing('n1')
      await world.leavesNothing('n2')
    },
    2 * MINUTES,
  )

  test(
    'a drain marks what the node advertises until it is taken back; a stop with a goodbye ends the sessions and the process',
    async () => {
      await using world = await World.start('drain', { nodes: ['n1', 'n2'], pods: ['p1'] })
      await world.add('n1', 'p1')
      const [peer = ''] = (await world.ask<readonly { readonly name: string }[]>('n2', 'GET', '/v1/bgp/peers')).map(({ name }) => name)
      const isMarked = async (): Promise<boolean> => {
        const routes = await world.routes('n2', `in=${encodeURIComponent(peer)}`)
        const paths = routes.flatMap((route) => route.paths)
        return paths.length > 0 && paths.every(({ communities }) => communities.includes('GRACEFUL_SHUTDOWN')) // RFC 8326 §5
      }
      await until('n2 has the blocks of n1', async () => (await world.routes('n2', `in=${encodeURIComponent(peer)}`)).length > 0)
      expect(await isMarked()).toBe(false)
      await world.ask('n1', 'POST', '/v1/drain', { draining: true })
      await until('what n1 advertises is marked', isMarked, { explain: () => world.node('n1').log() })
      expect(await world.status('n1')).toMatchObject({ draining: true, sessions: { established: 2 } })
      await world.ask('n1', 'POST', '/v1/drain', { draining: false })
      await until('it is no more', async () => !(await isMarked()))

      await expect(world.ask('n1', 'POST', '/v1/stop', { how: 'now' })).rejects.toThrow(/400/)
      await world.ask('n1', 'POST', '/v1/stop', { how: 'cease', drainSeconds: 5 }) // long enough for a busy machine to see it
      await until('what n1 advertises is marked again', isMarked)
      await until('the sessions have ended and nothing is retained', async () => {
        const { sessions } = await world.status('n2')
        return sessions.established === 0 && (await world.routes('n2', `in=${encodeURIComponent(peer)}`)).length === 0
      })
      const peers = await world.ask<readonly { readonly lastError: string | null }[]>('n2', 'GET', '/v1/bgp/peers')
      expect(peers.map(({ lastError }) => lastError).join()).toMatch(/cease|shutdown/i)
      await until('the process has ended', () =>
        world.status('n1').then(
          () => false,
          () => true,
        ),
      ) // after its last word
    },
    2 * MINUTES,
  )
})
