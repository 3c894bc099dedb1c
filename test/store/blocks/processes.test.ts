// Several nodes as processes on one folder, killed at any moment: no address has two owners, what pods have stays theirs, and what
// the killed ones lost is free again in the end.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { build } from 'esbuild'
import { cidr, formatIp } from '../../../src/net/index.ts'
import { createBlockStore, DirectoryStore } from '../../../src/store/index.ts'

const CACHE = join(import.meta.dirname, '..', '..', '..', 'node_modules', '.cache') // inside the tree, where packages are found
const LONG_MS = 180_000
const NODES = ['n1', 'n2', 'n3']

let bundle: string
let folder: string
beforeAll(async () => {
  mkdirSync(CACHE, { recursive: true })
  bundle = join(mkdtempSync(join(CACHE, 'fib-ipam-')), 'child.mjs')
  folder = mkdtempSync(join(tmpdir(), 'fib-ipam-'))
  const entryPoints = [join(import.meta.dirname, 'child.ts')]
  await build({ entryPoints, outfile: bundle, bundle: true, platform: 'node', format: 'esm', packages: 'external', logLevel: 'error' })
})
afterAll(() => {
  rmSync(join(bundle, '..'), { recursive: true, force: true })
  rmSync(folder, { recursive: true, force: true })
})

type Run = { readonly process: ChildProcess; readonly ended: Promise<{ readonly code: number | null; readonly stderr: string }> }
type Kept = { readonly handle: string; readonly isReleased: boolean; readonly assignments: readonly { readonly address: string }[] }

const journalOf = (node: string): string => join(folder, `${node}.json`)

function run(node: string, pods: string, onLine: (child: ChildProcess) => void = () => {}): Run {
  const child = spawn(process.execPath, [bundle, join(folder, 'store'), node, journalOf(node), pods], { stdio: ['ignore', 'pipe', 'pipe'] })
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  createInterface({ input: child.stdout }).on('line', () => onLine(child))
  return { process: child, ended: once(child, 'close').then(([code]) => ({ code, stderr })) }
}

function live(): readonly string[] {
  return NODES.filter((node) => existsSync(journalOf(node)))
    .flatMap((node) => JSON.parse(readFileSync(journalOf(node), 'utf8')) as readonly Kept[])
    .filter(({ isReleased }) => !isReleased)
    .flatMap(({ handle, assignments }) => assignments.map(({ address }) => `${address} ${handle}`))
}

test(
  'three nodes on 64 addresses, killed three times each',
  async () => {
    mkdirSync(join(folder, 'store'))
    for (let round = 0; round < 3; round++) {
      const runs = NODES.map((node, at) => {
        let left = 15 + 10 * at + 5 * round
        return run(node, 'random', (child) => {
          if (--left === 0) child.kill('SIGKILL')
        })
      })
      const ends = await Promise.all(runs.map(({ ended }) => ended))
      expect(ends.map(({ stderr }) => stderr)).toEqual(NODES.map(() => ''))
      const addresses = live().map((each) => each.split(' ')[0])
      expect(addresses.length).toBeGreaterThan(0)
      expect(new Set(addresses).size).toBe(addresses.length)
    }
    const ends = await Promise.all(NODES.map((node) => run(node, 'settle').ended))
    expect(ends).toEqual(NODES.map(() => ({ code: 0, stderr: '' })))
    await using store = new DirectoryStore(join(folder, 'store'))
    const blocks = await createBlockStore(store).listIn(cidr('10.0.0.0/26'))
    const shown = blocks.flatMap(({ block }) => block.allocations.map(({ address, handle }) => `${formatIp(address)} ${handle}`))
    expect(shown.sort()).toEqual([...live()].sort())
  },
  LONG_MS,
)
