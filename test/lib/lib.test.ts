import { describe, expect, test } from '@jest/globals'
import fc from 'fast-check'
import { backoffMs } from '../../src/lib/backoff.ts'
import { FakeClock, systemClock } from '../../src/lib/clock.ts'
import { Coalescer } from '../../src/lib/coalesce.ts'
import { diff } from '../../src/lib/diff.ts'
import { parseDurationMs } from '../../src/lib/duration.ts'
import { ExecError, exec } from '../../src/lib/exec.ts'
import { quoteText } from '../../src/lib/log.ts'

describe('FakeClock', () => {
  test('fires in the order things are due, also what a fired timer arms, and none that was cancelled', () => {
    const clock = new FakeClock()
    const fired: string[] = []
    clock.after(20, () => fired.push(`late ${clock.nowMs()}`))
    clock.after(10, () => {
      fired.push(`early ${clock.nowMs()}`)
      clock.after(5, () => fired.push(`armed ${clock.nowMs()}`))
    })
    clock.after(12, () => fired.push('cancelled'))[Symbol.dispose]()
    clock.advance(19)
    expect(fired).toEqual(['early 10', 'armed 15'])
    expect(clock.armed).toBe(1)
    clock.advance(1)
    expect(fired.at(-1)).toBe('late 20')
    expect(clock.armed).toBe(0)
  })

  test('of timers due together the first armed fires first', () => {
    const clock = new FakeClock()
    const fired: number[] = []
    for (const each of [1, 2, 3]) clock.after(5, () => fired.push(each))
    clock.advance(5)
    expect(fired).toEqual([1, 2, 3])
  })
})

test('the system clock is monotonic and cancels', async () => {
  const before = systemClock.nowMs()
  let wasCancelledFired = false
  systemClock
    .after(1, () => {
      wasCancelledFired = true
    })
    [Symbol.dispose]()
  await new Promise<void>((resolve) => systemClock.soon(resolve))
  expect(systemClock.nowMs()).toBeGreaterThanOrEqual(before)
  expect(wasCancelledFired).toBe(false)
})

test('diff: applying it to actual gives desired', () => {
  const maps = fc
    .dictionary(fc.constantFrom('a', 'b', 'c', 'd'), fc.integer({ min: 0, max: 2 }))
    .map((each) => new Map(Object.entries(each)))
  fc.assert(
    fc.property(maps, maps, (desired, actual) => {
      const { upserts, deletes } = diff(desired, actual, (a, b) => a === b)
      const result = new Map(actual)
      for (const key of deletes) result.delete(key)
      for (const [key, value] of upserts) {
        expect(actual.get(key)).not.toBe(value) // nothing is written that was there already
        result.set(key, value)
      }
      expect(result).toEqual(desired)
    }),
  )
})

describe('Coalescer', () => {
  test('at most one turn runs and one waits; whoever asks is answered after a turn that began later', async () => {
    let running = 0
    let turns = 0
    const gates: (() => void)[] = []
    const coalescer = new Coalescer(async () => {
      expect(++running).toBe(1)
      turns++
      await new Promise<void>((resolve) => gates.push(resolve))
      running--
    })
    const requests = [coalescer.request(), coalescer.request(), coalescer.request()]
    gates.shift()?.()
    await new Promise<void>((resolve) => setImmediate(resolve))
    expect(turns).toBe(2)
    gates.shift()?.()
    await Promise.all(requests)
    expect(turns).toBe(2)
    const again = coalescer.request()
    gates.shift()?.()
    await again
    expect(turns).toBe(3)
  })

  test.each([0, 1, 2, 3, 4, 5, 6])('a request made %d promise jobs after the end of a turn is not lost', async (jobs) => {
    let turns = 0
    let second: Promise<void> | undefined
    const coalescer: Coalescer = new Coalescer(async () => {
      turns++
      if (turns > 1) return
      void (async () => {
        for (let job = 0; job < jobs; job++) await undefined
        second = coalescer.request()
      })()
    })
    await coalescer.request()
    for (let job = 0; job < 10; job++) await undefined
    await second
    expect(turns).toBe(2)
  })
})

test('back-off doubles up to its cap and stays within the jitter of RFC 4271 §10', () => {
  const limits = { baseMs: 1_000, capMs: 60_000 }
  expect([0, 1, 2, 6, 99].map((attempt) => backoffMs(attempt, limits, 1))).toEqual([1_000, 2_000, 4_000, 60_000, 60_000])
  expect(backoffMs(1, limits, 0)).toBe(1_500)
})

describe('durations', () => {
  test.each([
    ['90s', 90_000],
    ['1m30s', 90_000],
    ['250ms', 250],
    ['1h', 3_600_000],
    ['2d', 172_800_000],
    ['0s', 0],
    ['', null],
    ['90', null],
    ['s', null],
    ['1 s', null],
    ['-1s', null],
    ['1s1', null],
  ])('%j is %s ms', (text, expected) => {
    expect(parseDurationMs(text)).toBe(expected)
  })
})

describe('exec', () => {
  test('passes input and returns output', async () => {
    await expect(exec('cat', [], { input: 'hello' })).resolves.toEqual({ stdout: 'hello', stderr: '' })
  })

  test.each([
    ['a program that fails', 'sh', ['-c', 'echo why >&2; exit 3'], 'FAILED'],
    ['a program that is not there', '/nonexistent/program', [], 'NOT_FOUND'],
    ['a program that never ends', 'sleep', ['60'], 'TIMEOUT'],
  ] as const)('%s rejects with its code', async (_what, command, args, code) => {
    const failure = await exec(command, args, { timeoutMs: 300 }).catch((error: unknown) => error)
    expect(failure).toBeInstanceOf(ExecError)
    expect(failure).toMatchObject({ code })
  })
})

test('text from outside is quoted, escaped and cut', () => {
  expect(quoteText('plain')).toBe('"plain"')
  expect(quoteText('a\u001b[31m\u202eb\n')).toBe('"a\\u001b[31m\\u202eb\\n"')
  expect(quoteText('x'.repeat(300)).length).toBeLessThan(210)
})
