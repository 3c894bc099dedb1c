// A node's report: what comes first and what is cut, and which differences count.
import { describe, expect, test } from '@jest/globals'
import type { Problem } from '../../../src/agent/index.ts'
import { isSame, isSameInEssence, type NodeStatus, type ReportFacts, reportOf } from '../../../src/agent/reporting/report.ts'
import { MAX_NODE_PROBLEMS, MAX_NODE_SESSIONS } from '../../../src/store/index.ts'
import { peerStatus } from '../../cli/fixtures.ts'
import { QUIET } from './facts.ts'

const FACTS: ReportFacts = { ...QUIET, peers: [peerStatus({ name: 'tor' })] }
const report = (facts: Partial<ReportFacts> = {}, now = 'now'): NodeStatus => reportOf({ ...FACTS, ...facts }, null, 1, now)
const problem = (severity: Problem['severity'], subject: string, over: Partial<Problem> = {}): Problem => {
  return { severity, subject, message: 'is wrong', ...over }
}

describe('what is reported', () => {
  test('problems: errors first, then by subject, each with its reason if it has one; at most so many', () => {
    const { problems } = report({ problems: [problem('warning', 'a'), problem('error', 'c'), problem('error', 'b', { reason: 'Why' })] })
    expect(problems).toEqual([problem('error', 'b', { reason: 'Why' }), problem('error', 'c'), problem('warning', 'a')])
    expect(problems.map((each) => 'reason' in each)).toEqual([true, false, false])
    const many = Array.from({ length: MAX_NODE_PROBLEMS }, (_, at) => problem('warning', `w${at}`))
    const cut = report({ problems: [...many, problem('error', 'z')] }).problems
    expect([cut.length, cut[0]?.subject]).toEqual([MAX_NODE_PROBLEMS, 'z'])
  })

  test('sessions: those that are down first, then by name; all are counted, at most so many are listed', () => {
    const named = (name: string, state: 'Established' | 'Idle' = 'Established') => peerStatus({ name, state })
    const { peers, sessions } = report({ peers: [named('c'), named('b'), named('z', 'Idle'), named('a', 'Idle')] })
    expect(peers.map(({ session }) => session)).toEqual(['a', 'z', 'b', 'c'])
    expect(sessions).toEqual({ configured: 4, established: 2 })
    const many = Array.from({ length: MAX_NODE_SESSIONS + 1 }, (_, at) => named(`p${at}`))
    expect(report({ peers: many })).toMatchObject({ sessions: { configured: MAX_NODE_SESSIONS + 1 }, peers: { length: MAX_NODE_SESSIONS } })
  })

  test('a session of a BGPPeer names it; one of which nobody knows the origin does not', () => {
    const { peers } = report({
      peers: [peerStatus({ name: 'tor' }), peerStatus({ name: 'unknown', address: 'fe80::1', interface: 'eth0' })],
    })
    expect(peers).toMatchObject([
      { session: 'tor', peer: 'tor' },
      { session: 'unknown', address: 'fe80::1%eth0' },
    ])
    expect(peers[1]).not.toHaveProperty('peer')
  })

  test('addresses of pods, summed over pools and blocks', () => {
    const ipam = {
      allocations: 5,
      pools: [{ reserve: 1 }, { reserve: 2 }],
      blocks: [{ free: 10 }, { free: 20 }],
    } as unknown as NonNullable<ReportFacts['pods']>['ipam']
    expect(report({ pods: { attached: 4, ipam } })).toMatchObject({ pods: { attached: 4 }, ipam: { allocated: 5, reserved: 3, free: 30 } })
    expect(report()).not.toHaveProperty('ipam')
  })
})

describe('which differences count', () => {
  const session = (over: Parameters<typeof peerStatus>[0]): NodeStatus => report({ peers: [peerStatus({ name: 'tor', ...over })] })
  const received = (count: number) => ({ prefixes: { IPv4Unicast: { received: count, accepted: 1, advertised: 1, stale: 0 } } })

  test.each<[string, NodeStatus, NodeStatus, 'nothing' | 'counts' | 'essence']>([
    ['the time of conditions', report({}, 'then'), report({}, 'now'), 'nothing'],
    ['what a session that is down is just trying', session({ state: 'Active' }), session({ state: 'Connect' }), 'nothing'],
    ['a session that is up', session({ state: 'Active' }), session({ state: 'Established' }), 'essence'],
    ['a session that does not even try', session({ state: 'Active' }), session({ state: 'Idle' }), 'essence'],
    ['since when', session({ since: 'a' }), session({ since: 'b' }), 'essence'],
    ['counts of prefixes', session(received(1)), session(received(2)), 'counts'],
    ['words of an error', session({ state: 'Active', lastError: 'a' }), session({ state: 'Active', lastError: 'b' }), 'counts'],
    ['blocks', report(), report({ blocks: ['10.244.0.0/26'] }), 'essence'],
    ['a problem', report(), report({ problems: [problem('error', 'a')] }), 'essence'],
    [
      'its reason',
      report({ problems: [problem('error', 'a', { reason: 'A' })] }),
      report({ problems: [problem('error', 'a', { reason: 'B' })] }),
      'essence',
    ],
    [
      'its words',
      report({ problems: [problem('error', 'a', { message: 'x' })] }),
      report({ problems: [problem('error', 'a', { message: 'y' })] }),
      'counts',
    ],
    ['a condition', report(), report({ isDataplaneSynced: false }), 'essence'],
  ])('%s', (_, a, b, wanted) => {
    expect([isSame(a, b), isSameInEssence(a, b)]).toEqual([wanted === 'nothing', wanted !== 'essence'])
  })
})
