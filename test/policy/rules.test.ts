// Rules, peers, blocks, ports and protocols: statements 24 to 61 (docs/policy-semantics.md).
import { describe, expect, test } from '@jest/globals'
import { parseResource } from '../../src/store/validate.ts'
import { World } from './world.ts'

const DB = { matchLabels: { app: 'db' } }
const TEAM = { matchLabels: { team: 'x' } }
const OUTSIDE = '192.0.2.9'

/** `web` is asked, by pods here and elsewhere; all but `web` are on the other node. */
function world(ingress?: readonly unknown[]): World {
  const cluster = new World()
    .namespace('a')
    .namespace('b', { team: 'x' })
    .pod('a/web', { labels: { app: 'web' } })
    .pod('a/db', { labels: { app: 'db' }, node: 'n2' })
    .pod('b/db', { labels: { app: 'db' }, node: 'n2' })
    .pod('b/cli', { labels: { app: 'cli' }, node: 'n2' })
  return ingress === undefined ? cluster : cluster.policy('a/p', { podSelector: { matchLabels: { app: 'web' } }, ingress })
}

const WHO = ['a/db', 'b/db', 'b/cli', 'node:n2', OUTSIDE]
const admitted = (cluster: World, port?: string): readonly string[] => WHO.filter((from) => cluster.allows(from, 'a/web', port))
const refused = (spec: unknown): boolean =>
  !parseResource({ apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { name: 'a' }, spec }).ok

describe('rules and peers', () => {
  test('[policy 24] no list of rules and an empty one permit nothing', () => {
    expect(admitted(world([]))).toEqual([])
    expect(admitted(world().policy('a/p', { podSelector: {}, policyTypes: ['Ingress'] }))).toEqual([])
  })

  test.each(['TCP:80', 'UDP:53', 'SCTP:7', 'ICMP', '47'])('[policy 25] one empty rule permits everybody, %s too', (port) => {
    expect(admitted(world([{}]), port)).toEqual(WHO)
  })

  test('[policy 26] no peers, or an empty list of them, is everybody', () => {
    const ports = [{ port: 80 }]
    expect(admitted(world([{ ports }]))).toEqual(WHO)
    expect(admitted(world([{ from: [], ports }]))).toEqual(WHO)
    expect(admitted(world([{ ports }]), 'TCP:81')).toEqual([])
  })

  test.each(['TCP:1', 'UDP:53', 'SCTP:7', 'ICMP', '47'])(
    '[policy 27] no ports, or an empty list of them, is every port and protocol: %s',
    (port) => {
      expect(admitted(world([{ from: [{ podSelector: DB }] }]), port)).toEqual(['a/db'])
      expect(admitted(world([{ from: [{ podSelector: DB }], ports: [] }]), port)).toEqual(['a/db'])
    },
  )

  test('[policy 28] any peer and any port of one rule; those of two rules do not combine', () => {
    const cluster = world([
      { from: [{ podSelector: DB }], ports: [{ port: 80 }, { port: 81 }] },
      { from: [{ namespaceSelector: TEAM }], ports: [{ port: 90 }] },
    ])
    expect(admitted(cluster, 'TCP:80')).toEqual(['a/db'])
    expect(admitted(cluster, 'TCP:81')).toEqual(['a/db'])
    expect(admitted(cluster, 'TCP:90')).toEqual(['b/db', 'b/cli'])
  })

  test('[policy 29] items of from are alternatives; the two selectors of one item must both match', () => {
    expect(admitted(world([{ from: [{ podSelector: DB }, { namespaceSelector: TEAM }] }]))).toEqual(['a/db', 'b/db', 'b/cli'])
    expect(admitted(world([{ from: [{ podSelector: DB, namespaceSelector: TEAM }] }]))).toEqual(['b/db'])
  })

  test('[policy 30] a podSelector alone is about the own namespace', () => {
    expect(admitted(world([{ from: [{ podSelector: DB }] }]))).toEqual(['a/db'])
    expect(admitted(world([{ from: [{ podSelector: {} }] }]))).toEqual(['a/db'])
  })

  test('[policy 31] a namespaceSelector alone is all pods there, and no node and nobody outside', () => {
    expect(admitted(world([{ from: [{ namespaceSelector: TEAM }] }]))).toEqual(['b/db', 'b/cli'])
    expect(admitted(world([{ from: [{ namespaceSelector: {} }] }]))).toEqual(['a/db', 'b/db', 'b/cli'])
  })

  test('[policy 32] both selectors, that of namespaces empty: matching pods everywhere', () => {
    expect(admitted(world([{ from: [{ namespaceSelector: {}, podSelector: DB }] }]))).toEqual(['a/db', 'b/db'])
  })

  test('[policy 33] an item that says nothing is refused, and matches nobody', () => {
    expect(refused({ podSelector: {}, ingress: [{ from: [{}] }] })).toBe(true)
    expect(admitted(world([{ from: [{}] }]))).toEqual([])
    expect(admitted(world([{ from: [{}, { podSelector: DB }] }]))).toEqual(['a/db'])
  })

  test('[policy 34] ipBlock beside a selector is refused, and matches nobody', () => {
    const from = [{ ipBlock: { cidr: '0.0.0.0/0' }, podSelector: {} }]
    expect(refused({ podSelector: {}, ingress: [{ from }] })).toBe(true)
    expect(admitted(world([{ from }]))).toEqual([])
  })

  test('[policy 35] a selector that matches nobody permits nothing', () => {
    expect(admitted(world([{ from: [{ podSelector: { matchLabels: { app: 'none' } } }] }]))).toEqual([])
  })

  test('[policy 36] pods of a namespace that is not known match no namespaceSelector, not even an empty one', () => {
    const cluster = world([{ from: [{ namespaceSelector: {} }] }]).noNamespace('b')
    expect(admitted(cluster)).toEqual(['a/db'])
    cluster.namespace('b')
    expect(admitted(cluster)).toEqual(['a/db', 'b/db', 'b/cli'])
  })
})

describe('ipBlock', () => {
  const block = (cidr: string, ...except: string[]) => ({ ipBlock: { cidr, ...(except.length === 0 ? {} : { except }) } })
  const v4 = (cluster: World, ...addresses: string[]) => addresses.map((from) => cluster.allows(from, 'a/web'))
  /** IPv4 only, so that one answer speaks for all. */
  const single = (ingress: readonly unknown[]) =>
    new World()
      .namespace('a')
      .pod('a/web', { labels: { app: 'web' }, ips: ['10.0.0.1'] })
      .pod('a/db', { ips: ['10.0.0.2'], node: 'n2' })
      .policy('a/p', { podSelector: { matchLabels: { app: 'web' } }, ingress })

  test('[policy 38] a block matches whoever has the address: outside, node, pod', () => {
    const cluster = single([{ from: [block('192.0.2.0/24'), block('172.18.0.3/32'), block('10.0.0.2/32')] }])
    expect(v4(cluster, '192.0.2.1', '172.18.0.3', '10.0.0.2', '10.0.0.3')).toEqual([true, true, true, false])
    expect(v4(single([{ from: [block('0.0.0.0/4')] }]), '10.0.0.2', '16.0.0.1')).toEqual([true, false])
  })

  test('[policy 39] an exception is one of its own item: another item, rule or policy admits it again', () => {
    const excepted = block('192.0.2.0/24', '192.0.2.128/25')
    expect(v4(single([{ from: [excepted] }]), '192.0.2.1', '192.0.2.200')).toEqual([true, false])
    expect(v4(single([{ from: [excepted, block('192.0.2.200/32')] }]), '192.0.2.200', '192.0.2.201')).toEqual([true, false])
    expect(v4(single([{ from: [excepted, block('192.0.2.128/25')] }]), '192.0.2.200')).toEqual([true])
    expect(v4(single([{ from: [excepted] }, { from: [block('192.0.0.0/8', '192.0.2.129/32')] }]), '192.0.2.200', '192.0.2.129')).toEqual([
      true,
      false,
    ])
    const cluster = single([{ from: [excepted] }]).policy('a/q', { podSelector: {}, ingress: [{ from: [block('192.0.2.200/32')] }] })
    expect(v4(cluster, '192.0.2.200')).toEqual([true])
  })

  test('[policy 40] several exceptions, nested and overlapping; the last counts as the first', () => {
    const cluster = single([{ from: [block('10.0.0.0/8', '10.1.0.0/16', '10.1.1.0/24', '10.2.0.0/16', '10.200.0.0/16')] }])
    expect(v4(cluster, '10.0.0.2', '10.1.0.1', '10.1.1.1', '10.2.0.1', '10.200.0.1')).toEqual([true, false, false, false, false])
  })

  test('[policy 41] bits behind the length are ignored; /32, /31, /1 and /0 are right', () => {
    const at = (cidr: string, ...addresses: string[]) => v4(single([{ from: [block(cidr)] }]), ...addresses)
    expect(at('192.0.2.3/24', '192.0.2.200', '192.0.3.1')).toEqual([true, false])
    expect(at('192.0.2.8/32', '192.0.2.8', '192.0.2.9')).toEqual([true, false])
    expect(at('192.0.2.8/31', '192.0.2.9', '192.0.2.10')).toEqual([true, false])
    expect(at('128.0.0.0/1', '192.0.2.9', '10.0.0.2')).toEqual([true, false])
    expect(at('0.0.0.0/0', '192.0.2.9', '10.0.0.2')).toEqual([true, true])
    expect(v4(single([{ from: [block('0.0.0.0/0', '192.0.2.0/24')] }]), '192.0.2.9', '10.0.0.2')).toEqual([false, true])
    expect(v4(single([{ from: [block('0.0.0.0/1'), block('128.0.0.0/1')] }]), '192.0.2.9', '10.0.0.2')).toEqual([true, true])
  })

  test('[policy 42] an exception outside its block, or as large, is refused, and the item matches nobody', () => {
    for (const except of ['10.0.0.0/8', '10.0.0.0/7', '192.0.2.0/24', 'fd00::/64']) {
      expect(refused({ podSelector: {}, ingress: [{ from: [block('10.0.0.0/8', except)] }] })).toBe(true)
      expect(v4(single([{ from: [block('10.0.0.0/8', except)] }]), '10.0.0.2')).toEqual([false])
    }
  })

  test('[policy 43] a block of one family opens nothing of the other', () => {
    const cluster = world([{ from: [block('0.0.0.0/0')] }])
    expect(cluster.allows('192.0.2.1', 'a/web')).toBe(true)
    expect(cluster.allows('2001:db8::1', 'a/web')).toBe(false)
    cluster.policy('a/p', { podSelector: {}, ingress: [{ from: [block('::/0')] }] })
    expect(cluster.allows('192.0.2.1', 'a/web')).toBe(false)
    expect(cluster.allows('2001:db8::1', 'a/web')).toBe(true)
  })

  test('[policy 44, 45, 48, 70] what counts is the destination after translation and the source before masquerade; never a source port', () => {
    // The rules stand in FORWARD: behind the translation of a service's address in PREROUTING, before masquerade in POSTROUTING.
    const { hooks } = world([]).ruleset().families[4]
    expect(hooks.map(({ table, chain }) => `${table} ${chain}`)).toEqual(['filter FORWARD', 'filter FORWARD', 'filter INPUT'])
    const cluster = new World()
      .namespace('a')
      .pod('a/cli')
      .pod('a/srv', { labels: { app: 'db' }, node: 'n2' })
    cluster.policy('a/out', { podSelector: {}, policyTypes: ['Egress'], egress: [{ to: [{ podSelector: DB }], ports: [{ port: 8080 }] }] })
    expect(cluster.allows('a/cli', 'a/srv', 'TCP:8080', { isTranslated: true })).toBe(true)
    expect(cluster.allows('a/cli', 'a/srv', 'TCP:80', { isTranslated: true })).toBe(false)
  })
})

describe('ports', () => {
  const open = (ports: readonly unknown[], tried: readonly string[]) => {
    const cluster = world([{ from: [{ podSelector: DB }], ports }])
    return tried.filter((port) => cluster.allows('a/db', 'a/web', port))
  }
  const TRIED = ['TCP:79', 'TCP:80', 'TCP:81', 'UDP:80', 'SCTP:80', 'ICMP', '47']

  test.each<[string, readonly unknown[], readonly string[]]>([
    ['[policy 46] no protocol is TCP', [{ port: 80 }], ['TCP:80']],
    ['[policy 47] no port is every port of the protocol', [{ protocol: 'UDP' }], ['UDP:80']],
    ['[policy 47] nothing at all is every TCP port', [{}], ['TCP:79', 'TCP:80', 'TCP:81']],
    ['[policy 53] a number that nobody serves permits that number only', [{ port: 81 }], ['TCP:81']],
    ['[policy 56] a range includes both ends', [{ port: 79, endPort: 80 }], ['TCP:79', 'TCP:80']],
    ['[policy 56] a range of one', [{ port: 80, endPort: 80 }], ['TCP:80']],
    [
      '[policy 57] ranges of one protocol are alternatives',
      [
        { port: 1, endPort: 79 },
        { port: 81, endPort: 90 },
      ],
      ['TCP:79', 'TCP:81'],
    ],
    [
      '[policy 57] ranges inside one another',
      [
        { port: 79, endPort: 90 },
        { port: 80, endPort: 80 },
      ],
      ['TCP:79', 'TCP:80', 'TCP:81'],
    ],
    ['[policy 57] 1 to 65535 is one protocol', [{ protocol: 'UDP', port: 1, endPort: 65_535 }], ['UDP:80']],
    ['[policy 59] UDP opens no TCP', [{ protocol: 'UDP', port: 80 }], ['UDP:80']],
    ['[policy 59] SCTP opens no TCP', [{ protocol: 'SCTP', port: 80 }], ['SCTP:80']],
    ['[policy 60] a rule with ports does not match ICMP and other protocols', [{ port: 80 }, { protocol: 'UDP' }], ['TCP:80', 'UDP:80']],
  ])('%s', (_, ports, wanted) => {
    expect(open(ports, TRIED)).toEqual(wanted)
  })

  test.each([
    [{ port: 'http', endPort: 90 }],
    [{ endPort: 90 }],
    [{ port: 90, endPort: 80 }],
    [{ port: 0 }],
    [{ port: 80, endPort: 65_536 }],
    [{ protocol: 'QUIC', port: 80 }],
  ])('[policy 56] %j is refused, and opens nothing', (port) => {
    expect(refused({ podSelector: {}, ingress: [{ ports: [port] }] })).toBe(true)
    expect(open([port], TRIED)).toEqual([])
    expect(open([port, { port: 81 }], TRIED)).toEqual(['TCP:81'])
  })

  test('[policy 58] more ports than one multiport match takes are split over several', () => {
    const numbers = Array.from({ length: 40 }, (_, at) => 1000 + at * 3)
    const ports = [...numbers.map((port) => ({ port })), { port: 2000, endPort: 2005 }, { port: 3000, endPort: 3005 }]
    const tried = [1000, 1001, 1045, 1117, 1118, 1120, 2000, 2003, 2005, 2006, 3005].map((port) => `TCP:${port}`)
    expect(open(ports, tried)).toEqual(['TCP:1000', 'TCP:1045', 'TCP:1117', 'TCP:2000', 'TCP:2003', 'TCP:2005', 'TCP:3005'])
    const words = world([{ ports }])
      .ruleset()
      .families[4].chains.flatMap(({ rules }) => rules.flat())
    expect(words.filter((word) => word === '--dports')).toHaveLength(3)
    const ranges = Array.from({ length: 20 }, (_, at) => ({ port: 1000 + at * 10, endPort: 1004 + at * 10 }))
    expect(open(ranges, ['TCP:1000', 'TCP:1005', 'TCP:1073', 'TCP:1194', 'TCP:1195'])).toEqual(['TCP:1000', 'TCP:1073', 'TCP:1194'])
  })

  test('[policy 60] what belongs to a connection passes, and neighbours are always found', () => {
    const cluster = world().policy('a/shut', { podSelector: {}, policyTypes: ['Ingress', 'Egress'] })
    expect(cluster.allows('192.0.2.1', 'a/web', 'ICMP', { state: 'established' })).toBe(true)
    expect(cluster.allows('192.0.2.1', 'a/web', 'ICMP')).toBe(false)
    for (const icmpType of [133, 134, 135, 136]) {
      expect(cluster.allows('a/web', 'fe80::9', 'ICMP', { icmpType })).toBe(true)
      expect(cluster.allows('a/web', '2001:db8::1', 'ICMP', { icmpType })).toBe(false) // nothing that is routed discovers neighbours
    }
    expect(cluster.allows('a/web', 'fe80::9', 'ICMP', { icmpType: 128 })).toBe(false)
  })
})

describe('named ports', () => {
  const http = (containerPort: number, protocol = 'TCP') => ({ name: 'http', containerPort, protocol })
  const cluster = (ports: readonly unknown[], to: readonly unknown[] = []) =>
    new World()
      .namespace('a')
      .namespace('b', { team: 'x' })
      .pod('a/cli', { labels: { app: 'cli' } })
      .pod('a/one', { ports: [http(8080)], node: 'n2' })
      .pod('a/two', { ports: [http(9090), http(9091, 'UDP')] })
      .pod('b/three', { ports: [http(7070)], node: 'n2' })
      .pod('a/none', { node: 'n2' })
      .policy('a/out', { podSelector: { matchLabels: { app: 'cli' } }, policyTypes: ['Egress'], egress: [{ to, ports }] })

  test('[policy 49] in egress the name is resolved for each destination pod', () => {
    const world = cluster([{ port: 'http' }])
    expect([world.allows('a/cli', 'a/one', 'TCP:8080'), world.allows('a/cli', 'a/two', 'TCP:9090')]).toEqual([true, true])
    expect([world.allows('a/cli', 'a/one', 'TCP:9090'), world.allows('a/cli', 'a/two', 'TCP:8080')]).toEqual([false, false])
  })

  test('[policy 49] in ingress it is that of the pod itself', () => {
    const world = cluster([{ port: 1 }]).policy('a/in', { podSelector: {}, ingress: [{ ports: [{ port: 'http' }] }] })
    expect([world.allows('b/three', 'a/one', 'TCP:8080'), world.allows('b/three', 'a/two', 'TCP:8080')]).toEqual([true, false])
    world.pod('a/one', { ports: [http(8888)], node: 'n2' })
    expect([world.allows('b/three', 'a/one', 'TCP:8080'), world.allows('b/three', 'a/one', 'TCP:8888')]).toEqual([false, true])
  })

  test('[policy 50] only for pods that the peers admit', () => {
    const world = cluster([{ port: 'http' }], [{ namespaceSelector: TEAM }])
    expect([world.allows('a/cli', 'b/three', 'TCP:7070'), world.allows('a/cli', 'a/one', 'TCP:8080')]).toEqual([true, false])
    const byBlock = cluster([{ port: 'http' }], [{ ipBlock: { cidr: '0.0.0.0/0' } }, { ipBlock: { cidr: '::/0' } }])
    expect([byBlock.allows('a/cli', 'a/one', 'TCP:8080'), byBlock.allows('a/cli', '192.0.2.1', 'TCP:8080')]).toEqual([true, false])
  })

  test('[policy 51] never for hosts outside, nodes, and pods without that name', () => {
    const world = cluster([{ port: 'http' }])
    for (const to of ['192.0.2.1', 'node:n2', 'a/none']) expect(world.allows('a/cli', to, 'TCP:8080')).toBe(false)
  })

  test('[policy 52] of the protocol that the rule names', () => {
    const world = cluster([{ protocol: 'UDP', port: 'http' }])
    expect([world.allows('a/cli', 'a/two', 'UDP:9091'), world.allows('a/cli', 'a/two', 'TCP:9090')]).toEqual([true, false])
    expect([world.allows('a/cli', 'a/one', 'UDP:8080'), world.allows('a/cli', 'a/two', 'UDP:9090')]).toEqual([false, false])
  })

  test('[policy 53] a name that no pod serves permits nothing, and the pod stays isolated', () => {
    const world = cluster([{ port: 'nope' }])
    expect(world.allows('a/cli', 'a/one', 'TCP:8080')).toBe(false)
  })

  test('[policy 54] one name in several protocols, and one number under two names', () => {
    const world = cluster([{ port: 'http' }, { protocol: 'UDP', port: 'http' }, { port: 'alt' }])
    world.pod('a/both', {
      ports: [http(80), { name: 'alt', containerPort: 80, protocol: 'TCP' }, http(81, 'UDP')],
      sidecarPorts: [http(82)],
    })
    expect(['TCP:80', 'UDP:81', 'TCP:82', 'UDP:80'].map((port) => world.allows('a/cli', 'a/both', port))).toEqual([true, true, true, false])
    world.policy('a/out', { podSelector: { matchLabels: { app: 'cli' } }, policyTypes: ['Egress'], egress: [{ ports: [{ port: 'alt' }] }] })
    expect(world.allows('a/cli', 'a/both', 'TCP:80')).toBe(true)
  })

  test('[policy 55] ports of sidecars count, those of plain init containers do not', () => {
    const world = cluster([{ port: 'http' }]).pod('a/side', { sidecarPorts: [http(8001)], initPorts: [http(8002)] })
    expect([world.allows('a/cli', 'a/side', 'TCP:8001'), world.allows('a/cli', 'a/side', 'TCP:8002')]).toEqual([true, false])
  })
})
