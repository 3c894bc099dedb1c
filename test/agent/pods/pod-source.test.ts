// What CNI hears of a pod: from the watch, from the store where the watch lags behind, and what is known while the store is away.
import { expect, test } from '@jest/globals'
import { StorePodSource } from '../../../src/agent/pods/pod-source.ts'
import { silentLog } from '../../../src/lib/log.ts'
import { MemoryStore, type Resource, SnapshotBuilder, type Store, StoreError } from '../../../src/store/index.ts'

const KEY = { namespace: 'web', name: 'p1' }

async function storeWith(...objects: readonly object[]): Promise<MemoryStore> {
  const store = new MemoryStore()
  for (const object of objects) await store.create(object as Parameters<MemoryStore['create']>[0])
  return store
}

function pod(uid: string, annotations: Readonly<Record<string, string>>): object {
  return { apiVersion: 'v1', kind: 'Pod', metadata: { ...KEY, uid, annotations } }
}

const NAMESPACE = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'web', labels: { team: 'x' } } }

/** A source whose watch has seen what `watched` holds, and that asks `asked`. */
async function source(watched: Store, asked: Pick<Store, 'get'>): Promise<StorePodSource> {
  const objects: Resource[] = [...(await watched.list({ kind: 'Pod' })), ...(await watched.list({ kind: 'Namespace' }))]
  return new StorePodSource(asked, new SnapshotBuilder(objects).snapshot, silentLog, 20)
}

const AWAY: Pick<Store, 'get'> = { get: () => Promise.reject(new StoreError('UNAVAILABLE', 'away')) }
const HANGING: Pick<Store, 'get'> = { get: () => new Promise(() => {}) }
const NEVER_ASKED: Pick<Store, 'get'> = {
  get: () => {
    throw new Error('the store was asked')
  },
}

test('what the watch knows is answered without asking', async () => {
  const known = await storeWith(pod('u1', { a: '1' }), NAMESPACE)
  const found = await (await source(known, NEVER_ASKED)).lookUp({ ...KEY, uid: null })
  expect(found).toEqual({ annotations: { a: '1' }, namespaceLabels: { team: 'x' } })
})

test('what the watch does not know yet is asked for', async () => {
  const store = await storeWith(pod('u1', { a: '1' }), NAMESPACE)
  const found = await (await source(new MemoryStore(), store)).lookUp(KEY)
  expect(found).toEqual({ annotations: { a: '1' }, namespaceLabels: { team: 'x' } })
})

test('a pod of the same name from before is not taken for the one that comes now', async () => {
  const store = await storeWith(pod('u2', { ip: 'new' }), NAMESPACE)
  const [now] = await store.list({ kind: 'Pod' })
  const before = await storeWith(pod('u1', { ip: 'old' }), NAMESPACE)
  const found = await (await source(before, store)).lookUp({ ...KEY, uid: now?.metadata.uid ?? '' })
  expect(found?.annotations).toEqual({ ip: 'new' })
})

test('a mirror pod, whose uid the runtime does not know, is taken as it is', async () => {
  const store = await storeWith(pod('u1', { a: '1' }), NAMESPACE)
  const found = await (await source(store, store)).lookUp({ ...KEY, uid: 'hash-of-a-file' })
  expect(found?.annotations).toEqual({ a: '1' })
})

test('while the store is away, or hangs, what is known is answered', async () => {
  const known = await storeWith(NAMESPACE)
  for (const asked of [AWAY, HANGING]) {
    expect(await (await source(known, asked)).lookUp(KEY)).toEqual({ annotations: {}, namespaceLabels: { team: 'x' } })
    expect(await (await source(new MemoryStore(), asked)).lookUp(KEY)).toBeNull()
  }
})

test('whoever stops waiting is answered at once', async () => {
  const gone = new AbortController()
  const looking = (await source(new MemoryStore(), HANGING)).lookUp(KEY, gone.signal)
  gone.abort()
  expect(await looking).toBeNull()
})
