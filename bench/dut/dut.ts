// A device under test: how a BGP daemon is configured and started in a namespace. One file a daemon beside this one.
import { type ChildProcess, spawn } from 'node:child_process'
import { closeSync, openSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Family } from '../../src/bgp/family.ts'
import { exec } from '../../src/lib/exec.ts'

/** A daemon that was asked to end gets this long. */
const END_MS = 10_000

export type DutPeer = {
  /** The bench tool's address; it dials, the daemon listens. */
  readonly address: string
  /** The daemon's own address on that link. */
  readonly localAddress: string
  readonly asn: number
  readonly families: readonly Family[]
}

export type DutSetup = {
  readonly namespace: string
  /** Empty, for configuration, sockets and logs; removed by the caller. */
  readonly directory: string
  readonly asn: number
  readonly routerId: string
  readonly peers: readonly DutPeer[]
  /** Reflect between all peers, which are then iBGP clients. */
  readonly reflect: boolean
  /** Write the best paths into the kernel. */
  readonly installRoutes: boolean
}

export interface Dut {
  readonly name: string
  /** What it calls its own version; null if it is not on this machine. */
  version(): Promise<string | null>
  /** Resolves once it has been started; whether it answers is found out by dialling it. */
  start(setup: DutSetup): Promise<RunningDut>
}

/** Processes of a daemon; disposing ends them. */
export class RunningDut implements AsyncDisposable {
  readonly #children: readonly ChildProcess[]
  readonly #logs: readonly string[]
  readonly #end: 'SIGKILL' | 'SIGTERM'

  /** `end`: with SIGTERM it may write what it has to write, and is waited for. */
  constructor(children: readonly ChildProcess[], logs: readonly string[], end: 'SIGKILL' | 'SIGTERM' = 'SIGKILL') {
    this.#children = children
    this.#logs = logs
    this.#end = end
  }

  /** Rejects when one of its processes ends before it is told to. */
  get failure(): Promise<never> {
    return Promise.race(this.#children.map(failureOf))
  }

  /** The ends of its logs, for a message about a run that failed. */
  lastWords(): string {
    return this.#logs.map((log) => readFileSync(log, 'utf8').slice(-2000)).join('\n')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#children.map((child) => endChild(child, this.#end)))
  }
}

/** Starts a program in a namespace, its output in DIRECTORY/NAME.log. */
export function startIn(
  setup: Pick<DutSetup, 'namespace' | 'directory'>,
  name: string,
  command: readonly string[],
  env: NodeJS.ProcessEnv = process.env,
): { child: ChildProcess; log: string } {
  const log = join(setup.directory, `${name}.log`)
  const output = openSync(log, 'a')
  const child = spawn('ip', ['netns', 'exec', setup.namespace, ...command], {
    stdio: ['ignore', output, output],
    env,
    cwd: setup.directory,
  })
  child.on('error', () => {}) // no pid: the sessions will not come up, and the run says so
  closeSync(output)
  return { child, log }
}

function failureOf(child: ChildProcess): Promise<never> {
  return new Promise((_resolve, reject) => {
    child.once('exit', (code, signal) => reject(new Error(`the daemon has ended: ${signal ?? `exit status ${code}`}`)))
  })
}

async function endChild(child: ChildProcess, end: 'SIGKILL' | 'SIGTERM'): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return
  await new Promise<void>((resolve) => {
    const patience = setTimeout(() => child.kill('SIGKILL'), END_MS)
    child.once('exit', () => {
      clearTimeout(patience)
      resolve()
    })
    child.kill(end) // the namespaces go with the run: nothing has to be left in order
  })
}

/** First line a program prints with these arguments; null if it cannot be run. */
export async function firstLine(command: string, args: readonly string[]): Promise<string | null> {
  try {
    const { stdout, stderr } = await exec(command, args, { timeoutMs: 10_000 })
    return (stdout || stderr).split('\n')[0]?.trim() ?? null
  } catch {
    return null
  }
}
