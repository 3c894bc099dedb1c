// The conditions of a NodeNetwork: what each says of which facts.
import { expect, test } from '@jest/globals'
import type { Problem } from '../../../src/agent/index.ts'
import { type ConditionFacts, conditionsOf } from '../../../src/agent/reporting/conditions.ts'
import { peerStatus } from '../../cli/fixtures.ts'

const NOW = '2026-02-02T00:00:00.000Z'
const WELL: ConditionFacts = {
  peers: [],
  notReadyBecause: [],
  isDataplaneSynced: true,
  dataplaneProblems: [],
  configurationProblems: [],
  podNetwork: { notReadyBecause: null },
}
const UP = peerStatus({ name: 'up' })
const DOWN = peerStatus({ name: 'down', state: 'Active', lastError: 'connection refused' })
const SILENT = peerStatus({ name: 'silent', state: 'Connect' })
const SHUT = peerStatus({ name: 'shut', state: 'Idle', adminShutdown: true })
const problem = (severity: Problem['severity'], subject: string): Problem => ({ severity, subject, message: 'is wrong' })

test.each<[Partial<ConditionFacts>, string]>([
  [{}, 'Ready True AgentReady: traffic may rely on this node'],
  [{ notReadyBecause: ['a', 'b'] }, 'Ready False NotReadyYet: a; b'],
  [{ notReadyBecause: [...'abcde'] }, 'Ready False NotReadyYet: a; b; c; d; e'],
  [{ notReadyBecause: [...'abcdefg'] }, 'Ready False NotReadyYet: a; b; c; d; e; and 2 more'],
  [{}, 'SessionsEstablished True NoSessions: no BGPPeer and no mesh asks for a session on this node'],
  [{ peers: [SHUT] }, 'SessionsEstablished True NoSessions: no BGPPeer and no mesh asks for a session on this node'],
  [{ peers: [UP, UP, SHUT] }, 'SessionsEstablished True AllEstablished: 2 of 2 are up'],
  [{ peers: [UP, DOWN, SILENT, SHUT] }, 'SessionsEstablished False SomeDown: 2 of 3 are down: down (connection refused); silent'],
  [{ peers: [DOWN, SHUT] }, 'SessionsEstablished False NoneEstablished: 1 of 1 are down: down (connection refused)'],
  [{}, 'DataplaneSynced True Synced: the kernel holds what is wanted'],
  [{ isDataplaneSynced: false }, 'DataplaneSynced False NotSyncedYet: the kernel does not hold the routes of this node yet'],
  [{ dataplaneProblems: [problem('warning', 'x')] }, 'DataplaneSynced True Synced: the kernel holds what is wanted'],
  [{ dataplaneProblems: [problem('warning', 'x'), problem('error', 'route/y')] }, 'DataplaneSynced False KernelRefused: route/y: is wrong'],
  [{}, 'IPAMReady True AddressesReady: a pod can be given a network'],
  [{ podNetwork: { notReadyBecause: 'no pool' } }, 'IPAMReady False NoPodNetwork: no pool'],
  [{}, 'ConfigurationAccepted True Accepted: this node can do all that it is asked to'],
  [{ configurationProblems: [problem('warning', 'x')] }, 'ConfigurationAccepted True Accepted: this node can do all that it is asked to'],
  [
    { configurationProblems: [problem('error', 'BGPPeer/a'), problem('warning', 'x')] },
    'ConfigurationAccepted False ProblemsFound: BGPPeer/a: is wrong',
  ],
])('%j: %s', (facts, wanted) => {
  const said = conditionsOf({ ...WELL, ...facts }, [], undefined, NOW).map(
    ({ type, status, reason, message }) => `${type} ${status} ${reason}: ${message}`,
  )
  expect(said).toContain(wanted)
})

test('each type once; without CNI nothing is said of IPAM', () => {
  const typesOf = (facts: ConditionFacts): readonly string[] => conditionsOf(facts, [], undefined, NOW).map(({ type }) => type)
  expect(typesOf(WELL)).toEqual(['Ready', 'SessionsEstablished', 'DataplaneSynced', 'IPAMReady', 'ConfigurationAccepted'])
  expect(typesOf({ ...WELL, podNetwork: null })).toEqual(['Ready', 'SessionsEstablished', 'DataplaneSynced', 'ConfigurationAccepted'])
})

test('the time is that of the last change of status, not of the words; the generation is named where there is one', () => {
  const before = conditionsOf({ ...WELL, notReadyBecause: ['a'] }, [], undefined, 'then')
  expect(before.every((condition) => !('observedGeneration' in condition))).toBe(true)
  const reworded = conditionsOf({ ...WELL, notReadyBecause: ['b'] }, before, 3, NOW)
  expect(reworded[0]).toMatchObject({ type: 'Ready', message: 'b', lastTransitionTime: 'then', observedGeneration: 3 })
  expect(conditionsOf(WELL, before, 3, NOW)[0]).toMatchObject({ type: 'Ready', status: 'True', lastTransitionTime: NOW })
})
