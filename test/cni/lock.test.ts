import { expect, test } from '@jest/globals'
import { KeyedLock, Semaphore } from '../../src/cni/lock.ts'
import { settle } from './world.ts'

const forever = new AbortController().signal

test('one holder a key, in the order of asking; other keys are free', async () => {
  const lock = new KeyedLock()
  const order: string[] = []
  const first = await lock.acquire('a', forever)
  const waiting = ['x', 'y'].map(async (name) => {
    using _held = await lock.acquire('a', forever)
    order.push(name)
  })
  using _other = await lock.acquire('b', forever)
  expect(order).toEqual([])
  first[Symbol.dispose]()
  await Promise.all(waiting)
  expect(order).toEqual(['x', 'y'])
})

test('who gives up leaves the queue and takes nobody’s turn', async () => {
  const semaphore = new Semaphore(1)
  const first = await semaphore.acquire(forever)
  const given = new AbortController()
  const impatient = semaphore.acquire(given.signal)
  let patient: Disposable | null = null
  void semaphore.acquire(forever).then((held) => {
    patient = held
  })
  given.abort(new Error('enough'))
  await expect(impatient).rejects.toThrow('enough')
  first[Symbol.dispose]()
  await settle(() => patient !== null)
})

test('a signal that has aborted gets nothing', async () => {
  await expect(new Semaphore(1).acquire(AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone')
  await expect(new KeyedLock().acquire('a', AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone')
})

test('no more holders than allowed, ever', async () => {
  const semaphore = new Semaphore(3)
  let holding = 0
  let most = 0
  await Promise.all(
    Array.from({ length: 50 }, async (_, at) => {
      using _place = await semaphore.acquire(forever)
      most = Math.max(most, ++holding)
      for (let turn = 0; turn < at % 4; turn++) await new Promise((resolve) => setImmediate(resolve))
      holding--
    }),
  )
  expect(most).toBe(3)
})
