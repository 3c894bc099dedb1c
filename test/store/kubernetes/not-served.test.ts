// Kinds that an API server does not serve, or no longer: by a scripted server and a clock that stands still until it is told.
import type { ServerResponse } from 'node:http'
import { describe, expect, test } from '@jest/globals'
import { FakeClock } from '../../../src/lib/clock.ts'
import type { Selection } from '../../../src/store/index.ts'
import { KubernetesStore } from '../../../src/store/kubernetes/adapter.ts'
import { Recorder } from '../recorder.ts'
import { type Answer, isWatch, refuse, ScriptedServer } from './scripted-server.ts'

const POLICY: Selection = { kind: 'ClusterNetworkPolicy', isOptional: true }
const NAME = 'ClusterNetworkPolicy/strict'
/** A longer wait than any between two tries. */
const NEXT_TRY_MS = 60_000
/** Of the event loop, for what takes a few hundred of them. */
const MOST_TURNS = 100_000

const policy = (resourceVersion: string) => ({
  metadata: { name: 'strict', resourceVersion },
  spec: { tier: 'Admin', priority: 1, subject: { namespaces: {} } },
})

/** Lists these, and leaves watches open until they are cut. */
class Cluster {
  items: readonly object[] = []
  version = '9'
  isServed = true
  /** What it says while it does not serve. */
  refusal = 404
  /** 404 for watches alone. */
  servesWatches = true
  readonly #open = new Set<ServerResponse>()

  readonly answer: Answer = (request, response) => {
    if (!this.isServed) return refuse(this.refusal)(request, response)
    if (!this.servesWatches && isWatch(request)) return refuse(404)(request, response)
    if (!isWatch(request)) {
      response.end(JSON.stringify({ metadata: { resourceVersion: this.version }, items: this.items }))
      return
    }
    response.flushHeaders()
    this.#open.add(response)
  }

  get watches(): number {
    return this.#open.size
  }

  /** As an API server does with the watches of a CRD that goes. */
  cutWatches(): void {
    for (const response of this.#open) response.end()
    this.#open.clear()
  }
}

/** One watch of a store; whatever has to happen first happens meanwhile. */
class World implements AsyncDisposable {
  readonly cluster = new Cluster()
  readonly recorder = new Recorder()
  readonly #server = new ScriptedServer(this.cluster.answer)
  readonly #clock = new FakeClock()
  readonly #store = new KubernetesStore(() => this.#server.connection(), { clock: this.#clock, random: () => 0.5 })

  follow(selection: Selection = POLICY): void {
    this.#store.watch([selection], this.recorder)
  }

  /** Time passes until it holds. */
  async until(holds: () => boolean): Promise<void> {
    for (let turn = 0; !holds(); turn++) {
      if (turn === MOST_TURNS) throw new Error(`in vain: ${holds}`)
      this.#clock.advance(NEXT_TRY_MS)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  /** Everything has been asked for once more. */
  async nextRequests(count: number): Promise<void> {
    const wanted = this.#server.requests.length + count
    await this.until(() => this.#server.requests.length >= wanted)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#store[Symbol.asyncDispose]()
    this.cluster.cutWatches()
    await this.#server[Symbol.asyncDispose]()
  }
}

describe('a kind that may be missing', () => {
  test('there is none of it, which is no problem; what comes later is shown', async () => {
    await using world = new World()
    const { cluster, recorder } = world
    cluster.isServed = false
    world.follow()
    await recorder.untilSynced()
    expect([recorder.names(), recorder.problemLists]).toEqual([[], []])
    cluster.items = [policy('12')]
    cluster.version = '12'
    cluster.isServed = true
    await world.until(() => recorder.names().length > 0)
    expect([recorder.names(), recorder.problemLists]).toEqual([[NAME], []])
  })

  test('its CRD goes: what was shown is gone, and nothing is wrong; with the CRD new objects come', async () => {
    await using world = new World()
    const { cluster, recorder } = world
    cluster.items = [policy('5')]
    world.follow()
    await world.until(() => cluster.watches === 1)
    expect(recorder.names()).toEqual([NAME])
    cluster.isServed = false
    cluster.cutWatches()
    await world.until(() => recorder.names().length === 0)
    expect(recorder.changes.map(({ type }) => type)).toEqual(['put', 'gone'])
    await world.nextRequests(3)
    expect([recorder.changes.length, recorder.problemLists]).toEqual([2, []])
    cluster.items = [policy('15')]
    cluster.version = '15'
    cluster.isServed = true
    await world.until(() => recorder.changes.length === 3)
    expect(recorder.names()).toEqual([NAME])
  })

  test('a server that says so for a while only, while it starts say: afterwards the same objects are there as before', async () => {
    await using world = new World()
    const { cluster, recorder } = world
    cluster.items = [policy('5')]
    world.follow()
    await world.until(() => cluster.watches === 1)
    cluster.isServed = false
    cluster.cutWatches()
    await world.until(() => recorder.names().length === 0)
    cluster.isServed = true
    await world.until(() => cluster.watches === 1)
    expect(recorder.names()).toEqual([NAME])
  })

  test.each([403, 500, 503])(
    'a server that refuses with %d does not say that: what was shown stays, and the trouble is told',
    async (refusal) => {
      await using world = new World()
      const { cluster, recorder } = world
      cluster.items = [policy('5')]
      world.follow()
      await world.until(() => cluster.watches === 1)
      cluster.refusal = refusal
      cluster.isServed = false
      cluster.cutWatches()
      await world.until(() => recorder.lastProblems.length > 0)
      expect(recorder.names()).toEqual([NAME])
      cluster.isServed = true
      await world.until(() => recorder.lastProblems.length === 0)
      expect(recorder.changes).toHaveLength(1)
    },
  )

  test('a watch alone that is not found takes nothing away: a list has the last word', async () => {
    await using world = new World()
    const { cluster, recorder } = world
    cluster.items = [policy('5')]
    world.follow()
    await world.until(() => cluster.watches === 1)
    cluster.servesWatches = false
    cluster.cutWatches()
    await world.nextRequests(4)
    expect(recorder.changes.map(({ type }) => type)).toEqual(['put'])
  })
})

test('a kind that must be there and is not any more: that is told, and what was shown stays', async () => {
  await using world = new World()
  const { cluster, recorder } = world
  cluster.items = [{ metadata: { name: 'pods', resourceVersion: '5' }, spec: { cidr: '10.244.0.0/16' } }]
  world.follow({ kind: 'IPPool' })
  await world.until(() => cluster.watches === 1)
  cluster.isServed = false
  cluster.cutWatches()
  await world.until(() => recorder.lastProblems.length > 0)
  expect(recorder.names()).toEqual(['IPPool/pods'])
  cluster.isServed = true
  await world.until(() => recorder.lastProblems.length === 0)
  expect(recorder.changes).toHaveLength(1)
})
