// Several processes on one folder: compare-and-swap loses nothing, and a process that is killed at any moment harms nobody.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import { build } from 'esbuild'
import { DirectoryStore, parseManifests } from '../../src/store/index.ts'
import { block, peer } from './objects.ts'
import { watching } from './recorder.ts'

const CACHE = join(import.meta.dirname, '..', '..', 'node_modules', '.cache') // inside the tree, where packages are found
const LONG_MS = 120_000

/** The child in one file: processes start in a third of the time. */
let child: string
beforeAll(async () => {
  mkdirSync(CACHE, { recursive: true })
  const folder = mkdtempSync(join(CACHE, 'fib-store-'))
  child = join(folder, 'child.mjs')
  const entryPoints = [join(import.meta.dirname, 'child.ts')]
  await build({ entryPoints, outfile: child, bundle: true, platform: 'node', format: 'esm', packages: 'external', logLevel: 'error' })
})
afterAll(() => rmSync(join(child, '..'), { recursive: true, force: true }))

let path: string
beforeEach(() => {
  path = mkdtempSync(join(tmpdir(), 'fib-store-'))
})
afterEach(() => rmSync(path, { recursive: true, force: true }))

type Writer = {
  readonly process: ChildProcess
  readonly ended: Promise<{ readonly acknowledged: readonly number[]; readonly stderr: string }>
}

function write(what: 'block' | 'peer', count: number, onAcknowledged: (value: number, child: ChildProcess) => void = () => {}): Writer {
  const running = spawn(process.execPath, [child, path, what, String(count)], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const acknowledged: number[] = []
  let stderr = ''
  running.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  createInterface({ input: running.stdout }).on('line', (line) => {
    acknowledged.push(Number(line))
    onAcknowledged(Number(line), running)
  })
  return { process: running, ended: once(running, 'close').then(() => ({ acknowledged, stderr })) }
}

/** Small, seeded: the same moments in every run. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state / 2 ** 32
  }
}

describe('eight processes, two hundred increments each', () => {
  test.each([
    ['block', () => block('10.0.0.0/26', 'n1'), 0, 200],
    ['peer', () => peer('shared', { asNumber: 1 }), 1, 10],
  ] as const)(
    '%s: every increment counts once',
    async (what, make, from, each) => {
      await using store = new DirectoryStore(path)
      await store.create(make())
      const writers = Array.from({ length: 8 }, () => write(what, each))
      const ends = await Promise.all(writers.map(({ ended }) => ended))
      expect(ends.map(({ stderr }) => stderr)).toEqual(Array(8).fill(''))
      const all = ends.flatMap(({ acknowledged }) => acknowledged).sort((a, b) => a - b)
      expect(all).toEqual(Array.from({ length: 8 * each }, (_, at) => from + at + 1))
      const last =
        what === 'block'
          ? (await store.get('IPAMBlock', { name: '10-0-0-0-26' }))?.spec.sequence
          : (await store.get('BGPPeer', { name: 'shared' }))?.spec.asNumber
      expect(last).toBe(from + 8 * each)
    },
    LONG_MS,
  )
})

/** Writes once more: the lock is free. Returns the new value, which must be beyond what was acknowledged. */
async function incrementAtLeast(store: DirectoryStore, what: 'block' | 'peer', floor: number): Promise<number> {
  if (what === 'block') {
    const now = await store.get('IPAMBlock', { name: '10-0-0-0-26' })
    if (now === null) throw new Error('the block is gone')
    expect(now.spec.sequence).toBeGreaterThanOrEqual(floor) // written, perhaps, and killed before it could say so
    return (await store.update({ ...now, spec: { ...now.spec, sequence: now.spec.sequence + 1 } })).spec.sequence
  }
  const now = await store.get('BGPPeer', { name: 'shared' })
  if (now === null) throw new Error('the peer is gone')
  expect(now.spec.asNumber).toBeGreaterThanOrEqual(floor)
  return (await store.update({ ...now, spec: { ...now.spec, asNumber: (now.spec.asNumber ?? 0) + 1 } })).spec.asNumber ?? 0
}

describe('kill -9', () => {
  test.each(['block', 'peer'] as const)(
    '%s: a writer killed at a random moment leaves whole files, no lock, and nothing it had acknowledged is lost',
    async (what) => {
      await using store = new DirectoryStore(path)
      await store.create(what === 'block' ? block('10.0.0.0/26', 'n1') : peer('shared', { asNumber: 1 }))
      const next = random(what === 'block' ? 7 : 11)
      let floor = 0
      for (let round = 0; round < 3; round++) {
        const victims = [0, 1, 2].map(() => {
          let left = 1 + Math.floor(next() * 12)
          const spins = Math.floor(next() * 200_000)
          return write(what, 1_000_000, (_, child) => {
            left--
            if (left !== 0) return
            for (let spin = 0; spin < spins; spin++) Math.sqrt(spin) // some way into the next write
            child.kill('SIGKILL')
          })
        })
        const ends = await Promise.all(victims.map(({ ended }) => ended))
        floor = Math.max(floor, ...ends.flatMap(({ acknowledged }) => acknowledged))
        for (const folder of [path, join(path, 'state')]) {
          for (const name of readdirSync(folder).filter((each) => /^[^.].*\.yaml$/.test(each))) {
            expect(parseManifests(readFileSync(join(folder, name), 'utf8'), name).manifests.every(({ result }) => result.ok)).toBe(true)
          }
        }
        expect(await store.problems()).toEqual([])
        floor = await incrementAtLeast(store, what, floor)
      }
    },
    LONG_MS,
  )

  test('what a killed writer left half written is swept by the next one', async () => {
    await using first = new DirectoryStore(path)
    await first.create(block('10.0.0.0/26', 'n1'))
    for (const folder of [path, join(path, 'state')]) writeFileSync(join(folder, '.fibula-0123456789abcdef.tmp'), 'half')
    await using second = new DirectoryStore(path)
    expect(await second.list({ kind: 'IPAMBlock' })).toHaveLength(1)
    await second.create(block('10.0.0.64/26', 'n1'))
    for (const folder of [path, join(path, 'state')]) expect(readdirSync(folder).filter((name) => name.endsWith('.tmp'))).toEqual([])
  })
})

test(
  'a watch in one process follows writes of another without a gap',
  async () => {
    await using store = new DirectoryStore(path)
    await store.create(block('10.0.0.0/26', 'n1'))
    using watch = await watching(store, [{ kind: 'IPAMBlock' }])
    await write('block', 100).ended
    await watch.recorder.until((seen) => {
      const last = seen.changes.at(-1)?.object
      return last?.kind === 'IPAMBlock' && last.spec.sequence === 100
    })
    const sequences = watch.recorder.changes.map(({ object }) => (object.kind === 'IPAMBlock' ? object.spec.sequence : -1))
    expect(sequences).toEqual([...new Set(sequences)].sort((a, b) => a - b))
  },
  LONG_MS,
)
