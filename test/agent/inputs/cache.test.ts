// The file of what was last known: who may read it, what makes it useless, and how often it is written.
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { CACHE_FILE, InputCache } from '../../../src/agent/inputs/cache.ts'
import { FakeClock } from '../../../src/lib/clock.ts'
import { type Log, type LogFields, silentLog } from '../../../src/lib/log.ts'
import { node, secret } from '../../store/objects.ts'
import { snapshotOf } from '../derive/world.ts'

const IDENTITY = { node: 'n1', namespace: 'fibula-system', store: 'kubernetes' }

let folder: string
let file: string
let clock: FakeClock
let logged: { readonly event: string; readonly fields: LogFields }[]
beforeEach(() => {
  folder = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'fib-cache-')), 'state')
  file = path.join(folder, CACHE_FILE)
  clock = new FakeClock()
  logged = []
})
afterEach(() => {
  fs.rmSync(path.dirname(folder), { recursive: true })
})

function cacheOf(over: Partial<typeof IDENTITY> = {}): InputCache {
  const log: Log = { ...silentLog, warn: (event, fields = {}) => void logged.push({ event, fields }) }
  return new InputCache(file, { ...IDENTITY, ...over }, { clock, log })
}

const objectsOf = (...manifests: readonly object[]) => {
  const { Node, Secret } = snapshotOf(manifests)
  return [...Node.values(), ...Secret.values()]
}
const OBJECTS = objectsOf(node('n1', ['10.0.0.11']), secret('tor', 'fibula-system', { password: 'geheim' }))

async function written(objects = OBJECTS): Promise<void> {
  await using cache = cacheOf()
  cache.changed(() => objects)
}

test('what was written is read again; nobody else may read it, whatever was there before', async () => {
  fs.mkdirSync(folder)
  fs.writeFileSync(`${file}.new`, 'left by a kill', { mode: 0o644 })
  await written()
  expect(fs.statSync(file).mode & 0o777).toBe(0o600)
  expect(fs.readdirSync(folder)).toEqual([CACHE_FILE])
  expect(cacheOf().read()).toEqual({ objects: OBJECTS, writtenAt: '1970-01-01T00:00:00.000Z' })
  expect(logged).toEqual([])
})

test('a missing file is no reason for a word', () => {
  expect([cacheOf().read(), logged]).toEqual([null, []])
})

test.each([
  ['another node', (text: string) => text, { node: 'n2' }, /it is of node n1/],
  ['another namespace', (text: string) => text, { namespace: 'kube-system' }, /namespace fibula-system/],
  ['another store', (text: string) => text, { store: 'dir:/etc/fibula' }, /store kubernetes/],
  ['another format', (text: string) => text.replace('"format":1', '"format":2'), {}, /of another version/],
  ['half a file', (text: string) => text.slice(0, text.length / 2), {}, /it is damaged/],
  ['no JSON object', () => '[]', {}, /it is damaged/],
])('%s: ignored, and said so', async (_, spoil, identity, reason) => {
  await written()
  fs.writeFileSync(file, spoil(fs.readFileSync(file, 'utf8')))
  expect(cacheOf(identity).read()).toBeNull()
  expect(logged).toEqual([{ event: 'agent.cache.ignored', fields: expect.objectContaining({ reason: expect.stringMatching(reason) }) }])
  expect(JSON.stringify(logged)).not.toContain('geheim')
})

test('an object that this version cannot read is left out, the others are used', async () => {
  await written()
  fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('"kind":"Node"', '"kind":"Nodule"'))
  expect(
    cacheOf()
      .read()
      ?.objects.map(({ kind }) => kind),
  ).toEqual(['Secret'])
  expect(logged.map(({ event }) => event)).toEqual(['agent.cache.objectIgnored'])
})

test('bursts are one write, and the next comes five seconds later; what is equal is not written', async () => {
  const cache = cacheOf()
  let asked = 0
  const content = (objects = OBJECTS) => {
    asked++
    return objects
  }
  for (let at = 0; at < 100; at++) cache.changed(content)
  clock.advance(0)
  await cache[Symbol.asyncDispose]()
  expect([asked, cache.figures.written]).toEqual([1, 1])
  cache.changed(() => content(objectsOf(node('n1', ['10.0.0.12']))))
  clock.advance(4_999)
  expect(asked).toBe(1)
  clock.advance(10)
  await cache[Symbol.asyncDispose]()
  expect([asked, cache.figures.written]).toEqual([2, 2])
  cache.changed(() => content(objectsOf(node('n1', ['10.0.0.12']))))
  await cache[Symbol.asyncDispose]()
  expect([asked, cache.figures.written]).toEqual([3, 2])
})

test('a folder that cannot be written is told once, and the old file stays', async () => {
  await written()
  const before = fs.readFileSync(file, 'utf8')
  fs.mkdirSync(`${file}.new`) // nothing can be opened there
  await using cache = cacheOf()
  for (const address of ['10.0.0.12', '10.0.0.13']) {
    cache.changed(() => objectsOf(node('n1', [address])))
    await cache[Symbol.asyncDispose]()
  }
  expect([logged.map(({ event }) => event), cache.figures.failed]).toEqual([['agent.cache.writeFailed'], 2])
  expect(fs.readFileSync(file, 'utf8')).toBe(before)
})
