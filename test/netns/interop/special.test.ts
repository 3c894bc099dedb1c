// Sessions and routes that are not everyday, with BIRD on the other side or octets where BIRD would be too well-behaved.
import { expect, test } from '@jest/globals'
import { fibula, startAgent } from '../../support/agent.ts'
import * as bgp from '../../support/bgp-bytes.ts'
import { Capture } from '../../support/capture.ts'
import {
  bird,
  type Daemon,
  type DaemonConfig,
  type DaemonPeerConfig,
  daemonConfig,
  frr,
  peerConfig,
  type ReceivedPath,
} from '../../support/daemons/index.ts'
import { BGP_TYPE, HostilePeer } from '../../support/hostile-peer.ts'
import { buildNetns, type Netns } from '../../support/netns.ts'
import { holds, until, untilEqual } from '../../support/poll.ts'
import { describeWith } from '../../support/tier.ts'
import { pairOfNodes } from './exchange.ts'

type Change = Partial<DaemonPeerConfig>

/** Speakers 1 (ours) and 2 of a pair; each announces a prefix in each family. */
function configOf(own: 1 | 2, change: Change = {}, asn = 65_000 + own, otherAsn = 65_003 - own): DaemonConfig {
  const other = 3 - own
  return daemonConfig({
    asn,
    routerId: `10.0.0.${own}`,
    addresses: { ipv4: `10.0.0.${own}`, ipv6: `fd00::${own}` },
    announce: [
      { prefix: `203.0.${own}.0/24`, med: own },
      { prefix: `2001:db8:${own}::/48`, med: own },
    ],
    peers: [peerConfig({ address: `10.0.0.${other}`, localAddress: `10.0.0.${own}`, asn: otherAsn, ...change })],
  })
}

const explainAll =
  (...daemons: readonly Daemon[]) =>
  (): string =>
    daemons.map((each) => `--- ${each.name}\n${each.log()}`).join('\n')

async function up(own: Daemon, ownPeer: string, other: Daemon, otherPeer: string): Promise<void> {
  await until('Established', async () => (await own.established(ownPeer)) && (await other.established(otherPeer)), {
    explain: explainAll(own, other),
  })
}

const prefixesOf = (paths: readonly ReceivedPath[]): readonly string[] => paths.map((each) => each.prefix).sort()
/** Without our own paths sent back to us: FRR does that. */
async function withoutLoops(own: Daemon, peer: string): Promise<readonly ReceivedPath[]> {
  return (await own.received(peer)).filter((each) => !each.asPath.split(' ').includes('65001'))
}
const OF_OWN = ['2001:db8:1::/48', '203.0.1.0/24']
const OF_OTHER = ['2001:db8:2::/48', '203.0.2.0/24']

async function bothHoldAll(own: Daemon, ownPeer: string, other: Daemon, otherPeer: string): Promise<void> {
  const explain = explainAll(own, other)
  await untilEqual(`${other.name} holds ours`, OF_OWN, async () => prefixesOf(await other.received(otherPeer)), { explain })
  await untilEqual(`we hold those of ${other.name}`, OF_OTHER, async () => prefixesOf(await withoutLoops(own, ownPeer)), { explain })
}

describeWith([...fibula.programs, ...bird.programs, ...frr.programs], 'special sessions', () => {
  test('a link-local peer by its interface, IPv4 with IPv6 next hops', async () => {
    await using net = await buildNetns('local', {
      nodes: ['a', 'b'],
      links: [
        [
          { node: 'a', name: 'eth0', addresses: ['10.0.0.1/24', 'fd00::1/64', 'fe80::1/64'] },
          { node: 'b', name: 'eth0', addresses: ['10.0.0.2/24', 'fd00::2/64', 'fe80::2/64'] },
        ],
      ],
    })
    const local = (own: 1 | 2): DaemonConfig =>
      configOf(own, { address: `fe80::${3 - own}`, localAddress: `fe80::${own}`, interface: 'eth0', extendedNextHop: true })
    await using other = await bird.start(net, 'b', local(2))
    await using own = await startAgent(net, 'a', local(1))
    await up(own, 'fe80::2', other, 'fe80::1')
    await bothHoldAll(own, 'fe80::2', other, 'fe80::1')
  })

  test('eBGP over two hops between loopback addresses, the way to the peer kept by reachableBy', async () => {
    await using net = await buildNetns('multihop', {
      nodes: ['a', 'r', 'b'],
      links: [
        [
          { node: 'a', name: 'eth0', addresses: ['10.1.0.1/24', 'fd01::1/64'] },
          { node: 'r', name: 'eth0', addresses: ['10.1.0.254/24', 'fd01::fe/64'] },
        ],
        [
          { node: 'b', name: 'eth0', addresses: ['10.2.0.1/24', 'fd02::1/64'] },
          { node: 'r', name: 'eth1', addresses: ['10.2.0.254/24', 'fd02::fe/64'] },
        ],
      ],
    })
    await net.exec('r', 'sysctl', ['-qw', 'net.ipv4.ip_forward=1'])
    await net.ipBatch('a', ['address add 10.0.0.1/32 dev lo'])
    await net.ipBatch('b', ['address add 10.0.0.2/32 dev lo', 'route add 10.0.0.1 via 10.2.0.254 src 10.0.0.2'])
    await net.ipBatch('r', ['route add 10.0.0.1 via 10.1.0.1', 'route add 10.0.0.2 via 10.2.0.1'])
    const change = { multihop: 3, families: ['IPv4Unicast'] } as const
    await using other = await bird.start(net, 'b', configOf(2, change))
    const config = { ...configOf(1, change), kernelRoutes: true }
    await using own = await startAgent(net, 'a', config, { peer: { reachableBy: '10.1.0.254' } })
    await up(own, '10.0.0.2', other, '10.0.0.1')
    await untilEqual('BIRD holds ours', ['203.0.1.0/24'], async () => prefixesOf(await other.received('10.0.0.1')))
    await untilEqual('we hold that of BIRD', ['203.0.2.0/24'], async () => prefixesOf(await own.received('10.0.0.2')))
    expect(await net.ip('a', 'route get 10.0.0.2')).toMatch(/via 10\.1\.0\.254/)
    const viaRouter = async (): Promise<boolean> => /via 10\.1\.0\.254/.test(await net.ip('a', 'route show 203.0.2.0/24'))
    await until('the route is installed by way of the router', viaRouter, { explain: () => own.log() })
  })

  test('hold time 0 on one side: no hold timer and no KEEPALIVE, and changes still travel (RFC 4271 §4.4) [rule 20]', async () => {
    await using net = await pairOfNodes('hold')
    await using other = await bird.start(net, 'b', configOf(2))
    await using own = await startAgent(net, 'a', configOf(1, { holdTimeSeconds: 0 }))
    await up(own, '10.0.0.2', other, '10.0.0.1')
    expect(await own.peer('10.0.0.2')).toMatchObject({ holdTimeSeconds: null })
    const { keepalive } = (await own.peer('10.0.0.2')).messages.sent
    await holds('no KEEPALIVE', 3_000, async () => (await own.peer('10.0.0.2')).messages.sent.keepalive === keepalive)
    await other.setAnnounced([{ prefix: '203.0.2.0/24', med: 50 }])
    await until('the change arrives', async () => (await own.received('10.0.0.2')).some((each) => each.med === 50))
  })

  test('a peer without 4-octet ASNs: AS_TRANS and AS4_PATH, both ways (RFC 6793) [rules 101, 104]', async () => {
    await using net = await pairOfNodes('as4')
    const foreign = 4_200_009_999
    const behind = (config: DaemonConfig): DaemonConfig => ({
      ...config,
      announce: config.announce.map((each) => ({ ...each, behind: [64_900, foreign] })),
    })
    await using capture = await Capture.start(net, 'a', 'eth0')
    await using other = await bird.start(net, 'b', behind(configOf(2, { fourOctetAs: false })))
    await using own = await startAgent(net, 'a', behind(configOf(1)))
    await up(own, '10.0.0.2', other, '10.0.0.1')
    await bothHoldAll(own, '10.0.0.2', other, '10.0.0.1')
    const paths = async (at: Daemon, peer: string): Promise<readonly string[]> => (await at.received(peer)).map((each) => each.asPath)
    expect(new Set(await paths(other, '10.0.0.1'))).toEqual(new Set([`65001 64900 ${foreign}`]))
    expect(new Set(await paths(own, '10.0.0.2'))).toEqual(new Set([`65002 64900 ${foreign}`]))
    // on the wire: AS_PATH 65001 64900 AS_TRANS in two octets each, AS4_PATH with all three in four
    const octets = (text: string) => (): boolean =>
      capture.messages().some((each) => each.type === 2 && each.from.startsWith('10.0.0.1:') && each.body.includes(bgp.hex(text)))
    await until('AS_TRANS is captured', octets('0203 fde9 fd84 5ba0'))
    await until('AS4_PATH too', octets(`11 0e 0203 0000fde9 0000fd84 ${foreign.toString(16)}`))
  })

  test('route refresh: FRR asks again and gets everything; a soft reset of ours does the same the other way [rules 131, 133]', async () => {
    await using net = await pairOfNodes('refresh')
    await using other = await frr.start(net, 'b', configOf(2))
    await using own = await startAgent(net, 'a', configOf(1))
    await up(own, '10.0.0.2', other, '10.0.0.1')
    await bothHoldAll(own, '10.0.0.2', other, '10.0.0.1')
    const before = await own.peer('10.0.0.2')
    await other.refresh('10.0.0.1')
    await until('the request arrives, and its answer is sent', async () => {
      const { messages } = await own.peer('10.0.0.2')
      return (
        messages.received.routeRefresh > before.messages.received.routeRefresh && messages.sent.update >= before.messages.sent.update + 2
      )
    })
    await own.command('bgp', 'reset', '--soft', 'p0')
    await until('ours is sent', async () => (await own.peer('10.0.0.2')).messages.sent.routeRefresh > before.messages.sent.routeRefresh)
    await bothHoldAll(own, '10.0.0.2', other, '10.0.0.1')
    expect(await own.peer('10.0.0.2')).toMatchObject({ flaps: 0, established: 1 })
  })

  test('long-lived graceful restart: the routes of a peer that stays away go last instead of away (RFC 9494) [rules 156, 157]', async () => {
    await using net = await pairOfNodes('llgr')
    const gracefulRestart = { restartTimeSeconds: 2, longLivedStaleTimeSeconds: 600 }
    await using other = await bird.start(net, 'b', configOf(2, { gracefulRestart }))
    await using own = await startAgent(net, 'a', configOf(1, { gracefulRestart }))
    await up(own, '10.0.0.2', other, '10.0.0.1')
    await bothHoldAll(own, '10.0.0.2', other, '10.0.0.1')
    await other.kill()
    await until('long-lived', async () => (await own.peer('10.0.0.2')).gracefulRestart === 'long-lived stale', { explain: () => own.log() })
    const held = await own.received('10.0.0.2')
    expect(prefixesOf(held)).toEqual(OF_OTHER)
    const best = await own.routes({ best: '1' })
    for (const prefix of OF_OTHER) expect(best.find((each) => each.prefix === prefix)?.paths[0]).toMatchObject({ stale: true, best: true })
    await other.restart()
    await up(own, '10.0.0.2', other, '10.0.0.1')
    await until('nothing is stale any more', async () => (await own.peer('10.0.0.2')).gracefulRestart === 'none')
    await bothHoldAll(own, '10.0.0.2', other, '10.0.0.1')
  })

  test('a route reflector: ORIGINATOR_ID and CLUSTER_LIST are set, everything else is left alone (RFC 4456) [rules 161, 162, 163, 165]', async () => {
    const end = (node: string, last: number) => ({ node, name: 'eth0', addresses: [`10.0.0.${last}/24`, `fd00::${last}/64`] })
    await using net = await buildNetns('reflect', {
      nodes: ['a', 'b', 'c'],
      switches: [{ name: 'lan', ends: [end('a', 1), end('b', 2), end('c', 3)] }],
    })
    const client = (last: number) =>
      daemonConfig({
        asn: 65_001,
        routerId: `10.0.0.${last}`,
        addresses: { ipv4: `10.0.0.${last}`, ipv6: `fd00::${last}` },
        announce: [{ prefix: `203.0.${last}.0/24`, med: 5, localPref: 222, communities: ['65001:7'], behind: [64_900] }],
        peers: [peerConfig({ address: '10.0.0.1', localAddress: `10.0.0.${last}`, asn: 65_001 })],
      })
    await using second = await bird.start(net, 'b', client(2))
    await using third = await bird.start(net, 'c', client(3))
    const peers = [2, 3].map((last) => peerConfig({ address: `10.0.0.${last}`, localAddress: '10.0.0.1', asn: 65_001 }))
    const config = { ...configOf(1, {}, 65_001, 65_001), peers, announce: [], passOn: true }
    await using own = await startAgent(net, 'a', config, { node: { 'fibula.network/route-reflector-cluster-id': '10.9.9.9' } })
    await up(own, '10.0.0.2', second, '10.0.0.1')
    await up(own, '10.0.0.3', third, '10.0.0.1')
    const reflected = {
      prefix: '203.0.2.0/24',
      nextHop: '10.0.0.2',
      asPath: '64900',
      origin: 'igp',
      med: 5,
      localPref: 222,
      communities: ['65001:7'],
      largeCommunities: [],
      extendedCommunities: [],
      onlyToCustomer: null,
    } as const
    await untilEqual('the third holds the route of the second', [reflected], () => third.received('10.0.0.1'), {
      explain: explainAll(own, third),
    })
    const shown = await third.show('203.0.2.0/24')
    expect(shown).toMatch(/BGP\.originator_id: 10\.0\.0\.2/)
    expect(shown).toMatch(/BGP\.cluster_list: 10\.9\.9\.9/)
  })
})

describeWith(fibula.programs, 'special messages', () => {
  const own = { asn: 65_002, holdTimeSeconds: 30, routerId: '10.0.0.2' }

  test('a peer that rejects a capability is tried again without (RFC 5492 §3) [rule 30]', async () => {
    await using net = await pairOfNodes('without')
    await using hostile = HostilePeer.start(net, 'b')
    await hostile.listen('10.0.0.2')
    await using agent = await startAgent(net, 'a', configOf(1))
    const first = await hostile.accept()
    await first.receive(BGP_TYPE.OPEN)
    first.send(bgp.notification(2, 4))
    await first.gone()
    first.end()
    await until(
      'an OPEN without optional parameters',
      async () => {
        const again = await hostile.accept()
        const { body } = await again.receive(BGP_TYPE.OPEN)
        if (body[9] !== 0) {
          again.send(bgp.notification(2, 4))
          return false
        }
        again.send(bgp.open({ ...own, capabilities: [] }))
        again.send(bgp.KEEPALIVE)
        await again.receive(BGP_TYPE.KEEPALIVE)
        return true
      },
      { explain: () => agent.log() },
    )
    await until('Established', () => agent.established('10.0.0.2'), { explain: () => agent.log() })
  })

  test('an unknown transitive attribute of 3000 octets is passed on as it came, with the Partial bit (RFC 4271 §9) [rules 60, 93]', async () => {
    const end = (node: string, last: number) => ({ node, name: 'eth0', addresses: [`10.0.0.${last}/24`, `fd00::${last}/64`] })
    await using net = await buildNetns('unknown', {
      nodes: ['a', 'b', 'c'],
      switches: [{ name: 'lan', ends: [end('a', 1), end('b', 2), end('c', 3)] }],
    })
    const peers = [2, 3].map((last) =>
      peerConfig({ address: `10.0.0.${last}`, localAddress: '10.0.0.1', asn: 65_000 + last, passive: true, families: ['IPv4Unicast'] }),
    )
    await using agent = await startAgent(net, 'a', { ...configOf(1), peers, announce: [], passOn: true })
    await using sender = HostilePeer.start(net, 'b')
    await using receiver = HostilePeer.start(net, 'c')
    const to = await receiver.dial('10.0.0.1')
    await to.establish({ ...own, asn: 65_003, routerId: '10.0.0.3' })
    const from = await sender.dial('10.0.0.1')
    await from.establish(own)
    const value = Buffer.from(Uint8Array.from({ length: 3_000 }, (_, at) => (at * 31) & 255))
    const attributes = [bgp.ORIGIN_IGP, bgp.asPath(65_002), bgp.nextHop('10.0.0.2'), bgp.attribute(0xd0, 99, value)]
    from.send(bgp.update({ attributes, announced: ['198.51.100.0/24'] }))
    const carried = bgp.attribute(0xf0, 99, value)
    await until('the attribute arrives', () => to.messages.some(({ type, body }) => type === BGP_TYPE.UPDATE && body.includes(carried)), {
      explain: () => agent.log(),
    })
  })
})

describeWith([...fibula.programs, ...bird.programs], 'command line', () => {
  test('`bgp peers` and `bgp routes --in/--out -o json` print what the control socket answers', async () => {
    await using net: Netns = await pairOfNodes('cli')
    await using other = await bird.start(net, 'b', configOf(2))
    await using agent = await startAgent(net, 'a', configOf(1))
    await up(agent, '10.0.0.2', other, '10.0.0.1')
    await bothHoldAll(agent, '10.0.0.2', other, '10.0.0.1')
    const printed = async (...args: readonly string[]): Promise<unknown> =>
      JSON.parse((await agent.command('bgp', ...args, '-o', 'json')).stdout)
    expect(await printed('routes', '--in', 'p0')).toEqual(await agent.routes({ in: 'p0' }))
    expect(await printed('routes', '--out', 'p0')).toEqual(await agent.routes({ out: 'p0' }))
    expect(await printed('peers')).toMatchObject([{ name: 'p0', state: 'Established', address: '10.0.0.2' }])
  })
})
