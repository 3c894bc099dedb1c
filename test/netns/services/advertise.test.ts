// What a real router hears of services, and where a real client's requests go.
import { expect, test } from '@jest/globals'
import { until, untilEqual } from '../../support/poll.ts'
import { describeWith } from '../../support/tier.ts'
import { CLUSTER_IP, endpointOf, FAMILIES, PROGRAMS, RANGES, Rack, Requester, VIP } from './world.ts'

const MINUTES = 180_000
const GRACEFUL_SHUTDOWN = '65535:0'

describeWith(PROGRAMS, 'service routes', () => {
  test(
    'policy Cluster: a client behind the router reaches the service over all nodes, by both families and the whole range of cluster IPs',
    async () => {
      await using rack = await Rack.start('svc-ecmp')
      for (const number of [1, 2, 3] as const) {
        await rack.endpoint(number)
        await rack.proxy(number, number)
      }
      await rack.untilNextHops('10.96.0.0/16', [1, 2, 3]) // whatever services there are
      await rack.untilNextHops('fd00:96::/112', [1, 2, 3])
      expect(await rack.nextHops(VIP.ipv4)).toEqual([])
      rack.service()
      rack.slices({ 1: 'ready', 2: 'ready', 3: 'ready' })
      await rack.untilServiceAt(VIP, [1, 2, 3])

      for (const address of FAMILIES.flatMap((family) => [VIP[family], CLUSTER_IP[family]])) {
        await using requester = await Requester.start(rack, address)
        const answers = await rack.answerers('client', address, 50)
        const { lost, by } = await requester.finish()
        expect(lost).toEqual([])
        expect(Object.keys(by).sort()).toEqual([1, 2, 3].map((number) => `e${number}`)) // spread by the router
        expect(answers.size).toBeGreaterThan(1)
      }

      // Where a prefix comes from, as `fibula bgp routes` shows it.
      const sources = (await rack.routes(1))
        .flatMap(({ prefix, paths }) => paths.map((path) => `${prefix} ${path.peer} ${path.sources?.join() ?? ''}`))
        .filter((text) => text.includes(' local '))
      expect(sources).toEqual(
        expect.arrayContaining([
          '192.0.2.10/32 local Service/default/web',
          '10.96.0.0/16 local serviceClusterIPs',
          '10.244.1.0/24 local networks',
        ]),
      )
      expect((await rack.status(1)).services).toMatchObject({ services: 1, endpoints: 6, advertised: 4, yielding: 0, standing: 'in' })

      // A node where the only endpoint of the service is elsewhere is as good as any.
      await rack.proxy(1, 3)
      await rack.proxy(2, 3)
      rack.slices({ 3: 'ready' })
      for (const family of FAMILIES) {
        await using requester = await Requester.start(rack, VIP[family])
        for (const from of ['client', 'e1', 'n2']) expect((await rack.connect(from, VIP[family]))[0]).toBe(endpointOf(3))
        const { lost, by } = await requester.finish()
        expect([lost, Object.keys(by)]).toEqual([[], [endpointOf(3)]])
      }
      expect(await rack.nextHops(VIP.ipv4)).toEqual([1, 2, 3])
      rack.slices({ 3: 'notReady' })
      await rack.untilServiceAt(VIP, [])

      // Nobody watches services once no range is set.
      rack.configure({})
      await rack.untilNextHops('10.96.0.0/16', [])
      await untilEqual('node 1 has nothing to say of services', [null], async () => [(await rack.status(1)).services])
      rack.slices({ 3: 'ready' })
      rack.configure(RANGES)
      await rack.untilServiceAt(VIP, [1, 2, 3])
    },
    3 * MINUTES,
  )

  test(
    'policy Local: only from nodes with a ready endpoint, cluster IPs too, and the client is seen as itself [rule 186]',
    async () => {
      await using rack = await Rack.start('svc-local')
      for (const number of [1, 2, 3] as const) {
        await rack.endpoint(number)
        await rack.proxy(number, number)
      }
      rack.service({ externalTrafficPolicy: 'Local' })
      rack.slices({ 1: 'ready', 2: 'notReady' })
      await rack.untilServiceAt(VIP, [1])
      await rack.untilServiceAt(CLUSTER_IP, [1])
      await rack.untilServiceAt({ ipv4: '10.96.0.0/16', ipv6: 'fd00:96::/112' }, [1, 2, 3])
      await rack.untilServiceAt({ ipv4: '10.244.1.0/24', ipv6: 'fd00:244:1::/64' }, [1]) // so node 1 has told all it has to tell
      expect(await rack.connect('client', VIP.ipv4)).toEqual(['e1', '10.9.0.2'])
      expect(await rack.connect('client', VIP.ipv6)).toEqual(['e1', 'fd09::2'])
      rack.slices({ 1: 'ready', 2: 'ready' })
      await rack.untilServiceAt(VIP, [1, 2])

      // Endpoints of others, and slices that are rewritten, are nothing to node 1: the router hears nothing from it.
      const before = await rack.updatesFrom(1)
      for (const [at, states] of [
        { 1: 'ready', 2: 'ready', 3: 'ready' },
        { 1: 'ready', 2: 'terminating', 3: 'ready' },
        { 1: 'ready', 3: 'notReady' },
        { 1: 'ready' },
        { 1: 'ready', 2: 'ready', 3: 'terminating' },
      ].entries()) {
        rack.slices(states as Parameters<Rack['slices']>[0], `web-${at}`) // under another name: the endpoint moves
        await rack.untilServiceAt(VIP, at === 0 ? [1, 2, 3] : at === 1 ? [1, 3] : at === 4 ? [1, 2] : [1])
      }
      expect(await rack.updatesFrom(1)).toBe(before)
      // … and the counter does count: this node's own endpoint is one.
      rack.slices({ 1: 'notReady', 2: 'ready' })
      await rack.untilServiceAt(VIP, [2])
      expect(await rack.updatesFrom(1)).not.toBe(before)
    },
    3 * MINUTES,
  )

  test(
    'an excluded node advertises nothing for services; a cordoned one lets go of what others can do, and keeps what only it can',
    async () => {
      await using rack = await Rack.start('svc-stand')
      for (const number of [1, 2, 3] as const) {
        await rack.endpoint(number)
        await rack.proxy(number, number)
      }
      rack.service()
      rack.slices({ 1: 'ready', 2: 'ready', 3: 'ready' })
      await rack.untilServiceAt(VIP, [1, 2, 3])
      {
        await using requester = await Requester.start(rack, VIP.ipv4)
        rack.node(3, { excluded: true })
        await rack.untilServiceAt(VIP, [1, 2])
        await rack.untilNextHops('10.96.0.0/16', [1, 2])
        rack.node(1, { cordoned: true })
        await rack.untilServiceAt(VIP, [2])
        await rack.untilNextHops('fd00:96::/112', [2])
        const { lost, sent } = await requester.finish()
        expect([lost, sent > 10]).toEqual([[], true])
      }
      expect((await rack.status(3)).services).toMatchObject({ advertised: 0, standing: 'excluded' })
      expect(await rack.nextHops('10.244.3.0/24')).toEqual([3]) // what is no service stays

      // Node 2 is the last. Cordoned, it yields and goes on; so does node 1, since nobody is left that could do better.
      rack.node(2, { cordoned: true })
      for (const number of [1, 2] as const)
        await untilEqual('it yields', [GRACEFUL_SHUTDOWN], async () => (await rack.told(number, '192.0.2.10/32'))?.communities ?? [])
      await rack.untilServiceAt(VIP, [1, 2])
      {
        await using requester = await Requester.start(rack, VIP.ipv4)
        await requester.untilAnsweredBy('e1', 'e2')
        rack.node(1)
        await rack.untilServiceAt(VIP, [1])
        const { lost, by } = await requester.finish()
        expect([lost, by]).toEqual([[], { e1: expect.any(Number), e2: expect.any(Number) }])
      }
      expect((await rack.told(1, '192.0.2.10/32'))?.communities).toEqual([])
      rack.node(2)
      await rack.untilServiceAt(VIP, [1, 2])
    },
    3 * MINUTES,
  )

  test(
    'kill -9 of an agent and a start under requests: the router keeps the routes of services, nothing is lost, nothing is withdrawn',
    async () => {
      await using rack = await Rack.start('svc-restart')
      for (const number of [1, 2, 3] as const) {
        await rack.endpoint(number)
        await rack.proxy(number, number)
      }
      rack.service({ externalTrafficPolicy: 'Local' })
      rack.slices({ 1: 'ready', 2: 'ready' })
      await rack.untilServiceAt(VIP, [1, 2])
      await using requester = await Requester.start(rack, VIP.ipv6)
      await requester.untilAnsweredBy('e1', 'e2')
      const withdrawsOf = async (): Promise<string> => ((await rack.updatesFrom(1)).match(/Import withdraws:.*/g) ?? []).join('\n')
      const before = await withdrawsOf()
      await rack.kill(1)
      rack.launch(1)
      await rack.untilEstablished(1)
      await untilEqual('node 1 is ready', [true], async () => [(await rack.status(1)).ready])
      expect(await rack.nextHops(VIP.ipv6)).toEqual([1, 2])
      await until('it has told everything again', () => rack.told(1, '192.0.2.10/32')) // until then the router keeps what it was told before
      expect(await withdrawsOf()).toBe(before)
      const { lost, by } = await requester.finish()
      expect([lost, Object.keys(by).sort()]).toEqual([[], ['e1', 'e2']])
    },
    3 * MINUTES,
  )
})
