// What a node is: settings, addresses, identifier, origination, and the filters as the speaker takes them.
import { describe, expect, test } from '@jest/globals'
import { formatIp, formatPrefix } from '../../../src/net/index.ts'
import { block, configuration, filter, node, peer, pool } from '../../store/objects.ts'
import { deriveFor, host, prefixes, problemsOf } from './world.ts'

const N1 = node('n1', ['10.0.0.11', 'fd00::11'], { labels: { rack: 'a', hall: '1' } })

describe('settings: default, overridden field by field', () => {
  test('without any BGPConfiguration everything is as the design has it', () => {
    const { speaker, logLevel, local } = deriveFor('n1', [N1])
    expect(speaker).toMatchObject({
      asn: 64_512,
      mode: 'Host',
      clusterId: null,
      listen: { addresses: [], port: 179 },
      maximumPaths: 16,
      multipathAsPathRelax: true,
      installRoutes: true,
      peers: [],
      filters: {},
      originated: [],
      importBounds: [],
      serviceRanges: [],
    })
    expect([logLevel, local.installRoutes]).toEqual(['info', true])
  })

  test('every field of default arrives', () => {
    const { speaker, logLevel, local } = deriveFor('n1', [
      N1,
      configuration('default', {
        asNumber: 65_010,
        mode: 'Router',
        listenPort: 1179,
        bindMode: 'NodeIP',
        maximumPaths: 4,
        multipathASPathRelax: false,
        installRoutes: false,
        logLevel: 'Debug',
        serviceClusterIPs: [{ cidr: '10.96.0.0/12' }],
        serviceExternalIPs: [{ cidr: '192.0.2.0/24' }],
        serviceLoadBalancerIPs: [{ cidr: 'fd00:96::/108' }],
      }),
    ])
    expect(speaker).toMatchObject({ asn: 65_010, mode: 'Router', maximumPaths: 4, multipathAsPathRelax: false, installRoutes: false })
    expect(speaker.listen?.addresses.map(formatIp)).toEqual(['10.0.0.11', 'fd00::11'])
    expect(speaker.listen?.port).toBe(1179)
    expect(prefixes(speaker.serviceRanges)).toEqual(['10.96.0.0/12', '192.0.2.0/24', 'fd00:96::/108'])
    expect([logLevel, local.installRoutes]).toEqual(['debug', false])
  })

  test('bindMode NodeIP without any address listens nowhere rather than everywhere', () => {
    expect(deriveFor('n9', [configuration('default', { bindMode: 'NodeIP' })]).speaker.listen).toBeNull()
  })

  const rackA = (spec: object, name = 'rack-a') => configuration(name, { nodeSelector: { matchLabels: { rack: 'a' } }, ...spec })
  const gr = (objects: readonly unknown[]) => deriveFor('n1', [N1, peer('tor'), ...objects]).speaker.peers[0]?.gracefulRestart

  test('an override sets its fields and leaves the others', () => {
    const world = [N1, configuration('default', { asNumber: 65_010, maximumPaths: 4 }), rackA({ asNumber: 65_020 })]
    expect(deriveFor('n1', world).speaker).toMatchObject({ asn: 65_020, maximumPaths: 4 })
    expect(deriveFor('n2', [node('n2'), ...world]).speaker).toMatchObject({ asn: 65_010, maximumPaths: 4 })
  })

  test('nested settings, too, are overridden one by one', () => {
    const base = configuration('default', { gracefulRestart: { enabled: false, restartTime: '60s' } })
    expect(gr([base, rackA({ gracefulRestart: { restartTime: '30s' } })])).toMatchObject({ enabled: false, restartTimeSeconds: 30 })
    const both = [
      base,
      rackA({ gracefulRestart: { restartTime: '30s' } }),
      rackA({ gracefulRestart: { longLivedStaleTime: '1h' } }, 'rack-b'),
    ]
    expect(gr(both)).toMatchObject({ enabled: false, restartTimeSeconds: 30, longLivedStaleTimeSeconds: 3600 })
    expect(problemsOf(deriveFor('n1', [N1, ...both]))).toEqual([])
  })

  test('two overrides that set one field of one node are a problem; the first by name wins', () => {
    const world = [
      N1,
      rackA({ asNumber: 65_020 }, 'b'),
      configuration('a', { nodeSelector: { matchLabels: { hall: '1' } }, asNumber: 65_030, listenPort: 1179 }),
    ]
    const derived = deriveFor('n1', world)
    expect(derived.speaker).toMatchObject({ asn: 65_030, listen: { port: 1179 } })
    expect(problemsOf(derived)).toEqual([
      'error BGPConfiguration/b: spec.asNumber is also set for node n1 by BGPConfiguration/a, which wins; make their nodeSelectors exclude each other, or remove one',
    ])
    expect(problemsOf(deriveFor('n2', [node('n2', ['10.0.0.12']), ...world]))).toEqual([]) // it is none of that node's
  })

  test('a hold time from one object and a keepalive time from another that do not fit', () => {
    const world = [N1, peer('tor'), configuration('default', { keepaliveTime: '30s' }), rackA({ holdTime: '9s' })]
    const derived = deriveFor('n1', world)
    expect(derived.speaker.peers[0]).toMatchObject({ holdTimeSeconds: 9, keepaliveTimeSeconds: 3 })
    expect(problemsOf(derived)).toEqual([expect.stringMatching(/keepaliveTime 30s is not shorter than the hold time of 9s/)])
  })
})

describe('what a node says of itself in its annotations', () => {
  const annotated = (annotations: Record<string, string>) => deriveFor('n1', [node('n1', ['10.0.0.11'], { annotations })])

  test('AS number, also as dotted', () => {
    expect(annotated({ 'fibula.network/asn': '4200000001' }).speaker.asn).toBe(4_200_000_001)
    expect(annotated({ 'fibula.network/asn': '1.10' }).speaker.asn).toBe(65_546)
  })

  test('router ID and cluster ID', () => {
    expect(annotated({ 'fibula.network/router-id': '1.2.3.4' }).speaker.routerId).toBe(0x0102_0304)
    expect(annotated({ 'fibula.network/route-reflector-cluster-id': '0.0.0.1' }).speaker.clusterId).toBe(1)
  })

  test('addresses, which beat those of the status', () => {
    const { addresses } = annotated({ 'fibula.network/ipv4-address': '10.9.0.1/24', 'fibula.network/ipv6-address': 'fd09::1/64' })
    expect([addresses.ipv4, addresses.ipv6].map((address) => formatIp(address ?? (0 as never)))).toEqual(['10.9.0.1', 'fd09::1'])
  })

  test.each([
    [{ 'fibula.network/asn': '0' }, 'asn is not an AS number; write it like "64512"'],
    [{ 'fibula.network/asn': 'AS1' }, 'is not an AS number'],
    [{ 'fibula.network/router-id': '7' }, 'router-id is not a BGP Identifier; write it like an IPv4 address'],
    [{ 'fibula.network/router-id': '0.0.0.0' }, 'is not a BGP Identifier'],
    [{ 'fibula.network/router-id': 'fd00::1' }, 'is not a BGP Identifier'],
    [{ 'fibula.network/route-reflector-cluster-id': 'rr' }, 'route-reflector-cluster-id is not a BGP Identifier'],
    [{ 'fibula.network/ipv4-address': 'fd00::1/64' }, 'ipv4-address is not an IPv4 address with prefix length; write it like 10.0.0.11/24'],
    [{ 'fibula.network/ipv4-address': '10.0.0.11/33' }, 'is not an IPv4 address'],
    [{ 'fibula.network/ipv4-address': '127.0.0.1/8' }, 'is not an IPv4 address'],
    [{ 'fibula.network/ipv6-address': 'fe80::1/64' }, 'ipv6-address is not an IPv6 address'],
  ] as const)('%j is a problem, and what would hold without it holds', (annotations, message) => {
    const derived = annotated(annotations)
    expect(problemsOf(derived)).toEqual([expect.stringContaining(message)])
    expect(derived.speaker).toMatchObject({ asn: 64_512, clusterId: null, routerId: 0x0a00_000b })
  })
})

describe('addresses of our own node that nobody states are looked for on the host', () => {
  const bare = node('n1')
  test.each([
    ['on the interface of the default route', host({ eth0: ['10.1.0.1/24'], eth1: ['10.2.0.1/24'] }, 'eth1'), '10.2.0.1'],
    ['the first that is usable without one', host({ eth0: ['10.1.0.1/24'], eth1: ['10.2.0.1/24'] }), '10.1.0.1'],
    [
      'never a loopback, a bridge, or a tunnel',
      host({ lo: ['127.0.0.1/8'], docker0: ['172.17.0.1/16'], cali1: ['10.3.0.1/32'], eth0: ['10.1.0.1/24'] }),
      '10.1.0.1',
    ],
    ['never link-local', host({ eth0: ['169.254.1.1/16'], eth1: ['10.1.0.1/24'] }), '10.1.0.1'],
  ])('%s', (_, network, expected) => {
    const { addresses } = deriveFor('n1', [bare], network)
    expect(formatIp(addresses.ipv4 ?? (0 as never))).toBe(expected)
  })

  test('IPv6 as IPv4', () => {
    const { addresses } = deriveFor('n1', [bare], host({ eth0: ['fe80::1/64', 'fd00::1/64'] }))
    expect([addresses.ipv4, formatIp(addresses.ipv6 ?? (0 as never))]).toEqual([null, 'fd00::1'])
  })

  test('none at all is a problem', () => {
    expect(problemsOf(deriveFor('n1', [bare]))).toEqual([
      expect.stringMatching(/^error Node\/n1: no address of this node was found; set the annotation/),
    ])
  })
})

describe('BGP Identifier (RFC 6286)', () => {
  test('the IPv4 address, or a hash of the name, or the hash by choice', () => {
    expect(deriveFor('n1', [N1]).speaker.routerId).toBe(0x0a00_000b)
    const hashed = deriveFor('n1', [node('n1', ['fd00::11'])]).speaker.routerId
    expect(hashed).toBeGreaterThan(0)
    expect(deriveFor('n1', [N1, configuration('default', { routerIDMode: 'Hash' })]).speaker.routerId).toBe(hashed)
    expect(deriveFor('n2', [node('n2', ['fd00::12'])]).speaker.routerId).not.toBe(hashed)
  })

  test('two nodes of one AS with one identifier are told; of two AS that is fine', () => {
    const twin = (annotations: Record<string, string>) =>
      node('n2', ['10.0.0.12'], { annotations: { 'fibula.network/router-id': '10.0.0.11', ...annotations } })
    expect(problemsOf(deriveFor('n1', [N1, twin({})]))).toEqual([
      expect.stringMatching(/^error Node\/n1: node n2 has the same BGP Identifier 10.0.0.11/),
    ])
    expect(problemsOf(deriveFor('n1', [N1, twin({ 'fibula.network/asn': '65002' })]))).toEqual([])
  })
})

describe('what a node originates', () => {
  const POOL = pool('pods', '10.244.0.0/16')
  const originated = (objects: readonly unknown[]) =>
    deriveFor('n1', [N1, ...objects]).speaker.originated.map(({ prefix }) => formatPrefix(prefix))

  test('its own confirmed blocks, and networks', () => {
    const world = [
      POOL,
      block('10.244.0.0/26', 'n1'),
      block('10.244.0.64/26', 'n2'),
      block('10.244.0.128/26', 'n1', { state: 'Pending' }),
      block('fd00:244::/122', 'n1'),
      configuration('default', { networks: ['192.0.2.0/24', '10.244.0.0/26'] }),
    ]
    expect(originated(world)).toEqual(['10.244.0.0/26', 'fd00:244::/122', '192.0.2.0/24'])
    const { local } = deriveFor('n1', [N1, ...world])
    expect(prefixes(local.routes.blackholes)).toEqual(['10.244.0.0/26', 'fd00:244::/122'])
  })

  test('nothing of a pool with disableBGPExport, whose blocks are blackholed all the same', () => {
    const world = [pool('pods', '10.244.0.0/16', { disableBGPExport: true }), block('10.244.0.0/26', 'n1')]
    expect(originated(world)).toEqual([])
    expect(prefixes(deriveFor('n1', [N1, ...world]).local.routes.blackholes)).toEqual(['10.244.0.0/26'])
  })

  test('pools bound what is believed from outside, disabled ones too', () => {
    const world = [N1, POOL, pool('old', '10.245.0.0/16', { disabled: true }), pool('six', 'fd00:244::/64')]
    expect(prefixes(deriveFor('n1', world).speaker.importBounds)).toEqual(['10.245.0.0/16', '10.244.0.0/16', 'fd00:244::/64'])
  })

  test('prefixAdvertisements put communities on what they cover, by name, value or well-known name', () => {
    const world = [
      N1,
      block('10.244.0.0/26', 'n1'),
      block('10.245.0.0/26', 'n1'),
      configuration('default', {
        networks: ['10.0.0.0/7'],
        communities: [
          { name: 'rack', value: '64512:7' },
          { name: 'wide', value: '4200000000:1:2' },
        ],
        prefixAdvertisements: [
          { cidr: '10.244.0.0/16', communities: ['rack', 'no-export', '64512:3'] },
          { cidr: '10.0.0.0/8', communities: ['wide', 'rack'] },
        ],
      }),
    ]
    const { originated: list } = deriveFor('n1', world).speaker
    expect(list.map(({ prefix, communities, largeCommunities }) => [formatPrefix(prefix), communities, largeCommunities])).toEqual([
      ['10.244.0.0/26', [0xfc00_0003, 0xfc00_0007, 0xffff_ff01], [[4_200_000_000, 1, 2]]],
      ['10.245.0.0/26', [0xfc00_0007], [[4_200_000_000, 1, 2]]],
      ['10.0.0.0/7', [], []],
    ])
  })

  test('all nodes give a prefix the same attributes, so that routers balance over them [rule 187]', () => {
    const world = [
      N1,
      node('n2', ['10.0.0.12']),
      node('n3', ['10.0.0.13'], { annotations: { 'fibula.network/asn': '65003' } }),
      configuration('default', {
        networks: ['192.0.2.0/24'],
        prefixAdvertisements: [{ cidr: '192.0.2.0/24', communities: ['64512:9', '64512:1'] }],
      }),
    ]
    const [first, ...others] = ['n1', 'n2', 'n3'].map((name) => deriveFor(name, world).speaker.originated)
    expect(first).toMatchObject([{ communities: [0xfc00_0001, 0xfc00_0009], largeCommunities: [] }])
    for (const other of others) expect(other).toEqual(first)
  })

  test('a community nobody knows is a problem; the prefix goes out with the others', () => {
    const derived = deriveFor('n1', [
      N1,
      block('10.244.0.0/26', 'n1'),
      configuration('default', { prefixAdvertisements: [{ cidr: '10.0.0.0/8', communities: ['rakc', '64512:3'] }] }),
    ])
    expect(derived.speaker.originated[0]?.communities).toEqual([0xfc00_0003])
    expect(problemsOf(derived)).toEqual([
      expect.stringMatching(
        /prefixAdvertisements of 10.0.0.0\/8 names community "rakc", which is neither in spec.communities nor a community/,
      ),
    ])
  })
})

describe('BGPFilter as the speaker takes it', () => {
  const rulesOf = (spec: Parameters<typeof filter>[1]) =>
    deriveFor('n1', [N1, filter('f', spec), peer('a', { filters: ['f'] })]).speaker.filters['f']
  const NOTHING = {
    prefix: null,
    communities: null,
    asPathPrefix: null,
    asPathContains: null,
    source: null,
    peerType: null,
    operations: [],
  }

  test('a rule without conditions', () => {
    expect(rulesOf({ importV4: [{ action: 'Accept' }], exportV6: [{ action: 'Reject' }] })).toEqual({
      name: 'f',
      import: { 4: [{ action: 'Accept', ...NOTHING }], 6: [] },
      export: { 4: [], 6: [{ action: 'Reject', ...NOTHING }] },
    })
  })

  test.each([
    ['Equal', undefined, 8, 32],
    ['In', undefined, 8, 32],
    ['In', { max: 24 }, 8, 24],
    ['NotIn', { min: 16, max: 24 }, 16, 24],
  ] as const)('%s with lengths %j', (matchOperator, prefixLength, minLength, maxLength) => {
    const rule = { action: 'Accept' as const, cidr: '10.0.0.0/8', matchOperator, ...(prefixLength === undefined ? {} : { prefixLength }) }
    const [derived] = rulesOf({ importV4: [rule] })?.import[4] ?? []
    expect(derived?.prefix).toMatchObject({ operator: matchOperator, minLength, maxLength })
    expect(formatPrefix(derived?.prefix?.cidr ?? (null as never))).toBe('10.0.0.0/8')
  })

  test('every condition and every operation', () => {
    const [rule] =
      rulesOf({
        exportV6: [
          {
            action: 'Accept',
            source: 'RemotePeers',
            peerType: 'eBGP',
            communities: { values: ['64512:1', '1:2:3', 'rt:64512:1'] },
            asPathPrefix: [65_001, 65_002],
            asPathContains: 65_003,
            operations: [
              { addCommunity: { value: 'no-export' } },
              { removeCommunity: { value: '1:2:3' } },
              { prependASPath: { prefix: [65_001, 65_001] } },
              { setLocalPreference: { value: 200 } },
              { setMED: { value: 50 } },
              { removeMED: {} },
            ],
          },
        ],
      })?.export[6] ?? []
    expect(rule).toEqual({
      action: 'Accept',
      prefix: null,
      source: 'RemotePeers',
      peerType: 'eBGP',
      communities: [
        { kind: 'standard', value: 0xfc00_0001 },
        { kind: 'large', value: [1, 2, 3] },
        { kind: 'extended', value: 0x0002_fc00_0000_0001n },
      ],
      asPathPrefix: [65_001, 65_002],
      asPathContains: 65_003,
      operations: [
        { kind: 'addCommunity', community: { kind: 'standard', value: 0xffff_ff01 } },
        { kind: 'removeCommunity', community: { kind: 'large', value: [1, 2, 3] } },
        { kind: 'prependAsPath', asns: [65_001, 65_001] },
        { kind: 'setLocalPreference', value: 200 },
        { kind: 'setMed', value: 50 },
        { kind: 'setMed', value: null },
      ],
    })
  })
})
