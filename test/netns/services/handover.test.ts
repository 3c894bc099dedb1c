// An endpoint ends and another takes over, under 100 requests a second: who ends as Kubernetes ends pods loses nobody anything.
import { expect, test } from '@jest/globals'
import { untilEqual } from '../../support/poll.ts'
import { describeWith } from '../../support/tier.ts'
import { PROGRAMS, Rack, Requester, VIP } from './world.ts'

const MINUTES = 180_000
const GRACEFUL_SHUTDOWN = '65535:0'

/** The endpoint is at node 1 alone; nodes 2 and 3 have none and no rules. */
async function start(topic: string): Promise<Rack> {
  const rack = await Rack.start(topic)
  await rack.endpoint(1)
  await rack.proxy(1, 1)
  rack.service({ externalTrafficPolicy: 'Local' })
  rack.slices({ 1: 'ready' })
  await rack.untilServiceAt(VIP, [1])
  return rack
}

describeWith(PROGRAMS, 'an endpoint of a service with policy Local', () => {
  test(
    'moves from node to node around the rack: nothing is lost, whether its successor is there before or comes later [rule 186]',
    async () => {
      await using rack = await start('svc-move')
      await using requester = await Requester.start(rack, VIP.ipv4)
      await using requester6 = await Requester.start(rack, VIP.ipv6)
      await requester.untilAnsweredBy('e1')

      // A rolling update that surges: the new one is ready before the old one is told to end.
      await rack.endpoint(2)
      await rack.proxy(2, 2)
      rack.slices({ 1: 'ready', 2: 'ready' })
      await rack.untilServiceAt(VIP, [1, 2])
      rack.slices({ 1: 'terminating', 2: 'ready' })
      await rack.untilServiceAt(VIP, [2]) // before the endpoint stops
      await requester.untilAnsweredBy('e2')
      for (const each of [requester, requester6]) await each.settled()
      await rack.endEndpoint(1)
      await rack.proxy(1, null)
      rack.slices({ 2: 'ready' })

      // One replica that is replaced: told to end while there is no other.
      rack.slices({ 2: 'terminating' })
      await untilEqual('node 2 yields', [GRACEFUL_SHUTDOWN], async () => (await rack.told(2, '192.0.2.10/32'))?.communities ?? [])
      expect(await rack.nextHops(VIP.ipv4)).toEqual([2])
      await rack.endpoint(3)
      await rack.proxy(3, 3)
      rack.slices({ 2: 'terminating', 3: 'ready' })
      await rack.untilServiceAt(VIP, [3])
      await requester.untilAnsweredBy('e3')
      for (const each of [requester, requester6]) await each.settled()
      await rack.endEndpoint(2)
      await rack.proxy(2, null)
      rack.slices({ 2: 'ended', 3: 'ready' })
      rack.slices({ 3: 'ready' })

      const { lost, by, sent } = await requester.finish()
      const six = await requester6.finish()
      expect([lost, six.lost]).toEqual([[], []])
      expect(Object.keys(by).sort()).toEqual(['e1', 'e2', 'e3'])
      expect(sent).toBeGreaterThanOrEqual(200)
    },
    3 * MINUTES,
  )

  test(
    'that stops without a word loses requests until its readiness says so: the count above can fail',
    async () => {
      await using rack = await start('svc-crash')
      await rack.endpoint(2)
      await rack.proxy(2, 2)
      rack.slices({ 1: 'ready', 2: 'ready' })
      await rack.untilServiceAt(VIP, [1, 2])
      await using requester = await Requester.start(rack, VIP.ipv4)
      await rack.endEndpoint(1)
      await requester.untilCounted('requests are lost', ({ lost }) => lost.length > 0)
      await rack.proxy(1, null)
      rack.slices({ 1: 'notReady', 2: 'ready' })
      await rack.untilServiceAt(VIP, [2])
      const { lost } = await requester.finish()
      expect(lost.length).toBeGreaterThan(0)
    },
    3 * MINUTES,
  )
})
