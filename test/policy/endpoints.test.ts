// Who is a pod, its life, families and the rest: statements 62 to 96 (docs/policy-semantics.md).
import { describe, expect, test } from '@jest/globals'
import { ip } from '../../src/net/index.ts'
import { PolicyEngine, PROTOCOL_NUMBER, podFromKubernetes } from '../../src/policy/index.ts'
import { parseResource } from '../../src/store/validate.ts'
import { Interpreter } from './interpreter.ts'
import { interfaceOf, World } from './world.ts'

const SHUT = { podSelector: {}, policyTypes: ['Ingress', 'Egress'] }
const DENY_IN = { podSelector: {}, policyTypes: ['Ingress'] }
const DENY_OUT = { podSelector: {}, policyTypes: ['Egress'] }
const WEB = { matchLabels: { app: 'web' } }

function world(ownNodeEgress: 'allow' | 'police' = 'allow'): World {
  return new World(ownNodeEgress)
    .namespace('a')
    .namespace('b')
    .pod('a/web', { labels: { app: 'web' } })
    .pod('a/cli', { labels: { app: 'cli' }, node: 'n2' })
    .pod('b/cli', { labels: { app: 'cli' } })
}

describe('special endpoints', () => {
  test('[policy 62] a pod always reaches itself at its own address', () => {
    const cluster = world().policy('a/shut', SHUT)
    expect(cluster.allows('a/web', 'a/web')).toBe(true)
    expect(cluster.why('a/web', 'a/web')).toEqual({ egress: { kind: 'self' }, ingress: { kind: 'self' } })
  })

  test('[policy 63] through the address of a service it is judged like anybody else', () => {
    const cluster = world().policy('a/shut', SHUT)
    expect(cluster.allows('a/web', 'a/web', 'TCP:80', { isTranslated: true })).toBe(false)
    cluster.policy('a/shut', { ...SHUT, ingress: [{ from: [{ podSelector: WEB }] }], egress: [{ to: [{ podSelector: WEB }] }] })
    expect(cluster.allows('a/web', 'a/web', 'TCP:80', { isTranslated: true })).toBe(true)
  })

  test('[policy 64] the node that a pod runs on always reaches it, by every address it has', () => {
    const cluster = world().policy('a/shut', SHUT).node('n1', {}, ['169.254.1.1', '192.168.7.1', 'fe80::1'])
    for (const from of ['node:n1', '169.254.1.1', '192.168.7.1']) expect(cluster.allows(from, 'a/web')).toBe(true)
    for (const port of ['UDP:53', 'SCTP:7', 'ICMP', '47']) expect(cluster.allows('node:n1', 'a/web', port)).toBe(true)
    expect(cluster.why('node:n1', 'a/web').ingress).toEqual({ kind: 'fromOwnNode' })
    expect(cluster.ruleset().families[4].hooks.some(({ chain }) => chain === 'OUTPUT')).toBe(false)
  })

  test('[policy 65, 91] NetworkPolicies do not bind what a pod sends to its own node, such as to a node-local DNS cache', () => {
    const cluster = world().policy('a/shut', SHUT).node('n1', {}, ['169.254.20.10'])
    expect(cluster.allows('a/web', 'node:n1')).toBe(true)
    expect(cluster.allows('a/web', '169.254.20.10', 'UDP:53')).toBe(true)
    expect(cluster.why('a/web', 'node:n1').egress).toEqual({ kind: 'toOwnNode', by: ['a/shut'] })
    expect(cluster.allows('a/web', 'node:n2')).toBe(false)
  })

  test('[policy 65] unless the setting says that they do', () => {
    const cluster = world('police').policy('a/shut', SHUT)
    expect(cluster.allows('a/web', 'node:n1')).toBe(false)
    cluster.policy('a/shut', { ...SHUT, egress: [{ to: [{ ipBlock: { cidr: '172.18.0.2/32' } }, { ipBlock: { cidr: 'fd12::2/128' } }] }] })
    expect(cluster.allows('a/web', 'node:n1')).toBe(true)
    expect(cluster.allows('node:n1', 'a/web')).toBe(true)
  })

  test('[policy 66] other nodes are addresses like any other', () => {
    const cluster = world().policy('a/shut', SHUT)
    expect(cluster.allows('node:n2', 'a/web')).toBe(false)
    cluster.policy('a/shut', { ...DENY_IN, ingress: [{ from: [{ namespaceSelector: {} }] }] })
    expect(cluster.allows('node:n2', 'a/web')).toBe(false)
    cluster.policy('a/shut', { ...DENY_IN, ingress: [{}] })
    expect(cluster.allows('node:n2', 'a/web')).toBe(true)
    cluster.policy('a/shut', {
      ...DENY_IN,
      ingress: [{ from: [{ ipBlock: { cidr: '172.18.0.0/16' } }, { ipBlock: { cidr: 'fd12::/16' } }] }],
    })
    expect(cluster.allows('node:n2', 'a/web')).toBe(true)
  })

  test('[policy 67] pods in the host network are no subjects, and admit no node as peers', () => {
    const cluster = world()
      .pod('a/host', { labels: { app: 'host' }, hostNetwork: true, node: 'n2' })
      .pod('a/near', { hostNetwork: true })
    cluster.policy('a/shut', { ...DENY_IN, ingress: [{ from: [{ podSelector: { matchLabels: { app: 'host' } } }] }] })
    expect(cluster.allows('node:n2', 'a/web')).toBe(false)
    expect(cluster.allows('192.0.2.1', 'node:n1')).toBe(true)
    expect(cluster.stages('a/host', 'b/cli').map(({ direction }) => direction)).toEqual(['ingress'])
    cluster.policy('a/shut', { ...DENY_IN, ingress: [{ from: [{ namespaceSelector: {} }] }] })
    expect(cluster.allows('a/host', 'a/web')).toBe(false)
  })

  test('[policy 68] what else a node is known by, such as its tunnel address, is the node', () => {
    const cluster = world().node('n2', { role: 'x' }, ['10.99.0.3'])
    const rule = { action: 'Deny', to: [{ nodes: { matchLabels: { role: 'x' } } }] }
    cluster.clusterPolicy('c', { tier: 'Admin', priority: 1, subject: { namespaces: {} }, egress: [rule] })
    expect([cluster.allows('a/web', '10.99.0.3'), cluster.allows('a/web', '10.99.0.4')]).toEqual([false, true])
    cluster.policy('a/shut', DENY_IN)
    expect(cluster.why('10.99.0.3', 'a/cli').ingress).toEqual({ kind: 'fromOwnNode' })
  })

  test('[policy 69] a client behind a NodePort of the own node is seen with its own address, before masquerade', () => {
    const cluster = world().policy('a/in', { ...DENY_IN, ingress: [{ from: [{ ipBlock: { cidr: '192.0.2.0/24' } }] }] })
    expect(cluster.allows('192.0.2.1', 'a/web', 'TCP:80', { isTranslated: true })).toBe(true)
    expect(cluster.allows('198.51.100.1', 'a/web', 'TCP:80', { isTranslated: true })).toBe(false)
  })

  test('[policy 71] egress to the outside is judged by the pod, and its replies are let in', () => {
    const cluster = world().policy('a/out', { ...SHUT, egress: [{ to: [{ ipBlock: { cidr: '192.0.2.0/24' } }], ports: [{ port: 443 }] }] })
    expect(cluster.allows('a/web', '192.0.2.1', 'TCP:443')).toBe(true)
    expect(cluster.allows('192.0.2.1', 'a/web', 'TCP:40000')).toBe(false)
    expect(cluster.allows('192.0.2.1', 'a/web', 'TCP:40000', { state: 'established' })).toBe(true)
  })

  test('[policy 72] behind a load balancer that translates, only its address is seen', () => {
    const cluster = world().policy('a/in', { ...DENY_IN, ingress: [{ from: [{ ipBlock: { cidr: '198.51.100.7/32' } }] }] })
    expect([cluster.allows('198.51.100.7', 'a/web'), cluster.allows('192.0.2.1', 'a/web')]).toEqual([true, false])
  })
})

describe('life of a pod', () => {
  const noPod = { kind: 'pod', key: 'a/new', value: null } as const
  const packet = { protocol: 6, destinationPort: 80, icmpType: null, isNew: true, isToHost: false }
  const run = (cluster: World, from: string, to: string, way: { in: string; out: string }, isNew = true) =>
    new Interpreter(cluster.ruleset()).run('FORWARD', { ...packet, isNew, source: ip(from), destination: ip(to), ...way }).verdict

  test('[policy 73] an interface that nothing is known of, and a pod whose object is not known yet, let nothing through', () => {
    const cluster = world()
    expect(run(cluster, '10.0.0.99', '192.0.2.1', { in: 'fib0123456789a', out: 'eth0' })).toBe('drop')
    expect(run(cluster, '192.0.2.1', '10.0.0.99', { in: 'eth0', out: 'fib0123456789a' })).toBe('drop')
    cluster.pod('a/new')
    expect(cluster.allows('b/cli', 'a/new')).toBe(true)
    expect(cluster.engine().endpointState(interfaceOf('a/new'))).toEqual({ kind: 'ready' })
    cluster.change(noPod)
    expect(cluster.engine().endpointState(interfaceOf('a/new'))).toMatchObject({ kind: 'waiting' })
    expect(cluster.allows('b/cli', 'a/new')).toBe(false)
    expect(cluster.allows('a/new', '192.0.2.1')).toBe(false)
    expect(cluster.allows('node:n1', 'a/new')).toBe(true)
  })

  test('[policy 73] so does one whose namespace is not known', () => {
    const cluster = world().pod('c/new')
    expect(cluster.engine().endpointState(interfaceOf('c/new'))).toMatchObject({ kind: 'waiting' })
    expect(cluster.allows('b/cli', 'c/new')).toBe(false)
    cluster.namespace('c')
    expect(cluster.allows('b/cli', 'c/new')).toBe(true)
  })

  test('[policy 74, 78] phases and readiness change nothing while containers may run', () => {
    const cluster = world().policy('a/in', { ...DENY_IN, ingress: [{ from: [{ podSelector: {} }] }] })
    for (const phase of ['Pending', 'Running', 'Unknown']) {
      cluster.pod('a/web', { labels: { app: 'web' }, phase }).pod('a/cli', { labels: { app: 'cli' }, node: 'n2', phase })
      expect([cluster.allows('a/cli', 'a/web'), cluster.allows('b/cli', 'a/web')]).toEqual([true, false])
    }
  })

  test('[policy 76] a pod that terminates is subject and peer to the end', () => {
    const cluster = world().policy('a/in', { ...DENY_IN, ingress: [{ from: [{ podSelector: {} }] }] })
    cluster.pod('a/web', { isTerminating: true }).pod('a/cli', { node: 'n2', isTerminating: true })
    expect([cluster.allows('a/cli', 'a/web'), cluster.allows('b/cli', 'a/web')]).toEqual([true, false])
  })

  test.each(['Succeeded', 'Failed'])(
    '[policy 77] a pod that has %s is neither subject nor peer, and its address may be somebody else',
    (phase) => {
      const cluster = world().policy('a/in', { podSelector: WEB, ingress: [{ from: [{ podSelector: { matchLabels: { app: 'cli' } } }] }] })
      cluster.pod('a/cli', { labels: { app: 'cli' }, node: 'n2', phase, hasEndpoint: false }).noEndpoint('a/cli')
      expect(cluster.allows('a/cli', 'a/web')).toBe(false)
      cluster.pod('a/next', { labels: { app: 'cli' }, node: 'n2', ips: ['10.0.0.2', 'fd00::2'] })
      expect(cluster.allows('a/next', 'a/web')).toBe(true)
      cluster.pod('a/near', { labels: { app: 'cli' } }).policy('a/shut', { ...DENY_IN, podSelector: { matchLabels: { app: 'cli' } } })
      expect([cluster.allows('a/near', 'a/web'), cluster.allows('a/web', 'a/near')]).toEqual([true, false])
      cluster.pod('a/near', { labels: { app: 'cli' }, phase }) // its interface is still there
      expect([cluster.allows('a/near', 'a/web'), cluster.allows('a/web', 'a/near')]).toEqual([false, true])
    },
  )

  test('[policy 79] a pod without address has no effect and disturbs nobody', () => {
    const cluster = world().policy('a/in', { podSelector: WEB, ingress: [{ from: [{ podSelector: { matchLabels: { app: 'cli' } } }] }] })
    cluster.pod('a/pending', { labels: { app: 'cli' }, ips: [], phase: 'Pending', node: 'n2' })
    expect(cluster.allows('a/cli', 'a/web')).toBe(true)
  })

  test.each([true, false])(
    '[policy 80] an address used again gives the successor its own rights only (old one seen last: %s)',
    (oldLast) => {
      const cluster = world().policy('a/in', { podSelector: WEB, ingress: [{ from: [{ podSelector: { matchLabels: { app: 'old' } } }] }] })
      const ips = ['10.0.0.77', 'fd00::77']
      const old = () =>
        cluster.pod('a/old', { labels: { app: 'old' }, node: 'n2', ips, createdAt: '2001-01-01T00:00:00Z', hasEndpoint: false })
      const next = () => cluster.pod('a/next', { labels: { app: 'next' }, node: 'n2', ips, createdAt: '2001-01-01T00:00:09Z' })
      if (oldLast) {
        next()
        old()
      } else {
        old()
        expect(
          cluster.engine().isAllowedHere({ source: ip('10.0.0.77'), destination: ip('10.0.0.1'), protocol: 6, destinationPort: 80 }),
        ).toBe(true)
        next()
      }
      expect(cluster.allows('a/next', 'a/web')).toBe(false)
      cluster.noPod('a/next')
      expect(
        cluster.engine().isAllowedHere({ source: ip('10.0.0.77'), destination: ip('10.0.0.1'), protocol: 6, destinationPort: 80 }),
      ).toBe(true)
    },
  )

  test('[policy 80] of two of one age the one that does not terminate has the address', () => {
    const cluster = world().policy('a/in', { podSelector: WEB, ingress: [{ from: [{ podSelector: { matchLabels: { app: 'next' } } }] }] })
    const shared = { node: 'n2', ips: ['10.0.0.66', 'fd00::66'], hasEndpoint: false } as const
    const flow = { source: ip('10.0.0.66'), destination: ip('10.0.0.1'), protocol: 6, destinationPort: 80 }
    cluster.pod('a/zzz', { ...shared, labels: { app: 'old' }, isTerminating: true }).pod('a/next', { ...shared, labels: { app: 'next' } })
    expect(cluster.engine().isAllowedHere(flow)).toBe(true)
    cluster.pod('a/next', { ...shared, labels: { app: 'next' }, isTerminating: true })
    expect(cluster.engine().isAllowedHere(flow)).toBe(false)
  })

  test('[policy 80] an endpoint goes before any pod of another node, and a namesake of another UID is not its pod', () => {
    const cluster = world().policy('a/in', { podSelector: WEB, ingress: [{ from: [{ podSelector: { matchLabels: { app: 'old' } } }] }] })
    const ips = ['10.0.0.88', 'fd00::88']
    cluster
      .pod('b/old', { labels: { app: 'old' }, node: 'n2', ips, hasEndpoint: false })
      .pod('a/mine', { labels: { app: 'old' }, ips, uid: 'u1' })
    expect(cluster.allows('a/mine', 'a/web')).toBe(true)
    const parsed = parseResource({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { namespace: 'a', name: 'mine', uid: 'u2', labels: { app: 'old' } },
    })
    if (!parsed.ok || parsed.value.kind !== 'Pod') throw new Error('no Pod')
    cluster.change({ kind: 'pod', key: 'a/mine', value: podFromKubernetes(parsed.value) })
    expect(cluster.engine().endpointState(interfaceOf('a/mine'))).toMatchObject({ kind: 'waiting' })
    expect(cluster.allows('a/mine', 'b/cli')).toBe(false)
  })

  test('[policy 82] a change says whose connections to judge again, and the verdict on each; replies are judged by their first packet', () => {
    const cluster = world()
    const flow = { source: ip('10.0.0.3'), destination: ip('10.0.0.1'), protocol: PROTOCOL_NUMBER.TCP, destinationPort: 80 }
    expect(cluster.engine().isAllowedHere(flow)).toBe(true)
    const delta = cluster.engine().update([
      {
        kind: 'networkPolicy',
        key: 'a/in',
        value: { namespace: 'a', name: 'in', pods: WEB, isolates: { ingress: true, egress: false }, rules: { ingress: [], egress: [] } },
      },
    ])
    expect(delta.affected).toEqual([interfaceOf('a/web')])
    expect(cluster.engine().isAllowedHere(flow)).toBe(false)
    expect(cluster.engine().isAllowedHere({ ...flow, source: flow.destination, destination: flow.source })).toBe(true)
  })

  test('[policy 82] a change of a set affects the endpoints whose rules read it, and no other', () => {
    const cluster = world().pod('b/other', { labels: { app: 'x' } })
    cluster.policy('a/in', {
      podSelector: WEB,
      ingress: [{ from: [{ namespaceSelector: {}, podSelector: { matchLabels: { app: 'cli' } } }] }],
    })
    const key = 'b/other'
    const pod = cluster.engine().state.pods.get(key)
    if (pod === undefined) throw new Error('no pod')
    const delta = cluster.engine().update([{ kind: 'pod', key, value: { ...pod, labels: { app: 'cli' } } }])
    expect(delta.affected).toEqual([interfaceOf('a/web')])
    expect(delta.ruleset.sets.changed.map(({ add }) => add)).toEqual([['10.0.0.4'], ['fd00::4']])
    expect([delta.ruleset.sets.put, delta.ruleset.sets.removed, delta.ruleset.families[4].put, delta.ruleset.families[6].put]).toEqual([
      [],
      [],
      [],
      [],
    ])
  })

  test('[policy 83] chains and sets that a change does not concern are the same objects as before', () => {
    const cluster = world().policy('a/in', { podSelector: WEB, ingress: [{ from: [{ podSelector: {} }] }] })
    const before = cluster.ruleset()
    cluster.policy('b/in', DENY_IN)
    const after = cluster.ruleset()
    expect(after.sets).toEqual(before.sets)
    for (const [at, set] of before.sets.entries()) expect(after.sets[at]).toBe(set)
    const changed = after.families[4].chains
      .filter((chain) => !before.families[4].chains.includes(chain))
      .map(({ name }) => name.slice(0, 8))
    expect(changed.sort()).toEqual([`fib-et-f`, 'fib-g-', 'fib-poli'].map((name) => expect.stringContaining(name)))
  })

  test('[policy 83, 84] packets of a connection that was let through pass before anything else is asked', () => {
    const cluster = world().policy('a/shut', SHUT)
    const way = { in: interfaceOf('a/web'), out: 'eth0' }
    expect(run(cluster, '10.0.0.1', '192.0.2.1', way)).toBe('drop')
    expect(run(cluster, '10.0.0.1', '192.0.2.1', way, false)).toBe('pass')
    expect(cluster.allows('192.0.2.1', 'a/web', 'TCP:80', { state: 'established' })).toBe(true)
    expect(cluster.allows('a/web', '192.0.2.1', 'TCP:80', { state: 'established' })).toBe(true)
  })

  test('[policy 85] connections are tracked from the first ruleset on, before there is any policy or pod', () => {
    const engine = new PolicyEngine({ node: 'n1', families: [4, 6], ownNodeEgress: 'allow', missingPods: 'deny' })
    const { ruleset } = engine.update([])
    for (const family of [4, 6] as const) {
      const { put, hooks } = ruleset.families[family]
      expect(hooks).toHaveLength(3)
      expect(put.filter(({ rules }) => rules.flat().includes('conntrack')).map(({ name }) => name)).toEqual([
        'fib-policy-from',
        'fib-policy-to',
      ])
    }
  })

  test('[policy 86] the same cluster gives the same rules to the letter, so a restart finds nothing to write', () => {
    const make = () =>
      world()
        .policy('a/shut', SHUT)
        .policy('b/in', { ...DENY_IN, ingress: [{ from: [{ podSelector: WEB }], ports: [{ port: 'http' }] }] })
    expect(make().ruleset()).toEqual(make().ruleset())
  })
})

describe('families, names and the rest', () => {
  test('[policy 88] selectors cover every address of a dual-stack pod', () => {
    const cluster = world().policy('a/in', { podSelector: WEB, ingress: [{ from: [{ podSelector: {} }] }] })
    for (const from of ['10.0.0.2', 'fd00::2']) expect(cluster.allows(from, 'a/web')).toBe(true)
    for (const from of ['10.0.0.3', 'fd00::3']) expect(cluster.allows(from, 'a/web')).toBe(false)
  })

  test('[policy 89] a cluster of IPv6 alone', () => {
    const cluster = new World()
      .namespace('a')
      .pod('a/web', { labels: { app: 'web' }, ips: ['fd00::1'] })
      .pod('a/cli', { ips: ['fd00::2'], node: 'n2' })
    cluster.policy('a/in', { podSelector: WEB, ingress: [{ from: [{ podSelector: {} }], ports: [{ port: 80 }] }] })
    expect([cluster.allows('a/cli', 'a/web'), cluster.allows('a/cli', 'a/web', 'TCP:81'), cluster.allows('fd00::9', 'a/web')]).toEqual([
      true,
      false,
      false,
    ])
    const engine = new PolicyEngine({ node: 'n1', families: [6], ownNodeEgress: 'allow', missingPods: 'deny' })
    expect(engine.update([]).ruleset.families[4]).toEqual({ put: [], removed: [], hooks: [] })
  })

  test('[policy 90] egress isolation cuts DNS too, until a rule allows it at the port of the DNS pods', () => {
    const cluster = world()
      .namespace('kube-system')
      .pod('kube-system/dns', { labels: { app: 'dns' }, node: 'n2', ports: [{ name: 'dns', containerPort: 8053, protocol: 'UDP' }] })
    cluster.policy('a/out', DENY_OUT)
    expect(cluster.allows('a/web', 'kube-system/dns', 'UDP:8053', { isTranslated: true })).toBe(false)
    const to = [
      {
        namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'kube-system' } },
        podSelector: { matchLabels: { app: 'dns' } },
      },
    ]
    cluster.policy('a/out', { ...DENY_OUT, egress: [{ to, ports: [{ protocol: 'UDP', port: 'dns' }] }] })
    expect(cluster.allows('a/web', 'kube-system/dns', 'UDP:8053', { isTranslated: true })).toBe(true)
  })

  test('[policy 93] hundreds of peers and ports in one rule make rules by the hundred, not by the ten thousand', () => {
    const from = Array.from({ length: 200 }, (_, at) => ({ podSelector: { matchLabels: { app: `a${at}` } } }))
    const ports = Array.from({ length: 300 }, (_, at) => ({ port: 1000 + at * 2 }))
    const cluster = world()
      .pod('a/x', { labels: { app: 'a150' }, node: 'n2' })
      .policy('a/in', { podSelector: WEB, ingress: [{ from, ports }] })
    expect(cluster.allows('a/x', 'a/web', 'TCP:1400')).toBe(true)
    expect(cluster.allows('a/x', 'a/web', 'TCP:1401')).toBe(false)
    expect(cluster.allows('b/cli', 'a/web', 'TCP:1400')).toBe(false)
    expect(cluster.ruleset().families[4].chains.flatMap(({ rules }) => rules).length).toBeLessThan(300)
  })

  test('[policy 94] names of any length become names that the kernel takes', () => {
    const long = 'x'.repeat(240)
    const cluster = world().pod(`a/${long}`, { labels: { app: 'long' } })
    cluster.policy(`a/${long}1`, {
      podSelector: { matchLabels: { app: 'long' } },
      ingress: [{ from: [{ podSelector: WEB }], ports: [{ port: 'http' }] }],
    })
    cluster.policy(`a/${long}2`, {
      podSelector: { matchLabels: { app: 'long' } },
      ingress: [{ from: [{ podSelector: { matchLabels: { app: 'cli' } } }] }],
    })
    expect([cluster.allows('a/cli', `a/${long}`), cluster.allows('b/cli', `a/${long}`)]).toEqual([true, false])
    for (const { name } of cluster.ruleset().families[4].chains) expect(name).toMatch(/^fib[\w-]{1,25}$/)
    for (const { name } of cluster.ruleset().sets) expect(name).toMatch(/^fib[\w-]{1,28}$/)
  })

  test('[policy 95, 96] a policy that is not valid isolates all the same, grants only what is understood, and harms no other', () => {
    const cluster = world().policy('b/good', { podSelector: {}, ingress: [{ from: [{ podSelector: {} }] }] })
    const bad: readonly unknown[] = [
      { podSelector: { matchLabels: 7 } },
      { podSelector: {}, ingress: 'everything' },
      { podSelector: {}, ingress: [7] },
      { podSelector: {}, ingress: [{ from: [{ dnsName: 'example.com' }] }] },
      { podSelector: {}, ingress: [{ from: [{ podSelector: { matchExpressions: [{ key: 'a', operator: 'Like', values: ['b'] }] } }] }] },
      { podSelector: {}, ingress: [{ from: [{ podSelector: {}, except: {} }] }] },
      { podSelector: {}, ingress: [{ when: 'night' }] },
      { podSelector: {}, ingress: [{}], unless: {} },
      { podSelector: {}, ingress: [{ ports: [{ protocol: 'ICMP' }] }] },
      { podSelector: {}, ingress: [{ from: [{ ipBlock: { cidr: '10.0.0.0' } }] }] },
      'nothing',
      null,
    ]
    for (const spec of bad) {
      cluster.policy('a/bad', spec)
      expect([spec, cluster.allows('a/cli', 'a/web')]).toEqual([spec, false])
    }
    cluster.policy('a/bad', { podSelector: {}, ingress: [{ from: [{ podSelector: {} }] }, { from: [{ dnsName: 'x' }] }] })
    expect([cluster.allows('a/cli', 'a/web'), cluster.allows('b/cli', 'a/web')]).toEqual([true, false])
    expect(cluster.allows('a/cli', 'b/cli')).toBe(false)
  })
})
