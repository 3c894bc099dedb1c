import { expect, test } from '@jest/globals'
import { Speaker } from '../../src/bgp/speaker.ts'
import { TcpTransport } from '../../src/bgp/tcp-transport.ts'
import { type Transport, TransportError } from '../../src/bgp/transport.ts'
import { systemClock } from '../../src/lib/clock.ts'
import { silentLog } from '../../src/lib/log.ts'
import { ip } from '../../src/net/index.ts'
import { config, peer, World } from './speaker-world.ts'

test('a second speaker cannot share our address and port, so SYNs are never split between two [rule 195]', () => {
  const transport = new TcpTransport({ clock: systemClock, log: silentLog })
  using first = transport.listen([ip('127.0.0.4')], 0, () => {})
  const second = () => transport.listen([ip('127.0.0.4')], first.port, () => {})
  expect(second).toThrow(TransportError)
  expect(second).toThrow(/another program listens/)
})

test('a port that is taken is a problem with its remedy, and is had as soon as it is free', () => {
  const world = new World()
  const host = world.network.host('10.0.0.2')
  let isTaken = true
  const transport: Transport = {
    dial: (...dialled) => host.dial(...dialled),
    listen(...listened) {
      if (isTaken) throw new TransportError('EADDRINUSE', 'cannot listen on port 179: another program listens there')
      return host.listen(...listened)
    },
  }
  const speaker = new Speaker(
    {
      clock: world.clock,
      log: silentLog,
      random: () => 0.5,
      transport,
      peersUpBefore: null,
      observer: { bestPathsChanged: () => {}, selectionReleased: () => {}, sessionsChanged: () => {}, problemsChanged: () => {} },
    },
    config(65002, 2, [peer('10.0.0.1', 65001, { passive: true })]),
  )
  const other = world.start('10.0.0.1', config(65001, 1, [peer('10.0.0.2', 65002)]))
  world.run(10)
  expect(speaker.problems().map(({ subject }) => subject)).toContain('listener')
  expect(speaker.problems().find(({ subject }) => subject === 'listener')?.message).toMatch(/another program.*listenPort/)
  isTaken = false
  world.run(60)
  expect(speaker.problems()).toEqual([])
  expect(other.states()).toEqual({ 'to-10.0.0.2': 'Established' })
})
