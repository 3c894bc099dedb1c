// Keeps the processes of a lab running: starts each in its namespace, starts it again when it ends, and writes down what runs.
// A DaemonSet in small: the first restart is quick, one that keeps dying is retried ever more slowly.
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, existsSync, mkdirSync, openSync } from 'node:fs'
import { dirname } from 'node:path'
import { type BackoffLimits, backoffMs } from '../lib/backoff.ts'
import { sleep } from '../lib/clock.ts'
import { inNetns, settleThreadPool } from '../sys/netns.ts'
import { LabError } from './error.ts'
import { identityOf } from './identity.ts'
import { netnsPath } from './netns.ts'
import type { LabPaths } from './paths.ts'
import type { ProcessSpec } from './routers/index.ts'
import { type RunningProcess, readState, writeProcesses } from './state.ts'
import { waitFor } from './wait.ts'

const RESTART: BackoffLimits = { baseMs: 300, capMs: 10_000 }
/** A process that ran this long is healthy: its next restart is quick again. */
const HEALTHY_AFTER_MS = 10_000

/** Supervises the processes of the lab in this folder until this process is killed. */
export async function superviseLab(paths: LabPaths): Promise<never> {
  const state = readState(paths)
  const supervisor = identityOf(process.pid)
  if (state === null || supervisor === null) throw new LabError('FAILED', `no lab in ${paths.dir}: start one with \`fibula lab up\``)
  await settleThreadPool()
  const table = new Map<string, RunningProcess>()
  const record = (each: RunningProcess): void => {
    table.set(each.name, each)
    writeProcesses(paths, { supervisor, processes: [...table.values()] })
  }
  for (const { name, speaker } of state.processes)
    table.set(name, { name, speaker, process: null, since: new Date().toISOString(), restarts: 0, lastExit: null })
  await Promise.all(state.processes.map((spec) => keepRunning(spec, record)))
  throw new LabError('FAILED', `the lab in ${paths.dir} has nothing to run`)
}

async function keepRunning(spec: ProcessSpec, record: (each: RunningProcess) => void): Promise<never> {
  const { name, speaker } = spec
  let quickDeaths = 0
  let lastExit: string | null = null
  for (let restarts = 0; ; restarts++) {
    await waitFor(() => (spec.waitFor === null || existsSync(spec.waitFor) ? true : null), { deadlineMs: 10_000, everyMs: 50 })
    const startedMs = performance.now()
    const child = start(spec)
    const pid = child.pid
    record({ name, speaker, process: pid === undefined ? null : identityOf(pid), since: new Date().toISOString(), restarts, lastExit })
    lastExit = await ended(child)
    record({ name, speaker, process: null, since: new Date().toISOString(), restarts, lastExit })
    quickDeaths = performance.now() - startedMs > HEALTHY_AFTER_MS ? 0 : quickDeaths + 1
    await sleep(backoffMs(Math.max(0, quickDeaths - 1), RESTART, Math.random()))
  }
}

/** Starts it in its namespace as leader of a session of its own, so that it outlives us and our terminal. */
function start({ netns, argv, env, log }: ProcessSpec): ChildProcess {
  mkdirSync(dirname(log), { recursive: true })
  const output = openSync(log, 'a')
  try {
    const [program, ...args] = argv
    return inNetns(netnsPath(netns), () => {
      return spawn(program, args, { detached: true, stdio: ['ignore', output, output], cwd: '/', env: { ...process.env, ...env } })
    })
  } finally {
    closeSync(output)
  }
}

function ended(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('exit', (status, signal) => resolve(signal === null ? `exit status ${status}` : signal))
  })
}
