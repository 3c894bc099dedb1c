// Configuration that changes under sessions that are up: what has not changed stays up and is not even touched.
import fs from 'node:fs'
import path from 'node:path'
import { expect, test } from '@jest/globals'
import type { PeerStatus } from '../../../src/bgp/status.ts'
import { type Agent, fibula, startAgent } from '../../support/agent.ts'
import { type AgentSettings, filter } from '../../support/agent-manifests.ts'
import {
  type Announcement,
  bird,
  type Daemon,
  type DaemonConfig,
  type DaemonPeerConfig,
  daemonConfig,
  peerConfig,
} from '../../support/daemons/index.ts'
import { BGP_TYPE, HostilePeer } from '../../support/hostile-peer.ts'
import { buildNetns, type Netns } from '../../support/netns.ts'
import { holds, until, untilEqual } from '../../support/poll.ts'
import { describeWith } from '../../support/tier.ts'

const AGENT = '10.0.0.1'
const FIRST = '10.0.0.2'
const SECOND = '10.0.0.3'

function buildLan(): Promise<Netns> {
  const end = (node: string, last: number) => ({ node, name: 'eth0', addresses: [`10.0.0.${last}/24`, `fd00::${last}/64`] })
  return buildNetns('live', {
    nodes: ['agent', 'first', 'second'],
    switches: [{ name: 'lan', ends: [end('agent', 1), end('first', 2), end('second', 3)] }],
  })
}

const prefixes = (last: number, count: number): readonly Announcement[] =>
  Array.from({ length: count }, (_, at) => ({ prefix: `203.${last}.${at}.0/24`, med: 1 }))

function birdConfig(last: number, announce: readonly Announcement[] = prefixes(last, 3)): DaemonConfig {
  return daemonConfig({
    asn: 65_000 + last,
    routerId: `10.0.0.${last}`,
    addresses: { ipv4: `10.0.0.${last}`, ipv6: `fd00::${last}` },
    announce,
    peers: [peerConfig({ address: AGENT, localAddress: `10.0.0.${last}`, asn: 65_001, holdTimeSeconds: 30 })],
  })
}

function peerAt(last: number): DaemonPeerConfig {
  return peerConfig({ address: `10.0.0.${last}`, localAddress: AGENT, asn: 65_000 + last, holdTimeSeconds: 30 })
}

function agentConfig(...peers: readonly number[]): DaemonConfig {
  return daemonConfig({
    asn: 65_001,
    routerId: AGENT,
    addresses: { ipv4: AGENT, ipv6: 'fd00::1' },
    announce: [{ prefix: '203.0.1.0/24', med: 1 }],
    peers: peers.map(peerAt),
  })
}

async function bothUp(agent: Agent, peers: readonly Daemon[], addresses: readonly string[]): Promise<void> {
  const explain = (): string => [agent, ...peers].map((each) => each.log()).join('\n---\n')
  for (const [at, address] of addresses.entries())
    await until(
      `${address} is up`,
      async () => (await agent.established(address)) && (await peers[at]?.established(AGENT)) && (await agent.received(address)).length > 0,
      { explain },
    )
}

/** What shows that a session was never touched. */
function lifeOf({ state, since, established, flaps, messages }: PeerStatus): unknown {
  return { state, since, established, flaps, opens: messages.sent.open }
}

describeWith([...fibula.programs, ...bird.programs], 'live configuration', () => {
  test('a peer is added, changed and removed; the other session does not notice', async () => {
    await using net = await buildLan()
    await using first = await bird.start(net, 'first', birdConfig(2))
    await using second = await bird.start(net, 'second', birdConfig(3))
    await using agent = await startAgent(net, 'agent', agentConfig(2))
    await bothUp(agent, [first], [FIRST])
    const before = lifeOf(await agent.peer(FIRST))

    agent.configure(agentConfig(2, 3))
    await bothUp(agent, [second], [SECOND])
    expect(lifeOf(await agent.peer(FIRST))).toEqual(before)

    agent.configure(agentConfig(2, 3), { peers: { [SECOND]: { addPath: { receive: true } } } }) // said in the OPEN, so this one has to reset
    await until('the changed session is back', async () => (await agent.peer(SECOND)).established === 2)
    expect(lifeOf(await agent.peer(FIRST))).toEqual(before)
    await until('the log says why', () => /add-path changed.*bgp\.session\.reset/.test(agent.wholeLog()))
    const changed = lifeOf(await agent.peer(SECOND))

    const live = { addPath: { receive: true }, description: 'changed', connectRetryTime: '7s' } // and this one has not
    agent.configure(agentConfig(2, 3), { peers: { [SECOND]: live } })
    await until('the change is shown', async () => (await agent.peer(SECOND)).description === 'changed')
    expect(lifeOf(await agent.peer(SECOND))).toEqual(changed)

    agent.configure(agentConfig(2))
    await until('the removed session is down', async () => !(await second.established(AGENT)))
    await untilEqual('it is no longer listed', [FIRST], async () => (await agent.peers()).map((each) => each.address))
    expect(lifeOf(await agent.peer(FIRST))).toEqual(before)
    expect(await first.established(AGENT)).toBe(true)
  })

  test('an invalid manifest changes nothing and is reported with file, field and remedy; the next valid one takes effect', async () => {
    await using net = await buildLan()
    await using first = await bird.start(net, 'first', birdConfig(2))
    await using agent = await startAgent(net, 'agent', agentConfig(2))
    await bothUp(agent, [first], [FIRST])
    const before = lifeOf(await agent.peer(FIRST))
    const bad = { apiVersion: 'fibula.network/v1alpha1', kind: 'BGPPeer', metadata: { name: 'bad' }, spec: { peerIP: 'nonsense' } }
    fs.writeFileSync(path.join(agent.storeFolder, 'bad.yaml'), JSON.stringify(bad))
    await until('the problem is shown', async () => {
      const { problems } = await agent.status()
      return problems.some((each) => `${each.subject} ${each.message}`.includes('bad.yaml') && each.message.includes('peerIP'))
    })
    expect(lifeOf(await agent.peer(FIRST))).toEqual(before)
    fs.rmSync(path.join(agent.storeFolder, 'bad.yaml'))
    await until('the problem is gone', async () => !JSON.stringify((await agent.status()).problems).includes('bad.yaml'))
    expect(lifeOf(await agent.peer(FIRST))).toEqual(before)
  })

  test('changed filters, import and export, take effect without a reset', async () => {
    await using net = await buildLan()
    await using first = await bird.start(net, 'first', birdConfig(2))
    await using agent = await startAgent(net, 'agent', agentConfig(2))
    await bothUp(agent, [first], [FIRST])
    const before = lifeOf(await agent.peer(FIRST))
    const best = async (): Promise<readonly string[]> => {
      const routes = await agent.routes({ best: '1' })
      return routes.filter(({ paths }) => paths.some((each) => each.best && each.peer !== 'local')).map(({ prefix }) => prefix)
    }
    await until('all are used', async () => (await best()).length === 3)
    const settings: AgentSettings = {
      objects: [
        filter('everything', {
          importV4: [{ action: 'Reject', cidr: '203.2.1.0/24', matchOperator: 'Equal' }, { action: 'Accept' }],
          importV6: [{ action: 'Accept' }],
        }),
        filter('announced', {
          exportV4: [
            { action: 'Accept', source: 'Local', operations: [{ setMED: { value: 77 } }, { addCommunity: { value: '65001:5' } }] },
          ],
        }),
      ],
    }
    agent.configure(agentConfig(2), settings)
    await until(
      'the rejected one is not used',
      async () => JSON.stringify(await best()) === JSON.stringify(['203.2.0.0/24', '203.2.2.0/24']),
    )
    await until('BIRD sees the new attributes', async () =>
      (await first.received(AGENT)).some((each) => each.med === 77 && each.communities.includes('65001:5')),
    )
    agent.configure(agentConfig(2), {})
    await until('all are used again', async () => (await best()).length === 3)
    await until('BIRD sees the old attributes', async () => (await first.received(AGENT)).every((each) => each.med === 1))
    expect(lifeOf(await agent.peer(FIRST))).toEqual(before)
  })

  test('too many prefixes close the session with Cease 6/1, it comes back after its time, and the other session stays (RFC 4486 §4) [rules 47, 48, 180]', async () => {
    await using net = await buildLan()
    await using first = await bird.start(net, 'first', birdConfig(2))
    await using second = await bird.start(net, 'second', birdConfig(3))
    const settings = { peers: { [FIRST]: { maxPrefixes: { ipv4: 5, restartAfter: '1s' } } } }
    await using agent = await startAgent(net, 'agent', agentConfig(2, 3), settings)
    await bothUp(agent, [first, second], [FIRST, SECOND])
    const before = lifeOf(await agent.peer(SECOND))
    await first.setAnnounced(prefixes(2, 6))
    // it comes back every second, and is closed again
    await until('the session is closed', async () => (await agent.peer(FIRST)).flaps >= 1, { explain: () => agent.log() })
    await until('the status says why', async () => /prefix/i.test((await agent.peer(FIRST)).lastError ?? ''), {
      explain: () => agent.log(),
    })
    await until('BIRD was told why', () => /Received: Maximum number of prefixes reached/i.test(first.log()), {
      explain: () => first.log(),
    })
    await first.setAnnounced(prefixes(2, 4))
    await until('it is back', () => agent.established(FIRST), { explain: () => agent.log() })
    expect(lifeOf(await agent.peer(SECOND))).toEqual(before)
  })

  test('administrative shutdown tells its message, stays down, and ends when it is removed (RFC 9003) [rule 49]', async () => {
    await using net = await buildLan()
    await using hostile = HostilePeer.start(net, 'first')
    const config = { ...agentConfig(2), peers: [{ ...peerAt(2), passive: true }] }
    await using agent = await startAgent(net, 'agent', config)
    const own = { asn: 65_002, holdTimeSeconds: 30, routerId: FIRST }
    const connection = await hostile.dial(AGENT)
    await connection.establish(own)
    await until('Established', () => agent.established(FIRST))
    const message = 'maintenance until noon, ticket 4711: Grüße'
    agent.configure(config, { peers: { [FIRST]: { shutdown: { message } } } })
    const { body } = await connection.receive(BGP_TYPE.NOTIFICATION)
    expect([body[0], body[1], body.subarray(3, 3 + (body[2] ?? 0)).toString()]).toEqual([6, 2, message])
    await connection.gone()
    await holds('it stays down', 2_000, async () => !(await agent.established(FIRST)))
    expect((await agent.peer(FIRST)).adminShutdown).toBe(true)
    agent.configure(config, {})
    await until('it accepts again', async () => {
      const again = await hostile.dial(AGENT)
      try {
        await again.receive(BGP_TYPE.OPEN, 1, 5_000)
        await again.establish(own)
        return true
      } catch (cause) {
        again.reset() // or the next one would collide with it
        throw cause
      }
    })
    await until('Established', () => agent.established(FIRST))
  })
})
