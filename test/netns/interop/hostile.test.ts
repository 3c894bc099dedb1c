// Hostile peers beside a healthy one: whatever arrives, only the session it arrives on may suffer, at the mildest level RFC 7606
// allows, and the agent goes on.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type Agent, fibula, startAgent } from '../../support/agent.ts'
import * as bgp from '../../support/bgp-bytes.ts'
import { bird, type Daemon, daemonConfig, peerConfig } from '../../support/daemons/index.ts'
import { BGP_TYPE, type HostileConnection, HostilePeer } from '../../support/hostile-peer.ts'
import { FATAL, type FatalMessage, goodUpdate, SURVIVABLE } from '../../support/malformed.ts'
import { buildNetns, type Netns } from '../../support/netns.ts'
import { until } from '../../support/poll.ts'
import { describeWith } from '../../support/tier.ts'

const AGENT = '10.0.0.1'
const HEALTHY = '10.0.0.2'
const HOSTILE_ASN = 65_666
/** One address, so one session, for each fatal message and two more. */
const hostileAddress = (at: number): string => `10.0.0.${100 + at}`
const SURVIVOR = hostileAddress(FATAL.length)
const GARBAGE = hostileAddress(FATAL.length + 1)

describeWith([...fibula.programs, ...bird.programs], 'hostile peers beside a healthy one', () => {
  let net: Netns
  let healthy: Daemon
  let agent: Agent
  let hostile: HostilePeer

  beforeAll(async () => {
    const hostiles = Array.from({ length: FATAL.length + 2 }, (_, at) => hostileAddress(at))
    net = await buildNetns('hostile', {
      nodes: ['agent', 'healthy', 'hostile'],
      switches: [
        {
          name: 'lan',
          ends: [
            { node: 'agent', name: 'eth0', addresses: [`${AGENT}/24`, 'fd00::1/64'] },
            { node: 'healthy', name: 'eth0', addresses: [`${HEALTHY}/24`, 'fd00::2/64'] },
            { node: 'hostile', name: 'eth0', addresses: [...hostiles.map((address) => `${address}/24`), 'fd00::3/64'] },
          ],
        },
      ],
    })
    healthy = await bird.start(
      net,
      'healthy',
      daemonConfig({
        asn: 65_002,
        routerId: HEALTHY,
        addresses: { ipv4: HEALTHY, ipv6: 'fd00::2' },
        announce: [{ prefix: '203.0.2.0/24', med: 1 }],
        peers: [peerConfig({ address: AGENT, localAddress: HEALTHY, asn: 65_001, holdTimeSeconds: 30 })],
      }),
    )
    agent = await startAgent(
      net,
      'agent',
      daemonConfig({
        asn: 65_001,
        routerId: AGENT,
        addresses: { ipv4: AGENT, ipv6: 'fd00::1' },
        announce: [{ prefix: '203.0.1.0/24', med: 1 }],
        peers: [
          peerConfig({ address: HEALTHY, localAddress: AGENT, asn: 65_002, holdTimeSeconds: 30 }),
          ...hostiles.map((address) => peerConfig({ address, localAddress: AGENT, asn: HOSTILE_ASN, passive: true })),
        ],
      }),
    )
    hostile = HostilePeer.start(net, 'hostile')
    const isUp = async (): Promise<boolean> => (await agent.established(HEALTHY)) && (await healthy.established(AGENT))
    await until('the healthy session is up', isUp, { explain: () => agent.log() })
  })

  afterAll(async () => {
    await hostile?.[Symbol.asyncDispose]()
    await agent?.[Symbol.asyncDispose]()
    await healthy?.[Symbol.asyncDispose]()
    await net?.[Symbol.asyncDispose]()
  })

  /** The healthy session has never been down, and still carries changes. */
  const assertHealthy = async (): Promise<void> => {
    expect(await agent.peer(HEALTHY)).toMatchObject({ state: 'Established', flaps: 0, established: 1 })
    expect(await healthy.established(AGENT)).toBe(true)
    expect(agent.running).toBe(true)
  }

  test('UPDATEs with errors are handled one by one as RFC 7606 says, and the session stays up [rules 56-64, 73, 74, 82, 84, 117]', async () => {
    const peer = { asn: HOSTILE_ASN, address: SURVIVOR }
    const connection = await hostile.dial(AGENT, { from: SURVIVOR })
    await connection.establish({ asn: HOSTILE_ASN, holdTimeSeconds: 30, routerId: SURVIVOR }, 5)
    const prefixOf = (at: number): string => `198.18.${at}.0/24`
    for (const at of SURVIVABLE.keys()) connection.send(goodUpdate(peer, prefixOf(at)))
    await until('every prefix is there', async () => (await agent.received(SURVIVOR)).length === SURVIVABLE.length)
    for (const [at, { build }] of SURVIVABLE.entries()) connection.send(build(peer, prefixOf(at)))
    connection.send(goodUpdate(peer, '198.18.255.0/24'))
    const held = async (): Promise<readonly string[]> => (await agent.received(SURVIVOR)).map((each) => each.prefix)
    await until('the last UPDATE has been processed', async () => (await held()).includes('198.18.255.0/24'), {
      explain: () => agent.log(),
    })
    const after = await held()
    const found = SURVIVABLE.map(({ name }, at) => `${name}: ${after.includes(prefixOf(at)) ? 'accepted' : 'withdrawn'}`)
    expect(found).toEqual(SURVIVABLE.map(({ name, verdict }) => `${name}: ${verdict}`))
    expect(await agent.peer(SURVIVOR)).toMatchObject({ state: 'Established', flaps: 0 })
    expect((await agent.peer(SURVIVOR)).malformedUpdates).toBeGreaterThanOrEqual(
      SURVIVABLE.filter((each) => each.verdict === 'withdrawn').length,
    )
    await assertHealthy()
  })

  describe('messages that end their own session, with the right NOTIFICATION [rules 2-4, 6, 7, 14, 17, 19, 21, 23, 24, 34, 55, 63, 66]', () => {
    for (const [at, fatal] of FATAL.entries())
      test(`${fatal.name}: NOTIFICATION ${fatal.notification.join('/')}`, async () => {
        const connection = await hostile.dial(AGENT, { from: hostileAddress(at) })
        await reach(connection, fatal.in ?? 'Established', hostileAddress(at))
        connection.send(fatal.build({ asn: HOSTILE_ASN, address: hostileAddress(at) }))
        const { body } = await connection.receive(BGP_TYPE.NOTIFICATION)
        expect([...body.subarray(0, 2)]).toEqual(fatal.notification)
        await connection.gone()
        await assertHealthy()
      })
  })

  test('a megabyte of noise', async () => {
    const connection = await hostile.dial(AGENT, { from: GARBAGE })
    await connection.establish({ asn: HOSTILE_ASN, holdTimeSeconds: 30, routerId: GARBAGE }, 5)
    connection.send(Buffer.from(noise(1 << 20)))
    await connection.gone()
    await assertHealthy()
  })

  test('a connection from nobody we know is refused [rule 51]', async () => {
    await net.ip('hostile', 'address add 10.0.0.250/24 dev eth0')
    const connection = await hostile.dial(AGENT, { from: '10.0.0.250' })
    await connection.gone()
    expect(connection.messages.filter((each) => each.type === BGP_TYPE.OPEN)).toEqual([])
    await assertHealthy()
  })

  test('afterwards the healthy session still carries changes both ways', async () => {
    await healthy.setAnnounced([{ prefix: '203.0.2.0/24', med: 9 }])
    await until('the change arrives', async () => (await agent.received(HEALTHY)).some((each) => each.med === 9))
    await agent.setAnnounced([{ prefix: '203.0.1.0/24', med: 8 }])
    await until('the change arrives there', async () => (await healthy.received(AGENT)).some((each) => each.med === 8))
    await assertHealthy()
  })
})

/** The same octets every time. */
function noise(length: number): Uint8Array {
  let state = 1
  return Uint8Array.from({ length }, () => {
    state = (state * 48_271) % 0x7fff_ffff
    return state & 255
  })
}

async function reach(
  connection: HostileConnection,
  state: NonNullable<FatalMessage['in']> | 'Established',
  address: string,
): Promise<void> {
  const own = { asn: HOSTILE_ASN, holdTimeSeconds: 30, routerId: address }
  if (state === 'Established') await connection.establish(own, 5)
  else await connection.receive(BGP_TYPE.OPEN)
  if (state !== 'OpenConfirm') return
  connection.send(bgp.open(own))
  await connection.receive(BGP_TYPE.KEEPALIVE)
}
