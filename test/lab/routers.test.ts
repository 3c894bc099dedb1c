// How the daemons of Debian 12 show their sessions; the texts are theirs.
import { describe, expect, test } from '@jest/globals'
import { bird } from '../../src/lab/routers/bird.ts'
import { frr } from '../../src/lab/routers/frr.ts'
import { gobgp } from '../../src/lab/routers/gobgp.ts'
import { deadNetworks, wantedRoutes } from '../../src/lab/routers/gobgp-fib.ts'
import { formatPrefix } from '../../src/net/index.ts'
import { plan } from './fixtures.ts'

const PATHS = { config: '/etc/lab/tor-a', run: '/run/lab/tor-a' }

describe('BIRD', () => {
  const OUTPUT = `BIRD 2.0.12 ready.
Name       Proto      Table      State  Since         Info
device1    Device     ---        up     2030-11-21 12:40:40.034

kernel1    Kernel     master4    up     2030-11-21 12:40:40.034
  Channel ipv4
    State:          UP

node-1-v4  BGP        ---        up     2030-11-21 12:40:43.150  Established
  BGP state:          Established
    Neighbor address: 10.1.0.5
    Neighbor AS:      64601

tor-b-spine-1-v6 BGP        ---        start  2030-11-21 12:41:05.713  Active        Socket: Connection refused
  BGP state:          Active
    Neighbor address: fd00:0:0:1::1
    Neighbor AS:      65002
`
  test('sessions with the time of their last change as mark; other protocols are passed over', () => {
    expect(bird.parseSessions(OUTPUT)).toEqual([
      { remoteAddress: '10.1.0.5', isEstablished: true, state: 'Established', mark: '2030-11-21 12:40:43.150' },
      { remoteAddress: 'fd00:0:0:1::1', isEstablished: false, state: 'Active', mark: '2030-11-21 12:41:05.713' },
    ])
  })
  test('the configuration has every session, announces the loopback, and sets the source address of routes', () => {
    const router = plan('bird').routers[0]
    const text = router === undefined ? '' : (bird.files(plan('bird'), router, PATHS)[0]?.text ?? '')
    expect(text.match(/^protocol bgp /gm)).toHaveLength(8)
    expect(text).toContain(`protocol bgp 'node-1-v4' from fabric { neighbor 10.1.0.5 as 64601; ipv4 {`)
    expect(text).toContain('krt_prefsrc = 10.0.0.1')
    expect(text).toContain('interface "lo"')
  })
})

describe('FRR', () => {
  test('sessions with the number of dropped connections as mark', () => {
    const output = JSON.stringify({
      '10.1.0.5': { remoteAs: 64601, bgpState: 'Established', connectionsDropped: 1 },
      'fd00:0:0:1::5': { remoteAs: 64601, bgpState: 'Active' },
    })
    expect(frr.parseSessions(output)).toEqual([
      { remoteAddress: '10.1.0.5', isEstablished: true, state: 'Established', mark: '1 dropped' },
      { remoteAddress: 'fd00:0:0:1::5', isEstablished: false, state: 'Active', mark: '0 dropped' },
    ])
  })
  test('bgpd waits for the socket of zebra, and every neighbor is activated in its own family', () => {
    const router = plan('frr').routers[1]
    if (router === undefined) throw new Error('no router')
    expect(frr.processes(router, PATHS, ['node']).map(({ name, waitFor }) => [name, waitFor])).toEqual([
      ['tor-b-zebra', null],
      ['tor-b-bgpd', '/run/lab/tor-a/zserv.api'],
    ])
    const text = frr.files(plan('frr'), router, PATHS)[1]?.text ?? ''
    const [, ipv4 = '', ipv6 = ''] = text.split('\n address-family ')
    expect([ipv4.match(/activate/g)?.length, ipv6.match(/activate/g)?.length]).toEqual([4, 4])
    expect(ipv4).not.toContain('fd00')
    expect(text).toContain('no bgp ebgp-requires-policy')
  })
})

describe('GoBGP', () => {
  test('sessions with flaps and the time they came up as mark', () => {
    const output = JSON.stringify([
      {
        conf: { neighbor_address: '10.1.0.1' },
        state: { neighbor_address: '10.1.0.1', session_state: 6, flops: 2 },
        timers: { state: { uptime: { seconds: 60 } } },
      },
      { conf: { neighbor_address: '10.1.0.3' }, state: { session_state: 3 } },
    ])
    expect(gobgp.parseSessions(output)).toEqual([
      { remoteAddress: '10.1.0.1', isEstablished: true, state: 'Established', mark: '2 flaps, up since 1970-01-01T00:01:00.000Z' },
      { remoteAddress: '10.1.0.3', isEstablished: false, state: 'Active', mark: '0 flaps, up since 1970-01-01T00:00:00.000Z' },
    ])
  })

  const path = (nextHop: string, asns: readonly number[], best = false) => ({
    ...(best ? { best } : {}),
    attrs: [
      { type: 1, value: 0 },
      { type: 2, as_paths: [{ segment_type: 2, num: asns.length, asns }] },
      { type: 3, nexthop: nextHop },
    ],
  })
  const RIB = {
    '10.0.0.1/32': [{ best: true, attrs: [{ type: 3, nexthop: '0.0.0.0' }] }],
    '10.0.0.13/32': [path('10.1.0.3', [65002, 64603], true), path('10.1.0.1', [65002, 64603]), path('10.1.0.7', [64602, 65002, 64603])],
    '10.244.0.128/26': [path('10.1.0.7', [64602], true), path('10.1.0.1', [65002, 64602])],
  }
  test('the best path and those as long go into the kernel, own prefixes do not', () => {
    expect(Object.fromEntries(wantedRoutes(RIB, () => true))).toEqual({
      '10.0.0.13/32': ['10.1.0.1', '10.1.0.3'],
      '10.244.0.128/26': ['10.1.0.7'],
    })
  })
  test('a next hop behind a dead cable is passed over for the next best', () => {
    const isUsable = (nextHop: string): boolean => nextHop !== '10.1.0.7' && nextHop !== '10.1.0.3'
    expect(Object.fromEntries(wantedRoutes(RIB, isUsable))).toEqual({ '10.0.0.13/32': ['10.1.0.1'], '10.244.0.128/26': ['10.1.0.1'] })
  })
  test('an empty table wants nothing', () => {
    expect(wantedRoutes({}, () => true).size).toBe(0)
  })
  test('networks behind interfaces without carrier are dead', () => {
    const interfaces = [
      { flags: ['UP', 'LOWER_UP'], addr_info: [{ local: '10.1.0.0', prefixlen: 31 }] },
      { flags: ['NO-CARRIER', 'UP'], addr_info: [{ local: '10.1.0.6', prefixlen: 31 }, {}] },
    ]
    expect(deadNetworks(interfaces).map(formatPrefix)).toEqual(['10.1.0.6/31'])
  })
})
