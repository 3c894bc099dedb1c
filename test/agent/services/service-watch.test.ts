// Watching services: only while a range is set, telling only of what changes the plan, and over a restart.
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { HAND_OVER_MS, PROXY_MS, type ServiceFacts, ServiceWatch } from '../../../src/agent/services/index.ts'
import { FakeClock } from '../../../src/lib/clock.ts'
import { silentLog } from '../../../src/lib/log.ts'
import { cidr } from '../../../src/net/index.ts'
import { MemoryStore, type Resource, type Selection, type Store, type Watch, type WatchObserver } from '../../../src/store/index.ts'
import { FACTS, put, routesOf, service, slice } from './world.ts'

const LOCAL = service('web', { spec: { externalIPs: ['198.51.100.9'], externalTrafficPolicy: 'Local' } })

/** A store whose watch the test speaks for. */
class SpokenStore {
  watching: { readonly selections: readonly Selection[]; readonly observer: WatchObserver } | null = null
  watches = 0
  watch(selections: readonly Selection[], observer: WatchObserver): Watch {
    this.watching = { selections, observer }
    this.watches++
    return {
      select: () => Promise.resolve(),
      pending: () => [],
      [Symbol.dispose]: () => {
        this.watching = null
      },
    }
  }
}

let runDir = ''
beforeEach(() => {
  runDir = fs.mkdtempSync(path.join(os.tmpdir(), 'fib-services-'))
})
afterEach(() => fs.rmSync(runDir, { recursive: true, force: true }))

function begin() {
  const store = new SpokenStore()
  const clock = new FakeClock()
  let changes = 0
  const watch = new ServiceWatch({
    store: store as unknown as Store, // nothing but `watch` is asked
    clock,
    log: silentLog,
    runDir,
    onChanged: () => {
      changes++
    },
    onProblems: () => {},
  })
  return { store, clock, watch, changes: () => changes }
}

/** All that is there, and that this is all. */
function list(store: SpokenStore, ...objects: readonly Resource[]): void {
  store.watching?.observer.changed(put(...objects))
  store.watching?.observer.synced()
}

test('nothing is watched while no range is set, and no longer once none is', () => {
  const { store, watch } = begin()
  expect(watch.configure(null).routes).toEqual([])
  expect(store.watches).toBe(0)
  expect(watch.figures).toBeNull()
  watch.configure(FACTS)
  expect(store.watching?.selections).toEqual([{ kind: 'Service' }, { kind: 'EndpointSlice' }])
  watch.configure(FACTS)
  expect(store.watches).toBe(1)
  watch.configure(null)
  expect(store.watching).toBeNull()
})

test('nothing is advertised before services have been listed; then it tells', () => {
  const { store, clock, watch, changes } = begin()
  expect(watch.configure(FACTS).routes).toEqual([])
  store.watching?.observer.changed(put(LOCAL, slice('a', 'web', ['10.244.0.1@me'])))
  clock.advance(1_000)
  expect([changes(), watch.configure(FACTS).routes]).toEqual([0, []])
  store.watching?.observer.synced()
  clock.advance(1)
  expect(changes()).toBe(1)
  expect(routesOf(watch.configure(FACTS))).toEqual(['198.51.100.9/32'])
})

test('a store that has everything at once is no different', async () => {
  await using store = new MemoryStore()
  await store.create({ apiVersion: 'v1', kind: 'Service', metadata: { name: 'web', namespace: 'default' }, spec: LOCAL.spec })
  const clock = new FakeClock()
  using watch = new ServiceWatch({ store, clock, log: silentLog, runDir, onChanged: () => {}, onProblems: () => {} })
  watch.configure(FACTS)
  await new Promise((resolve) => setImmediate(resolve))
  clock.advance(1)
  expect(watch.figures).toMatchObject({ services: 1, isListed: true })
})

test('a burst is one look, and what changes no route is not told at all', () => {
  const { store, clock, watch, changes } = begin()
  watch.configure(FACTS)
  list(store, LOCAL, slice('a', 'web', ['10.244.0.1@me', '10.244.1.1@n2']))
  clock.advance(1)
  expect(changes()).toBe(1)
  for (const mark of ['!', '', '~', '-']) {
    store.watching?.observer.changed(put(slice('a', 'web', ['10.244.0.1@me', `10.244.1.1@n2${mark}`])))
    clock.advance(100)
  }
  expect(changes()).toBe(1)
  store.watching?.observer.changed(put(slice('a', 'web', [])))
  clock.advance(5)
  store.watching?.observer.changed(put(slice('b', 'web', ['10.244.0.1@me'])))
  clock.advance(10_000)
  expect(changes()).toBe(1)
})

test('what is due by itself is told when it is: a route after its endpoint, a withdrawal after others', () => {
  const { store, clock, watch, changes } = begin()
  watch.configure(FACTS)
  list(store, LOCAL)
  clock.advance(1)
  const before = changes()
  store.watching?.observer.changed(put(slice('a', 'web', ['10.244.0.1@me'])))
  clock.advance(PROXY_MS)
  expect(changes()).toBe(before)
  clock.advance(100)
  expect(changes()).toBe(before + 1)
  store.watching?.observer.changed(put(slice('a', 'web', ['10.244.0.1@me~'])))
  clock.advance(100)
  expect(routesOf(watch.configure(FACTS))).toEqual(['198.51.100.9/32~'])
  store.watching?.observer.changed(put(slice('a', 'web', ['10.244.0.1@me~', '10.244.1.1@n2'])))
  clock.advance(HAND_OVER_MS - 100)
  expect(routesOf(watch.configure(FACTS))).toEqual(['198.51.100.9/32~'])
  clock.advance(200)
  expect(routesOf(watch.configure(FACTS))).toEqual([])
})

test('after a restart the routes of before stay until services have been listed, those of today’s ranges alone', () => {
  const facts: ServiceFacts = { ...FACTS, clusterIPs: [cidr('10.96.0.0/16')] }
  {
    const { store, clock, watch } = begin()
    watch.configure(facts)
    list(store, LOCAL, slice('a', 'web', ['10.244.0.1@me']))
    clock.advance(1)
    watch[Symbol.dispose]()
  }
  const { store, clock, watch } = begin()
  expect(routesOf(watch.configure(facts), true)).toEqual(['10.96.0.0/16', '198.51.100.9/32'])
  expect(watch.figures).toMatchObject({ advertised: 2, isListed: false })
  expect(routesOf(watch.configure({ ...facts, clusterIPs: [] }), true)).toEqual(['198.51.100.9/32'])
  expect(routesOf(watch.configure({ ...facts, standing: 'excluded' }), true)).toEqual([])
  expect(routesOf(watch.configure(facts), true)).toEqual(['10.96.0.0/16', '198.51.100.9/32'])
  list(store)
  clock.advance(1)
  expect(routesOf(watch.configure(facts), true)).toEqual(['10.96.0.0/16'])
})

test('after a reboot, or when nobody knows what the file says, there is nothing of before', () => {
  const file = path.join(runDir, 'services.json')
  const route = { prefix: '198.51.100.9/32', isYielding: false, sources: [] }
  for (const text of ['', 'null', JSON.stringify({ bootId: 'another', routes: [route] })]) {
    fs.writeFileSync(file, text)
    expect(begin().watch.configure(FACTS).routes).toEqual([])
  }
})

test('once no range is set nothing is kept for the next start', () => {
  const { store, clock, watch } = begin()
  watch.configure(FACTS)
  list(store, LOCAL, slice('a', 'web', ['10.244.0.1@me']))
  clock.advance(1)
  expect(fs.readdirSync(runDir)).toEqual(['services.json'])
  watch.configure(null)
  expect(fs.readdirSync(runDir)).toEqual([])
})
