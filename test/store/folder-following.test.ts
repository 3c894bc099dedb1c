// A folder that is followed: edits of people are taken when they have come to rest, whatever else is asked meanwhile; our own writes at
// once; and nothing goes on once nobody follows any more.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { FakeClock } from '../../src/lib/clock.ts'
import { DirectoryStore } from '../../src/store/index.ts'
import { block, peer, peerText } from './objects.ts'
import { watching } from './recorder.ts'

let path: string
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'fib-store-'))
})
afterEach(() => rmSync(path, { recursive: true, force: true }))

const save = (name: string, text: string): void => writeFileSync(join(path, name), text)
const NO_SESSIONS = { sessions: [], conditions: [] }

test('a read or the report of an agent takes no edit that may be half done; a write of what people write does', async () => {
  save('a.yaml', peerText('a'))
  await using store = new DirectoryStore(path, { clock: new FakeClock() }) // its timers stand still: it does not look by itself
  using _watch = await watching(store, [{ kind: 'BGPPeer' }])
  const known = await store.get('BGPPeer', { name: 'a' })
  if (known === null) throw new Error('not there')
  save('a.yaml', peerText('a', 65002, ' # an edit'))
  expect((await store.updateStatus({ ...known, status: NO_SESSIONS })).spec.asNumber).toBe(65001)
  expect((await store.applyConditions('BGPPeer', { name: 'a' }, [], 'm')).spec.asNumber).toBe(65001)
  expect((await store.get('BGPPeer', { name: 'a' }))?.spec.asNumber).toBe(65001)
  expect((await store.list({ kind: 'BGPPeer' })).map(({ spec }) => spec.asNumber)).toEqual([65001])
  await store.problems()
  expect((await store.get('BGPPeer', { name: 'a' }))?.spec.asNumber).toBe(65001)
  await store.create(peer('b')) // must know all there is
  expect((await store.get('BGPPeer', { name: 'a' }))?.spec.asNumber).toBe(65002)
})

test('a write is told before it is answered: a new object, a change, and that it is gone', async () => {
  await using store = new DirectoryStore(path, { clock: new FakeClock() })
  using watch = await watching(store, [{ kind: 'BGPPeer' }])
  const told = (): readonly string[] => watch.recorder.changes.map(({ type, object }) => `${type} ${object.metadata.name}`)
  save('b.yaml', peerText('b'))
  await store.delete('BGPPeer', { name: 'b' })
  expect(await store.get('BGPPeer', { name: 'b' })).toBeNull()
  expect(told()).toEqual(['put b', 'gone b'])
})

test('what is wrong with a file of state/ is a problem without anybody having asked for its object', async () => {
  await using maker = new DirectoryStore(path)
  await maker.create(block('10.0.0.0/26', 'n1'))
  save('state/ipamblock.10-0-0-0-26.yaml', '{')
  await using store = new DirectoryStore(path)
  expect(await store.problems()).toMatchObject([{ file: 'state/ipamblock.10-0-0-0-26.yaml' }])
})

test('with the last watch the timers go, with the first of several they do not', async () => {
  const clock = new FakeClock()
  await using store = new DirectoryStore(path, { clock })
  const [one, other] = [await watching(store, [{ kind: 'BGPPeer' }]), await watching(store, [{ kind: 'BGPPeer' }])]
  one[Symbol.dispose]()
  expect(clock.armed).toBeGreaterThan(0)
  other[Symbol.dispose]()
  expect(clock.armed).toBe(0)
})

test('a store that has ended follows nothing, though somebody still watches, or begins to', async () => {
  const clock = new FakeClock()
  const store = new DirectoryStore(path, { clock })
  await watching(store, [{ kind: 'BGPPeer' }])
  await store[Symbol.asyncDispose]()
  expect(clock.armed).toBe(0)
  using _late = store.watch([{ kind: 'BGPPeer' }], { changed: () => {}, synced: () => {}, problems: () => {} })
  expect(clock.armed).toBe(0)
})

test('a store ends when the writes that were asked for are done', async () => {
  const store = new DirectoryStore(path)
  let isDone = false
  const work = store.create(block('10.0.0.0/26', 'n1')).then(() => {
    isDone = true
  })
  await store[Symbol.asyncDispose]()
  expect(isDone).toBe(true)
  await work
})
