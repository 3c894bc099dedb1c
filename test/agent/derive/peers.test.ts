// Which sessions a node has, and how each is.
import { describe, expect, test } from '@jest/globals'
import { formatIp } from '../../../src/net/index.ts'
import { configuration, filter, node, peer, pool, secret } from '../../store/objects.ts'
import { deriveFor, peersOf, problemsOf, sessions } from './world.ts'

const N1 = node('n1', ['10.0.0.11', 'fd00::11'], { labels: { rack: 'a' } })
const N2 = node('n2', ['10.0.0.12', 'fd00::12'], { labels: { rack: 'b' } })
const N3 = node('n3', ['10.0.0.13'], { labels: { rack: 'b' } })
const NO_MESH = configuration('default', { nodeToNodeMesh: { enabled: false } })
const rr = (name: string, address: string, id: string) =>
  node(name, [address], { labels: { role: 'rr' }, annotations: { 'fibula.network/route-reflector-cluster-id': id } })

function only(derived: ReturnType<typeof deriveFor>) {
  const [first, ...others] = derived.speaker.peers
  if (first === undefined || others.length > 0) throw new Error(`not one peer but ${sessions(derived).join(', ')}`)
  return first
}

describe('the node-to-node mesh', () => {
  test('every two nodes have a session for each IP family both have', () => {
    const world = [N1, N2, N3]
    expect(sessions(deriveFor('n1', world))).toEqual([
      'mesh/n2/ipv4 -> 10.0.0.12:179 AS64512',
      'mesh/n2/ipv6 -> fd00::12:179 AS64512',
      'mesh/n3/ipv4 -> 10.0.0.13:179 AS64512',
    ])
    expect(sessions(deriveFor('n3', world))).toEqual(['mesh/n1/ipv4 -> 10.0.0.11:179 AS64512', 'mesh/n2/ipv4 -> 10.0.0.12:179 AS64512'])
  })

  test('each carries its own family, from the address of the node, to a node of the cluster', () => {
    const peers = peersOf(deriveFor('n1', [N1, N2]))
    expect(peers['mesh/n2/ipv4']).toMatchObject({
      families: ['IPv4Unicast'],
      clusterNode: true,
      passive: false,
      routeReflectorClient: false,
      ebgpMultihop: null,
    })
    expect(peers['mesh/n2/ipv6']).toMatchObject({ families: ['IPv6Unicast'] })
    expect(formatIp(peers['mesh/n2/ipv6']?.sourceAddress ?? (0 as never))).toBe('fd00::11')
  })

  test('is left by route reflectors, on both sides', () => {
    const world = [N1, N2, rr('rr1', '10.0.0.1', '1.1.1.1')]
    expect(sessions(deriveFor('n1', world)).filter((each) => each.includes('rr1'))).toEqual([])
    expect(sessions(deriveFor('rr1', world))).toEqual([])
  })

  test('can be switched off, for all or for some: then no end of it is dialled', () => {
    expect(sessions(deriveFor('n1', [N1, N2, NO_MESH]))).toEqual([])
    const some = [N1, N2, N3, configuration('rack-b', { nodeSelector: { matchLabels: { rack: 'b' } }, nodeToNodeMesh: { enabled: false } })]
    expect(sessions(deriveFor('n1', some))).toEqual([])
    expect(sessions(deriveFor('n2', some))).toEqual([])
  })

  test("takes each node's own AS number and port", () => {
    const world = [
      N1,
      node('n2', ['10.0.0.12'], { labels: { rack: 'b' }, annotations: { 'fibula.network/asn': '65002' } }),
      configuration('rack-b', { nodeSelector: { matchLabels: { rack: 'b' } }, listenPort: 1179 }),
    ]
    const peers = peersOf(deriveFor('n1', world))
    expect(sessions(deriveFor('n1', world))).toEqual(['mesh/n2/ipv4 -> 10.0.0.12:1179 AS65002'])
    expect(peers['mesh/n2/ipv4']).toMatchObject({ ebgpMultihop: 255 }) // nodes of other AS may be hops away
  })

  test('of 100 nodes is fine, of 101 a warning', () => {
    const nodes = Array.from({ length: 101 }, (_, at) => node(`n${at}`, [`10.0.1.${at + 1}`]))
    expect(problemsOf(deriveFor('n0', nodes.slice(0, 100)))).toEqual([])
    expect(problemsOf(deriveFor('n0', nodes))).toEqual([
      expect.stringMatching(/^warning BGPConfiguration: the node-to-node mesh has 101 nodes.*route-reflector-cluster-id/),
    ])
    expect(deriveFor('n0', nodes).speaker.peers).toHaveLength(100)
  })

  test('may have a password; without its Secret the mesh stays down, told once', () => {
    const world = [N1, N2, N3, configuration('default', { nodeToNodeMesh: { password: { secretKeyRef: { name: 'mesh', key: 'p' } } } })]
    const without = deriveFor('n1', world)
    expect(without.speaker.peers.map(({ shutdown, password }) => [shutdown, password])).toEqual(
      Array(3).fill([{ message: 'no password' }, null]),
    )
    expect(problemsOf(without)).toEqual([
      expect.stringMatching(/^error BGPConfiguration\/nodeToNodeMesh: its password is in Secret fibula-system\/mesh, which does not exist/),
    ])
    const withIt = deriveFor('n1', [...world, secret('mesh', 'fibula-system', { p: 'geheim' })])
    expect(withIt.speaker.peers.map(({ password }) => password)).toEqual(['geheim', 'geheim', 'geheim'])
    expect(withIt.secretsWanted).toEqual([{ namespace: 'fibula-system', name: 'mesh', keys: ['p'] }])
  })
})

describe('BGPPeer: which nodes', () => {
  test.each([
    ['neither node nor selector: every node', {}, ['n1', 'n2', 'n3']],
    ['node', { node: 'n2' }, ['n2']],
    ['nodeSelector', { nodeSelector: { matchLabels: { rack: 'b' } } }, ['n2', 'n3']],
    ['an empty nodeSelector', { nodeSelector: {} }, ['n1', 'n2', 'n3']],
  ])('%s', (_, spec, expected) => {
    const world = [N1, N2, N3, NO_MESH, peer('tor', spec)]
    expect(['n1', 'n2', 'n3'].filter((name) => deriveFor(name, world).speaker.peers.length > 0)).toEqual(expected)
  })

  test('a node without a Node object is matched by no selector, and told so', () => {
    const derived = deriveFor('n9', [peer('tor', { nodeSelector: { matchLabels: { rack: 'a' } } }), peer('all', { peerIP: '10.0.0.2' })])
    expect(sessions(derived)).toEqual(['all -> 10.0.0.2:179 AS65001'])
    expect(problemsOf(derived)).toContainEqual(expect.stringMatching(/^warning Node\/n9: this node has no Node object/))
  })
})

describe('BGPPeer by address', () => {
  test.each([
    ['10.0.0.1', '10.0.0.1', null, 179, ['IPv4Unicast']],
    ['10.0.0.1:1179', '10.0.0.1', null, 1179, ['IPv4Unicast']],
    ['[fd00::1]:1179', 'fd00::1', null, 1179, ['IPv6Unicast']],
    ['fe80::1%eth0', 'fe80::1', 'eth0', 179, ['IPv6Unicast']],
  ])('%s', (peerIP, address, device, port, families) => {
    const derived = deriveFor('n1', [N1, peer('tor', { peerIP })])
    const one = only(derived)
    expect({ ...one, address: formatIp(one.address) }).toMatchObject({
      key: 'tor',
      address,
      interface: device,
      port,
      asn: 65001,
      families,
      clusterNode: false,
    })
    expect(one.sourceAddress).toBeNull()
  })

  test('everything BGPPeer can say arrives', () => {
    const derived = deriveFor('n1', [
      N1,
      filter('f1', {}),
      secret('tor', 'fibula-system', { p: 'geheim' }),
      peer('tor', {
        description: 'left',
        localASNumber: 65100,
        sourceAddress: '10.0.0.99',
        reachableBy: '10.0.0.254',
        password: { secretKeyRef: { name: 'tor', key: 'p' } },
        addressFamilies: ['IPv6Unicast', 'IPv4Unicast'],
        addPath: { receive: true, send: 4 },
        extendedNextHop: true,
        role: 'Customer',
        maxPrefixes: { ipv4: 10, warnAtPercent: 50, restartAfter: '5m' },
        ttlSecurity: 2,
        holdTime: '9s',
        keepaliveTime: '2s',
        connectRetryTime: '7s',
        gracefulRestart: { restartTime: '60s', notification: true },
        passive: true,
        shutdown: { message: 'maintenance' },
        filters: ['f1'],
        nextHopMode: 'Keep',
        allowLocalAS: 2,
        enforceFirstAS: false,
      }),
    ])
    const { address, sourceAddress, ...rest } = only(derived)
    expect([formatIp(address), formatIp(sourceAddress ?? (0 as never))]).toEqual(['10.0.0.1', '10.0.0.99'])
    expect(rest).toEqual({
      key: 'tor',
      description: 'left',
      interface: null,
      port: 179,
      asn: 65001,
      localAsn: 65100,
      password: 'geheim',
      families: ['IPv6Unicast', 'IPv4Unicast'],
      addPath: { receive: true, send: 4 },
      role: 'Customer',
      maxPrefixes: { ipv4: 10, ipv6: null, warnAtPercent: 50, restartAfterSeconds: 300 },
      ttlSecurity: 2,
      ebgpMultihop: null,
      holdTimeSeconds: 9,
      keepaliveTimeSeconds: 2,
      connectRetrySeconds: 7,
      sendHoldTimeSeconds: null,
      passive: true,
      filters: ['f1'],
      allowLocalAs: 2,
      enforceFirstAs: false,
      nextHopMode: 'Keep',
      gracefulRestart: { enabled: true, restartTimeSeconds: 60, longLivedStaleTimeSeconds: 0, notification: true },
      routeReflectorClient: false,
      clusterNode: false,
      shutdown: { message: 'maintenance' },
      extendedNextHop: true,
    })
    expect(problemsOf(derived)).toEqual([])
    expect(derived.local.routes.statics.map(({ gateway }) => formatIp(gateway))).toEqual(['10.0.0.254'])
  })

  test('what it does not say is as the design has it', () => {
    expect(only(deriveFor('n1', [N1, peer('tor')]))).toMatchObject({
      localAsn: null,
      password: null,
      addPath: { receive: false, send: 0 },
      role: null,
      maxPrefixes: null,
      ttlSecurity: null,
      ebgpMultihop: null,
      holdTimeSeconds: 90,
      keepaliveTimeSeconds: 30,
      connectRetrySeconds: 5,
      passive: false,
      filters: [],
      allowLocalAs: 0,
      enforceFirstAs: true,
      nextHopMode: 'Auto',
      gracefulRestart: { enabled: true, restartTimeSeconds: 120, longLivedStaleTimeSeconds: 0, notification: false },
      shutdown: null,
    })
  })

  test.each([
    ['IPv4 routes with IPv6 next hops: both families', { peerIP: 'fe80::1%eth0', extendedNextHop: true }, ['IPv4Unicast', 'IPv6Unicast']],
    ['said outright', { peerIP: 'fd00::1', addressFamilies: ['IPv4Unicast'] as ['IPv4Unicast'] }, ['IPv4Unicast']],
  ])('families: %s', (_, spec, families) => {
    expect(only(deriveFor('n1', [N1, peer('tor', spec)])).families).toEqual(families)
  })

  test.each([
    ['Auto, eBGP to a neighbour: the kernel chooses', {}, null],
    ['Auto, eBGP over hops: the address of the node', { ebgpMultihop: 3 }, '10.0.0.11'],
    ['Auto, GTSM over two hops: the address of the node', { ttlSecurity: 2 }, '10.0.0.11'],
    ['Auto, GTSM to a neighbour: the kernel chooses', { ttlSecurity: 1 }, null],
    ['Auto, iBGP: the address of the node', { asNumber: 64512 }, '10.0.0.11'],
    ['UseNodeIP', { sourceAddress: 'UseNodeIP' }, '10.0.0.11'],
    ['UseNodeIP over IPv6', { peerIP: 'fd00::1', sourceAddress: 'UseNodeIP' }, 'fd00::11'],
    ['UseNodeIP to a link-local peer: there is no such thing', { peerIP: 'fe80::1%eth0', sourceAddress: 'UseNodeIP' }, null],
    ['None', { asNumber: 64512, sourceAddress: 'None' }, null],
    ['an address', { sourceAddress: '10.9.9.9' }, '10.9.9.9'],
  ])('source address: %s', (_, spec, expected) => {
    const { sourceAddress } = only(deriveFor('n1', [N1, peer('tor', spec)]))
    expect(sourceAddress === null ? null : formatIp(sourceAddress)).toBe(expected)
  })

  test.each([
    ['hold time alone: a third of it', { holdTime: '9s' }, {}, 9, 3],
    ['hold time of a second or three', { holdTime: '3s' }, {}, 3, 1],
    ['no hold time at all', { holdTime: '0s', keepaliveTime: '5s' }, {}, 0, 0],
    ['from BGPConfiguration', {}, { holdTime: '30s' }, 30, 10],
    ['keepalive from BGPConfiguration', {}, { holdTime: '30s', keepaliveTime: '7s' }, 30, 7],
    ['hold time here, keepalive there: a third', { holdTime: '9s' }, { holdTime: '30s', keepaliveTime: '7s' }, 9, 3],
  ])('timers: %s', (_, spec, defaults, hold, keepalive) => {
    const derived = deriveFor('n1', [N1, configuration('default', defaults), peer('tor', spec)])
    expect(only(derived)).toMatchObject({ holdTimeSeconds: hold, keepaliveTimeSeconds: keepalive })
    expect(problemsOf(derived)).toEqual([])
  })

  test('a keepalive time that its hold time does not bear becomes a third of it, and a problem', () => {
    const derived = deriveFor('n1', [N1, configuration('default', { holdTime: '9s' }), peer('tor', { keepaliveTime: '20s' })])
    expect(only(derived)).toMatchObject({ holdTimeSeconds: 9, keepaliveTimeSeconds: 3 })
    expect(problemsOf(derived)).toEqual([
      expect.stringMatching(/^error BGPPeer\/tor: keepaliveTime 20s is not shorter than the hold time of 9s/),
    ])
  })

  test("a node's address is dialled at that node's port, unless another is written", () => {
    const port = configuration('rack-b', { nodeSelector: { matchLabels: { rack: 'b' } }, listenPort: 1179 })
    const world = (peerIP: string) => [N1, N2, NO_MESH, port, peer('x', { peerIP, asNumber: 64512, reversePeering: 'Manual' })]
    expect(sessions(deriveFor('n1', world('10.0.0.12')))).toEqual(['x -> 10.0.0.12:1179 AS64512'])
    expect(sessions(deriveFor('n1', world('10.0.0.12:2000')))).toEqual(['x -> 10.0.0.12:2000 AS64512'])
    expect(only(deriveFor('n1', world('10.0.0.12'))).clusterNode).toBe(true)
  })

  test('nobody peers with itself; a peer meant for that node alone is told', () => {
    const everyone = deriveFor('n2', [N1, N2, NO_MESH, peer('x', { peerIP: '10.0.0.12', asNumber: 64512, reversePeering: 'Manual' })])
    expect([sessions(everyone), problemsOf(everyone)]).toEqual([[], []])
    const itself = deriveFor('n2', [N2, peer('x', { peerIP: '10.0.0.12', asNumber: 64512, node: 'n2' })])
    expect(problemsOf(itself)).toEqual([expect.stringMatching(/^error BGPPeer\/x: peerIP 10.0.0.12 is an address of node n2 itself/)])
  })
})

describe('two peers at one address', () => {
  test('explicit beats mesh, without a word', () => {
    const derived = deriveFor('n1', [N1, N3, peer('x', { node: 'n1', peerIP: '10.0.0.13', asNumber: 64512, holdTime: '9s' })])
    expect(sessions(derived)).toEqual(['x -> 10.0.0.13:179 AS64512'])
    expect(problemsOf(derived)).toEqual([])
  })

  test.each([
    ['both by address', { peerIP: '10.0.0.1' }],
    ['another port does not tell them apart', { peerIP: '10.0.0.1:1179' }],
  ])('%s: the first by name wins, the other is a problem', (_, second) => {
    const derived = deriveFor('n1', [N1, peer('b', second), peer('a', { peerIP: '10.0.0.1' })])
    expect(sessions(derived)).toEqual(['a -> 10.0.0.1:179 AS65001'])
    expect(problemsOf(derived)).toEqual([
      expect.stringMatching(/^error BGPPeer\/b: BGPPeer\/a already peers with 10.0.0.1 from this node and wins/),
    ])
  })

  test('one link-local address on two interfaces is two peers', () => {
    const derived = deriveFor('n1', [N1, peer('a', { peerIP: 'fe80::1%eth0' }), peer('b', { peerIP: 'fe80::1%eth1' })])
    expect(derived.speaker.peers).toHaveLength(2)
    expect(problemsOf(derived)).toEqual([])
  })

  test('on different nodes is no matter', () => {
    const world = [N1, N2, NO_MESH, peer('a', { node: 'n1' }), peer('b', { node: 'n2' })]
    expect(problemsOf(deriveFor('n1', world))).toEqual([])
    expect(sessions(deriveFor('n2', world))).toEqual(['b -> 10.0.0.1:179 AS65001'])
  })

  test('two selectors that select one node are a problem, told once', () => {
    const both = { peerIP: undefined, asNumber: undefined }
    const bySelector = (name: string) => {
      const { spec, ...rest } = peer(name, { node: 'n1', peerSelector: { matchLabels: { rack: 'b' } } })
      const { peerIP: _ip, asNumber: _asn, ...others } = { ...spec, ...both }
      return { ...rest, spec: others }
    }
    const derived = deriveFor('n1', [N1, N3, NO_MESH, bySelector('a'), bySelector('b')])
    expect(sessions(derived)).toEqual(['a/n3/ipv4 -> 10.0.0.13:179 AS64512'])
    expect(problemsOf(derived)).toHaveLength(1)
  })
})

describe('BGPPeer by peerSelector: route reflectors in the cluster', () => {
  const toReflectors = (over: object = {}) => ({
    apiVersion: 'fibula.network/v1alpha1',
    kind: 'BGPPeer',
    metadata: { name: 'rr' },
    spec: {
      nodeSelector: { matchExpressions: [{ key: 'role', operator: 'DoesNotExist' }] },
      peerSelector: { matchLabels: { role: 'rr' } },
      ...over,
    },
  })
  const RR1 = rr('rr1', '10.0.0.1', '1.1.1.1')
  const RR2 = rr('rr2', '10.0.0.2', '1.1.1.1')
  const RR3 = rr('rr3', '10.0.0.3', '2.2.2.2')

  test('clients dial every reflector; reflectors peer back by themselves and treat them as clients', () => {
    const world = [N1, N3, NO_MESH, RR1, RR2, toReflectors()]
    expect(sessions(deriveFor('n1', world))).toEqual(['rr/rr1/ipv4 -> 10.0.0.1:179 AS64512', 'rr/rr2/ipv4 -> 10.0.0.2:179 AS64512'])
    expect(sessions(deriveFor('rr1', world))).toEqual(['rr/n1/ipv4 -> 10.0.0.11:179 AS64512', 'rr/n3/ipv4 -> 10.0.0.13:179 AS64512'])
    expect(deriveFor('n1', world).speaker).toMatchObject({
      clusterId: null,
      peers: [{ routeReflectorClient: false }, { routeReflectorClient: false }],
    })
    expect(deriveFor('rr1', world).speaker).toMatchObject({
      clusterId: 0x0101_0101,
      peers: [{ routeReflectorClient: true }, { routeReflectorClient: true }],
    })
  })

  test('reversePeering: Manual leaves the other end alone', () => {
    const world = [N1, NO_MESH, RR1, toReflectors({ reversePeering: 'Manual' })]
    expect(sessions(deriveFor('n1', world))).toHaveLength(1)
    expect(sessions(deriveFor('rr1', world))).toEqual([])
  })

  test('a node that is selected and selects: each pair has one session, also among reflectors', () => {
    const among = toReflectors({ nodeSelector: { matchLabels: { role: 'rr' } } })
    const world = [RR1, RR2, RR3, among]
    for (const name of ['rr1', 'rr2', 'rr3']) {
      const derived = deriveFor(name, world)
      expect(derived.speaker.peers).toHaveLength(2)
      expect(problemsOf(derived)).toEqual([])
    }
    const [same, foreign] = deriveFor('rr1', world).speaker.peers
    expect(same).toMatchObject({ key: 'rr/rr2/ipv4', routeReflectorClient: false }) // the same cluster
    expect(foreign).toMatchObject({ key: 'rr/rr3/ipv4', routeReflectorClient: true })
  })

  test('an iBGP router outside the cluster is a client too, an eBGP one is not (RFC 4456 §6)', () => {
    const derived = deriveFor('rr1', [RR1, peer('a', { peerIP: '10.0.9.1', asNumber: 64512 }), peer('b', { peerIP: '10.0.9.2' })])
    expect(derived.speaker.peers.map(({ routeReflectorClient }) => routeReflectorClient)).toEqual([true, false])
  })

  test('the reverse session shares transport, timers and capabilities; policy stays with whom it belongs to', () => {
    const world = [
      N1,
      NO_MESH,
      RR1,
      filter('f', {}),
      secret('s', 'fibula-system', { p: 'x' }),
      toReflectors({
        holdTime: '9s',
        role: 'Customer',
        addPath: { receive: true, send: 2 },
        password: { secretKeyRef: { name: 's', key: 'p' } },
        passive: true,
        filters: ['f'],
        maxPrefixes: { ipv4: 5 },
        nextHopMode: 'Self',
        allowLocalAS: 3,
        enforceFirstAS: false,
        localASNumber: 65555,
      }),
    ]
    expect(only(deriveFor('n1', world))).toMatchObject({
      holdTimeSeconds: 9,
      role: 'Customer',
      passive: true,
      filters: ['f'],
      localAsn: 65555,
    })
    expect(only(deriveFor('rr1', world))).toMatchObject({
      asn: 65555, // what the other end calls itself
      holdTimeSeconds: 9,
      role: 'Provider',
      password: 'x',
      addPath: { receive: true, send: 2 },
      passive: false,
      filters: [],
      maxPrefixes: null,
      nextHopMode: 'Auto',
      allowLocalAs: 0,
      enforceFirstAs: true,
      localAsn: null,
    })
  })

  test('a BGPPeer by the address of a node makes that node peer back, if AS number and port are its own', () => {
    const world = (spec: object) => [N1, N3, NO_MESH, peer('x', { node: 'n1', peerIP: '10.0.0.13', asNumber: 64512, ...spec })]
    expect(sessions(deriveFor('n3', world({})))).toEqual(['x/n1/ipv4 -> 10.0.0.11:179 AS64512'])
    expect(sessions(deriveFor('n3', world({ asNumber: 65009 })))).toEqual([])
    expect(sessions(deriveFor('n3', world({ peerIP: '10.0.0.13:2000' })))).toEqual([])
  })

  test('both ends of every session agree on addresses, ports and AS numbers', () => {
    const world = [
      N1,
      N2,
      N3,
      RR1,
      RR3,
      toReflectors(),
      configuration('rack-b', { nodeSelector: { matchLabels: { rack: 'b' } }, asNumber: 65002, listenPort: 1179 }),
    ]
    const names = ['n1', 'n2', 'n3', 'rr1', 'rr3']
    const ends = names.flatMap((name) =>
      deriveFor(name, world).speaker.peers.map((each) => ({ name, own: deriveFor(name, world).speaker.asn, each })),
    )
    expect(ends.length).toBeGreaterThan(10)
    for (const { name, own, each } of ends) {
      const back = ends.find(
        (other) =>
          each.key.split('/')[1] === other.name &&
          other.each.key.split('/')[1] === name &&
          other.each.families.join() === each.families.join(),
      )
      expect(back?.own).toBe(each.asn)
      expect(back?.each.asn).toBe(own)
      expect(back?.each.sourceAddress).toBe(each.address)
    }
  })
})

describe('passwords', () => {
  const REF = { password: { secretKeyRef: { name: 'tor', key: 'password' } } }

  test.each([
    ['no Secret', [], /Secret fibula-system\/tor, which does not exist, so the session stays down; create it in namespace fibula-system/],
    [
      'in another namespace',
      [secret('tor', 'default', { password: 'geheim' })],
      /create it in namespace fibula-system, passwords are read from there only/,
    ],
    ['no such key', [secret('tor', 'fibula-system', { pass: 'geheim' })], /has no key password/],
    ['empty', [secret('tor', 'fibula-system', { password: '' })], /is empty at key password/],
    ['more than TCP MD5 takes', [secret('tor', 'fibula-system', { password: 'geheim'.repeat(20) })], /is longer than 80 octets/],
  ])('%s: that peer stays down, the others do not notice, the value is nowhere', (_, secrets, message) => {
    const derived = deriveFor('n1', [N1, ...secrets, peer('a', REF), peer('b', { peerIP: '10.0.0.2' })])
    expect(peersOf(derived)).toMatchObject({
      a: { shutdown: { message: 'no password' }, password: null },
      b: { shutdown: null, password: null },
    })
    expect(problemsOf(derived)).toEqual([expect.stringMatching(message)])
    expect(JSON.stringify(derived.problems)).not.toContain('geheim')
    expect(derived.secretsWanted).toEqual([{ namespace: 'fibula-system', name: 'tor', keys: ['password'] }])
  })

  test('a peer that waits for its password keeps the mesh from taking its address without one', () => {
    const derived = deriveFor('n1', [N1, N3, peer('x', { node: 'n1', peerIP: '10.0.0.13', asNumber: 64512, ...REF })])
    expect(derived.speaker.peers).toMatchObject([{ key: 'x', shutdown: { message: 'no password' } }])
  })
})

describe('filters', () => {
  test('a filter that does not exist rejects everything both ways, and is told', () => {
    const derived = deriveFor('n1', [N1, peer('a', { filters: ['gone'] }), peer('b', { peerIP: '10.0.0.2' })])
    const reject = [expect.objectContaining({ action: 'Reject', prefix: null, communities: null, source: null, peerType: null })]
    expect(derived.speaker.filters).toEqual({ gone: { name: 'gone', import: { 4: reject, 6: reject }, export: { 4: reject, 6: reject } } })
    expect(derived.speaker.peers.map(({ filters }) => filters)).toEqual([['gone'], []])
    expect(problemsOf(derived)).toEqual([
      expect.stringMatching(
        /^error BGPPeer\/a: spec.filters names gone, but there is no BGPFilter of that name, so every route of this peer is rejected both ways/,
      ),
    ])
  })

  test('a name that every object inherits is no filter either', () => {
    const derived = deriveFor('n1', [N1, peer('a', { filters: ['constructor'] })])
    expect(Object.hasOwn(derived.speaker.filters, 'constructor')).toBe(true)
    expect(derived.problems).toHaveLength(1)
  })

  test('only filters that a peer of this node names are there', () => {
    const derived = deriveFor('n1', [N1, filter('used', {}), filter('other', {}), peer('a', { filters: ['used'] })])
    expect(Object.keys(derived.speaker.filters)).toEqual(['used'])
  })
})

describe('a change leaves everything else as it was', () => {
  const WORLD = [
    N1,
    N2,
    N3,
    pool('pods', '10.244.0.0/16'),
    filter('f', {}),
    filter('g', {}),
    peer('a', { filters: ['f'] }),
    peer('b', { peerIP: '10.0.0.2', filters: ['g'] }),
    secret('tor', 'fibula-system', { p: 'x' }),
  ]

  test('deriving twice gives the same', () => {
    expect(deriveFor('n1', WORLD)).toEqual(deriveFor('n1', WORLD))
    expect(deriveFor('n1', [...WORLD].reverse())).toEqual(deriveFor('n1', WORLD))
  })

  test('every other peer is deeply equal when one changes, comes or goes', () => {
    const before = peersOf(deriveFor('n1', WORLD))
    const changes: readonly (readonly [string | null, readonly unknown[]])[] = [
      ['a', WORLD.map((each) => (each.kind === 'BGPPeer' && each.metadata.name === 'a' ? peer('a', { holdTime: '9s' }) : each))],
      ['a', WORLD.filter((each) => each.metadata.name !== 'a')],
      [null, [...WORLD, peer('c', { peerIP: '10.0.0.3' })]],
      [null, [...WORLD, node('n4', ['10.0.0.14'])]],
      [null, [...WORLD, pool('more', '10.245.0.0/16')]],
      [null, [...WORLD, secret('other', 'fibula-system', { p: 'x' })]],
    ]
    for (const [changed, world] of changes) {
      const after = peersOf(deriveFor('n1', world))
      for (const [key, each] of Object.entries(before)) if (key !== changed) expect(after[key]).toEqual(each)
    }
  })
})
