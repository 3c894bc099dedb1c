// The pods of a node as policy sees them: their state, what has a say, and the drops of the rules that count them.
import { describe, expect, test } from '@jest/globals'
import { dropsOf, podPolicies } from '../../../src/agent/policy/status.ts'
import { ip } from '../../../src/net/index.ts'
import type { DropCounter } from '../../../src/policy/index.ts'

type Shown = Parameters<typeof podPolicies>[0][number]

const NOTHING = { admin: [], networkPolicies: [], baseline: [] }

function shown(name: string | null, over: Partial<Omit<Shown, 'endpoint'>> = {}, hostInterface = `fib-${name}`): Shown {
  const pod = name === null ? null : { namespace: 'x', name, uid: null }
  const endpoint = { interface: hostInterface, pod, addresses: [ip('10.244.0.1'), ip('fd00::1')] }
  return { endpoint, isAdmitted: true, isAsBefore: false, waitsFor: null, policies: { ingress: NOTHING, egress: NOTHING }, ...over }
}

function counter(family: 4 | 6, chain: string, rule: number, direction: 'ingress' | 'egress', of: DropCounter['of']): DropCounter {
  return { family, chain, rule, direction, of }
}

const endpointOf = (name: string): DropCounter['of'] => ({ kind: 'endpoint', interface: `fib-${name}` })

describe('state of a pod', () => {
  const say = { ...NOTHING, networkPolicies: ['x/deny'] }
  test.each([
    ['denied: its rules are not in the kernel', { isAdmitted: false }, 'denied', 'its rules are not in the kernel yet'],
    ['denied: what it waits for is known', { isAdmitted: false, waitsFor: 'Pod x/a is not known' }, 'denied', 'Pod x/a is not known'],
    ['denied, though policies have a say', { isAdmitted: false, policies: { ingress: say, egress: say } }, 'denied', expect.any(String)],
    [
      'unchanged: nothing was written yet',
      { isAdmitted: false, isAsBefore: true },
      'unchanged',
      expect.stringContaining('before is in force'),
    ],
    ['open: there is no policy at all', { policies: null }, 'open', null],
    ['open: none has a say', {}, 'open', null],
    ['open: what it waited for is told no more', { waitsFor: 'something of before' }, 'open', null],
    ['enforced: a NetworkPolicy, ingress', { policies: { ingress: say, egress: NOTHING } }, 'enforced', null],
    ['enforced: a NetworkPolicy, egress', { policies: { ingress: NOTHING, egress: say } }, 'enforced', null],
    ['enforced: tier Admin', { policies: { ingress: { ...NOTHING, admin: ['a'] }, egress: NOTHING } }, 'enforced', null],
    ['enforced: tier Baseline', { policies: { ingress: NOTHING, egress: { ...NOTHING, baseline: ['b'] } } }, 'enforced', null],
  ] as const)('%s', (_, over, state, waitsFor) => {
    expect(podPolicies([shown('a', over)], [], [])).toMatchObject([{ state, waitsFor }])
  })
})

test('who it is, its addresses as text, and the policies of each direction', () => {
  const policies = {
    ingress: { admin: ['strict'], networkPolicies: ['x/one', 'x/two'], baseline: [] },
    egress: { admin: [], networkPolicies: [], baseline: ['default'] },
  }
  expect(podPolicies([shown('a', { policies })], [], [])).toEqual([
    {
      namespace: 'x',
      name: 'a',
      hostInterface: 'fib-a',
      addresses: ['10.244.0.1', 'fd00::1'],
      state: 'enforced',
      waitsFor: null,
      ingress: { ...policies.ingress, droppedPackets: 0 },
      egress: { ...policies.egress, droppedPackets: 0 },
    },
  ])
})

test('in order of namespace and name, those that are no pods first, by their interfaces', () => {
  const all = podPolicies([shown('b'), shown(null, {}, 'fib2'), shown('a'), shown(null, {}, 'fib1')], [], [])
  expect(all.map(({ name, hostInterface }) => name ?? hostInterface)).toEqual(['fib1', 'fib2', 'a', 'b'])
})

describe('drops', () => {
  const counters = [
    counter(4, 'in-a', 1, 'ingress', endpointOf('a')),
    counter(4, 'in-a', 3, 'ingress', endpointOf('a')),
    counter(6, 'in-a', 1, 'ingress', endpointOf('a')),
    counter(4, 'out-a', 0, 'egress', endpointOf('a')),
    counter(4, 'in-b', 0, 'ingress', endpointOf('b')),
    counter(4, 'in-a', 2, 'ingress', { kind: 'isolation', policies: ['x/deny'] }), // the same packets, counted once more by policy
    counter(4, 'strict', 0, 'ingress', { kind: 'policy', tier: 'Admin', policy: 'strict', rule: 0, ruleName: '' }),
  ]
  const seen = [
    { family: 4 as const, chain: 'in-a', packets: [1_000, 1, 500, 2] },
    { family: 6 as const, chain: 'in-a', packets: [1_000, 4] },
    { family: 4 as const, chain: 'out-a', packets: [8] },
    { family: 4 as const, chain: 'in-b', packets: [16] },
    { family: 4 as const, chain: 'strict', packets: [32] },
  ]

  test('all rules that count a pod and direction are added up, both families; those of others are not', () => {
    const [a, b] = podPolicies([shown('a'), shown('b')], counters, seen)
    expect([a?.ingress.droppedPackets, a?.egress.droppedPackets]).toEqual([7, 8])
    expect([b?.ingress.droppedPackets, b?.egress.droppedPackets]).toEqual([16, 0])
  })

  test('a chain or rule that the kernel has not shown counts nothing', () => {
    const [a] = podPolicies([shown('a')], counters, [{ family: 4, chain: 'in-a', packets: [5, 1] }])
    expect([a?.ingress.droppedPackets, a?.egress.droppedPackets]).toEqual([1, 0])
  })

  test('for metrics: where anything was dropped, by pod and direction; what is no pod goes by its interface', () => {
    const ofInterface = counter(4, 'in-c', 0, 'egress', { kind: 'endpoint', interface: 'fib9' })
    const pods = podPolicies(
      [shown('a'), shown('b'), shown('quiet'), shown(null, {}, 'fib9')],
      [...counters, ofInterface],
      [...seen, { family: 4, chain: 'in-c', packets: [64] }],
    )
    expect(dropsOf(pods)).toEqual([
      { namespace: '', pod: 'fib9', direction: 'egress', packets: 64 },
      { namespace: 'x', pod: 'a', direction: 'ingress', packets: 7 },
      { namespace: 'x', pod: 'a', direction: 'egress', packets: 8 },
      { namespace: 'x', pod: 'b', direction: 'ingress', packets: 16 },
    ])
  })
})
