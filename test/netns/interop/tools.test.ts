// Proves the instruments that the interoperability tests rely on: the prober counts exactly, the capture agrees with tshark, the
// hostile peer is understood by BIRD.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import * as bgp from '../../support/bgp-bytes.ts'
import { addressIn, Capture, gracefulRestartOf } from '../../support/capture.ts'
import { bird, daemonConfig, peerConfig } from '../../support/daemons/index.ts'
import { BGP_TYPE, HostilePeer } from '../../support/hostile-peer.ts'
import { buildNetns, type Netns } from '../../support/netns.ts'
import { until } from '../../support/poll.ts'
import { count, Prober } from '../../support/prober.ts'
import { describeWith } from '../../support/tier.ts'
import { pairOfNodes } from './exchange.ts'

describe('prober: arithmetic', () => {
  const sender = {
    event: 'report',
    first: 10,
    next: 20,
    sentAtMs: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
    longestPauseMs: 11,
    sendErrors: {},
  } as const

  test('every number that arrived once or more counts once, what was sent before the beginning not at all', () => {
    const result = count('a', 'b', { ...sender, received: [] }, { received: [8, 9, 10, 11, 12, 13, 14, 15, 15, 16, 17, 18, 19] })
    expect(result).toMatchObject({ sent: 10, received: 10, lost: 0, duplicated: 1, gaps: [] })
  })

  test('consecutive losses are one gap, with the time of its first', () => {
    const result = count('a', 'b', { ...sender, received: [] }, { received: [10, 13, 14, 16, 17, 18] })
    expect(result).toMatchObject({ sent: 10, received: 6, lost: 4 })
    expect(result.gaps).toEqual([
      { lost: 2, atMs: 1 },
      { lost: 1, atMs: 5 },
      { lost: 1, atMs: 9 },
    ])
  })
})

describeWith(['iptables'], 'prober: packets', () => {
  let net: Netns
  beforeAll(async () => {
    net = await buildNetns('prober', {
      nodes: ['a', 'r', 'b'],
      links: [
        [
          { node: 'a', name: 'eth0', addresses: ['10.1.0.2/24'] },
          { node: 'r', name: 'eth0', addresses: ['10.1.0.1/24'] },
        ],
        [
          { node: 'b', name: 'eth0', addresses: ['10.2.0.2/24'] },
          { node: 'r', name: 'eth1', addresses: ['10.2.0.1/24'] },
        ],
      ],
    })
    await net.exec('r', 'sysctl', ['-qw', 'net.ipv4.ip_forward=1'])
    await net.ip('a', 'route add default via 10.1.0.1')
    await net.ip('b', 'route add default via 10.2.0.1')
  })
  afterAll(() => net[Symbol.asyncDispose]())

  const [a, b] = [
    { node: 'a', address: '10.1.0.2' },
    { node: 'b', address: '10.2.0.2' },
  ]

  test('an undisturbed path loses nothing, and 100 probes a second were sent each way', async () => {
    await using prober = await Prober.start(net, a, b)
    const startedMs = performance.now()
    await until('a second has passed', () => performance.now() - startedMs > 1_000)
    await prober.sendMore(1) // who was kept waiting makes up for it
    const results = await prober.finish()
    for (const result of results) {
      expect(result).toMatchObject({ lost: 0, gaps: [], sendErrors: {} })
      expect(result.sent).toBeGreaterThanOrEqual(99)
    }
  })

  test('the losses counted are exactly the packets that the kernel dropped', async () => {
    await using prober = await Prober.start(net, a, b)
    await net.exec('r', 'iptables', ['-w', '-I', 'FORWARD', '-p', 'udp', '-d', '10.2.0.2', '-j', 'DROP'])
    const dropped = async (): Promise<number> => {
      const { stdout } = await net.exec('r', 'iptables', ['-w', '-nvxL', 'FORWARD'])
      return Number(/^\s*(\d+)\s.*DROP/m.exec(stdout)?.[1] ?? 0)
    }
    await until('some are dropped', async () => (await dropped()) >= 20)
    const [there, back] = await prober.finish()
    expect(there.lost).toBe(await dropped())
    expect(there.lost).toBeGreaterThanOrEqual(20)
    expect(there.gaps.length).toBe(1)
    expect(back.lost).toBe(0)
  })
})

describeWith([...bird.programs, 'tcpdump', 'tshark'], 'capture', () => {
  test('an OPEN, its graceful restart bits and the end of the session are read as tshark reads them', async () => {
    await using net = await pairOfNodes('capture')
    await using capture = await Capture.start(net, 'a', 'eth0')
    const config = (own: number, other: number, restarting: boolean) =>
      daemonConfig({
        asn: 65_000 + own,
        routerId: `10.0.0.${own}`,
        addresses: { ipv4: `10.0.0.${own}`, ipv6: `fd00::${own}` },
        restarting,
        announce: [{ prefix: `203.0.${own}.0/24` }],
        peers: [
          peerConfig({
            address: `10.0.0.${other}`,
            localAddress: `10.0.0.${own}`,
            asn: 65_000 + other,
            gracefulRestart: { restartTimeSeconds: 47 },
            passive: own === 2,
          }),
        ],
      })
    await using passive = await bird.start(net, 'b', config(2, 1, false))
    await using active = await bird.start(net, 'a', config(1, 2, false))
    await until('Established', async () => (await passive.established('10.0.0.1')) && (await active.established('10.0.0.2')))
    await active.kill()
    await until('FIN', () => capture.packets().some((packet) => packet.fin && addressIn(packet.from) === '10.0.0.1'))
    await until('the passive one has noticed', async () => !(await passive.established('10.0.0.1')))
    expect(capture.opensFrom('10.0.0.1').map((open) => gracefulRestartOf(open)?.restarting)).toEqual([false])
    await active.restart()
    await until('Established again', async () => (await passive.established('10.0.0.1')) && (await active.established('10.0.0.2')))

    await until('its second OPEN is captured', () => capture.opensFrom('10.0.0.1').length >= 2)
    const opens = capture.opensFrom('10.0.0.1')
    expect(opens.map((open) => gracefulRestartOf(open))).toEqual([
      { restarting: false, notification: false, restartTimeSeconds: 47, families: expect.any(Array) },
      { restarting: true, notification: false, restartTimeSeconds: 47, families: expect.any(Array) },
    ])
    expect(opens[1]?.capabilities.find((each) => each.code === 65)?.value).toEqual(bgp.u32(65_001))
    const seenByTshark = await capture.tshark('bgp.type == 1 && ip.src == 10.0.0.1', [
      'bgp.cap.gr.timers.restart_flag',
      'bgp.cap.gr.timers.restart_time',
      'bgp.open.holdtime',
      'bgp.open.identifier',
    ])
    expect(seenByTshark).toEqual(
      opens.map((open) => {
        const restart = gracefulRestartOf(open)
        return [restart?.restarting ? '1' : '0', String(restart?.restartTimeSeconds), String(open.holdTimeSeconds), open.routerId].join(
          '\t',
        )
      }),
    )
  })
})

describeWith(bird.programs, 'hostile peer with BIRD', () => {
  const config = daemonConfig({
    asn: 65_001,
    routerId: '10.0.0.1',
    addresses: { ipv4: '10.0.0.1', ipv6: 'fd00::1' },
    announce: [{ prefix: '203.0.1.0/24' }],
    peers: [peerConfig({ address: '10.0.0.2', localAddress: '10.0.0.1', asn: 65_002, holdTimeSeconds: 3, passive: true })],
  })
  const own = { asn: 65_002, holdTimeSeconds: 3, routerId: '10.0.0.2' }

  test('a session it keeps up carries routes both ways', async () => {
    await using net = await pairOfNodes('hostile')
    await using daemon = await bird.start(net, 'a', { ...config, peers: config.peers.map((each) => ({ ...each, holdTimeSeconds: 30 })) })
    await using hostile = HostilePeer.start(net, 'b')
    const connection = await hostile.dial('10.0.0.1')
    await connection.establish(own)
    connection.send(
      bgp.update({ attributes: [bgp.ORIGIN_IGP, bgp.asPath(65_002), bgp.nextHop('10.0.0.2')], announced: ['198.51.100.0/24'] }),
    )
    await until('BIRD holds the route', async () => (await daemon.received('10.0.0.2')).some((each) => each.prefix === '198.51.100.0/24'))
    await connection.receive(BGP_TYPE.UPDATE)
  })

  test('silent after Established, it is thrown out with hold timer expired', async () => {
    await using net = await pairOfNodes('hostile')
    await using _daemon = await bird.start(net, 'a', config)
    await using hostile = HostilePeer.start(net, 'b')
    const connection = await hostile.dial('10.0.0.1')
    await connection.establish(own, null)
    const { body } = await connection.receive(BGP_TYPE.NOTIFICATION)
    expect([...body.subarray(0, 2)]).toEqual([4, 0])
    await connection.gone()
  })
})
