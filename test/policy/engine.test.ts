// What the engine's face promises beyond the semantics: dispatch that does not grow, counters, deltas, options.
import { describe, expect, test } from '@jest/globals'
import { ip, ipv4 } from '../../src/net/index.ts'
import { type PolicyChange, PolicyEngine, type PolicyEngineOptions, RulesetMirror } from '../../src/policy/index.ts'
import { Interpreter } from './interpreter.ts'
import { interfaceOf, World } from './world.ts'

const OPTIONS: PolicyEngineOptions = { node: 'n1', families: [4, 6], ownNodeEgress: 'allow', missingPods: 'deny' }
const WEB = { matchLabels: { app: 'web' } }

function endpoints(count: number): readonly PolicyChange[] {
  return Array.from({ length: count }, (_, at) => {
    const name = `fib${((at * 0x9e3779b1) % 0x100000000).toString(16).padStart(8, '0')}${(at % 4096).toString(16).padStart(3, '0')}`
    return { kind: 'endpoint', key: name, value: { interface: name, pod: null, addresses: [ipv4(0x0a000000 + at)] } } as const
  })
}

describe('dispatch', () => {
  test.each([
    [10, 14],
    [100, 26],
    [1000, 45],
  ])('with %i pods a packet looks at no more than %i rules before those of its endpoint', (count, atMost) => {
    const changes = endpoints(count)
    const interpreter = new Interpreter(new RulesetMirror().apply(new PolicyEngine(OPTIONS).update(changes).ruleset))
    const packet = {
      source: ip('10.0.0.0'),
      destination: ip('192.0.2.1'),
      protocol: 6,
      destinationPort: 80,
      icmpType: null,
      isNew: true,
      isToHost: false,
    }
    for (const { key } of changes) {
      const { verdict, steps } = interpreter.run('FORWARD', { ...packet, in: key, out: 'eth0' })
      expect(verdict).toBe('pass')
      expect(steps).toBeLessThanOrEqual(atMost)
    }
    expect(interpreter.run('FORWARD', { ...packet, in: 'fibffffffffffe', out: 'eth0' }).verdict).toBe('drop')
    expect(interpreter.run('FORWARD', { ...packet, in: 'fibipip', out: 'eth0' }).verdict).toBe('pass')
    expect(interpreter.run('FORWARD', { ...packet, in: 'fib6tnl', out: 'eth0' }).verdict).toBe('drop')
  })

  test('one more pod writes the chains on the way to it, and no others', () => {
    const engine = new PolicyEngine(OPTIONS)
    const [last, ...others] = [...endpoints(301)].reverse()
    engine.update(others)
    if (last === undefined) throw new Error('no endpoint')
    const { put, removed, hooks } = engine.update([last]).ruleset.families[4]
    expect(put.length).toBeLessThanOrEqual(4)
    expect([removed, hooks]).toEqual([[], null])
  })
})

test('when the last of many endpoints is gone, so is every chain on the way to them', () => {
  const engine = new PolicyEngine(OPTIONS)
  const mirror = new RulesetMirror()
  const before = mirror.apply(engine.update([]).ruleset)
  const many = endpoints(100)
  expect(mirror.apply(engine.update(many).ruleset).families[4].chains.length).toBeGreaterThan(before.families[4].chains.length)
  expect(mirror.apply(engine.update(many.map(({ key }) => ({ kind: 'endpoint', key, value: null }))).ruleset)).toEqual(before)
})

describe('counters', () => {
  const RULE = {
    name: 'no-cli',
    action: 'Deny',
    from: [{ pods: { podSelector: { matchLabels: { app: 'cli' } } } }],
    protocols: [{ tcp: {} }, { udp: {} }],
  }
  const cluster = () =>
    new World()
      .namespace('a')
      .pod('a/web', { labels: { app: 'web' } })
      .policy('a/in', { podSelector: WEB, ingress: [{ from: [{ podSelector: {} }] }] })
      .clusterPolicy('c', {
        tier: 'Admin',
        priority: 1,
        subject: { namespaces: {} },
        ingress: [{ action: 'Pass', from: [{ pods: { podSelector: WEB } }] }, RULE],
      })

  test('each pod and direction that can drop has one, and so have rules that deny, isolation, and unknown interfaces', () => {
    const counters = cluster().engine().counters()
    const of = (kind: string) => counters.filter((counter) => counter.of.kind === kind && counter.family === 4)
    expect(of('endpoint').map((each) => [each.direction, each.of])).toEqual([
      ['ingress', { kind: 'endpoint', interface: interfaceOf('a/web') }],
    ])
    expect(of('policy').map((each) => each.of)).toEqual(
      Array.from({ length: 2 }, () => ({ kind: 'policy', tier: 'Admin', policy: 'c', rule: 1, ruleName: 'no-cli' })),
    )
    expect(of('isolation').map((each) => each.of)).toEqual([{ kind: 'isolation', policies: ['a/in'] }])
    expect(
      of('unknown')
        .map((each) => each.direction)
        .sort(),
    ).toEqual(['egress', 'ingress'])
  })

  test('each is at a rule that drops or marks for dropping', () => {
    const world = cluster()
    for (const { family, chain, rule, of } of world.engine().counters()) {
      const words = world.ruleset().families[family].chains.find(({ name }) => name === chain)?.rules[rule]
      expect(words?.at(-1)).toBe(of.kind === 'policy' || of.kind === 'isolation' ? 'fib-policy-deny' : 'DROP')
    }
  })
})

describe('face', () => {
  test('policies of an endpoint, those of the cluster in the order in which they decide', () => {
    const rule = { action: 'Deny', from: [{ pods: { podSelector: { matchLabels: { app: 'x' } } } }] }
    const world = new World()
      .namespace('a')
      .pod('a/web', { labels: { app: 'web' } })
      .policy('a/in', { podSelector: {}, ingress: [{}] })
      .policy('a/no', { podSelector: { matchLabels: { no: 'no' } } })
    for (const [name, tier, priority] of [
      ['z', 'Admin', 1],
      ['y', 'Admin', 3],
      ['x', 'Admin', 2],
      ['w', 'Baseline', 1],
    ] as const) {
      world.clusterPolicy(name, { tier, priority, subject: { namespaces: {} }, ingress: [rule] })
    }
    expect(world.engine().policiesOf(interfaceOf('a/web'))).toEqual({
      ingress: { admin: ['z', 'x', 'y'], networkPolicies: ['a/in'], baseline: ['w'] },
      egress: { admin: [], networkPolicies: [], baseline: [] },
    })
    expect(world.engine().policiesOf('fib00000000000')).toBeNull()
    expect(world.engine().endpointState('fib00000000000')).toBeNull()
  })

  test('only policies that select a pod of this node have chains, and only sets that they use are there', () => {
    const world = new World()
      .namespace('a')
      .namespace('b')
      .pod('a/web', { labels: { app: 'web' }, node: 'n2' })
      .pod('b/web')
    const before = world.ruleset('n1')
    world.policy('a/in', { podSelector: WEB, ingress: [{ from: [{ namespaceSelector: {} }] }] })
    expect(world.ruleset('n1')).toEqual(before)
    expect(world.ruleset('n2').sets.map(({ family, members }) => [family, [...members]])).toEqual([
      [4, ['10.0.0.1', '10.0.0.2']],
      [6, ['fd00::1', 'fd00::2']],
    ])
    world.noPod('a/web')
    expect(world.ruleset('n2').sets).toEqual([])
  })

  test('named ports of what comes in are those of pods of this node only', () => {
    const ports = [{ name: 'http', containerPort: 8080 }]
    const world = new World().namespace('a').pod('a/one', { ports }).pod('a/two', { ports, node: 'n2' })
    world.policy('a/in', { podSelector: {}, ingress: [{ ports: [{ port: 'http' }] }] })
    expect(world.ruleset('n1').sets.map(({ members }) => [...members])).toEqual([['10.0.0.1,tcp:8080'], ['fd00::1,tcp:8080']])
    world.policy('a/in', { podSelector: {}, egress: [{ ports: [{ port: 'http' }] }] })
    expect(world.ruleset('n1').sets[0]?.members.size).toBe(2)
  })

  test('policies with the same rules share one chain, endpoints with the same policies one program', () => {
    const world = new World().namespace('a')
    for (const name of ['one', 'two', 'three']) world.pod(`a/${name}`, { labels: { app: 'web' } })
    const spec = { podSelector: WEB, ingress: [{ from: [{ podSelector: {} }], ports: [{ port: 80 }] }] }
    world.policy('a/p', spec).policy('a/q', spec)
    const names = world.ruleset().families[4].chains.map(({ name }) => name)
    expect([names.filter((name) => name.startsWith('fib-p-')).length, names.filter((name) => name.startsWith('fib-g-')).length]).toEqual([
      1, 1,
    ])
    expect(names.filter((name) => name.startsWith('fib-et-'))).toHaveLength(3)
  })

  test('nothing is left of a policy that is gone, however often its rules shared a chain', () => {
    const world = new World().namespace('a').pod('a/web', { labels: { app: 'web' } })
    const before = world.ruleset()
    const from = ['x', 'y', 'z', 'w'].map((app) => ({ podSelector: { matchLabels: { app } } }))
    const ports = [{ port: 80 }, { protocol: 'UDP', port: 53 }, { protocol: 'SCTP' }, { port: 'http' }]
    const only4 = [...from, { ipBlock: { cidr: '192.0.2.0/24' } }]
    world
      .policy('a/p', {
        podSelector: WEB,
        ingress: [
          { from, ports },
          { from: only4, ports },
        ],
      })
      .policy('a/q', { podSelector: WEB, ingress: [{ from: only4, ports }] })
    expect(world.ruleset().families[6].chains.filter(({ name }) => name.startsWith('fib-q-'))).toHaveLength(1)
    world.noPolicy('a/p')
    expect(world.ruleset().families[6].chains.filter(({ name }) => name.startsWith('fib-q-'))).toHaveLength(1)
    world.noPolicy('a/q')
    expect(world.ruleset()).toEqual(before)
  })

  test('states of endpoints are told when they change', () => {
    const engine = new PolicyEngine(OPTIONS)
    const endpoint = {
      kind: 'endpoint',
      key: 'fib1',
      value: { interface: 'fib1', pod: { namespace: 'a', name: 'p', uid: null }, addresses: [ip('10.0.0.1')] },
    } as const
    expect([...engine.update([endpoint]).endpoints]).toEqual([['fib1', { kind: 'waiting', because: expect.stringContaining('a/p') }]])
    const pod = {
      namespace: 'a',
      name: 'p',
      uid: null,
      labels: {},
      node: 'n1',
      isHostNetwork: false,
      isFinished: false,
      isTerminating: false,
      createdAt: '',
      addresses: [],
      ports: [],
    }
    expect([...engine.update([{ kind: 'pod', key: 'a/p', value: pod }]).endpoints]).toEqual([])
    expect([...engine.update([{ kind: 'namespace', key: 'a', value: { name: 'a', labels: {} } }]).endpoints]).toEqual([
      ['fib1', { kind: 'ready' }],
    ])
    expect([...engine.update([{ ...endpoint, value: null }]).endpoints]).toEqual([['fib1', null]])
  })

  test('without an API server a pod that the store does not show is one without labels', () => {
    const engine = new PolicyEngine({ ...OPTIONS, missingPods: 'unlabelled' })
    const endpoint = { interface: 'fib1', pod: { namespace: 'a', name: 'p', uid: null }, addresses: [ip('10.0.0.1')] }
    expect([...engine.update([{ kind: 'endpoint', key: 'fib1', value: endpoint }]).endpoints]).toEqual([['fib1', { kind: 'ready' }]])
    const flow = { source: ip('192.0.2.1'), destination: ip('10.0.0.1'), protocol: 6, destinationPort: 80 }
    expect(engine.isAllowedHere(flow)).toBe(true)
    const policy = { namespace: 'a', name: 'in', pods: {}, isolates: { ingress: true, egress: false }, rules: { ingress: [], egress: [] } }
    engine.update([{ kind: 'networkPolicy', key: 'a/in', value: policy }])
    expect(engine.isAllowedHere(flow)).toBe(false)
  })

  test('the mark is two adjacent bits, of which the caller may choose the lower', () => {
    for (const markBit of [0, 3, -1, 0.5, 2 ** 31, 2 ** 40]) expect(() => new PolicyEngine({ ...OPTIONS, markBit })).toThrow(RangeError)
    const { put } = new PolicyEngine({ ...OPTIONS, markBit: 2 ** 30 }).update([]).ruleset.families[4]
    expect(put.flatMap(({ rules }) => rules.flat()).filter((word) => word.startsWith('0x'))).toEqual(
      expect.arrayContaining(['0x0/0xc0000000', '0x40000000/0xc0000000', '0xc0000000/0xc0000000', '0x80000000/0xc0000000']),
    )
  })

  test('a mirror that was left out of a delta says so, and can begin anew', () => {
    const world = new World()
      .namespace('a')
      .pod('a/web')
      .policy('a/in', { podSelector: {}, ingress: [{ from: [{ podSelector: {} }] }] })
    const mirror = new RulesetMirror()
    const lost = { sets: { put: [], changed: [{ name: 'fib4-x', add: ['10.0.0.1'], remove: [] }], removed: [] } }
    const families = { 4: { put: [], removed: [], hooks: null }, 6: { put: [], removed: [], hooks: null } }
    expect(() => mirror.apply({ ...lost, families })).toThrow(RangeError)
    expect(mirror.reset(world.engine().ruleset()).sets).toHaveLength(2)
  })
})
