import { describe, expect, jest, test } from '@jest/globals'
import { abortable, untilCalled } from '../../src/lib/abortable.ts'

const GIVEN_UP = new Error('given up')

describe('untilCalled', () => {
  test('resolves with what `start` hands over, and lets go of the signal', async () => {
    const { signal } = new AbortController()
    const removed = jest.spyOn(signal, 'removeEventListener')
    await expect(untilCalled<number>((done) => done(7), signal)).resolves.toBe(7)
    expect(removed).toHaveBeenCalledTimes(1)
  })

  test('rejects with the reason when the signal aborts first; what comes later changes nothing', async () => {
    const controller = new AbortController()
    let done = (): void => {}
    const waiting = untilCalled((finish) => {
      done = finish
    }, controller.signal)
    controller.abort(GIVEN_UP)
    done()
    await expect(waiting).rejects.toBe(GIVEN_UP)
  })

  test('done before the abort is done, though nobody has looked yet', async () => {
    const controller = new AbortController()
    let done = (): void => {}
    const waiting = untilCalled((finish) => {
      done = finish
    }, controller.signal)
    done()
    controller.abort(GIVEN_UP)
    await expect(waiting).resolves.toBeUndefined()
  })

  test('with a signal that has aborted it begins all the same, and rejects unless it is done at once', async () => {
    const signal = AbortSignal.abort(GIVEN_UP)
    const begun: string[] = []
    await expect(untilCalled(() => begun.push('first'), signal)).rejects.toBe(GIVEN_UP)
    await expect(untilCalled((done) => done(), signal)).resolves.toBeUndefined()
    expect(begun).toEqual(['first'])
  })
})

describe('abortable', () => {
  test('settles as the work does', async () => {
    await expect(abortable(Promise.resolve('value'), undefined)).resolves.toBe('value')
    await expect(abortable(Promise.reject(new Error('failed')), new AbortController().signal)).rejects.toThrow('failed')
  })

  test('ends the wait alone: what becomes of the work later harms nobody', async () => {
    const controller = new AbortController()
    const work = Promise.withResolvers<void>()
    const waiting = abortable(work.promise, controller.signal)
    controller.abort(GIVEN_UP)
    await expect(waiting).rejects.toBe(GIVEN_UP)
    work.reject(new Error('too late'))
    await expect(abortable(Promise.reject(new Error('unheard')), AbortSignal.abort(GIVEN_UP))).rejects.toBe(GIVEN_UP)
  })
})
