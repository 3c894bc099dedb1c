// What a node makes of pools: IPAM, tunnels, rules, and which addresses of its pods it advertises itself.
import { describe, expect, test } from '@jest/globals'
import { TUNNEL_DEVICE } from '../../../src/agent/derive/encapsulation.ts'
import { type Derived, derivedSelections, isDerivedFrom } from '../../../src/agent/derive/index.ts'
import { formatIp, formatPrefix, ip } from '../../../src/net/index.ts'
import { TUNNELS } from '../../../src/routes/index.ts'
import { GROUP_VERSION } from '../../../src/store/index.ts'
import { block, configuration, node, pool } from '../../store/objects.ts'
import { deriveFor, host, prefixes, problemsOf, snapshotOf } from './world.ts'

const N1 = node('n1', ['10.0.0.11', 'fd00::11'], { labels: { rack: 'a' } })
const N2 = node('n2', ['10.0.0.12', 'fd00::12'])
const POOL = pool('pods', '10.244.0.0/16')
const HOST = host({ lo: ['127.0.0.1/8', '::1/128'], eth0: ['10.0.0.11/24', 'fd00::11/64'] })

function withPods(objects: readonly unknown[], addresses: readonly string[] | null, network = HOST) {
  return deriveFor('n1', objects, network, addresses === null ? {} : { podAddresses: addresses.map(ip) })
}

function object(kind: string, name: string, spec: object): object {
  return { apiVersion: GROUP_VERSION, kind, metadata: { name }, spec }
}

test('the watch of blocks is that of our own (decision 9)', () => {
  expect(derivedSelections('n1')).toContainEqual({ kind: 'IPAMBlock', labels: { 'fibula.network/node': 'n1' } })
  expect(derivedSelections('n1')).not.toContainEqual({ kind: 'IPAMBlock' })
})

test('addresses that come and go in a block are no reason to derive again; its state, its node and its end are', () => {
  const before = snapshotOf([block('10.244.0.0/26', 'n1')])
  const [known] = before.IPAMBlock.values()
  if (known === undefined) throw new Error('no block')
  const put = (spec: object, name = known.metadata.name): boolean =>
    isDerivedFrom(before, { type: 'put', object: { ...known, metadata: { ...known.metadata, name }, spec: { ...known.spec, ...spec } } })
  expect(put({ sequence: 9, allocations: [{ address: '10.244.0.1', handle: 'h', sequence: 1 }] })).toBe(false)
  expect([put({ state: 'Pending' }), put({ node: 'n2' }), put({}, 'another')]).toEqual([true, true, true])
  expect(isDerivedFrom(before, { type: 'gone', object: known })).toBe(true)
})

describe('IPAM', () => {
  const ipamOf = (objects: readonly unknown[]) => deriveFor('n1', [N1, ...objects]).ipam

  test('without any object there are no pools, and the defaults hold', () => {
    expect(ipamOf([])).toEqual({ pools: [], reservations: [], strictAffinity: false, maxBlocksPerHost: null, coolDownSeconds: 30 })
  })

  test('pools come in order of their names, each with what holds for this node', () => {
    const { pools } = ipamOf([
      pool('b', '10.245.0.0/16', { nodeSelector: { matchLabels: { rack: 'b' } }, disabled: true }),
      pool('c', 'fd00:244::/64', { namespaceSelector: { matchLabels: { team: 'x' } }, assignmentMode: 'Manual' }),
      pool('a', '10.246.0.0/16', { blockSize: 28, nodeSelector: { matchLabels: { rack: 'a' } }, allowedUses: ['LoadBalancer'] }),
    ])
    expect(pools.map(({ range, ...rest }) => ({ range: formatPrefix(range), ...rest }))).toEqual([
      {
        name: 'a',
        range: '10.246.0.0/16',
        blockSize: 28,
        selectsNode: true,
        namespaceSelector: null,
        disabled: false,
        assignmentMode: 'Automatic',
        forWorkloads: false,
      },
      {
        name: 'b',
        range: '10.245.0.0/16',
        blockSize: 26,
        selectsNode: false,
        namespaceSelector: null,
        disabled: true,
        assignmentMode: 'Automatic',
        forWorkloads: true,
      },
      {
        name: 'c',
        range: 'fd00:244::/64',
        blockSize: 122,
        selectsNode: true,
        namespaceSelector: { matchLabels: { team: 'x' } },
        disabled: false,
        assignmentMode: 'Manual',
        forWorkloads: true,
      },
    ])
  })

  test('reservations and the cluster’s settings arrive', () => {
    const ipam = ipamOf([
      object('IPReservation', 'gateways', { reservedCIDRs: ['10.244.0.1/32', 'fd00:244::/127'] }),
      object('IPReservation', 'a', { reservedCIDRs: ['10.244.9.0/24'] }),
      object('IPAMConfiguration', 'default', { strictAffinity: true, maxBlocksPerHost: 4, ipCooldown: '2m' }),
    ])
    expect(prefixes(ipam.reservations)).toEqual(['10.244.9.0/24', '10.244.0.1/32', 'fd00:244::/127'])
    expect(ipam).toMatchObject({ strictAffinity: true, maxBlocksPerHost: 4, coolDownSeconds: 120 })
  })

  test('of two pools that overlap the younger gives no more addresses, and a problem names both', () => {
    const aged = (name: string, cidr: string, creationTimestamp: string) => ({
      ...pool(name, cidr),
      metadata: { name, creationTimestamp },
    })
    const world = [N1, aged('a', '10.244.8.0/24', '2030-01-02T00:00:00Z'), aged('b', '10.244.0.0/16', '2030-01-01T00:00:00Z')]
    const derived = deriveFor('n1', world)
    expect(derived.ipam.pools.map(({ name, disabled }) => [name, disabled])).toEqual([
      ['a', true],
      ['b', false],
    ])
    expect(problemsOf(derived)).toEqual([
      'error IPPool/a: its cidr 10.244.8.0/24 overlaps 10.244.0.0/16 of IPPool/b, which is older, so no new addresses come from a; give it another range, or remove one of the two',
    ])
  })

  test('of two that were made at once the first by name stays, whatever the order of arrival', () => {
    const two = [pool('y', '10.244.0.0/16'), pool('x', '10.244.0.0/17')]
    for (const world of [two, two.toReversed()]) {
      expect(ipamOf(world).pools.map(({ name, disabled }) => `${name} ${disabled}`)).toEqual(['x false', 'y true'])
    }
  })
})

describe('addresses of pods that no block of ours covers', () => {
  const originated = (derived: Derived) => prefixes(derived.speaker.originated.map(({ prefix }) => prefix))

  test('are advertised as host routes beside our confirmed blocks, and have no blackhole', () => {
    const world = [N1, POOL, pool('six', 'fd00:244::/64'), block('10.244.0.0/26', 'n1'), block('fd00:244::/122', 'n2')]
    const derived = withPods(world, ['10.244.0.7', '10.244.3.9', 'fd00:244::5', '10.244.3.8'])
    expect(originated(derived)).toEqual(['10.244.0.0/26', '10.244.3.8/32', '10.244.3.9/32', 'fd00:244::5/128'])
    expect(prefixes(derived.local.routes.blackholes)).toEqual(['10.244.0.0/26'])
  })

  test('a pending block covers nothing and is neither advertised nor blackholed', () => {
    const derived = withPods([N1, POOL, block('10.244.0.0/26', 'n1', { state: 'Pending' })], [])
    expect([originated(derived), derived.local.routes.blackholes]).toEqual([[], []])
  })

  test('nothing of a pool with disableBGPExport', () => {
    expect(originated(withPods([N1, pool('pods', '10.244.0.0/16', { disableBGPExport: true })], ['10.244.3.9']))).toEqual([])
  })

  test('the order in which pods came makes no difference', () => {
    const world = [N1, POOL]
    expect(originated(withPods(world, ['10.244.3.9', '10.244.3.8']))).toEqual(originated(withPods(world, ['10.244.3.8', '10.244.3.9'])))
  })
})

describe('IP-in-IP', () => {
  const CARRIED = pool('pods', '10.244.0.0/16', { ipipMode: 'CrossSubnet' })
  const SIX = pool('six', 'fd00:244::/64', { ipipMode: 'Always' })

  test('is not there without a pool that asks for it', () => {
    const { speaker, local } = deriveFor('n1', [N1, N2, POOL])
    expect([speaker.encapsulation, local.tunnels]).toEqual([null, { ipv4: null, ipv6: null }])
  })

  test('pools with their mode, the other nodes, and one device a family', () => {
    const { speaker, local } = deriveFor('n1', [N1, N2, CARRIED, SIX, pool('plain', '10.250.0.0/16')])
    const { pools, nodes, device } = speaker.encapsulation ?? { pools: [], nodes: [], device: null }
    expect(pools.map(({ prefix, mode }) => [formatPrefix(prefix), mode])).toEqual([
      ['10.244.0.0/16', 'CrossSubnet'],
      ['fd00:244::/64', 'Always'],
    ])
    expect(nodes.map(formatIp)).toEqual(['10.0.0.12', 'fd00::12'])
    expect(device).toEqual({ ipv4: 'fibipip', ipv6: 'fibip6tnl' })
    expect(local.tunnels).toEqual({ ipv4: { local: ip('10.0.0.11') }, ipv6: { local: ip('fd00::11') } })
  })

  test('a tunnel is there for families that need it, and where the node has an address of that family', () => {
    expect(deriveFor('n1', [N1, CARRIED]).local.tunnels).toEqual({ ipv4: { local: ip('10.0.0.11') }, ipv6: null })
    expect(deriveFor('n1', [node('n1', ['fd00::11']), CARRIED]).local.tunnels).toEqual({ ipv4: null, ipv6: null })
  })

  test('a node that installs no routes makes no tunnel', () => {
    const world = [N1, CARRIED, configuration('default', { installRoutes: false })]
    expect(deriveFor('n1', world).local.tunnels).toEqual({ ipv4: null, ipv6: null })
  })

  test('all parts mean the same devices', () => {
    expect({ ipv4: TUNNELS[4].name, ipv6: TUNNELS[6].name }).toEqual(TUNNEL_DEVICE)
  })
})

describe('rules', () => {
  test('are wanted for pods or for tunnels, and else not at all', () => {
    expect(withPods([N1, POOL], null).local.guards).toBeNull()
    expect(withPods([N1, POOL], []).local.guards).not.toBeNull()
    expect(withPods([N1, pool('pods', '10.244.0.0/16', { ipipMode: 'Always' })], null).local.guards).not.toBeNull()
  })

  test('pools, also disabled ones; every address of every node; who may send through the tunnel', () => {
    const world = [
      N1,
      { ...N2, metadata: { name: 'n2', annotations: { 'fibula.network/ipv4-address': '10.9.0.12/24' } } },
      pool('pods', '10.244.0.0/16', { natOutgoing: true, ipipMode: 'Always' }),
      pool('old', '10.245.0.0/16', { disabled: true }),
    ]
    const guards = withPods(world, []).local.guards
    expect(guards?.pools.map(({ range, natOutgoing }) => `${formatPrefix(range)} ${natOutgoing}`)).toEqual([
      '10.245.0.0/16 false',
      '10.244.0.0/16 true',
    ])
    expect(guards?.nodeAddresses.map(formatIp)).toEqual(['10.0.0.11', '10.0.0.12', '10.9.0.12', 'fd00::11', 'fd00::12'])
    expect(guards?.tunnels[4]).toEqual({ device: 'fibipip', nodeAddresses: [ip('10.9.0.12')] })
    expect(guards?.tunnels[6]).toBeNull()
    expect(guards?.families).toEqual([4, 6])
  })

  test('of a family that the host does not speak there are none', () => {
    expect(withPods([N1, POOL], [], host({ lo: ['127.0.0.1/8'] })).local.guards?.families).toEqual([4])
  })
})
