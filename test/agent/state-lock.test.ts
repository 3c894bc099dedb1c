// One agent a state directory.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { LOCK_FILE, lockStateDir } from '../../src/agent/state-lock.ts'
import { FakeClock } from '../../src/lib/clock.ts'
import { silentLog } from '../../src/lib/log.ts'

let folder = ''
let clock: FakeClock
beforeEach(() => {
  folder = join(mkdtempSync(join(tmpdir(), 'fib-lock-')), 'state')
  clock = new FakeClock()
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const pause = (delayMs: number): Promise<void> => new Promise((resolve) => void clock.after(delayMs, resolve))
const lock = (): Promise<Disposable> => lockStateDir(folder, { pause, log: silentLog })
async function pass(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 100) {
    clock.advance(100)
    for (let turn = 0; turn < 5; turn++) await Promise.resolve()
  }
}

test('a second agent is refused, in words that name the first; when that has ended it has the directory', async () => {
  const first = await lock()
  expect(readFileSync(join(folder, LOCK_FILE), 'latin1')).toBe(`${process.pid}\n`)
  const second = lock()
  const refused = expect(second).rejects.toThrow(
    `another agent, process ${process.pid}, uses the state directory "${folder}": stop it, or give this one a --state-dir of its own`,
  )
  await pass(11_000)
  await refused
  first[Symbol.dispose]()
  ;(await lock())[Symbol.dispose]()
})

test('a predecessor that is just ending is waited for', async () => {
  const first = await lock()
  const second = lock()
  await pass(3_000)
  first[Symbol.dispose]()
  await pass(200)
  ;(await second)[Symbol.dispose]()
})

test('where nothing can be kept nothing is locked', async () => {
  writeFileSync(folder, '') // a file in the place of the folder
  using _ = await lock()
  expect(readFileSync(folder, 'latin1')).toBe('')
})
