// What the agent goes by: the store, or what it knew last, and how it goes over from one to the other.
import { describe, expect, test } from '@jest/globals'
import type { CachedInputs } from '../../../src/agent/inputs/cache.ts'
import { Inputs } from '../../../src/agent/inputs/inputs.ts'
import { FakeClock } from '../../../src/lib/clock.ts'
import { silentLog } from '../../../src/lib/log.ts'
import type { Change, Resource, Selection, Store, StoreProblem, Watch, WatchObserver } from '../../../src/store/index.ts'
import { node, peer, secret } from '../../store/objects.ts'
import { snapshotOf } from '../derive/world.ts'

/** A store whose watches are told by hand. */
class Told implements Pick<Store, 'watch'> {
  readonly watches: { readonly selections: readonly Selection[]; readonly observer: WatchObserver; isOver: boolean }[] = []

  watch(selections: readonly Selection[], observer: WatchObserver): Watch {
    const watch = { selections, observer, isOver: false }
    this.watches.push(watch)
    return {
      select: () => Promise.resolve(),
      pending: () => [],
      [Symbol.dispose]: () => {
        watch.isOver = true
      },
    }
  }

  /** The watch of a kind, by name if there is one. */
  of(kind: string, name?: string): WatchObserver {
    const found = this.watches.findLast(
      (watch) => !watch.isOver && watch.selections.some((each) => each.kind === kind && each.name === name),
    )
    if (found === undefined) throw new Error(`nobody watches ${kind} ${name ?? ''}`)
    return found.observer
  }
}

const NAMESPACE = 'fibula-system'
const TOR = { namespace: NAMESPACE, name: 'tor', keys: ['password'] }
const AWAY: StoreProblem = {
  severity: 'error',
  subject: 'API server',
  message: 'cannot be heard',
  file: null,
  document: null,
  line: null,
  field: null,
}

function parsed(...manifests: readonly object[]): readonly Resource[] {
  return Object.values(snapshotOf(manifests)).flatMap((kind): readonly Resource[] => [...kind.values()])
}

function puts(...manifests: readonly object[]): readonly Change[] {
  return parsed(...manifests).map((object) => ({ type: 'put', object }))
}

function begin(cached: CachedInputs | null = null) {
  const clock = new FakeClock()
  const store = new Told()
  const seen = { changed: 0, kept: [] as (readonly Resource[])[] }
  const inputs = new Inputs({
    node: 'n1',
    store,
    selections: [{ kind: 'Node' }, { kind: 'BGPPeer' }],
    clock,
    log: silentLog,
    cache: { read: () => cached, changed: (content) => seen.kept.push(content()) },
    changed: () => seen.changed++,
    heard: () => {},
    listed: () => {},
    problems: () => {},
  })
  return { clock, store, seen, inputs, main: store.of('Node') }
}

const CACHED: CachedInputs = {
  objects: parsed(node('n1', ['10.0.0.11']), peer('tor'), secret('tor', NAMESPACE, { password: 'old' })),
  writtenAt: 'then',
}

describe('where what is known comes from', () => {
  test('nothing before the store has listed everything; then that, live', () => {
    const { inputs, main, seen } = begin(CACHED)
    main.changed(puts(node('n1')))
    expect([inputs.known, seen.changed]).toEqual([null, 0])
    main.synced()
    expect([inputs.known?.source, seen.changed]).toEqual(['store', 1])
    main.changed(puts(peer('tor')))
    expect([[...(inputs.known?.snapshot.BGPPeer.keys() ?? [])], seen.changed]).toEqual([['tor'], 2])
    main.changed(puts(peer('tor')))
    expect(seen.changed).toBe(2) // equal
  })

  test('a store that cannot be heard has two seconds, one that is silent ten', () => {
    const away = begin(CACHED)
    away.main.problems([AWAY])
    away.clock.advance(1_999)
    expect(away.inputs.known).toBeNull()
    away.clock.advance(1)
    expect(away.inputs.known).toMatchObject({ source: 'cache', writtenAt: 'then' })
    const silent = begin(CACHED)
    silent.clock.advance(9_999)
    expect(silent.inputs.known).toBeNull()
    silent.clock.advance(1)
    expect(silent.inputs.known?.source).toBe('cache')
  })

  test('without a file the agent waits', () => {
    const { inputs, main, clock, seen } = begin(null)
    main.problems([AWAY])
    clock.advance(60_000)
    expect([inputs.known, seen.changed]).toEqual([null, 0])
  })

  test('what the store tells bit by bit changes nothing before it has told everything; then all of it counts at once', () => {
    const { inputs, main, clock, seen } = begin(CACHED)
    clock.advance(10_000)
    const before = seen.changed
    main.changed(puts(node('n1', ['10.0.0.99'])))
    expect(seen.changed).toBe(before)
    expect([...(inputs.known?.snapshot.BGPPeer.keys() ?? [])]).toEqual(['tor'])
    main.synced()
    expect([inputs.known?.source, inputs.known?.snapshot.BGPPeer.size, seen.changed > before]).toEqual(['store', 0, true])
    clock.advance(60_000)
    expect(inputs.known?.source).toBe('store')
  })

  test('only what the store told, and the agent acted on, is kept: pruned, and of Secrets only the keys in use', () => {
    const { inputs, main, clock, seen, store } = begin(CACHED)
    clock.advance(10_000)
    inputs.actedOn([TOR])
    expect(seen.kept).toEqual([])
    main.changed(puts({ ...node('n1', ['10.0.0.11']), metadata: { name: 'n1', annotations: { a: 'b', 'fibula.network/asn': '1' } } }))
    main.synced()
    inputs.want([TOR])
    store.of('Secret', 'tor').changed(puts(secret('tor', NAMESPACE, { password: 'new', other: 'untold' })))
    inputs.actedOn([TOR])
    const [kept] = seen.kept
    expect(kept?.map(({ kind, metadata }) => `${kind}/${metadata.name}`)).toEqual(['Node/n1', 'Secret/tor'])
    expect(kept?.[0]?.metadata.annotations).toEqual({ 'fibula.network/asn': '1' })
    expect(JSON.stringify(kept)).toContain('new')
    expect(JSON.stringify(kept)).not.toContain('untold')
  })
})

describe('Secrets', () => {
  test('are asked for by name only, once they are needed, and let go', () => {
    const { inputs, main, store, seen } = begin()
    main.synced()
    expect(inputs.want([TOR])).toBe(false)
    expect(store.watches.at(-1)?.selections).toEqual([{ kind: 'Secret', namespace: NAMESPACE, name: 'tor' }])
    const { changed } = seen
    store.of('Secret', 'tor').changed(puts(secret('tor', NAMESPACE, { password: 'x' })))
    store.of('Secret', 'tor').synced()
    expect([inputs.want([TOR]), seen.changed > changed, inputs.told.Secret.size]).toEqual([true, true, 1])
    expect(inputs.want([])).toBe(true)
    expect([store.watches.at(-1)?.isOver, inputs.told.Secret.size]).toEqual([true, 0])
  })

  test('one that is denied is told in words and holds up nothing else', () => {
    const { inputs, main, store, seen } = begin()
    main.synced()
    inputs.want([TOR])
    const { changed } = seen
    store.of('Secret', 'tor').problems([{ ...AWAY, subject: 'Secret', message: 'not allowed to list and watch secrets' }])
    expect([inputs.want([TOR]), seen.changed]).toEqual([true, changed + 1])
    expect([...inputs.secretFaults]).toEqual([[`${NAMESPACE}/tor`, 'not allowed to list and watch secrets']])
    store.of('Secret', 'tor').problems([])
    expect(inputs.secretFaults.size).toBe(0)
  })

  test('one that nobody tells of holds things up for five seconds', () => {
    const { inputs, main, clock } = begin()
    main.synced()
    expect(inputs.want([TOR])).toBe(false)
    clock.advance(5_000)
    expect(inputs.want([TOR])).toBe(true)
  })

  test('a problem of other objects of a folder is none of a Secret', () => {
    const { inputs, main, store } = begin()
    main.synced()
    inputs.want([TOR])
    store.of('Secret', 'tor').problems([{ ...AWAY, subject: 'a.yaml' }])
    expect([inputs.secretFaults.size, inputs.want([TOR])]).toEqual([0, false])
  })

  const passwordOf = (inputs: Inputs) => inputs.known?.snapshot.Secret.get(`${NAMESPACE}/tor`)?.stringData['password']

  test('the last known stays in use over the change to the store until the store has told of it', () => {
    const { inputs, main, store, clock } = begin(CACHED)
    clock.advance(10_000)
    expect([inputs.want([TOR]), passwordOf(inputs)]).toEqual([true, 'old'])
    main.synced()
    expect([inputs.want([TOR]), passwordOf(inputs)]).toEqual([false, 'old'])
    store.of('Secret', 'tor').problems([AWAY]) // it went away again in between
    expect([inputs.want([TOR]), passwordOf(inputs), inputs.secretFaults.size]).toEqual([true, 'old', 0])
    store.of('Secret', 'tor').changed(puts(secret('tor', NAMESPACE, { password: 'new' })))
    expect(passwordOf(inputs)).toBe('new')
  })

  test('and is forgotten when the store says that there is none, even if it said so before', () => {
    const after = begin(CACHED)
    after.clock.advance(10_000)
    after.inputs.want([TOR])
    after.main.synced()
    expect(passwordOf(after.inputs)).toBe('old')
    after.store.of('Secret', 'tor').synced()
    expect(passwordOf(after.inputs)).toBeUndefined()
    const before = begin(CACHED)
    before.clock.advance(10_000)
    before.inputs.want([TOR])
    before.store.of('Secret', 'tor').synced()
    before.main.synced()
    expect(passwordOf(before.inputs)).toBeUndefined()
  })

  test('a store that answers for everything but a Secret: the last known is used, and why is told of that Secret alone', () => {
    const { inputs, main, store, seen } = begin(CACHED)
    main.synced()
    expect([inputs.want([TOR]), passwordOf(inputs)]).toEqual([false, undefined])
    store.of('Secret', 'tor').problems([{ ...AWAY, subject: 'Secret', message: 'denied' }])
    const { changed } = seen
    expect([inputs.want([TOR]), passwordOf(inputs), seen.changed]).toEqual([false, 'old', changed + 1]) // a turn with it follows
    expect([inputs.want([TOR]), [...inputs.secretFaults.values()]]).toEqual([true, ['denied']])
  })

  test('everything is given back', () => {
    const { inputs, main, clock, store } = begin(CACHED)
    main.problems([AWAY])
    inputs.want([TOR])
    inputs[Symbol.dispose]()
    expect([clock.armed, store.watches.every(({ isOver }) => isOver)]).toEqual([0, true])
  })
})
