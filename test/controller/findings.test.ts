// What is wrong in a cluster that no admission could see: each finding where it belongs, and none where all is well.
import { describe, expect, test } from '@jest/globals'
import { findFindings } from '../../src/controller/index.ts'
import { configuration, filter, node, peer, pool } from '../store/objects.ts'
import { ipamBlock, kubeNode, lines, network, session, snapshotOf } from './world.ts'

const found = (...objects: readonly object[]): readonly string[] => lines(findFindings(snapshotOf(objects)))
const messages = (...objects: readonly object[]): string => JSON.stringify(findFindings(snapshotOf(objects)).map(({ message }) => message))
const rack = (name: string) => ({ nodeSelector: { matchLabels: { rack: name } } })
const reported = (type: string, status: 'True' | 'False', message: string) => {
  return { type, status, reason: 'X', message, lastTransitionTime: '2026-01-01T00:00:00Z' }
}

test('a healthy cluster has no findings', () => {
  const objects = [
    kubeNode('n1', true, { rack: 'a' }),
    network('n1', {
      routerID: '10.0.0.1',
      peers: [session('tor'), session(null)],
      sessions: { configured: 2, established: 2 },
      conditions: [reported('Ready', 'True', 'fine'), reported('IPAMReady', 'True', 'fine')],
    }),
    configuration('default', { asNumber: 64_512 }),
    peer('tor', { ...rack('a'), peerIP: '10.0.0.254', filters: ['some'] }),
    filter('some', {}),
    pool('pods', '10.244.0.0/16'),
    ipamBlock('10.244.0.0/26', 'n1', [{ address: '10.244.0.1', pod: 'a' }]),
  ]
  expect(found(...objects)).toEqual([])
})

test('an empty store has no findings', () => expect(found()).toEqual([]))

test('errors first, then in order of the objects', () => {
  const at = (host: number) => ({ peerIP: `10.0.0.${host}` })
  const lost = [peer('b', { ...at(1), node: 'n9' }), peer('a', { ...at(2), node: 'n9' })]
  const unfiltered = [peer('d', { ...at(3), filters: ['x'] }), peer('c', { ...at(4), filters: ['x'] })]
  expect(found(kubeNode('n1'), ...lost, ...unfiltered)).toEqual([
    'error BGPPeer/c FilterNotFound',
    'error BGPPeer/d FilterNotFound',
    'warning BGPPeer/a SelectsNoNode',
    'warning BGPPeer/b SelectsNoNode',
  ])
})

describe('pools', () => {
  test('the younger of two that overlap, by creation and then by name', () => {
    const old = { ...pool('z-old', '10.244.0.0/16'), metadata: { name: 'z-old', creationTimestamp: '2026-01-01T00:00:00Z' } }
    const young = { ...pool('a-young', '10.244.64.0/18'), metadata: { name: 'a-young', creationTimestamp: '2026-01-02T00:00:00Z' } }
    expect(found(old, young)).toEqual(['error IPPool/a-young Overlaps'])
    expect(messages(old, young)).toContain('10.244.64.0/18 overlaps 10.244.0.0/16 of IPPool/z-old')
    expect(found(pool('a', '10.0.0.0/24'), pool('b', '10.0.0.0/24'))).toEqual(['error IPPool/b Overlaps'])
    expect(found(pool('a', '10.0.0.0/25'), pool('b', '10.0.0.0/24'))).toEqual(['error IPPool/b Overlaps'])
    expect(found(pool('a', '10.0.0.0/24'), pool('b', 'fd00::/64'), pool('c', '10.0.1.0/24'))).toEqual([])
  })

  test('a nodeSelector that matches nothing, but not while no node is known', () => {
    expect(found(kubeNode('n1', true, { rack: 'b' }), pool('p', '10.0.0.0/24', rack('a')))).toEqual(['warning IPPool/p SelectsNoNode'])
    expect(found(pool('p', '10.0.0.0/24', rack('a')))).toEqual([])
    expect(found(kubeNode('n1', true, { rack: 'a' }), pool('p', '10.0.0.0/24', rack('a')))).toEqual([])
  })

  const used = (count: number, claimed: number) =>
    ipamBlock(
      '10.0.0.0/26',
      'n1',
      Array.from({ length: count }, (_, at) => ({ address: `10.0.0.${at}`, pod: `p${at}`, sequence: at })),
      Array.from({ length: claimed }, (_, at) => ({ address: `10.0.0.${63 - at}`, node: 'n1' })),
    )
  test.each([
    [57, 0, []],
    [50, 7, []],
    [58, 0, ['warning IPPool/p NearlyExhausted']],
    [50, 8, ['warning IPPool/p NearlyExhausted']],
    [56, 8, ['error IPPool/p Exhausted']],
  ])('%i of 64 addresses in use and %i claimed ahead', (count, claimed, wanted) => {
    expect(found(pool('p', '10.0.0.0/26'), used(count, claimed))).toEqual(wanted)
  })

  test.each([
    ['one inside another counts once', ['10.0.0.32/27', '10.0.0.40/32', '10.9.0.0/16']],
    ['in whatever order', ['10.0.0.63/32', '10.0.0.40/32', '10.0.0.32/27', '10.0.0.32/28']],
    ['one that is named twice, too', ['10.0.0.32/27', '10.0.0.32/27']],
    ['two side by side count both', ['10.0.0.48/28', '10.0.0.32/28']],
  ])('what an IPReservation keeps back cannot be used up: %s', (_, reservedCIDRs) => {
    const reservation = { apiVersion: 'fibula.network/v1alpha1', kind: 'IPReservation', metadata: { name: 'r' }, spec: { reservedCIDRs } }
    expect(found(pool('p', '10.0.0.0/26'), reservation, used(28, 0))).toEqual([])
    expect(found(pool('p', '10.0.0.0/26'), reservation, used(29, 0))).toEqual(['warning IPPool/p NearlyExhausted'])
    expect(messages(pool('p', '10.0.0.0/26'), reservation, used(29, 0))).toContain('29 of its 32 addresses are in use')
    expect(found(pool('p', '10.0.0.0/26'), reservation, used(32, 0))).toEqual(['error IPPool/p Exhausted'])
  })

  test('an IPReservation of all of a pool, or more, leaves nothing', () => {
    const reservation = {
      apiVersion: 'fibula.network/v1alpha1',
      kind: 'IPReservation',
      metadata: { name: 'r' },
      spec: { reservedCIDRs: ['10.0.0.0/16'] },
    }
    expect(found(pool('p', '10.0.0.0/26'), reservation)).toEqual(['error IPPool/p Exhausted'])
  })

  test('a disabled pool is not exhausted: it gives nothing', () => {
    expect(found(pool('p', '10.0.0.0/26', { disabled: true }), used(64, 0))).toEqual([])
  })

  test('a pool for service addresses is none of pods', () => {
    expect(found(pool('p', '10.0.0.0/26', { allowedUses: ['LoadBalancer'] }), used(64, 0))).toEqual([])
  })

  test('strictAffinity and no block left', () => {
    const strict = {
      apiVersion: 'fibula.network/v1alpha1',
      kind: 'IPAMConfiguration',
      metadata: { name: 'default' },
      spec: { strictAffinity: true },
    }
    expect(found(pool('p', '10.0.0.0/26'), used(1, 0), strict)).toEqual(['warning IPPool/p NoBlockLeft'])
    expect(found(pool('p', '10.0.0.0/25'), used(1, 0), strict)).toEqual([])
    const unclaimed = ipamBlock('10.0.0.64/26', null) // has addresses of pods, or it would not be there
    expect(found(pool('p', '10.0.0.0/25'), used(1, 0), unclaimed, strict)).toEqual(['warning IPPool/p NoBlockLeft'])
  })

  test('a block that no pool has; many of them are one finding', () => {
    expect(found(ipamBlock('10.0.0.0/26', 'n1'))).toEqual(['warning IPAMBlock/10-0-0-0-26 InNoPool'])
    expect(messages(ipamBlock('10.0.0.0/26', 'n1'))).toContain('no IPPool has this block of node n1, in which 0 addresses are in use')
    const orphan = ipamBlock('10.0.0.0/26', null, [{ address: '10.0.0.1', pod: 'a', node: 'n1' }])
    expect(messages(orphan)).toContain('no IPPool has this block, in which 1 addresses are in use')
    const many = Array.from({ length: 6 }, (_, at) => ipamBlock(`10.0.${5 - at}.0/26`, 'n1'))
    expect(found(...many.slice(1))).toHaveLength(5)
    expect(found(...many)).toEqual(['warning IPAMBlock InNoPool'])
    expect(messages(...many)).toContain('no IPPool has 6 blocks: 10-0-0-0-26, 10-0-1-0-26, 10-0-2-0-26 and 3 more')
  })
})

describe('peers', () => {
  const nodes = [kubeNode('n1', true, { rack: 'a' }), kubeNode('n2', true, { rack: 'b' })]

  test('selectors and names that mean nobody', () => {
    expect(found(...nodes, peer('p', rack('c')))).toEqual(['warning BGPPeer/p SelectsNoNode'])
    expect(found(...nodes, peer('p', { node: 'n9' }))).toEqual(['warning BGPPeer/p SelectsNoNode'])
    const reflectors = {
      apiVersion: 'fibula.network/v1alpha1',
      kind: 'BGPPeer',
      metadata: { name: 'rr' },
      spec: { peerSelector: { matchLabels: { rr: 'true' } } },
    }
    expect(found(...nodes, reflectors)).toEqual(['warning BGPPeer/rr SelectsNoNode'])
    expect(found(...nodes, kubeNode('n3', true, { rr: 'true' }), reflectors)).toEqual([])
    expect(messages(...nodes, peer('p', rack('c')))).toContain('its nodeSelector matches no node')
    expect(messages(...nodes, peer('p', { node: 'n9' }))).toContain('there is no node n9')
    expect(messages(...nodes, reflectors)).toContain('its peerSelector matches no node')
    expect(found(peer('p', { node: 'n9' }))).toEqual([]) // no Node objects: nobody knows
    expect(found(...nodes, peer('p'), peer('q', { node: 'n1', peerIP: '10.0.0.2' }))).toEqual([])
  })

  test('a filter that is not there', () => {
    expect(found(peer('p', { filters: ['a', 'b', 'a'] }), filter('b', {}))).toEqual(['error BGPPeer/p FilterNotFound'])
  })

  test('two with one address on one node: the first by name wins; port and notation make no difference', () => {
    expect(found(...nodes, peer('a'), peer('b', { peerIP: '10.0.0.1:1179' }))).toEqual(['error BGPPeer/b DuplicatePeer'])
    expect(messages(...nodes, peer('a'), peer('b'))).toContain('BGPPeer/a already peers with 10.0.0.1 from n1 and n2 and wins there')
    expect(found(...nodes, peer('a', rack('a')), peer('b', rack('b')))).toEqual([])
    expect(found(...nodes, peer('a', rack('a')), peer('b', { node: 'n1' }))).toEqual(['error BGPPeer/b DuplicatePeer'])
    const [one, other] = [peer('a', { peerIP: 'fd00::1' }), peer('b', { peerIP: '[fd00:0::1]:179' })]
    expect(found(...nodes, one, other)).toEqual(['error BGPPeer/b DuplicatePeer'])
    expect(found(...nodes, peer('a', { peerIP: 'fe80::1%eth0' }), peer('b', { peerIP: 'fe80::1%eth1' }))).toEqual([])
  })

  test('sessions: none, some, all established; shut down on purpose is no finding', () => {
    const down = { state: 'Active', lastError: 'hold timer expired' }
    const two = (first: object, second: object) => [
      network('n1', { peers: [session('p', first)] }),
      network('n2', { peers: [session('p', second)], routerID: '10.0.0.2' }),
    ]
    expect(found(...nodes, peer('p'), ...two(down, down))).toEqual(['error BGPPeer/p NoneEstablished'])
    expect(found(...nodes, peer('p'), ...two({}, down))).toEqual(['warning BGPPeer/p SomeNotEstablished'])
    expect(messages(...nodes, peer('p'), ...two({}, down))).toContain(
      '1 of 2 sessions are not established: n2 to 10.0.0.254 (Active: hold timer expired); see',
    )
    expect(found(...nodes, peer('p'), ...two({}, {}))).toEqual([])
    expect(found(...nodes, peer('p', { shutdown: { message: 'work' } }), ...two(down, down))).toEqual([])
  })

  test('the report of a node that is gone does not count', () => {
    const reports = [network('n1', { peers: [session('p')] }), network('gone', { peers: [session('p', { state: 'Active' })] })]
    expect(found(kubeNode('n1'), peer('p'), ...reports)).toEqual([])
    expect(found(peer('p'), ...reports)).toEqual(['warning BGPPeer/p SomeNotEstablished']) // no Node objects: nobody is gone
  })

  test('the mesh has no BGPPeer, but is looked at all the same', () => {
    const down = session(null, { session: 'mesh/n2', address: '10.0.0.2', state: 'Connect' })
    const report = network('n1', { peers: [session(null), down] })
    expect(found(report)).toEqual(['warning BGPConfiguration/nodeToNodeMesh SomeNotEstablished'])
    expect(messages(report)).toContain('1 of 2 sessions of the node-to-node mesh are not established: n1 to 10.0.0.2 (Connect); see')
    expect(found(network('n1', { peers: [down] }))).toEqual(['error BGPConfiguration/nodeToNodeMesh NoneEstablished'])
  })
})

describe('settings', () => {
  const nodes = [kubeNode('n1', true, { rack: 'a', row: '1' }), kubeNode('n2', true, { rack: 'b', row: '1' })]
  const of = (labels: Record<string, string>) => ({ nodeSelector: { matchLabels: labels } })

  test('two that set one field for one node, nested fields apart', () => {
    const row = configuration('row', { ...of({ row: '1' }), asNumber: 64_513, gracefulRestart: { restartTime: '60s' } })
    expect(found(...nodes, row, configuration('zz', { ...of({ rack: 'a' }), asNumber: 64_514 }))).toEqual([
      'error BGPConfiguration/zz ConflictingSettings',
    ])
    const apart = ['a', 'b'].map((name) => configuration(`rack-${name}`, { ...of({ rack: name }), asNumber: 64_514 }))
    expect(found(...nodes, ...apart)).toEqual([])
    expect(found(...nodes, row, configuration('zz', { ...of({ rack: 'a' }), holdTime: '9s' }))).toEqual([])
    expect(found(...nodes, row, configuration('zz', { ...of({ rack: 'a' }), gracefulRestart: { enabled: false } }))).toEqual([])
    expect(found(...nodes, row, configuration('default', { asNumber: 1 }))).toEqual([])
    expect(messages(...nodes, row, configuration('zz', { ...of({ rack: 'a' }), gracefulRestart: { restartTime: '90s' } }))).toContain(
      'spec.gracefulRestart.restartTime is also set for n1 by BGPConfiguration/row',
    )
  })

  test('one that selects nobody', () => {
    expect(found(...nodes, configuration('x', { ...of({ rack: 'z' }), asNumber: 1 }))).toEqual(['warning BGPConfiguration/x SelectsNoNode'])
    expect(found(configuration('x', { ...of({ rack: 'z' }), asNumber: 1 }))).toEqual([]) // no Node objects: nobody knows
  })
})

describe('nodes', () => {
  test('no agent, no address, not ready; but nothing before any agent has reported', () => {
    expect(found(kubeNode('n1'))).toEqual([])
    const conditions = [reported('Ready', 'False', 'waits')]
    expect(found(node('n1'), node('n2'), node('n3'), network('n1', { addresses: [] }), network('n2', { conditions }))).toEqual([
      'error Node/n1 NoAddress',
      'warning Node/n2 NotReady',
      'warning Node/n3 NoAgent',
    ])
  })

  test('a node that gives pods no network', () => {
    const conditions = [reported('IPAMReady', 'False', 'IPPool pods has no address left')]
    expect(found(network('n1', { conditions }))).toEqual(['error Node/n1 NoPodNetwork'])
    expect(messages(network('n1', { conditions }))).toContain('no pod gets a network there: IPPool pods has no address left')
    const many = Array.from({ length: 7 }, (_, at) => network(`n${at}`, { conditions }))
    expect(messages(...many)).toContain('7 nodes give no pod a network (n0, n1, n2 and 4 more); the first: IPPool pods')
  })

  test('many nodes with one trouble are one finding', () => {
    const nodes = Array.from({ length: 6 }, (_, at) => kubeNode(`n${5 - at}`))
    expect(found(...nodes, network('other'))).toEqual(['warning Node NoAgent'])
    expect(messages(...nodes, network('other'))).toContain('6 nodes (n0, n1, n2 and 3 more) have no agent that reports')
    expect(found(...nodes.slice(1), network('other'))).toEqual(['n0', 'n1', 'n2', 'n3', 'n4'].map((name) => `warning Node/${name} NoAgent`))
  })

  test('one router ID twice, shown at the settings that hold for all', () => {
    const reports = [
      network('n1', { routerID: '10.0.0.1' }),
      network('n2', { routerID: '10.0.0.1' }),
      network('n3', { routerID: '10.0.0.3' }),
    ]
    expect(found(...reports)).toEqual(['error Node/n2 DuplicateRouterID'])
    expect(found(...reports, configuration('default', {}))).toEqual(['error BGPConfiguration/default DuplicateRouterID'])
  })

  test('what agents report: once for all nodes that say it, at the object it is about, unless it is known already', () => {
    const missing = { severity: 'error' as const, subject: 'BGPPeer/p', reason: 'SecretNotFound', message: 'there is no Secret tor-md5' }
    const reports = ['n1', 'n2'].map((name) => network(name, { problems: [missing] }))
    expect(findFindings(snapshotOf([...reports, peer('p')]))).toEqual([
      { ...missing, message: 'on n1 and n2: there is no Secret tor-md5', condition: 'Accepted' },
    ])
    expect(findFindings(snapshotOf(reports))).toMatchObject([{ condition: null }]) // there is no such object
    const warned = network('n1', { problems: [{ ...missing, severity: 'warning' }] })
    expect(findFindings(snapshotOf([warned, peer('p')]))).toMatchObject([{ severity: 'warning', condition: null }]) // it is accepted
    const known = network('n1', { problems: [{ ...missing, reason: 'FilterNotFound', message: 'no such filter' }] })
    expect(found(known, peer('p', { filters: ['x'] }))).toEqual(['error BGPPeer/p FilterNotFound'])
    const same = { severity: 'error' as const, reason: 'DuplicateRouterID', message: 'the same' }
    const twins = ['n1', 'n2'].map((name) => network(name, { routerID: '1.1.1.1', problems: [{ ...same, subject: `Node/${name}` }] }))
    expect(found(...twins, configuration('default', {}))).toEqual(['error BGPConfiguration/default DuplicateRouterID'])
  })
})
