import { describe, expect, test } from '@jest/globals'
import type { CrashResult } from '../../src/lab/index.ts'
import { crashFailures, cutFailures, pingFailures, sessionFailures } from '../../src/lab/verdict.ts'

const CRASH: CrashResult = {
  speaker: 'node-1',
  pidBefore: 100,
  pidAfter: 200,
  sessionsBackAfterMs: 1000,
  proof: [{ speaker: 'tor-a', peer: 'node-1-v4', before: '0 flaps', after: '1 flaps' }],
  flows: 2,
  sent: 1000,
  lost: 0,
  longestOutageMs: 0,
  lossyFlows: [],
}

describe('the demo fails', () => {
  test.each<readonly [string, Partial<CrashResult>, RegExp]>([
    ['on a packet lost to the kill -9', { lost: 1 }, /^1 of 1000 packets were lost to the kill -9 of node-1$/],
    ['when nothing was sent', { sent: 0 }, /no packet was sent/],
    ['when the agent did not die', { pidAfter: 100 }, /not restarted/],
    [
      'when a peer did not notice',
      { proof: [{ speaker: 'tor-a', peer: 'node-1-v4', before: '0 flaps', after: '0 flaps' }] },
      /^tor-a has not seen .* proves nothing$/,
    ],
    [
      'when a session did not come back',
      { proof: [{ speaker: 'tor-a', peer: 'node-1-v4', before: '0 flaps', after: '' }] },
      /^tor-a has not seen/,
    ],
    ['when there is nobody to notice', { proof: [] }, /no peer/],
  ])('%s', (_, change, message) => {
    expect(crashFailures({ ...CRASH, ...change })).toEqual([expect.stringMatching(message)])
  })
  test('not when all went well', () => {
    expect(crashFailures(CRASH)).toEqual([])
  })
})

test('a link cut is a failure only if traffic did not move', () => {
  const cut = {
    link: 'spine-1',
    between: ['a', 'b'] as const,
    packetsBefore: 100,
    packetsAfter: 0,
    movedTo: [],
    flows: 4,
    affectedFlows: 2,
    sent: 10,
    lost: 3,
    longestOutageMs: 9,
    lostOnMend: 0,
  }
  expect(cutFailures({ ...cut, hasMoved: true })).toEqual([])
  expect(cutFailures({ ...cut, hasMoved: false })).toEqual([expect.stringContaining('did not move away from spine-1')])
})

test('a lost ping and a missing session are failures', () => {
  const ping = { from: 'a', to: 'b', family: 'ipv6' as const, sent: 2, rttMs: 1 }
  expect([...pingFailures({ ...ping, lost: 0 }), ...pingFailures({ ...ping, lost: 1 })]).toEqual([
    '1 of 2 ipv6 pings from a to b were lost',
  ])
  const session = {
    speaker: 'a',
    peer: 'b-v4',
    remote: 'b',
    remoteAsn: 1,
    link: 'l',
    family: 'ipv4' as const,
    localAddress: '',
    remoteAddress: '',
    mark: null,
  }
  expect([
    ...sessionFailures({ ...session, state: 'Established', isEstablished: true, lastError: null }),
    ...sessionFailures({ ...session, state: 'Active', isEstablished: false, lastError: 'connection refused' }),
  ]).toEqual(['the session of a with b-v4 is Active: connection refused'])
})
