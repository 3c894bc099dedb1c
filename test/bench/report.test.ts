import { describe, expect, test } from '@jest/globals'
import { parseTimes } from '../../bench/exec-timer.ts'
import { parseFigures, sumFigures } from '../../bench/process-figures.ts'
import { type CaseResult, judge, type Run, ratiosOf, renderCase, summarize, type Target } from '../../bench/report.ts'
import { addressesIn } from '../../bench/scenarios/cni.ts'
import { parseRouteCount } from '../../bench/scenarios/kernel.ts'
import { quantile, spread } from '../../bench/statistics.ts'

const run = (participant: string, seconds: number, peakRssMiB = 100): Run => ({
  participant,
  run: 0,
  ok: true,
  measurement: { seconds, cpuSeconds: seconds, peakRssMiB, details: { updatesOut: seconds * 10 } },
})
const failed = (participant: string): Run => ({ participant, run: 0, ok: false, error: 'it stood still' })
const TARGET: Target = { metric: 'seconds', against: 'bird', atMost: 1 }

describe('statistics', () => {
  test.each([
    [[3], { min: 3, median: 3, max: 3 }],
    [[9, 1, 4], { min: 1, median: 4, max: 9 }],
    [[4, 1, 9, 2], { min: 1, median: 3, max: 9 }],
  ])('spread of %j', (sample, expected) => {
    expect(spread(sample)).toEqual(expected)
  })

  test('nothing has no spread', () => {
    expect(() => spread([])).toThrow(RangeError)
    expect(() => quantile([], 0.5)).toThrow(RangeError)
  })

  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index)
  test.each([
    [hundred, 0.99, 99],
    [hundred, 0.5, 50],
    [[7, 3], 0.99, 7],
    [[7, 3], 0, 3],
  ])('quantile of %j at %d', (sample, share, expected) => {
    expect(quantile(sample, share)).toBe(expected)
  })
})

describe('a target', () => {
  const verdict = (...runs: readonly Run[]) => judge([TARGET], [summarize('fibula', runs), summarize('bird', runs)])[0]

  test('is met when the ratio of the medians is small enough', () => {
    expect(verdict(run('fibula', 1), run('fibula', 2), run('fibula', 9), run('bird', 2), run('bird', 2))).toMatchObject({
      ratio: 1,
      ratioOfMinima: 0.5,
      met: true,
    })
  })

  test('is missed when it is not', () => {
    expect(verdict(run('fibula', 2.1), run('bird', 2))).toMatchObject({ met: false })
  })

  test('is missed when a run of ours failed, however good the others were', () => {
    expect(verdict(run('fibula', 1), failed('fibula'), run('bird', 2))).toMatchObject({ met: false })
    expect(verdict(failed('fibula'), run('bird', 2))).toMatchObject({ met: false })
  })

  test('may be a figure of ours alone', () => {
    const target: Target = { metric: 'seconds', against: null, atMost: 2 }
    const verdictOf = (seconds: number) => judge([target], [summarize('fibula', [run('fibula', seconds)])])[0]
    expect(verdictOf(2)).toMatchObject({ ratio: 2, ratioOfMinima: 2, met: true })
    expect(verdictOf(2.1)).toMatchObject({ met: false })
  })

  test('is not judged without figures of the other', () => {
    expect(verdict(run('fibula', 1), failed('bird'))).toMatchObject({ ratio: null, met: null })
  })
})

test('a summary tells medians of details, failures, and leaves out what was not measured', () => {
  const writer: Run = {
    participant: 'ip -batch',
    run: 0,
    ok: true,
    measurement: { seconds: 1, cpuSeconds: Number.NaN, peakRssMiB: Number.NaN, details: {} },
  }
  expect(summarize('ip -batch', [writer])).toMatchObject({ seconds: { median: 1 }, cpuSeconds: null, peakRssMiB: null, failures: [] })
  expect(summarize('bird', [run('bird', 1), run('bird', 3), failed('bird'), writer])).toMatchObject({
    runs: 3,
    failures: ['it stood still'],
    details: { updatesOut: 20 },
  })
})

test('ratios are ours over theirs', () => {
  const runs = [run('fibula', 1, 250), run('bird', 2, 100)]
  expect(ratiosOf([summarize('fibula', runs), summarize('bird', runs)])).toEqual({
    bird: { seconds: 0.5, cpuSeconds: 0.5, peakRssMiB: 2.5 },
  })
})

test('the printed case names every participant, failure and verdict', () => {
  const runs = [run('fibula', 3), run('bird', 2), failed('bird')]
  const summaries = [summarize('fibula', runs), summarize('bird', runs)]
  const result: CaseResult = {
    scenario: 's',
    title: 'forward a table',
    size: 1,
    shownDetails: ['updatesOut'],
    summaries,
    ratios: ratiosOf(summaries),
    verdicts: judge([TARGET], summaries),
    runs,
  }
  const text = renderCase(result)
  for (const part of ['forward a table', 'fibula', '1.50 x', 'bird failed (1 of 2 runs): it stood still', 'MISSED: time at most 1 x bird'])
    expect(text).toContain(part)
})

describe('figures of processes', () => {
  const status = 'Name:\tbird\nVmHWM:\t  97280 kB\nVmRSS:\t   2048 kB\nThreads:\t3\n'
  const stat = '12 (a (strange) name) S 1 12 12 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 3 0 99 0 0'

  test('are read from /proc (proc(5))', () => {
    expect(parseFigures(status, stat)).toEqual({ peakRssMiB: 95, rssMiB: 2, cpuSeconds: 3, processes: 1, threads: 3 })
  })

  test('add up over the processes of a daemon', () => {
    const one = parseFigures(status, stat)
    expect(sumFigures([one, one])).toEqual({ peakRssMiB: 190, rssMiB: 4, cpuSeconds: 6, processes: 2, threads: 6 })
    expect(sumFigures([]).processes).toBe(0)
  })
})

test('routes are counted by the first table of fib_triestat', () => {
  expect(parseRouteCount('Basic info: x\nMain:\n\tLeaves:         7\n\tPrefixes:       100007\nLocal:\n\tPrefixes:       9\n')).toBe(
    100_007,
  )
  expect(parseRouteCount('')).toBe(0)
})

test('times of programs are what exec-timer prints', () => {
  expect(parseTimes('1500000 0\n20000000 1\n3000\n')).toEqual({
    times: [
      { seconds: 0.0015, status: 0 },
      { seconds: 0.02, status: 1 },
    ],
    cpuSeconds: 0.003,
  })
})

test('addresses of a CNI result', () => {
  const result = { cniVersion: '1.0.0', ips: [{ address: '192.0.2.1/32' }, { address: '2001:db8::1/128' }] }
  expect(addressesIn(JSON.stringify(result))).toEqual(['192.0.2.1/32', '2001:db8::1/128'])
  expect(addressesIn('{}')).toEqual([])
})
