// A long-running program inside a namespace of a test: started in its own process group, its output kept in a file for errors.
import type { ChildProcess } from 'node:child_process'
import fs from 'node:fs'
import type { Netns } from './netns.ts'
import { HopelessError } from './poll.ts'

/** A busy machine is slow: what is killed before it has ended by itself has said no goodbye. */
const END_WITHIN_MS = 30_000

/** A process in a namespace, its output in a file. */
export class NetnsProcess {
  readonly #child: ChildProcess
  readonly #logFile: string
  readonly #ended: Promise<void>

  constructor(
    net: Netns,
    node: string,
    command: string,
    args: readonly string[],
    logFile: string,
    options: { readonly env?: NodeJS.ProcessEnv; readonly cwd?: string } = {},
  ) {
    this.#logFile = logFile
    const output = fs.openSync(logFile, 'a')
    try {
      this.#child = net.spawn(node, command, args, { stdio: ['ignore', output, output], ...options })
    } finally {
      fs.closeSync(output)
    }
    this.#ended = new Promise((resolve) => {
      this.#child.once('exit', () => resolve())
      this.#child.once('error', () => resolve())
    })
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error('the process did not start')
    return this.#child.pid
  }

  get running(): boolean {
    return this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Throws `HopelessError`, with the end of the log, if the process has ended: for polls that wait until it is ready. */
  assertRunning(): void {
    if (!this.running) throw new HopelessError(`ended too early (${this.#child.exitCode ?? this.#child.signalCode}):\n${this.log()}`)
  }

  /** Signals the process itself, waits for its end, then ends what is left of its group. */
  async end(signal: NodeJS.Signals): Promise<void> {
    if (this.running) this.#child.kill(signal)
    if (signal !== 'SIGKILL') {
      const forced = setTimeout(() => this.#child.kill('SIGKILL'), END_WITHIN_MS)
      await this.#ended
      clearTimeout(forced)
    }
    await this.#ended
    if (this.#child.pid === undefined) return
    try {
      process.kill(-this.#child.pid, 'SIGKILL')
    } catch {
      // nobody else was in the group
    }
  }

  /** The end of its output; with `Infinity` all of it. */
  log(characters = 3_000): string {
    try {
      return fs.readFileSync(this.#logFile, 'utf8').slice(-characters)
    } catch {
      return ''
    }
  }
}
