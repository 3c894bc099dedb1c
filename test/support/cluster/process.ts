// Long-running programs of the test cluster, each with a log. They end with the process that started them, however that ends.
import { type ChildProcess, spawn } from 'node:child_process'
import fs from 'node:fs'
import { HopelessError } from '../poll.ts'

/** Where a program runs, as the front of a command line: `nsenter` with its options. */
export type Place = readonly string[]

export type ProgramOptions = { readonly env?: NodeJS.ProcessEnv; readonly input?: string }

export class Program {
  readonly name: string
  readonly #child: ChildProcess
  readonly #logFile: string
  readonly #ended: Promise<void>

  private constructor(name: string, child: ChildProcess, logFile: string) {
    this.name = name
    this.#child = child
    this.#logFile = logFile
    this.#ended = new Promise((resolve) => {
      child.once('exit', () => resolve())
      child.once('error', () => resolve())
    })
  }

  /** Starts it; `place` is entered first. Output is added to `logFile`. */
  static start(name: string, place: Place, command: readonly string[], logFile: string, options: ProgramOptions = {}): Program {
    const output = fs.openSync(logFile, 'a')
    try {
      // Twice: nsenter with a process namespace waits for a child of its own.
      const [first = '', ...rest] = ['setpriv', '--pdeathsig', 'KILL', ...place, 'setpriv', '--pdeathsig', 'KILL', ...command]
      const child = spawn(first, rest, { stdio: ['ignore', output, output], ...(options.env === undefined ? {} : { env: options.env }) })
      return new Program(name, child, logFile)
    } finally {
      fs.closeSync(output)
    }
  }

  get pid(): number {
    if (this.#child.pid === undefined) throw new Error(`${this.name} did not start`)
    return this.#child.pid
  }

  get running(): boolean {
    return this.#child.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Throws `HopelessError` with the end of the log if it has ended: for polls that wait until it is ready. */
  assertRunning(): void {
    if (this.running) return
    throw new HopelessError(`${this.name} ended (${this.#child.exitCode ?? this.#child.signalCode}):\n${this.log()}`)
  }

  /** SIGKILL, and waits. */
  async kill(): Promise<void> {
    if (this.running) this.#child.kill('SIGKILL')
    await this.#ended
  }

  /** Resolves when it has ended by itself. */
  ended(): Promise<void> {
    return this.#ended
  }

  /** The end of its output. */
  log(characters = 3_000): string {
    return fs.readFileSync(this.#logFile, 'utf8').slice(-characters)
  }
}
