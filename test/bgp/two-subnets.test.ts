// Two nodes of one AS on two subnets, a ToR in both, and the mesh between the nodes: what carries the pods of one to the other.
import { describe, expect, test } from '@jest/globals'
import type { EncapsulationConfig, PeerConfig, SpeakerConfig } from '../../src/bgp/config.ts'
import type { Filter } from '../../src/bgp/filter.ts'
import { cidr, type HostNetwork, ip } from '../../src/net/index.ts'
import { config, originate, peer, type TestSpeaker, World } from './speaker-world.ts'

const A = '10.0.1.11'
const B = '10.0.2.12'
const TOR = ['10.0.1.1', '10.0.2.1'] as const
const POOL = cidr('10.244.0.0/16')
const BLOCK_A = '10.244.1.0/26'
const BLOCK_B = '10.244.2.0/26'

const TUNNELS: EncapsulationConfig = {
  pools: [{ prefix: POOL, mode: 'CrossSubnet' }],
  nodes: [ip(A), ip(B)],
  device: { ipv4: 'fibipip', ipv6: 'fibip6tnl' },
}

/** A node on a subnet of its own, with a default route to the ToR. */
function network(own: string, router: string, hasTunnel = true): HostNetwork {
  const subnet = cidr(own.replace(/\.\d+$/, '.0/24'))
  return {
    routes: [
      { prefix: subnet, interfaceIndex: 1, gateway: null, metric: 0 },
      { prefix: cidr('0.0.0.0/0'), interfaceIndex: 1, gateway: ip(router), metric: 0 },
    ],
    localAddresses: [{ address: ip(own), prefixLength: 24, interfaceIndex: 1 }],
    interfaces: [{ index: 1, name: 'eth0', up: true }, ...(hasTunnel ? [{ index: 7, name: 'fibipip', up: true }] : [])],
  }
}

const TOR_NETWORK: HostNetwork = {
  routes: [1, 2].map((at) => ({ prefix: cidr(`10.0.${at}.0/24`), interfaceIndex: at, gateway: null, metric: 0 })),
  localAddresses: TOR.map((address, at) => ({ address: ip(address), prefixLength: 24, interfaceIndex: at + 1 })),
  interfaces: [1, 2].map((at) => ({ index: at, name: `eth${at}`, up: true })),
}

/** A ToR whose exports pods' routes do not pass. */
const NOTHING: Filter = {
  name: 'nothing',
  import: { 4: [], 6: [] },
  export: {
    4: [
      {
        action: 'Reject',
        prefix: null,
        communities: null,
        asPathPrefix: null,
        asPathContains: null,
        source: null,
        peerType: null,
        operations: [],
      },
    ],
    6: [],
  },
}

type Rack = {
  readonly world: World
  readonly a: TestSpeaker
  readonly tor: TestSpeaker
  nodeConfig(own: string, change?: Partial<PeerConfig>): SpeakerConfig
  torConfig(carries: boolean): SpeakerConfig
}

function rack({ carries = true, toTor = { allowLocalAs: 1 } }: { carries?: boolean; toTor?: Partial<PeerConfig> } = {}): Rack {
  const world = new World()
  const nodeConfig = (own: string, change: Partial<PeerConfig> = {}): SpeakerConfig => {
    const isA = own === A
    return config(
      64_512,
      isA ? 11 : 12,
      [peer(isA ? B : A, 64_512, { clusterNode: true }), peer(isA ? TOR[0] : TOR[1], 65_001, { ...toTor, ...change })],
      { mode: 'Host', originated: originate(isA ? BLOCK_A : BLOCK_B), importBounds: [POOL], encapsulation: TUNNELS },
    )
  }
  const torConfig = (isCarrying: boolean): SpeakerConfig =>
    config(65_001, 1, [peer(A, 64_512, { filters: isCarrying ? [] : ['nothing'] }), peer(B, 64_512)], { filters: { nothing: NOTHING } })
  const a = world.start(A, nodeConfig(A))
  a.speaker.setHostNetwork(network(A, TOR[0]))
  const b = world.start(B, nodeConfig(B))
  b.speaker.setHostNetwork(network(B, TOR[1]))
  const tor = world.start(TOR, torConfig(carries))
  tor.speaker.setHostNetwork(TOR_NETWORK)
  world.run(30)
  return { world, a, tor, nodeConfig, torConfig }
}

const reasons = (speaker: TestSpeaker, prefix: string): Readonly<Record<string, string>> =>
  Object.fromEntries(
    speaker.routes().flatMap((route) => (route.prefix === prefix ? route.paths.map(({ peer: from, reason }) => [from, reason]) : [])),
  )

const tunnelled = (speaker: TestSpeaker, prefix: string): readonly string[] =>
  speaker
    .routes()
    .flatMap((route) =>
      route.prefix === prefix ? route.paths.filter(({ encapsulated }) => encapsulated).map(({ peer: from }) => from) : [],
    )

const PLAIN = ['10.0.1.1%1']
const TUNNEL = [`${B}%7 onlink`]

describe('pods of a node in another subnet', () => {
  test('the ToR carries their block: plain by way of the ToR, though the path of the mesh is shorter', () => {
    const { a } = rack()
    expect(a.hops.get(BLOCK_B)).toEqual(PLAIN)
    expect(reasons(a, BLOCK_B)).toEqual({
      'to-10.0.1.1': 'best: plain, the others encapsulated (IP-in-IP)',
      'to-10.0.2.12': 'lost: encapsulated (IP-in-IP), the best plain',
    })
    expect(tunnelled(a, BLOCK_B)).toEqual(['to-10.0.2.12'])
  })

  test('the ToR does not: through the tunnel to the node', () => {
    const { a } = rack({ carries: false })
    expect(a.hops.get(BLOCK_B)).toEqual(TUNNEL)
    expect(reasons(a, BLOCK_B)).toEqual({ 'to-10.0.2.12': 'best: only path' })
  })

  test('the ToR withdraws: the tunnel takes over; it comes back: plain again', () => {
    const { world, a, tor, torConfig } = rack()
    tor.speaker.configure(torConfig(false))
    world.run(1)
    expect(a.hops.get(BLOCK_B)).toEqual(TUNNEL)
    tor.speaker.configure(torConfig(true))
    world.run(1)
    expect(a.hops.get(BLOCK_B)).toEqual(PLAIN)
  })

  test('the device goes: no route rather than a wrong one, and words for it; it comes back', () => {
    const { world, a } = rack({ carries: false })
    a.speaker.setHostNetwork(network(A, TOR[0], false))
    world.run(1)
    expect(a.hops.get(BLOCK_B)).toBeUndefined()
    expect(reasons(a, BLOCK_B)['to-10.0.2.12']).toMatch(/^unusable: .*needs the tunnel device fibipip, which is missing/)
    a.speaker.setHostNetwork(network(A, TOR[0]))
    world.run(1)
    expect(a.hops.get(BLOCK_B)).toEqual(TUNNEL)
  })

  test('another mode changes routes and no session', () => {
    const { world, a, nodeConfig } = rack({ carries: false })
    a.speaker.configure({ ...nodeConfig(A), encapsulation: null })
    world.run(1)
    expect(a.hops.get(BLOCK_B)).toEqual(PLAIN) // by way of the default route to the node
    a.speaker.configure(nodeConfig(A))
    world.run(1)
    expect(a.hops.get(BLOCK_B)).toEqual(TUNNEL)
    expect(a.speaker.peers().map(({ flaps }) => flaps)).toEqual([0, 0])
  })
})

describe('a ToR whose routes are dropped for our own AS number', () => {
  test('is shown with an example and a remedy, and the traffic takes the tunnel', () => {
    const { a } = rack({ toTor: {} })
    expect(a.hops.get(BLOCK_B)).toEqual(TUNNEL)
    expect(a.status('to-10.0.1.1').ownAsRejected).toEqual({ count: 1, example: '10.244.2.0/26, AS path 65001 64512' })
    expect(a.speaker.problems()).toEqual([
      {
        severity: 'warning',
        subject: 'BGPPeer/to-10.0.1.1',
        message:
          'routes to pods are dropped because our own AS number is in their AS path (10.244.2.0/26, AS path 65001 64512), and nothing else ' +
          'carries them without a tunnel; give nodes AS numbers of their own (annotation fibula.network/asn), set `allowLocalAS: 1` on this ' +
          'BGPPeer, or as-override on the router',
      },
    ])
  })

  test('is a problem no more once they are allowed', () => {
    const { world, a, nodeConfig } = rack({ toTor: {} })
    a.speaker.configure(nodeConfig(A, { allowLocalAs: 1 }))
    world.run(1)
    expect(a.speaker.problems()).toEqual([])
    expect(a.status('to-10.0.1.1').ownAsRejected).toBeNull()
    expect(a.hops.get(BLOCK_B)).toEqual(PLAIN)
  })

  test('comes and goes with what the ToR tells, and the observer hears of it', () => {
    const { world, a, tor, torConfig } = rack({ carries: false, toTor: {} })
    expect(a.speaker.problems()).toEqual([])
    for (const carries of [true, false]) {
      const before = a.problemChanges
      tor.speaker.configure(torConfig(carries))
      world.run(1)
      expect(a.speaker.problems()).toHaveLength(carries ? 1 : 0)
      expect(a.problemChanges).toBe(before + 1)
    }
  })
})
