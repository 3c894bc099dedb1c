import { describe, expect, test } from '@jest/globals'
import { MemoryStore, StoreError } from '../../src/store/index.ts'
import { storeContract } from './contract.ts'
import { peer } from './objects.ts'
import { watching } from './recorder.ts'

storeContract('memory', async () => {
  const store = new MemoryStore()
  return { open: () => store, [Symbol.asyncDispose]: async () => {} }
})

describe('the memory store as a fake', () => {
  test('the next operation fails as told, and only that', async () => {
    const store = new MemoryStore()
    store.failNext(new StoreError('UNAVAILABLE', 'away'))
    await expect(store.create(peer('a'))).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    await expect(store.create(peer('a'))).resolves.toBeDefined()
  })

  test('problems reach watchers and whoever asks', async () => {
    const store = new MemoryStore()
    using watch = await watching(store, [])
    const problem = { severity: 'error', subject: 'BGPPeer/a', message: 'm', file: null, document: null, line: null, field: null } as const
    store.setProblems([problem])
    expect(watch.recorder.lastProblems).toEqual([problem])
    expect(await store.problems()).toEqual([problem])
  })
})
