// Sessions against peers made of octets, and against BIRD where the other side has to be real: collision, silence, keys, hop limits.
import { expect, test } from '@jest/globals'
import { type Agent, fibula, startAgent } from '../../support/agent.ts'
import * as bgp from '../../support/bgp-bytes.ts'
import { addressIn, Capture } from '../../support/capture.ts'
import { bird, type DaemonConfig, type DaemonPeerConfig, daemonConfig, peerConfig } from '../../support/daemons/index.ts'
import { BGP_TYPE, type HostileConnection, HostilePeer } from '../../support/hostile-peer.ts'
import type { Netns } from '../../support/netns.ts'
import { holds, until } from '../../support/poll.ts'
import { describeWith } from '../../support/tier.ts'
import { pairOfNodes } from './exchange.ts'

const AGENT = '10.0.0.1'
const PEER = '10.0.0.2'
const [RIGHT, WRONG] = ['s3cret-of-both', 's3cret-of-one']

function agentConfig(routerId: string, peer: Partial<DaemonPeerConfig> = {}): DaemonConfig {
  return daemonConfig({
    asn: 65_001,
    routerId,
    addresses: { ipv4: AGENT, ipv6: 'fd00::1' },
    announce: [{ prefix: '203.0.1.0/24', med: 1 }],
    peers: [peerConfig({ address: PEER, localAddress: AGENT, asn: 65_002, ...peer })],
  })
}

function birdConfig(peer: Partial<DaemonPeerConfig> = {}): DaemonConfig {
  return daemonConfig({
    asn: 65_002,
    routerId: PEER,
    addresses: { ipv4: PEER, ipv6: 'fd00::2' },
    announce: [{ prefix: '203.0.2.0/24', med: 1 }],
    peers: [peerConfig({ address: AGENT, localAddress: PEER, asn: 65_001, ...peer })],
  })
}

describeWith(fibula.programs, 'collision of connections (RFC 4271 §6.8, RFC 6286 §2.3)', () => {
  const own = { asn: 65_002, holdTimeSeconds: 30, routerId: '10.0.0.50' }

  /** Two connections at once, one begun by each side, both with the agent's OPEN and none with ours. */
  async function collide(net: Netns, hostile: HostilePeer): Promise<{ fromAgent: HostileConnection; fromUs: HostileConnection }> {
    const fromAgent = await hostile.accept()
    await fromAgent.receive(BGP_TYPE.OPEN)
    const fromUs = await hostile.dial(AGENT)
    await fromUs.receive(BGP_TYPE.OPEN)
    expect(fromAgent.ended || fromAgent.closed).toBe(false)
    expect(net).toBeDefined()
    return { fromAgent, fromUs }
  }

  for (const [who, routerId] of [
    ['the agent', '10.0.0.200'],
    ['the peer', '10.0.0.20'],
  ] as const)
    for (const firstOn of ['fromAgent', 'fromUs'] as const)
      test(`${who} has the higher identifier, OPEN first on the connection ${firstOn}: the one that side began survives [rules 36, 37, 39, 41, 42]`, async () => {
        await using net = await pairOfNodes('collide')
        await using hostile = HostilePeer.start(net, 'b')
        await hostile.listen(PEER)
        await using agent = await startAgent(net, 'a', agentConfig(routerId))
        const { fromAgent, fromUs } = await collide(net, hostile)
        const [first, second] = firstOn === 'fromAgent' ? [fromAgent, fromUs] : [fromUs, fromAgent]
        first.send(bgp.open(own))
        await first.receive(BGP_TYPE.KEEPALIVE).catch(() => {}) // the loser may be closed at once, without
        second.send(bgp.open(own))
        const [winner, loser] = who === 'the agent' ? [fromAgent, fromUs] : [fromUs, fromAgent]
        const { body } = await loser.receive(BGP_TYPE.NOTIFICATION)
        expect([...body.subarray(0, 2)]).toEqual([6, 7])
        await loser.gone()
        await winner.receive(BGP_TYPE.KEEPALIVE)
        winner.send(bgp.KEEPALIVE)
        await until('Established', () => agent.established(PEER), { explain: () => agent.log() })
        await winner.receive(BGP_TYPE.UPDATE)
        expect(await agent.peer(PEER)).toMatchObject({ established: 1, flaps: 0 })
      })

  test('an Established session wins over a new connection [rule 40]', async () => {
    await using net = await pairOfNodes('collide')
    await using hostile = HostilePeer.start(net, 'b')
    await using agent = await startAgent(net, 'a', agentConfig('10.0.0.20', { passive: true }))
    const first = await hostile.dial(AGENT)
    await first.establish(own, 5)
    await until('Established', () => agent.established(PEER))
    const second = await hostile.dial(AGENT)
    second.send(bgp.open(own))
    await second.gone()
    expect(await agent.peer(PEER)).toMatchObject({ state: 'Established', established: 1, flaps: 0 })
  })
})

describeWith([...fibula.programs, ...bird.programs], 'collision with BIRD', () => {
  test('both dial at once, again and again: every time one session comes up and no second connection is left', async () => {
    await using net = await pairOfNodes('collide')
    await using agent = await startAgent(net, 'a', agentConfig(AGENT))
    for (const _round of [1, 2, 3]) {
      await using peer = await bird.start(net, 'b', birdConfig())
      await until('Established', async () => (await agent.established(PEER)) && (await peer.established(AGENT)), {
        explain: () => `${agent.log()}\n${peer.log()}`,
      })
      const connections = async (): Promise<readonly string[]> =>
        (await net.exec('a', 'ss', ['-Htn', 'state', 'established', '( sport = :179 or dport = :179 )'])).stdout.trim().split('\n')
      await until('no second connection is left', async () => (await connections()).length === 1) // the loser is closed a moment later
      expect([await agent.established(PEER), await peer.established(AGENT)]).toEqual([true, true])
    }
  })
})

describeWith(fibula.programs, 'silence', () => {
  const own = { asn: 65_002, holdTimeSeconds: 3, routerId: PEER }

  test('Established and then silent: NOTIFICATION 4/0 when the hold time has passed (RFC 4271 §6.5) [rule 43]', async () => {
    await using net = await pairOfNodes('silent')
    await using hostile = HostilePeer.start(net, 'b')
    await using agent = await startAgent(net, 'a', agentConfig(AGENT, { passive: true }))
    const connection = await hostile.dial(AGENT)
    await connection.establish(own, null)
    await until('it has been Established', async () => (await agent.peer(PEER)).established === 1) // which on a busy machine may be over already
    const { body } = await connection.receive(BGP_TYPE.NOTIFICATION)
    expect([...body.subarray(0, 2)]).toEqual([4, 0])
    await connection.gone()
    await until('it is over', async () => (await agent.peer(PEER)).flaps === 1)
    const { state, lastError } = await agent.peer(PEER)
    expect(state).not.toBe('Established')
    expect(lastError).toMatch(/hold time/i)
  })

  test('silent behind its OPEN: NOTIFICATION 4/0 too', async () => {
    await using net = await pairOfNodes('silent')
    await using hostile = HostilePeer.start(net, 'b')
    await using _agent = await startAgent(net, 'a', agentConfig(AGENT, { passive: true }))
    const connection = await hostile.dial(AGENT)
    connection.send(bgp.open(own))
    const { body } = await connection.receive(BGP_TYPE.NOTIFICATION)
    expect([...body.subarray(0, 2)]).toEqual([4, 0])
  })

  test('KEEPALIVEs keep the session up for longer than the hold time, and we send ours', async () => {
    await using net = await pairOfNodes('silent')
    await using hostile = HostilePeer.start(net, 'b')
    await using agent = await startAgent(net, 'a', agentConfig(AGENT, { passive: true }))
    const connection = await hostile.dial(AGENT)
    await connection.establish({ ...own, holdTimeSeconds: 9 }, 1) // with three seconds a busy machine could miss it
    await until('Established', () => agent.established(PEER))
    await connection.receive(BGP_TYPE.KEEPALIVE, 5) // one every three seconds
    expect(await agent.peer(PEER)).toMatchObject({ state: 'Established', flaps: 0, holdTimeSeconds: 9 })
  })
})

describeWith([...fibula.programs, ...bird.programs, 'tcpdump'], 'keys and hop limits', () => {
  const start = async (net: Netns, ours: Partial<DaemonPeerConfig>): Promise<Agent> => startAgent(net, 'a', agentConfig(AGENT, ours))

  test('with the right key every segment is signed (RFC 2385); with the wrong one nothing comes up, and the status says so [rules 177, 178]', async () => {
    await using net = await pairOfNodes('keys')
    await using capture = await Capture.start(net, 'a', 'eth0')
    await using peer = await bird.start(net, 'b', birdConfig({ password: RIGHT }))
    await using agent = await start(net, { password: WRONG })
    await until('the status names the key', async () => /password|MD5/i.test((await agent.peer(PEER)).lastError ?? ''), {
      explain: () => agent.log(),
    })
    expect(await peer.established(AGENT)).toBe(false)
    agent.configure(agentConfig(AGENT, { password: RIGHT }))
    await until('Established', async () => (await agent.established(PEER)) && (await peer.established(AGENT)), {
      explain: () => agent.log(),
    })
    await until('it is captured', () => capture.packets().filter((packet) => packet.payload.length > 0).length >= 4) // OPEN and KEEPALIVE of both
    expect(capture.packets().every((packet) => packet.signed || packet.rst)).toBe(true)
    for (const secret of [RIGHT, WRONG]) expect(agent.wholeLog()).not.toContain(secret)
  })

  test('GTSM: what we send has TTL 255, and a peer that sends with less is not heard (RFC 5082) [rule 175]', async () => {
    await using net = await pairOfNodes('gtsm')
    await using capture = await Capture.start(net, 'a', 'eth0')
    await using agent = await start(net, { ttlSecurity: true })
    {
      await using near = await bird.start(net, 'b', birdConfig({ ttlSecurity: true }))
      await until('Established', async () => (await agent.established(PEER)) && (await near.established(AGENT)))
      const ours = await until('what we said is captured', () => {
        const said = capture.packets().filter((packet) => addressIn(packet.from) === AGENT && packet.payload.length > 0)
        return said.length >= 2 ? said : null // OPEN and KEEPALIVE
      })
      expect(new Set(ours.map((packet) => packet.timeToLive))).toEqual(new Set([255]))
    }
    await until('the session is down', async () => !(await agent.established(PEER)))
    await using _far = await bird.start(net, 'b', birdConfig({ ttlSecurity: false }))
    await holds('no session', 4_000, async () => !(await agent.established(PEER)))
  })

  test('a peer of another AS is turned away, and the status says which AS it wants [rule 17]', async () => {
    await using net = await pairOfNodes('asn')
    await using _peer = await bird.start(net, 'b', birdConfig())
    await using agent = await start(net, { asn: 65_003 })
    const isNamed = (error: string): boolean => /65002/.test(error) && /65003/.test(error)
    await until('the status names both', async () => isNamed((await agent.peer(PEER)).lastError ?? ''), { explain: () => agent.log() })
  })
})
