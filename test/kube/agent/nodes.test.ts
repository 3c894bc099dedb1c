// What an agent follows live: nodes that come, go, and change labels or address; its own address, as it was told to find it; a session
// that flaps; and its report when somebody takes it away.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { AGENT_RIGHTS } from '../../../src/agent/index.ts'
import { grantRights } from '../../support/kube/rights.ts'
import { until, untilEqual } from '../../support/poll.ts'
import { describeWith } from '../../support/tier.ts'
import { NAMESPACE, NODE, PROGRAMS, USER, World } from './world.ts'

const START_MS = 400_000
const LONG_MS = 400_000
/** As long as it takes for several reports, and as many flaps: the latter take longer on a slow machine. */
const FLAP_MS = 21_000
const FLAPS = 5

describeWith(PROGRAMS, 'what an agent follows', () => {
  let world: World
  beforeAll(async () => {
    world = await World.start()
    await world.bird()
    await world.peerWithTor()
    await world.launch()
    await world.established()
  }, START_MS)
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]()
  }, START_MS)

  const sessions = (wanted: readonly string[]) =>
    untilEqual('the sessions', wanted, async () =>
      (await world.peers()).map(({ name, address, asn }) => `${name} ${address} AS${asn}`).sort(),
    )

  test(
    'nodes that come, go, and change their address, labels and AS number',
    async () => {
      const { since } = await world.peer('tor')
      await world.makeNode('n2', '10.0.0.12')
      await sessions(['mesh/n2/ipv4 10.0.0.12 AS64512', 'tor 10.0.0.1 AS65001'])
      await world.patchNode('n2', { addresses: [{ type: 'InternalIP', address: '10.0.0.22' }] })
      await sessions(['mesh/n2/ipv4 10.0.0.22 AS64512', 'tor 10.0.0.1 AS65001'])
      await world.apply({ apiVersion: 'v1', kind: 'Node', metadata: { name: 'n2', annotations: { 'fibula.network/asn': '64520' } } })
      await sessions(['mesh/n2/ipv4 10.0.0.22 AS64520', 'tor 10.0.0.1 AS65001'])
      await world.apply({
        kind: 'BGPPeer',
        metadata: { name: 'rack' },
        spec: { peerSelector: { matchLabels: { rack: 'b' } }, holdTime: '9s' },
      })
      await world.makeNode('n2', '10.0.0.22', { rack: 'b' })
      await sessions(['rack/n2/ipv4 10.0.0.22 AS64512', 'tor 10.0.0.1 AS65001'])
      await world.report(
        'the report has it',
        ({ status }) => status?.peers.some(({ peer, remoteNode }) => peer === 'rack' && remoteNode === 'n2') ?? false,
      )
      await world.admin.delete('Node', { name: 'n2' })
      await sessions(['tor 10.0.0.1 AS65001'])
      await world.admin.delete('BGPPeer', { name: 'rack' })
      await world.makeNode(NODE, '10.0.0.11', { rack: 'c' })
      await sessions([])
      await world.makeNode(NODE, '10.0.0.11', { rack: 'a' })
      await sessions(['tor 10.0.0.1 AS65001'])
      expect((await world.established()).since).not.toBe(since)
    },
    LONG_MS,
  )

  test(
    'a report that somebody deletes or changes is put right',
    async () => {
      await world.admin.delete('NodeNetwork', { name: NODE })
      const again = await world.report('it is there again', ({ status }) => status?.sessions?.established === 1)
      await world.admin.updateStatus({ ...again, status: { ...again.status, asNumber: 1, peers: [] } })
      await world.report('it is true again', ({ status }) => status?.asNumber === 64_512 && status.peers.length === 1)
    },
    LONG_MS,
  )

  test(
    'a session that flaps all the time is written every few seconds at most',
    async () => {
      const bird = await world.bird()
      const versions = new Set<string>()
      const beganMs = performance.now()
      using _watch = world.admin.watch([{ kind: 'NodeNetwork', name: NODE }], {
        changed: (changes) => {
          for (const { object } of changes) versions.add(object.metadata.resourceVersion ?? '')
        },
        synced: () => {},
        problems: () => {},
      })
      for (let flaps = 0; flaps < FLAPS || performance.now() < beganMs + FLAP_MS; flaps++) {
        await bird.control('disable p0')
        await until('it is down', async () => (await world.peer('tor')).state !== 'Established')
        await bird.control('enable p0')
        await world.established()
      }
      expect(versions.size).toBeGreaterThan(2) // it was told
      // What was there, and one each five seconds.
      expect(versions.size).toBeLessThanOrEqual(1 + Math.ceil((performance.now() - beganMs) / 5_000))
      await world.report('it ends with the truth', ({ status }) => status?.sessions?.established === 1)
    },
    LONG_MS,
  )

  test(
    'its own address: found as it was told, followed when it changes, and written for the others',
    async () => {
      await grantRights(world.kube.connection(), USER.name, NAMESPACE, AGENT_RIGHTS)
      await world.net.ip(NODE, 'link add lan1 type veth peer name lan1-far')
      for (const end of ['lan1', 'lan1-far']) await world.net.ip(NODE, `link set ${end} up`)
      await world.net.ip(NODE, 'address add 10.9.0.11/24 dev lan1')
      await world.stop()
      await world.launch({ args: ['--ipv4-detection', 'interface=^lan'] })
      const annotation = async () =>
        (await world.admin.get('Node', { name: NODE }))?.metadata.annotations['fibula.network/detected-ipv4-address']
      await until('the Node says so', async () => (await annotation()) === '10.9.0.11/24')
      await world.report(
        'so does the report',
        ({ status }) => status?.addresses[0]?.address === '10.9.0.11/24' && status.addresses[0].interface === 'lan1',
      )
      await world.net.ip(NODE, 'address add 10.9.0.12/24 dev lan1')
      await world.net.ip(NODE, 'address del 10.9.0.11/24 dev lan1')
      await world.net.ip(NODE, 'address replace 10.9.0.12/24 dev lan1')
      await until('it is followed', async () => (await annotation()) === '10.9.0.12/24')
      await world.stop()
      await world.launch()
      await until('what nobody looks for any more is taken back', async () => (await annotation()) === undefined)
      await world.established()
    },
    LONG_MS,
  )
})
