// Draining as BIRD sees it, outside our AS and inside: GRACEFUL_SHUTDOWN on every route while the session stays, then the Cease.
import { expect, test } from '@jest/globals'
import { bird, type Daemon, daemonConfig, peerConfig } from '../../support/daemons/index.ts'
import { buildNetns } from '../../support/netns.ts'
import { until, untilEqual } from '../../support/poll.ts'
import { describeWith } from '../../support/tier.ts'
import type { SpeakerProcessOptions } from './speaker-process.ts'

const SCRIPT = new URL('speaker-process.ts', import.meta.url).pathname
const OWN = '10.0.0.1'
const ORIGINATED = ['203.0.1.0/24', '203.0.2.0/24']
const GRACEFUL_SHUTDOWN = '65535:0'

describeWith(bird.programs, 'draining, with BIRD', () => {
  test('GRACEFUL_SHUTDOWN everywhere and LOCAL_PREF 0 inside, the sessions up; then a Cease closes them (RFC 8326 §4)', async () => {
    await using net = await buildNetns('drain', {
      nodes: ['own', 'outer', 'inner'],
      switches: [
        { name: 'lan', ends: ['own', 'outer', 'inner'].map((node, at) => ({ node, name: 'eth0', addresses: [`10.0.0.${at + 1}/24`] })) },
      ],
    })
    const birdAt = (last: number, asn: number) =>
      daemonConfig({
        asn,
        routerId: `10.0.0.${last}`,
        addresses: { ipv4: `10.0.0.${last}`, ipv6: `fd00::${last}` },
        announce: [],
        peers: [peerConfig({ address: OWN, localAddress: `10.0.0.${last}`, asn: 65_001, families: ['IPv4Unicast'] })],
      })
    await using outer = await bird.start(net, 'outer', birdAt(2, 65_002))
    await using inner = await bird.start(net, 'inner', birdAt(3, 65_001))
    const options: SpeakerProcessOptions = {
      asn: 65_001,
      routerId: 0x0a00_0001,
      address: OWN,
      peers: [
        { address: '10.0.0.2', asn: 65_002 },
        { address: '10.0.0.3', asn: 65_001 },
      ],
      originated: ORIGINATED,
    }
    const own = net.spawn('own', process.execPath, [SCRIPT, JSON.stringify(options)], { stdio: ['pipe', 'pipe', 'pipe'] })
    let said = ''
    for (const stream of [own.stdout, own.stderr]) stream?.setEncoding('utf8').on('data', (text: string) => (said += text))
    const ended = new Promise<number | null>((resolve) => own.once('exit', resolve))
    const explain = (): string => `--- own\n${said}\n--- outer\n${outer.log()}\n--- inner\n${inner.log()}`
    const seen = async (daemon: Daemon) =>
      (await daemon.received(OWN)).map(({ prefix, localPref, communities }) => [prefix, localPref, communities])
    try {
      const before = (localPref: number | null) => ORIGINATED.map((prefix) => [prefix, localPref, []])
      const outerBefore = async () => (await seen(outer)).map(([prefix, , communities]) => [prefix, null, communities])
      await untilEqual('the outer BIRD holds all', before(null), outerBefore, { explain })
      await untilEqual('the inner BIRD holds all', before(100), () => seen(inner), { explain })

      own.stdin?.write('drain\n')
      const draining = (localPref: number | null) => ORIGINATED.map((prefix) => [prefix, localPref, [GRACEFUL_SHUTDOWN]])
      const outerDraining = async () => (await seen(outer)).map(([prefix, , communities]) => [prefix, null, communities])
      await untilEqual('the outer BIRD sees it', draining(null), outerDraining, { explain })
      await untilEqual('the inner BIRD sees it', draining(0), () => seen(inner), { explain })
      for (const daemon of [outer, inner]) expect([daemon.name, await daemon.established(OWN)]).toEqual([daemon.name, true])

      own.stdin?.write('cease\n')
      for (const daemon of [outer, inner]) {
        await until('the session is closed', async () => !(await daemon.established(OWN)), { explain })
        await until('BIRD was told why', async () => /Received: Administrative shutdown/i.test(daemon.log()), { explain })
      }
      expect(await ended).toBe(0)
    } finally {
      own.kill('SIGKILL')
    }
  })
})
