// How often an API server that refuses is asked again: by a scripted server and a clock that stands still until it is told.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { expect, test } from '@jest/globals'
import { FakeClock } from '../../../src/lib/clock.ts'
import { silentLog } from '../../../src/lib/log.ts'
import { KubernetesStore } from '../../../src/store/kubernetes/adapter.ts'
import { ApiError, ApiServer } from '../../../src/store/kubernetes/api-server.ts'
import { Recorder } from '../recorder.ts'
import { isWatch, list, refuse, ScriptedServer } from './scripted-server.ts'

/** Steps through the waits of one watch, and gives their lengths in ms, as long as the clock says. */
async function waits(clock: FakeClock, server: ScriptedServer, count: number): Promise<readonly number[]> {
  const lengths: number[] = []
  for (let attempt = 1; attempt <= count; attempt++) {
    await server.until(attempt)
    while (clock.armed === 0) await new Promise((resolve) => setImmediate(resolve)) // the answer is on its way
    let length = 0
    for (; clock.armed > 0; length += 50) clock.advance(50)
    lengths.push(length)
  }
  return lengths
}

test.each([
  ['refuses', refuse(503)],
  ['does not know us', refuse(401)],
  ['cuts every connection', (_: IncomingMessage, response: ServerResponse) => void response.destroy()],
])('a server that %s is asked after ever longer waits, half a minute at last', async (_, answer) => {
  await using server = new ScriptedServer(answer)
  const clock = new FakeClock()
  await using store = new KubernetesStore(() => server.connection(), { clock, random: () => 0.999 })
  using _watch = store.watch([{ kind: 'IPPool' }], new Recorder())
  expect(await waits(clock, server, 8)).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000])
})

test('agents that fail together do not come back together: a wait is anything from a fifth to the whole', async () => {
  const spread: number[] = []
  for (const random of [0, 0.5, 0.999]) {
    await using server = new ScriptedServer(refuse(503))
    const clock = new FakeClock()
    await using store = new KubernetesStore(() => server.connection(), { clock, random: () => random })
    using _watch = store.watch([{ kind: 'IPPool' }], new Recorder())
    spread.push((await waits(clock, server, 6)).at(-1) ?? 0)
  }
  expect(spread).toEqual([6_000, 18_000, 30_000])
})

test('a watch that ends as soon as it begins is not begun again at once, though every list succeeds', async () => {
  await using server = new ScriptedServer((request, response) => (isWatch(request) ? void response.end() : list(request, response)))
  const clock = new FakeClock()
  await using store = new KubernetesStore(() => server.connection(), { clock, random: () => 0.999 })
  const recorder = new Recorder()
  using _watch = store.watch([{ kind: 'IPPool' }], recorder)
  await recorder.untilSynced()
  server.requests.length = 0
  const all = await waits(clock, server, 4)
  expect(all).toEqual([1_000, 2_000, 4_000, 8_000])
})

test('a version that is forgotten again and again leads to ever rarer lists', async () => {
  const gone = JSON.stringify({ type: 'ERROR', object: { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' } })
  await using server = new ScriptedServer((request, response) =>
    isWatch(request) ? void response.end(`${gone}\n`) : list(request, response),
  )
  const clock = new FakeClock()
  await using store = new KubernetesStore(() => server.connection(), { clock, random: () => 0.999 })
  const recorder = new Recorder()
  using _watch = store.watch([{ kind: 'IPPool' }], recorder)
  const lengths: number[] = []
  for (let turn = 1; turn <= 4; turn++) {
    await server.until(2 * turn) // a list and a watch
    while (clock.armed === 0) await new Promise((resolve) => setImmediate(resolve))
    let length = 0
    for (; clock.armed > 0; length += 50) clock.advance(50)
    lengths.push(length)
  }
  expect(lengths).toEqual([1_000, 2_000, 4_000, 8_000])
  expect(recorder.lastProblems).toEqual([]) // nothing is wrong with that
})

test('many watches of one server that is away are one problem and one line of the log', async () => {
  await using server = new ScriptedServer(refuse(503))
  const lines: string[] = []
  const log = { ...silentLog, warn: (event: string) => void lines.push(event), info: (event: string) => void lines.push(event) }
  await using store = new KubernetesStore(() => server.connection(), { log, random: () => 0, clock: new FakeClock() })
  const recorder = new Recorder()
  using _watch = store.watch(
    (['BGPPeer', 'IPPool', 'Node', 'BGPFilter', 'Service'] as const).map((kind) => ({ kind })),
    recorder,
  )
  await server.until(5)
  await recorder.until((seen) => seen.lastProblems.length > 0)
  expect(recorder.lastProblems).toHaveLength(1)
  expect(lines).toEqual(['store.watch.failed'])
})

test('a request obeys Retry-After, and up to as much again, four times; then it fails with what the server said', async () => {
  await using server = new ScriptedServer(refuse(429, { 'retry-after': '3' }))
  const waited: number[] = []
  using api = new ApiServer(() => server.connection(), { random: () => 0.5, wait: async (delayMs) => void waited.push(delayMs) })
  const asked = api.request({ method: 'POST', path: '/api/v1/nodes', body: {} })
  await expect(asked).rejects.toMatchObject({ status: 429, retryAfterMs: 3_000 })
  expect(waited).toEqual([4_500, 4_500, 4_500, 4_500])
  await expect(asked).rejects.toBeInstanceOf(ApiError)
})

test('a server that asks to wait an hour is asked again within a minute', async () => {
  await using server = new ScriptedServer(refuse(429, { 'retry-after': '3600' }))
  const waited: number[] = []
  const wait = async (delayMs: number): Promise<void> => {
    waited.push(delayMs)
    server.answer = list
  }
  using api = new ApiServer(() => server.connection(), { random: () => 0.5, wait })
  await api.request({ method: 'GET', path: '/api/v1/nodes' })
  expect(waited).toEqual([60_000])
})

test('a refusal without Retry-After is not repeated', async () => {
  await using server = new ScriptedServer(refuse(429))
  using api = new ApiServer(() => server.connection(), { wait: () => Promise.reject(new Error('waited')) })
  await expect(api.request({ method: 'GET', path: '/api/v1/nodes' })).rejects.toMatchObject({ status: 429 })
  expect(server.requests).toHaveLength(1)
})
