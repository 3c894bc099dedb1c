// Peers that keep talking but read nothing (the zero window of 2021). The send hold timer ends the session of one whose table does not
// fit into the kernel's buffers (RFC 9687); that of one whose table does is ended by the kernel's own limit for unacknowledged data.
// Everybody else converges all the while.
import { expect, test } from '@jest/globals'
import { fibula, startAgent } from '../../support/agent.ts'
import { filter } from '../../support/agent-manifests.ts'
import { addressIn, Capture } from '../../support/capture.ts'
import { bird, daemonConfig, peerConfig } from '../../support/daemons/index.ts'
import { HostilePeer } from '../../support/hostile-peer.ts'
import { buildNetns } from '../../support/netns.ts'
import { until } from '../../support/poll.ts'
import { describeWith } from '../../support/tier.ts'

const AGENT = '10.0.0.1'
const SOURCE = '10.0.0.2'
const STUCK = '10.0.0.3'
const HEALTHY = '10.0.0.4'
const FITTING = '10.0.0.5'
const MANY = 40_000

describeWith([...fibula.programs, ...bird.programs, 'tcpdump'], 'a peer with a closed window', () => {
  test('it is thrown out by the send hold timer or the kernel, while a healthy peer gets every change [rules 45, 46]', async () => {
    const end = (node: string, last: number) => ({ node, name: 'eth0', addresses: [`10.0.0.${last}/24`, `fd00::${last}/64`] })
    await using net = await buildNetns('window', {
      nodes: ['agent', 'source', 'stuck', 'healthy', 'fitting'],
      switches: [{ name: 'lan', ends: [end('agent', 1), end('source', 2), end('stuck', 3), end('healthy', 4), end('fitting', 5)] }],
    })
    for (const node of ['stuck', 'fitting']) await net.exec(node, 'sysctl', ['-qw', 'net.ipv4.tcp_rmem=4096 4096 4096'])
    await net.exec('agent', 'sysctl', ['-qw', 'net.ipv4.tcp_wmem=4096 16384 65536'])
    const session = (address: string, asn: number, passOn = false) =>
      peerConfig({ address, localAddress: AGENT, asn, holdTimeSeconds: 30, passive: passOn, families: ['IPv4Unicast'] })
    const neighbour = (last: number, announce: readonly { readonly prefix: string }[] = []) =>
      daemonConfig({
        asn: 65_000 + last,
        routerId: `10.0.0.${last}`,
        addresses: { ipv4: `10.0.0.${last}`, ipv6: `fd00::${last}` },
        announce,
        peers: [
          peerConfig({ address: AGENT, localAddress: `10.0.0.${last}`, asn: 65_001, holdTimeSeconds: 30, families: ['IPv4Unicast'] }),
        ],
      })
    const many = Array.from({ length: MANY }, (_, at) => ({ prefix: `100.${64 + (at >> 14)}.${(at >> 6) & 255}.${(at & 63) << 2}/30` }))
    await using source = await bird.start(net, 'source', neighbour(2))
    await using healthy = await bird.start(net, 'healthy', neighbour(4))
    await using agent = await startAgent(
      net,
      'agent',
      daemonConfig({
        asn: 65_001,
        routerId: AGENT,
        addresses: { ipv4: AGENT, ipv6: 'fd00::1' },
        passOn: true,
        peers: [session(SOURCE, 65_002), session(STUCK, 65_003, true), session(HEALTHY, 65_004), session(FITTING, 65_005, true)],
      }),
      {
        peers: { [STUCK]: { sendHoldTime: '6s' }, [FITTING]: { sendHoldTime: '1s', filters: ['few', 'everything'] } },
        objects: [
          filter('few', {
            exportV4: [{ action: 'Accept', cidr: '100.64.0.0/19', matchOperator: 'In' }, { action: 'Reject' }],
          }),
        ],
      },
    )
    const explain = (): string => agent.log()
    await until('both BIRDs are up', async () => (await agent.established(SOURCE)) && (await agent.established(HEALTHY)), { explain })
    await using capture = await Capture.start(net, 'stuck', 'eth0')
    await using stuck = HostilePeer.start(net, 'stuck')
    await using fitting = HostilePeer.start(net, 'fitting')
    for (const [hostile, address, asn] of [
      [stuck, STUCK, 65_003],
      [fitting, FITTING, 65_005],
    ] as const) {
      const connection = await hostile.dial(AGENT)
      await connection.establish({ asn, holdTimeSeconds: 30, routerId: address }, 1)
      await until('Established', () => agent.established(address))
      connection.stopReading()
    }

    await source.setAnnounced(many)
    const reached = async (): Promise<number> => (await agent.peer(HEALTHY)).prefixes.IPv4Unicast?.advertised ?? 0
    await until('the healthy peer is sent everything', async () => (await reached()) >= MANY, { explain })
    const windowClosed = (): boolean => capture.packets().some((packet) => addressIn(packet.from) === STUCK && packet.window === 0)
    await until('the window is closed', windowClosed)
    await source.setAnnounced(many.slice(0, 10))
    await until('the healthy peer follows', async () => (await healthy.received(AGENT)).length === 10, { explain })

    await until('the stuck session is ended', async () => !(await agent.established(STUCK)), { explain })
    expect((await agent.peer(STUCK)).lastError).toMatch(/send hold/i)
    await until('the other one too', async () => !(await agent.established(FITTING)), { explain })
    expect(await agent.peer(HEALTHY)).toMatchObject({ state: 'Established', flaps: 0 })
    expect(await agent.peer(SOURCE)).toMatchObject({ state: 'Established', flaps: 0 })
  }, 300_000)
})
