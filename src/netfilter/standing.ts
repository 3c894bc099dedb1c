// A restore program that stays: it takes one input after another and says when it has done each. So a change pays neither for a new
// process (a fork of one with much memory takes milliseconds, the program's own start as many) nor for its end (a netfilter socket
// that is closed waits until what was deleted is really gone, some tens of milliseconds, and so does everybody who writes rules meanwhile).
import { type ChildProcessByStdio, spawn } from 'node:child_process'
import type { Readable, Writable } from 'node:stream'
import type { Clock } from '../lib/clock.ts'
import { ExecError } from '../lib/exec.ts'

/** A running program; what it says goes to the `Listener` it was started with. */
export type Standing = {
  write(text: string): void
  /** Idle programs keep no process alive that has nothing else to do. */
  hold(isBusy: boolean): void
  kill(): void
}
export type Listener = {
  output(text: string): void
  errors(text: string): void
  /** Once, and nothing after it. `exitCode` null: it could not start, or was killed. */
  ended(exitCode: number | null): void
}
export type Start = (command: string, args: readonly string[], listener: Listener) => Standing

export type StandingOptions = {
  readonly command: string
  readonly args: readonly string[]
  readonly start: Start
  readonly clock: Clock
  readonly timeoutMs: number
}

type Talk = { readonly mark: string; readonly done: (answer: Answer) => void }
type Answer = { readonly kind: 'done' } | { readonly kind: 'late' } | { readonly kind: 'ended'; readonly exitCode: number | null }
type Live = { process: Standing; isReady: boolean; hasEnded: boolean; lines: number; output: string; errors: string; talk: Talk | null }

/** A program that does not answer a comment within this time never will. */
const READY_MS = 5_000
/** Programs that did not answer, or ended before they did, in a row: others are not started. */
const SILENT_STARTS = 2
const MAX_ERRORS = 10_000

/** Lines that begin with `#` are printed again at once (`--verbose`), when all before them has been done. */
export class StandingRestore {
  readonly #options: StandingOptions
  #live: Live | null = null
  #silentStarts = 0
  #count = 0
  #last: Promise<unknown> = Promise.resolve()

  constructor(options: StandingOptions) {
    this.#options = options
  }

  /** False: it does not answer on this host, and nothing was done. Rejects with `ExecError` as `exec` does, lines counted within `input`. */
  run(input: string): Promise<boolean> {
    const turn = this.#last.then(() => this.#run(input))
    this.#last = turn.catch(() => {})
    return turn
  }

  /** Starts it if it is not there: the next input finds it waiting. */
  async warm(): Promise<void> {
    const turn = this.#last.then(() => this.#ready())
    this.#last = turn
    await turn
  }

  close(): void {
    this.#live?.process.kill()
    this.#live = null
  }

  async #run(input: string): Promise<boolean> {
    const live = await this.#ready()
    if (live === null) return false
    const before = live.lines
    const answer = await this.#say(live, input, this.#options.timeoutMs)
    if (answer.kind === 'done') return true
    const { command, args, timeoutMs } = this.#options
    const shown = [command, ...args].join(' ')
    if (answer.kind === 'late') throw new ExecError('TIMEOUT', `${shown}: no answer after ${timeoutMs} ms`, null, live.errors)
    const errors = live.errors.replace(/\b(line:? )(\d+)/i, (_, words: string, line: string) => words + (Number(line) - before))
    throw new ExecError('FAILED', `${shown}: exit ${answer.exitCode}: ${errors.trim().slice(0, 2000)}`, answer.exitCode, errors)
  }

  /** Null: it does not answer. */
  async #ready(): Promise<Live | null> {
    if (this.#live?.isReady === true) return this.#live
    if (this.#silentStarts >= SILENT_STARTS) return null
    const live = this.#begin()
    live.isReady = (await this.#say(live, '', READY_MS)).kind === 'done'
    this.#silentStarts = live.isReady ? 0 : this.#silentStarts + 1
    return live.isReady ? live : null
  }

  #begin(): Live {
    const { command, args, start } = this.#options
    const talked = (answer: Answer): void => {
      const talk = live.talk
      live.talk = null
      talk?.done(answer)
    }
    const listener: Listener = {
      output(text) {
        live.output = (live.output + text).slice(-2 * MARK_LENGTH)
        if (live.talk !== null && live.output.includes(live.talk.mark)) talked({ kind: 'done' })
      },
      errors(text) {
        live.errors = (live.errors + text).slice(0, MAX_ERRORS)
      },
      ended: (exitCode) => {
        live.hasEnded = true
        if (this.#live === live) this.#live = null
        talked({ kind: 'ended', exitCode })
      },
    }
    const live: Live = { process: NOBODY, isReady: false, hasEnded: false, lines: 0, output: '', errors: '', talk: null }
    this.#live = live
    live.process = start(command, args, listener)
    return live
  }

  /** Gives it lines to do; a program that is late is ended. */
  async #say(live: Live, input: string, withinMs: number): Promise<Answer> {
    if (live.hasEnded) return { kind: 'ended', exitCode: null }
    const mark = `# fibula ${String(++this.#count).padStart(MARK_DIGITS, '0')}\n`
    const { promise, resolve } = Promise.withResolvers<Answer>()
    live.talk = { mark, done: resolve }
    using _deadline = this.#options.clock.after(withinMs, () => {
      live.talk = null
      live.process.kill()
      if (this.#live === live) this.#live = null
      resolve({ kind: 'late' })
    })
    live.process.hold(true)
    live.process.write(input + mark)
    live.lines += countLines(input) + 1
    const answer = await promise
    if (answer.kind === 'done') live.process.hold(false)
    return answer
  }
}

const MARK_DIGITS = 10
const MARK_LENGTH = '# fibula \n'.length + MARK_DIGITS
const NOBODY: Standing = { write() {}, hold() {}, kill() {} }

function countLines(text: string): number {
  let count = 0
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) count++
  return count
}

/** Starts a program of this host, in the network namespace of the calling thread. It ends when this process does: it has no input then. */
export const startProgram: Start = (command, args, listener) =>
  listenTo(spawn(command, args, { stdio: ['pipe', 'pipe', 'pipe'] }), listener)

/** A program that was started already. */
export function listenTo(child: ChildProcessByStdio<Writable, Readable, Readable>, listener: Listener): Standing {
  const { stdin, stdout, stderr } = child
  stdout.setEncoding('utf8').on('data', listener.output)
  stderr.setEncoding('utf8').on('data', listener.errors)
  stdin.on('error', () => {}) // it has ended: `ended` tells
  let hasEnded = false
  const ended = (exitCode: number | null): void => {
    if (!hasEnded) listener.ended(exitCode)
    hasEnded = true
  }
  child.on('error', () => ended(null)).on('close', ended)
  const handles = [child, stdin, stdout, stderr] as readonly { ref?(): void; unref?(): void }[]
  return {
    write: (text) => void stdin.write(text),
    hold(isBusy) {
      for (const handle of handles) {
        if (isBusy) handle.ref?.()
        else handle.unref?.()
      }
    },
    kill: () => void child.kill('SIGKILL'),
  }
}
