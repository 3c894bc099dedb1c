import { expect, test } from '@jest/globals'
import { FakeClock } from '../../src/lib/clock.ts'
import { EarliestTimer } from '../../src/lib/earliest-timer.ts'

function world() {
  const clock = new FakeClock()
  const fired: number[] = []
  return { clock, fired, timer: new EarliestTimer(clock, () => fired.push(clock.nowMs())) }
}

test('it fires once, at the earliest time that was asked for, in whatever order', () => {
  const { clock, fired, timer } = world()
  timer.within(50)
  timer.within(20)
  timer.within(30)
  expect(clock.armed).toBe(1)
  clock.advance(100)
  expect(fired).toEqual([20])
})

test('after it has fired, later times count anew', () => {
  const { clock, fired, timer } = world()
  timer.within(10)
  clock.advance(10)
  timer.within(30)
  clock.advance(30)
  expect(fired).toEqual([10, 40])
})

test('what is due already is never fired from within the call', () => {
  const { clock, fired, timer } = world()
  timer.within(0)
  timer.within(-5)
  expect(fired).toEqual([])
  clock.advance(0)
  expect(fired).toEqual([0])
})

test('who is told may ask again', () => {
  const clock = new FakeClock()
  const fired: number[] = []
  const timer: EarliestTimer = new EarliestTimer(clock, () => {
    fired.push(clock.nowMs())
    if (fired.length < 3) timer.within(5)
  })
  timer.within(5)
  clock.advance(100)
  expect(fired).toEqual([5, 10, 15])
})

test('disposed of, it fires no more and arms nothing', () => {
  const { clock, fired, timer } = world()
  timer.within(10)
  timer[Symbol.dispose]()
  timer.within(0)
  expect(clock.armed).toBe(0)
  clock.advance(100)
  expect(fired).toEqual([])
})
