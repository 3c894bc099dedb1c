// What `fibula bgp peers` and `fibula bgp routes` say of tunnels, and of routes that our own AS number costs us.
import { expect, test } from '@jest/globals'
import { formatPeer } from '../../src/cli/bgp-peers.ts'
import { formatRoutes } from '../../src/cli/bgp-routes.ts'
import type { Screen } from '../../src/cli/output.ts'
import { pathStatus, peerStatus } from './fixtures.ts'

const SCREEN: Screen = { colour: false, width: null, write: () => {} }

test('a peer whose routes are dropped for our own AS number says how many, and one of them', () => {
  const ownAsRejected = { count: 3, example: '10.244.1.0/26 with AS path 65001 64512; set allowLocalAS' }
  expect(formatPeer(peerStatus({ ownAsRejected }), SCREEN)).toContain(
    '3 routes dropped for our own AS number: 10.244.1.0/26 with AS path 65001 64512; set allowLocalAS',
  )
  expect(formatPeer(peerStatus(), SCREEN)).not.toContain('own AS number')
})

test('a path through a tunnel shows it beside its next hop', () => {
  const paths = [
    pathStatus({ encapsulated: true, nextHop: '10.0.2.7' }),
    pathStatus({ best: false, multipath: false, nextHop: '10.0.0.1' }),
  ]
  const shown = formatRoutes([{ prefix: '10.244.1.0/26', paths }], SCREEN)
  expect(shown).toContain('10.0.2.7 (IP-in-IP)')
  expect(shown).not.toContain('10.0.0.1 (IP-in-IP)')
})

const peerShown = (over: Parameters<typeof peerStatus>[0]): string => formatPeer(peerStatus(over), SCREEN)

test.each<[Parameters<typeof peerStatus>[0], RegExp]>([
  [{}, /^Peer +tor-rack-a$/m],
  [{ description: 'in hall 1' }, /^Peer +tor-rack-a: in hall 1$/m],
  [{}, /^Address +10\.0\.0\.1 from 10\.0\.0\.11$/m],
  [{ port: 1179, localAddress: null }, /^Address +10\.0\.0\.1:1179$/m],
  [{ address: 'fd00::1', port: 1179, localAddress: null }, /^Address +\[fd00::1\]:1179$/m],
  [{ address: 'fe80::1', interface: 'eth0', localAddress: null }, /^Address +fe80::1%eth0$/m],
  [{}, /^State +Established$/m],
  [{ gracefulRestart: 'restarting' as never }, /^State +Established, restarting$/m],
  [{ state: 'Idle', adminShutdown: true }, /^State +Shutdown$/m],
  [{}, /^Up for +1m30s, since 2030-/m],
  [{ uptimeSeconds: null, since: 'no time' }, /^Down for +, since no time$/m],
  [{}, /^Last error +none$/m],
  [{ lastError: 'hold timer expired', lastErrorAt: null }, /^Last error +hold timer expired$/m],
  [{ lastError: 'hold timer expired', lastErrorAt: '2030-01-01' }, /^Last error +hold timer expired \(at 2030-01-01\)$/m],
  [{ remoteRouterId: null }, /^Router ID +not known yet$/m],
  [{}, /^Hold time +9 s, KEEPALIVE every 3 s$/m],
  [{ holdTimeSeconds: null, keepaliveTimeSeconds: null }, /^Hold time +off$/m],
  [{ state: 'OpenSent' }, /^Hold time +not negotiated$/m],
  [{}, /^End-of-RIB +received IPv4Unicast; sent none$/m],
  [{ ownAsRejected: { count: 1, example: 'x' } }, /^Own AS +1 route dropped for our own AS number: x$/m],
  [{}, /^IPv4Unicast +5 received, 4 accepted, 1 advertised$/m],
  [{ prefixes: { IPv4Unicast: { received: 5, accepted: 4, advertised: 1, stale: 2 } } }, /advertised, 2 stale$/m],
  [{ capabilities: { offered: [], received: [], negotiated: [] } }, /^no capabilities exchanged yet$/m],
  [{ capabilities: { offered: ['b', 'a'], received: ['a', 'c'], negotiated: ['a'] } }, /^a +a +a\nb +c$/m],
  [{}, /^update +2 +2$/m],
])('one peer with %j', (over, wanted) => {
  expect(peerShown(over)).toMatch(wanted)
})

test('paths of a prefix: the best first, then those beside it, what may not be used last; each with its mark and where it is from', () => {
  const other = { best: false, multipath: false }
  const paths = [
    pathStatus({ ...other, usable: false, reason: 'unreachable', peer: 'd', med: 0 }),
    pathStatus({ ...other, stale: true, reason: 'worse', peer: 'c', asPath: '' }),
    pathStatus({ ...other, multipath: true, reason: 'as good', peer: 'b', localPref: 200 }),
    pathStatus({ reason: 'won', peer: 'local', nextHop: null, sources: ['pool pods', 'service a', 'service b'] }),
  ]
  const [, ...rows] = formatRoutes([{ prefix: '10.0.0.0/8', paths }], SCREEN).split('\n')
  expect(rows.slice(0, 4)).toEqual([
    expect.stringMatching(/^> +10\.0\.0\.0\/8 +- +local: pool pods and 2 more +65001 65002 +- +- +won$/),
    expect.stringMatching(/^= +10\.0\.0\.1 +b +65001 65002 +200 +- +as good$/),
    expect.stringMatching(/^s +10\.0\.0\.1 +c +- +- +- +worse$/),
    expect.stringMatching(/^x +10\.0\.0\.1 +d +65001 65002 +- +0 +unreachable$/),
  ])
})
