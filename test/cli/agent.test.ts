// `fibula agent` as far as it comes before it touches a network: what is refused, and in which words.
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals'
import { lockStateDir } from '../../src/agent/state-lock.ts'
import { silentLog } from '../../src/lib/log.ts'
import { CliProgram, type Outcome } from '../support/cli-program.ts'
import { fakeAgent } from './fixtures.ts'

/** In the agent a second lasts a hundredth of one: it waits ten for a predecessor. */
const QUICK = 'const set = globalThis.setTimeout; globalThis.setTimeout = (fire, ms, ...rest) => set(fire, ms / 100, ...rest)'

let program: CliProgram
let folder: string
beforeAll(async () => {
  program = await CliProgram.build()
})
afterAll(() => program[Symbol.dispose]())
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fib-second-'))
  writeFileSync(join(folder, 'no-store'), '')
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

/** One that is not refused ends too: its store is no folder. */
function agent(runDir: string, ...more: readonly string[]): Promise<Outcome> {
  const args = ['agent', '--node', 'n1', '--store', `dir:${join(folder, 'no-store')}`, '--metrics-port', '0', '--run-dir', runDir, ...more]
  const env = { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(QUICK)}` }
  return program.run(args, { env })
}

test('a second agent with the same state directory is refused: who has it, and what to do', async () => {
  const stateDir = join(folder, 'state')
  using _lock = await lockStateDir(stateDir, { log: silentLog })
  const { status, stderr } = await agent(join(folder, 'run'), '--state-dir', stateDir)
  expect({ status, stderr }).toEqual({
    status: 1,
    stderr: expect.stringMatching(/^[^\n]*agent\.stateDir\.awaited[^\n]*\n[^\n]*\n$/),
  })
  expect(stderr).toContain(
    `\nfibula: another agent, process ${process.pid}, uses the state directory "${stateDir}": stop it, or give this one a --state-dir of its own\n`,
  )
})

test('where none is named it is in the run directory', async () => {
  const runDir = join(folder, 'run')
  using _lock = await lockStateDir(join(runDir, 'state'), { log: silentLog })
  const { status, stderr } = await agent(runDir)
  expect({ status, stderr }).toEqual({ status: 1, stderr: expect.stringContaining(`uses the state directory "${join(runDir, 'state')}"`) })
})

test('a second agent with the same run directory is refused before it touches anything of the first', async () => {
  await using first = await fakeAgent({})
  const { status, stderr } = await agent(first.runDir, '--state-dir', join(folder, 'state'))
  expect({ status, stderr }).toEqual({
    status: 1,
    stderr: `fibula: another agent already runs with run directory ${first.runDir}: stop it, or choose another --run-dir\n`,
  })
  expect(existsSync(join(folder, 'state'))).toBe(false)
})
