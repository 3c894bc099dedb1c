// ClusterNetworkPolicy v1alpha2: statements 97 to 117 (docs/policy-semantics.md).
import { describe, expect, test } from '@jest/globals'
import { parseResource } from '../../src/store/validate.ts'
import { World } from './world.ts'

const EVERYBODY = { namespaces: {} }
const WEB = { matchLabels: { app: 'web' } }
const CLI = { matchLabels: { app: 'cli' } }
const ANYWHERE = [{ networks: ['0.0.0.0/0', '::/0'] }]
const DENY_IN = { podSelector: {}, policyTypes: ['Ingress'] }
const DENY_OUT = { podSelector: {}, policyTypes: ['Egress'] }

type Rule = {
  readonly action: string
  readonly from?: unknown
  readonly to?: unknown
  readonly protocols?: unknown
  readonly name?: string
}
const spec = (tier: string, priority: number, rules: readonly Rule[], subject: unknown = EVERYBODY) => ({
  tier,
  priority,
  subject,
  ingress: rules.filter(({ to }) => to === undefined),
  egress: rules.filter(({ to }) => to !== undefined),
})
const from = (action: string, ...peers: readonly unknown[]): Rule => ({ action, from: peers.length === 0 ? [EVERYBODY] : peers })
const to = (action: string, ...peers: readonly unknown[]): Rule => ({ action, to: peers.length === 0 ? ANYWHERE : peers })
const refused = (value: unknown): boolean =>
  !parseResource({ apiVersion: 'policy.networking.k8s.io/v1alpha2', kind: 'ClusterNetworkPolicy', metadata: { name: 'a' }, spec: value }).ok

function world(): World {
  return new World()
    .namespace('a')
    .namespace('b', { team: 'x' })
    .pod('a/web', {
      labels: { app: 'web' },
      ports: [
        { name: 'http', containerPort: 8080 },
        { name: 'dns', containerPort: 53, protocol: 'UDP' },
      ],
    })
    .pod('a/cli', { labels: { app: 'cli' }, node: 'n2' })
    .pod('b/web', { labels: { app: 'web' }, node: 'n2', ports: [{ name: 'http', containerPort: 80 }] })
    .pod('b/cli', { labels: { app: 'cli' } })
}

describe('tiers and order', () => {
  test('[policy 97] Admin, then NetworkPolicies, then Baseline, then everything is allowed', () => {
    const cluster = world()
    const seen: string[] = []
    const look = () => seen.push(cluster.why('b/cli', 'a/web').ingress?.kind ?? '')
    look()
    cluster.clusterPolicy('base', spec('Baseline', 0, [from('Deny')]))
    look()
    cluster.policy('a/in', { podSelector: {}, ingress: [{}] })
    look()
    cluster.clusterPolicy('admin', spec('Admin', 0, [from('Deny')]))
    look()
    expect(seen).toEqual(['default', 'clusterPolicy', 'networkPolicy', 'clusterPolicy'])
    expect(cluster.why('b/cli', 'a/web').ingress).toMatchObject({ tier: 'Admin', policy: 'admin', action: 'Deny', rule: 0, peer: 0 })
    expect(cluster.allows('b/cli', 'a/web')).toBe(false)
  })

  test('[policy 98] priorities are compared as numbers, the smaller first', () => {
    const cluster = world()
      .clusterPolicy('first', spec('Admin', 9, [from('Accept')]))
      .clusterPolicy('second', spec('Admin', 10, [from('Deny')]))
    expect(cluster.allows('b/cli', 'a/web')).toBe(true)
    cluster.clusterPolicy('second', spec('Admin', 8, [from('Deny')]))
    expect(cluster.allows('b/cli', 'a/web')).toBe(false)
    for (const priority of [-1, 1001, 1.5, '1']) expect(refused(spec('Admin', priority as number, [from('Deny')]))).toBe(true)
  })

  test('[policy 98] of equal ones the name that sorts first decides', () => {
    const cluster = world()
      .clusterPolicy('b', spec('Admin', 5, [from('Deny')]))
      .clusterPolicy('a', spec('Admin', 5, [from('Accept')]))
    expect(cluster.why('b/cli', 'a/web').ingress).toMatchObject({ policy: 'a', action: 'Accept' })
    expect(cluster.allows('b/cli', 'a/web')).toBe(true)
  })

  test('[policy 99] inside one policy the first rule that matches decides', () => {
    const cluster = world().clusterPolicy('c', spec('Admin', 0, [from('Accept', { pods: { podSelector: CLI } }), from('Deny')]))
    expect([cluster.allows('b/cli', 'a/web'), cluster.allows('b/web', 'a/web')]).toEqual([true, false])
    cluster.clusterPolicy('c', spec('Admin', 0, [from('Deny'), from('Accept', { pods: { podSelector: CLI } })]))
    expect(cluster.allows('b/cli', 'a/web')).toBe(false)
  })

  test('[policy 100] Accept ends the matter for one direction only', () => {
    const cluster = world().policy('a/out', DENY_OUT).policy('b/in', DENY_IN)
    cluster.clusterPolicy('c', spec('Admin', 0, [to('Accept')]))
    expect(cluster.allows('a/web', 'b/web')).toBe(false)
    expect(cluster.allows('a/web', '192.0.2.1')).toBe(true)
    expect(cluster.allows('192.0.2.1', 'a/web', 'TCP:80', { state: 'established' })).toBe(true)
    cluster.clusterPolicy('d', spec('Admin', 0, [from('Accept')]))
    expect(cluster.allows('a/web', 'b/web')).toBe(true)
  })

  test('[policy 101] Deny drops in silence', () => {
    const cluster = world().clusterPolicy('c', spec('Admin', 0, [from('Deny')]))
    expect(cluster.allows('b/cli', 'a/web')).toBe(false)
    const targets = cluster.ruleset().families[4].chains.flatMap(({ rules }) => rules.flat())
    expect(targets).toContain('DROP')
    expect(targets).not.toContain('REJECT')
  })

  test('[policy 102] Pass skips the rest of its tier, of other policies too, and goes on with the next', () => {
    const cluster = world()
      .clusterPolicy('pass', spec('Admin', 0, [from('Pass'), from('Accept')]))
      .clusterPolicy('deny', spec('Admin', 1, [from('Deny')]))
    expect(cluster.allows('b/cli', 'a/web')).toBe(true)
    expect(cluster.stages('b/cli', 'a/web').at(-1)).toMatchObject({
      decision: { kind: 'default' },
      passed: [{ tier: 'Admin', policy: 'pass', rule: 0 }],
    })
    cluster.policy('a/in', DENY_IN)
    expect(cluster.allows('b/cli', 'a/web')).toBe(false)
    cluster.noPolicy('a/in').clusterPolicy('base', spec('Baseline', 0, [from('Deny')]))
    expect(cluster.allows('b/cli', 'a/web')).toBe(false)
    cluster
      .clusterPolicy('base', spec('Baseline', 0, [from('Pass'), from('Deny')]))
      .clusterPolicy('more', spec('Baseline', 1, [from('Deny')]))
    expect(cluster.allows('b/cli', 'a/web')).toBe(true)
  })

  test('[policy 102] what the Admin tier passed on, every policy of the Baseline tier is asked about', () => {
    const cluster = world().clusterPolicy('pass', spec('Admin', 0, [from('Pass')]))
    cluster
      .clusterPolicy('base', spec('Baseline', 0, [from('Deny', { pods: { podSelector: WEB } })]))
      .clusterPolicy('more', spec('Baseline', 1, [from('Deny')]))
    expect([cluster.allows('b/cli', 'a/web'), cluster.allows('192.0.2.1', 'a/web')]).toEqual([false, true])
    expect(cluster.why('b/cli', 'a/web').ingress).toMatchObject({ policy: 'more', tier: 'Baseline' })
  })

  test('[policy 103] a policy that selects a pod changes nothing for what no rule matches', () => {
    const cluster = world().clusterPolicy('c', spec('Admin', 0, [from('Deny', { pods: { podSelector: WEB } })]))
    expect([cluster.allows('b/cli', 'a/web'), cluster.allows('192.0.2.1', 'a/web'), cluster.allows('b/web', 'a/web')]).toEqual([
      true,
      true,
      false,
    ])
    expect(cluster.allows('a/web', '192.0.2.1')).toBe(true)
    cluster.clusterPolicy('c', spec('Admin', 0, []))
    expect(cluster.allows('b/web', 'a/web')).toBe(true)
  })

  test('[policy 104] Baseline has a say only where no NetworkPolicy isolates in that direction', () => {
    const cluster = world().clusterPolicy('base', spec('Baseline', 0, [from('Deny'), to('Deny')]))
    expect([cluster.allows('192.0.2.1', 'a/web'), cluster.allows('b/cli', 'a/web'), cluster.allows('a/web', '192.0.2.1')]).toEqual([
      true,
      false,
      false,
    ])
    cluster.policy('a/out', { ...DENY_OUT, egress: [{}] })
    expect([cluster.allows('a/web', '192.0.2.1'), cluster.allows('b/cli', 'a/web')]).toEqual([true, false])
    cluster.policy('a/in', { ...DENY_IN, ingress: [{ from: [{ namespaceSelector: {} }] }] }).noClusterPolicy('base')
    cluster.clusterPolicy('base', spec('Baseline', 0, [from('Deny')]))
    expect(cluster.allows('b/cli', 'a/web')).toBe(true)
    cluster.clusterPolicy('base', spec('Baseline', 0, [from('Accept')])).policy('a/in', DENY_IN)
    expect(cluster.allows('b/cli', 'a/web')).toBe(false)
  })

  test('[policy 116] an Accept of the Admin tier overrules a NetworkPolicy that isolates', () => {
    const cluster = world()
      .policy('a/in', DENY_IN)
      .clusterPolicy('c', spec('Admin', 0, [from('Accept', { pods: { podSelector: CLI } })]))
    expect([cluster.allows('b/cli', 'a/web'), cluster.allows('b/web', 'a/web')]).toEqual([true, false])
  })

  test('[policy 114] changes of action, priority, order and labels of namespaces take effect', () => {
    const cluster = world().clusterPolicy('c', spec('Admin', 5, [from('Deny', { namespaces: { matchLabels: { team: 'x' } } })]))
    const allowed = () => cluster.allows('b/cli', 'a/web')
    expect(allowed()).toBe(false)
    cluster.namespace('b', {})
    expect(allowed()).toBe(true)
    cluster.namespace('b', { team: 'x' }).clusterPolicy('c', spec('Admin', 5, [from('Accept', { namespaces: {} })]))
    expect(allowed()).toBe(true)
    cluster.clusterPolicy('d', spec('Admin', 6, [from('Deny')]))
    expect(allowed()).toBe(true)
    cluster.clusterPolicy('d', spec('Admin', 4, [from('Deny')]))
    expect(allowed()).toBe(false)
    cluster.noClusterPolicy('d').noClusterPolicy('c')
    expect(allowed()).toBe(true)
  })
})

describe('subjects and peers', () => {
  test('[policy 105] a subject is either namespaces or pods; pods in the host network never', () => {
    const cluster = world().clusterPolicy('c', spec('Admin', 0, [from('Deny')], { namespaces: { matchLabels: { team: 'x' } } }))
    expect([cluster.allows('a/web', 'b/web'), cluster.allows('b/cli', 'a/web')]).toEqual([false, true])
    const pods = { namespaceSelector: { matchLabels: { team: 'x' } }, podSelector: WEB }
    cluster.clusterPolicy('c', spec('Admin', 0, [from('Deny')], { pods }))
    expect([cluster.allows('a/web', 'b/web'), cluster.allows('a/web', 'b/cli'), cluster.allows('b/cli', 'a/web')]).toEqual([
      false,
      true,
      true,
    ])
    cluster.pod('b/host', { labels: { app: 'web' }, hostNetwork: true, node: 'n2' })
    expect(cluster.allows('a/web', 'b/host')).toBe(true)
    for (const subject of [{}, { namespaces: {}, pods }, { nodes: {} }]) expect(refused(spec('Admin', 0, [], subject))).toBe(true)
  })

  test('[policy 106] ingress peers are namespaces and pods: hosts outside cannot be named', () => {
    for (const peer of [{ networks: ['0.0.0.0/0'] }, { nodes: {} }]) expect(refused(spec('Admin', 0, [from('Deny', peer)]))).toBe(true)
    const cluster = world().clusterPolicy('c', spec('Admin', 0, [from('Deny')]))
    expect([cluster.allows('192.0.2.1', 'a/web'), cluster.allows('node:n2', 'a/web'), cluster.allows('b/cli', 'a/web')]).toEqual([
      true,
      true,
      false,
    ])
  })

  test('[policy 107] egress to nodes is to every address of nodes with these labels; {} is all of them', () => {
    const cluster = world().node('n2', { role: 'edge' }, ['10.99.0.3'])
    cluster.clusterPolicy('c', spec('Admin', 0, [to('Deny', { nodes: { matchLabels: { role: 'edge' } } })]))
    expect(['node:n2', '10.99.0.3', 'node:n1', 'b/web'].map((where) => cluster.allows('a/web', where))).toEqual([false, false, true, true])
    cluster.clusterPolicy('c', spec('Admin', 0, [to('Deny', { nodes: {} })]))
    expect(['node:n2', 'node:n1', 'b/web'].map((where) => cluster.allows('a/web', where))).toEqual([false, false, true])
    cluster.node('n2', {})
    cluster.clusterPolicy('c', spec('Admin', 0, [to('Deny', { nodes: { matchLabels: { role: 'edge' } } })]))
    expect(cluster.allows('a/web', 'node:n2')).toBe(true)
  })

  test('[policy 107] networks match pods and nodes too', () => {
    const cluster = world().clusterPolicy('c', spec('Admin', 0, [to('Deny', { networks: ['10.0.0.0/8', 'fd00::/64'] })]))
    expect([cluster.allows('a/web', 'b/web'), cluster.allows('a/web', 'node:n2'), cluster.allows('a/web', '192.0.2.1')]).toEqual([
      false,
      true,
      true,
    ])
    cluster.clusterPolicy('c', spec('Admin', 0, [to('Deny')]))
    expect([cluster.allows('a/web', 'node:n2'), cluster.allows('a/web', '192.0.2.1', 'ICMP')]).toEqual([false, false])
  })

  test('[policy 107, 108] domainNames are not supported: a rule that accepts them matches nothing', () => {
    const rule = to('Accept', { domainNames: ['*.example.com'] })
    expect(refused(spec('Admin', 0, [rule]))).toBe(true)
    const cluster = world().clusterPolicy('c', spec('Admin', 0, [rule, to('Deny')]))
    expect(cluster.allows('a/web', '192.0.2.1')).toBe(false)
  })

  test('[policy 108] peers are alternatives, and a rule has at least one', () => {
    const cluster = world().clusterPolicy(
      'c',
      spec('Admin', 0, [from('Deny', { pods: { podSelector: WEB } }, { namespaces: { matchLabels: { team: 'x' } } })]),
    )
    expect(['a/cli', 'b/web', 'b/cli'].map((who) => cluster.allows(who, 'a/web'))).toEqual([true, false, false])
    expect(refused(spec('Admin', 0, [{ action: 'Deny', from: [] }]))).toBe(true)
    expect(refused(spec('Admin', 0, [{ action: 'Deny' }]))).toBe(true)
  })

  test.each([
    ['a peer without a known field', { from: [{}] }],
    ['a peer with an unknown field', { from: [{ services: {} }] }],
    ['a peer that is known beside one that is not', { from: [{ pods: { podSelector: WEB } }, { services: {} }] }],
    ['no peers', { from: [] }],
    ['an unknown protocol', { from: [EVERYBODY], protocols: [{ icmp: {} }] }],
    ['an unknown field of the rule', { from: [EVERYBODY], sourcePorts: [80] }],
  ])('[policy 108] %s: a rule that accepts matches nothing, one that denies or passes denies everything', (_, fields) => {
    const cluster = world()
    const rule = (action: string) => ({ ...spec('Admin', 0, []), ingress: [{ action, ...fields }] })
    expect(refused(rule('Accept'))).toBe(true)
    cluster.clusterPolicy('c', rule('Accept')).policy('a/in', DENY_IN)
    expect([cluster.allows('b/cli', 'a/web'), cluster.allows('b/web', 'a/web')]).toEqual([false, false])
    cluster.noPolicy('a/in')
    expect(cluster.allows('b/cli', 'a/web')).toBe(true)
    for (const action of ['Deny', 'Pass']) {
      cluster.clusterPolicy('c', rule(action))
      expect([cluster.allows('b/cli', 'a/web'), cluster.allows('192.0.2.1', 'a/web', 'ICMP')]).toEqual([false, false])
      expect(cluster.allows('node:n1', 'a/web')).toBe(true)
    }
  })

  test('[policy 95, 96] a policy that is not understood as a whole grants nothing; its denials stand, for every pod if need be', () => {
    const cluster = world().policy('a/in', DENY_IN)
    for (const broken of [{ subject: { services: {} } }, { tier: 'Middle' }, { priority: 5000 }, { unless: 'night' }]) {
      cluster.clusterPolicy('c', { ...spec('Admin', 0, [from('Accept')]), ...broken })
      expect([broken, cluster.allows('b/cli', 'a/web')]).toEqual([broken, false])
      cluster.clusterPolicy('c', { ...spec('Admin', 0, [from('Deny')]), ...broken })
      expect([broken, cluster.allows('a/cli', 'b/cli')]).toEqual([broken, false])
    }
    cluster.clusterPolicy('c', null)
    expect(cluster.allows('a/cli', 'b/cli')).toBe(true)
  })
})

describe('protocols', () => {
  const open = (protocols: unknown, tried: readonly string[]) => {
    const cluster = world().clusterPolicy('c', spec('Admin', 0, [{ ...from('Deny'), ...(protocols === undefined ? {} : { protocols }) }]))
    return tried.filter((port) => !cluster.allows('b/cli', 'a/web', port))
  }
  const TRIED = ['TCP:80', 'TCP:81', 'UDP:80', 'SCTP:80', 'ICMP', '47']

  test.each<[string, unknown, readonly string[]]>([
    ['none is all traffic', undefined, TRIED],
    ['tcp is every TCP port', [{ tcp: {} }], ['TCP:80', 'TCP:81']],
    ['udp and sctp', [{ udp: {} }, { sctp: { destinationPort: { number: 80 } } }], ['UDP:80', 'SCTP:80']],
    ['a number', [{ tcp: { destinationPort: { number: 80 } } }], ['TCP:80']],
    ['a range includes both ends', [{ tcp: { destinationPort: { range: { start: 79, end: 80 } } } }], ['TCP:80']],
  ])('[policy 109] %s', (_, protocols, wanted) => {
    expect(open(protocols, TRIED)).toEqual(wanted)
  })

  test('[policy 109] a named port is that of the pod, of whatever protocol it has', () => {
    const cluster = world().clusterPolicy(
      'c',
      spec('Admin', 0, [{ ...from('Deny'), protocols: [{ destinationNamedPort: 'http' }, { destinationNamedPort: 'dns' }] }]),
    )
    expect(['TCP:8080', 'UDP:53', 'UDP:8080', 'TCP:80'].map((port) => cluster.allows('b/cli', 'a/web', port))).toEqual([
      false,
      false,
      true,
      true,
    ])
    expect([cluster.allows('a/cli', 'b/web', 'TCP:80'), cluster.allows('a/cli', 'b/web', 'TCP:8080')]).toEqual([false, true])
  })

  test.each([
    [[{ tcp: {}, udp: {} }]],
    [[{}]],
    [[]],
    [[{ tcp: { destinationPort: {} } }]],
    [[{ tcp: { destinationPort: { range: { start: 80, end: 80 } } } }]],
    [[{ tcp: { destinationPort: { range: { start: 81, end: 80 } } } }]],
    [[{ tcp: { destinationPort: { number: 0 } } }]],
  ])('[policy 109] %j is refused', (protocols) => {
    expect(refused(spec('Admin', 0, [{ ...from('Deny'), protocols }]))).toBe(true)
  })

  test('[policy 110] named ports beside networks or nodes are refused, and fail closed', () => {
    const rule = (action: string) => ({ ...to(action, { networks: ['10.0.0.0/8'] }), protocols: [{ destinationNamedPort: 'http' }] })
    expect(refused(spec('Admin', 0, [rule('Accept')]))).toBe(true)
    expect(
      refused(spec('Admin', 0, [{ ...to('Accept', { pods: { podSelector: WEB } }), protocols: [{ destinationNamedPort: 'http' }] }])),
    ).toBe(false)
    const cluster = world()
      .clusterPolicy('c', spec('Admin', 0, [rule('Accept')]))
      .policy('a/out', DENY_OUT)
    expect(cluster.allows('a/web', 'b/web', 'TCP:80')).toBe(false)
    cluster.noPolicy('a/out').clusterPolicy('c', spec('Admin', 0, [rule('Deny')]))
    expect(cluster.allows('a/web', '192.0.2.1', 'UDP:9')).toBe(false)
  })
})

describe('special traffic', () => {
  test('[policy 111] a pod and its own address: outside; through a service: inside', () => {
    const cluster = world().clusterPolicy('c', spec('Admin', 0, [from('Deny'), to('Deny')]))
    expect(cluster.allows('a/web', 'a/web')).toBe(true)
    expect(cluster.allows('a/web', 'a/web', 'TCP:80', { isTranslated: true })).toBe(false)
  })

  test('[policy 112] the own node reaches its pods whatever is denied', () => {
    const cluster = world()
      .clusterPolicy('c', spec('Admin', 0, [from('Deny'), to('Deny')]))
      .policy('a/in', DENY_IN)
    expect(cluster.allows('node:n1', 'a/web')).toBe(true)
    expect(cluster.allows('node:n2', 'a/web')).toBe(false)
  })

  test('[policy 113] a pod does not reach its own node where everything is denied to it, by way of INPUT', () => {
    const cluster = world().clusterPolicy('c', spec('Admin', 0, [to('Deny')]))
    expect(cluster.allows('a/web', 'node:n1')).toBe(false)
    expect(cluster.why('a/web', 'node:n1').egress).toMatchObject({ kind: 'clusterPolicy', tier: 'Admin', action: 'Deny' })
    cluster.clusterPolicy('c', spec('Baseline', 0, [to('Deny')]))
    expect(cluster.allows('a/web', 'node:n1')).toBe(false)
    cluster.policy('a/out', DENY_OUT)
    expect(cluster.allows('a/web', 'node:n1')).toBe(true)
  })
})
