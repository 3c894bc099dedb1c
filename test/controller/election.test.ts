// Who leads: the machine by itself, and two or three replicas on one store that fails, is slow, and forgets who wrote what.
import { describe, expect, test } from '@jest/globals'
import {
  candidate,
  ELECTION_TIMES,
  type ElectionState,
  isLeading,
  onDeadline,
  onRead,
  onWritten,
  type SeenLease,
} from '../../src/controller/election/election.ts'
import { Elector } from '../../src/controller/election/elector.ts'
import {
  type KindName,
  type Lease,
  type ManifestOf,
  MemoryStore,
  type Store,
  StoreError,
  type WriteOptions,
} from '../../src/store/index.ts'
import { seeded } from '../ipam/world.ts'
import { FakeClock, pass, settle, silentLog } from './world.ts'

const { leaseDurationMs, renewDeadlineMs, retryPeriodMs } = ELECTION_TIMES
const lease = (over: Partial<SeenLease> = {}): SeenLease => ({ version: '1', holder: 'b', durationMs: 15_000, transitions: 3, ...over })
const read = (state: ElectionState, seen: SeenLease | null, nowMs: number) => onRead(state, seen, nowMs, ELECTION_TIMES)

describe('the machine', () => {
  test('there is no Lease: it is created', () => {
    expect(read(candidate('a'), null, 0).step).toEqual({ kind: 'create', transitions: 0 })
  })

  test('a Lease that somebody holds is waited for: the duration its holder promised, from our own first sight of this version', () => {
    let { state, step } = read(candidate('a'), lease(), 1_000)
    expect(step).toEqual({ kind: 'wait', holder: 'b' })
    ;({ state, step } = read(state, lease(), 15_999))
    expect(step.kind).toBe('wait')
    expect(read(state, lease(), 16_000).step).toMatchObject({ kind: 'take', transitions: 4 })
    ;({ state, step } = read(state, lease({ version: '2' }), 16_000)) // it was renewed: the time begins anew
    expect(step.kind).toBe('wait')
    expect(read(state, lease({ version: '2' }), 30_999).step.kind).toBe('wait')
    expect(read(state, lease({ version: '2' }), 31_000).step.kind).toBe('take')
  })

  test('a holder that promised another duration is believed; one that promised none has ours', () => {
    const first = read(candidate('a'), lease({ durationMs: 60_000 }), 0).state
    expect(read(first, lease({ durationMs: 60_000 }), 59_999).step.kind).toBe('wait')
    const second = read(candidate('a'), lease({ durationMs: null }), 0).state
    expect(read(second, lease({ durationMs: null }), leaseDurationMs).step.kind).toBe('take')
  })

  test('a Lease that was released is taken at once', () => {
    expect(read(candidate('a'), lease({ holder: '' }), 0).step).toMatchObject({ kind: 'take', transitions: 4 })
  })

  test('a leader leads for the deadline from when it sent its renewal, not from when the answer came', () => {
    const state = onWritten(candidate('a'), lease({ holder: 'a' }), { sentAtMs: 1_000, nowMs: 4_000 }, ELECTION_TIMES)
    expect(isLeading(state, 1_000 + renewDeadlineMs - 1)).toBe(true)
    expect(isLeading(state, 1_000 + renewDeadlineMs)).toBe(false)
    expect(onDeadline(state, 1_000 + renewDeadlineMs).leadsUntilMs).toBeNull()
    expect(renewDeadlineMs).toBeLessThan(leaseDurationMs)
  })

  test('a leader that reads that somebody else holds the Lease leads no more, whatever the time', () => {
    const state = onWritten(candidate('a'), lease({ holder: 'a' }), { sentAtMs: 0, nowMs: 0 }, ELECTION_TIMES)
    const next = read(state, lease({ version: '9', holder: 'b' }), 1)
    expect(isLeading(next.state, 1)).toBe(false)
    expect(next.step.kind).toBe('wait')
  })

  test('our own Lease is renewed without a transition, also when the answer to our write was lost', () => {
    expect(read(candidate('a'), lease({ holder: 'a' }), 0).step).toMatchObject({ kind: 'renew', transitions: 3 })
  })
})

type Faults = { readonly failBefore: number; readonly failAfter: number; readonly slow: number }
const NO_FAULTS: Faults = { failBefore: 0, failAfter: 0, slow: 0 }

/** A store as one replica sees it: cut off at will, failing before or after a write, slow. */
class View {
  readonly #store: MemoryStore
  readonly #clock: FakeClock
  readonly #random: () => number
  faults = NO_FAULTS
  isCutOff = false
  /** How long after an operation its answer comes. */
  answerMs = 0

  constructor(store: MemoryStore, clock: FakeClock, random: () => number) {
    this.#store = store
    this.#clock = clock
    this.#random = random
  }

  readonly port: Pick<Store, 'get' | 'create' | 'update'> = {
    get: (kind, key, signal) => this.#call(() => this.#store.get(kind, key), signal),
    create: <K extends KindName>(object: ManifestOf<K>, options?: WriteOptions, signal?: AbortSignal) =>
      this.#call(() => this.#store.create<K>(object, options), signal),
    update: <K extends KindName>(object: ManifestOf<K>, options?: WriteOptions, signal?: AbortSignal) =>
      this.#call(() => this.#store.update<K>(object, options), signal),
  }

  async #call<T>(operation: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const away = (): StoreError => new StoreError('UNAVAILABLE', 'away')
    if (this.isCutOff || this.#random() < this.faults.failBefore) throw away()
    if (this.#random() < this.faults.slow) await new Promise<void>((resolve) => void this.#clock.after(this.#random() * 12_000, resolve))
    const result = await operation() // also after its caller has given up: such a write lands late
    if (this.answerMs > 0) await new Promise<void>((resolve) => void this.#clock.after(this.answerMs, resolve))
    if (signal?.aborted === true) throw signal.reason
    if (this.isCutOff || this.#random() < this.faults.failAfter) throw away()
    return result
  }
}

class Replica {
  readonly view: View
  readonly elector: Elector
  terms = 0
  acts = false
  signal: AbortSignal | null = null

  constructor(store: MemoryStore, clock: FakeClock, identity: string, random: () => number = () => 0) {
    this.view = new View(store, clock, random)
    this.elector = new Elector({
      store: this.view.port,
      namespace: 'fibula-system',
      name: 'fibula-controller',
      identity,
      log: silentLog,
      clock,
      random,
      onElected: (signal) => {
        this.terms++
        this.acts = true
        this.signal = signal
      },
      onLost: () => {
        this.acts = false
      },
    })
  }

  /** Ends like a process that is killed: nothing is given back. */
  kill(): void {
    this.view.isCutOff = true
    this.acts = false
  }
}

function world(): { readonly clock: FakeClock; readonly store: MemoryStore; readonly held: () => Promise<Lease['spec'] | undefined> } {
  const clock = new FakeClock()
  const store = new MemoryStore({ clock })
  const held = async () => (await store.get('Lease', { namespace: 'fibula-system', name: 'fibula-controller' }))?.spec
  return { clock, store, held }
}

describe('replicas', () => {
  test('one leads, renews, and the other waits; the Lease is as Kubernetes has it', async () => {
    const { clock, store, held } = world()
    const [a, b] = [new Replica(store, clock, 'a'), new Replica(store, clock, 'b')]
    a.elector.start()
    await settle()
    b.elector.start()
    await pass(clock, 60_000)
    expect([a.acts, b.acts, a.terms, b.terms]).toEqual([true, false, 1, 0])
    expect(b.elector.view()).toEqual({ isLeading: false, leader: 'a', trouble: null })
    expect(await held()).toMatchObject({
      holderIdentity: 'a',
      leaseDurationSeconds: 15,
      leaseTransitions: 0,
      acquireTime: '1970-01-01T00:00:00.000000Z',
      renewTime: expect.stringMatching(/^1970-01-01T00:(00:5\d|01:00)\.\d{6}Z$/),
    })
  })

  test('the leader is killed: the other takes over once the Lease has stood still for its duration', async () => {
    const { clock, store, held } = world()
    const [a, b] = [new Replica(store, clock, 'a'), new Replica(store, clock, 'b')]
    a.elector.start()
    await settle()
    b.elector.start()
    await pass(clock, 10_000)
    a.kill()
    await pass(clock, leaseDurationMs - retryPeriodMs)
    expect(b.acts).toBe(false)
    await pass(clock, 3 * retryPeriodMs)
    expect(b.acts).toBe(true)
    expect(await held()).toMatchObject({ holderIdentity: 'b', leaseTransitions: 1 })
  })

  test('the leader ends in peace: it gives the Lease back, and the other leads with its next attempt', async () => {
    const { clock, store, held } = world()
    const [a, b] = [new Replica(store, clock, 'a'), new Replica(store, clock, 'b')]
    a.elector.start()
    await settle()
    b.elector.start()
    await pass(clock, 10_000)
    await a.elector[Symbol.asyncDispose]()
    expect(a.acts).toBe(false)
    expect(await held()).toMatchObject({ holderIdentity: '' })
    await pass(clock, 1.2 * retryPeriodMs)
    expect([b.acts, (await held())?.holderIdentity]).toEqual([true, 'b'])
    await b.elector[Symbol.asyncDispose]()
    expect(clock.armed).toBe(0)
  })

  test('the leader ends while it renews: the renewal that has landed is given back, too', async () => {
    const { clock, store, held } = world()
    const a = new Replica(store, clock, 'a')
    a.elector.start()
    await pass(clock, 10_000)
    const renewed = (await held())?.renewTime
    a.view.answerMs = 300
    while ((await held())?.renewTime === renewed) await pass(clock, 100)
    const ended = a.elector[Symbol.asyncDispose]()
    await pass(clock, 2_000)
    await ended
    expect(await held()).toMatchObject({ holderIdentity: '' })
  })

  test("a Lease that is somebody else's by now is left to him", async () => {
    const { clock, store, held } = world()
    const a = new Replica(store, clock, 'a')
    a.elector.start()
    await pass(clock, 10_000)
    const taken = await store.get('Lease', { namespace: 'fibula-system', name: 'fibula-controller' })
    if (taken === null) throw new Error('no Lease')
    await store.update({ ...taken, spec: { ...taken.spec, holderIdentity: 'b' } })
    expect(a.acts).toBe(true)
    await a.elector[Symbol.asyncDispose]()
    expect(await held()).toMatchObject({ holderIdentity: 'b' })
  })

  test('a renewal whose answer is late counts from when it was sent', async () => {
    const { clock, store, held } = world()
    const a = new Replica(store, clock, 'a')
    a.elector.start()
    await pass(clock, 5_000)
    const renewed = (await held())?.renewTime
    a.view.answerMs = 4_000
    while ((await held())?.renewTime === renewed) await pass(clock, 100)
    const sentAtMs = clock.nowMs()
    await pass(clock, 4_200)
    a.view.isCutOff = true
    await pass(clock, sentAtMs + renewDeadlineMs - clock.nowMs() + 100)
    expect(a.acts).toBe(false)
  })

  test('a leader that cannot renew stops before another may begin, and its signal aborts', async () => {
    const { clock, store } = world()
    const [a, b] = [new Replica(store, clock, 'a'), new Replica(store, clock, 'b')]
    a.elector.start()
    await settle()
    b.elector.start()
    await pass(clock, 10_000)
    a.view.isCutOff = true
    const { signal } = a
    await pass(clock, renewDeadlineMs)
    expect([a.acts, a.elector.isLeading, signal?.aborted, b.acts]).toEqual([false, false, true, false])
    expect(a.elector.view().trouble).toBe('away')
    await pass(clock, leaseDurationMs)
    expect(b.acts).toBe(true)
    a.view.isCutOff = false
    await pass(clock, 20_000)
    expect([a.acts, b.acts]).toEqual([false, true])
  })

  test('the same replica leads again when nobody took the Lease meanwhile', async () => {
    const { clock, store } = world()
    const a = new Replica(store, clock, 'a')
    a.elector.start()
    await pass(clock, 5_000)
    a.view.isCutOff = true
    await pass(clock, 30_000)
    expect(a.acts).toBe(false)
    a.view.isCutOff = false
    await pass(clock, 5_000)
    expect([a.acts, a.terms]).toEqual([true, 2])
  })

  test.each([1, 2, 3, 4, 5, 6, 7, 8])(
    'three replicas on a store that fails and is slow, killed and started again: never two lead, and one does in the end (seed %i)',
    async (seed) => {
      const { clock, store } = world()
      const random = seeded(seed)
      const replicas = new Set<Replica>()
      let born = 0
      const start = (): void => {
        const replica = new Replica(store, clock, `r${born++}`, random)
        replicas.add(replica)
        replica.elector.start()
      }
      for (let count = 0; count < 3; count++) start()
      const faulty: Faults = { failBefore: 0.15, failAfter: 0.15, slow: 0.2 }
      let terms = 0
      for (let step = 0; step < 1_500; step++) {
        const isCalm = step > 1_300
        for (const replica of replicas) {
          replica.view.faults = isCalm ? NO_FAULTS : faulty
          if (isCalm) replica.view.isCutOff = false
          else if (random() < 0.01) replica.view.isCutOff = !replica.view.isCutOff
        }
        const [victim] = [...replicas].sort(() => random() - 0.5)
        if (!isCalm && random() < 0.01 && victim !== undefined) {
          terms += victim.terms
          victim.kill()
          replicas.delete(victim)
          void victim.elector[Symbol.asyncDispose]() // its timers; it is cut off, so that nothing is given back
          start()
        }
        clock.advance(200)
        await settle()
        const leading = [...replicas].filter(({ elector }) => elector.isLeading)
        expect(leading.length).toBeLessThanOrEqual(1)
        for (const replica of replicas) expect(replica.acts).toBe(replica.elector.isLeading)
      }
      expect([...replicas].filter(({ acts }) => acts)).toHaveLength(1)
      expect(terms + [...replicas].reduce((sum, replica) => sum + replica.terms, 0)).toBeGreaterThan(3)
    },
  )
})
