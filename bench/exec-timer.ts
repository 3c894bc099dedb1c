// Runs `exec-timer.c`, compiled for the occasion: times of short programs without Node's own in them.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { exec } from '../src/lib/exec.ts'

const SOURCE = fileURLToPath(new URL('exec-timer.c', import.meta.url))

/** One execution: what is added to the environment. No value holds a tab or a line feed. */
export type Execution = Readonly<Record<string, string>>
export type Timed = { readonly seconds: number; readonly status: number; readonly stdout: string }
export type TimedBatch = { readonly executions: readonly Timed[]; readonly cpuSeconds: number }

/** Compiles it into a folder, where the output of what it runs goes too. */
export async function makeExecTimer(folder: string): Promise<ExecTimer> {
  const program = join(folder, 'exec-timer')
  await exec('cc', ['-O2', '-o', program, SOURCE])
  return new ExecTimer(program, folder)
}

export class ExecTimer {
  readonly #program: string
  readonly #folder: string

  constructor(program: string, folder: string) {
    this.#program = program
    this.#folder = folder
  }

  /** Runs `program` in a namespace once for each execution, `batch` at a time, with the file `stdin` as standard input. */
  async run(
    namespace: string,
    program: string,
    stdin: string,
    executions: readonly Execution[],
    { batch, timeoutMs }: { readonly batch: number; readonly timeoutMs: number },
  ): Promise<TimedBatch> {
    const input = executions
      .map(
        (one) =>
          `${Object.entries(one)
            .map(([name, value]) => `${name}=${value}`)
            .join('\t')}\n`,
      )
      .join('')
    const command = ['netns', 'exec', namespace, this.#program, String(batch), program, stdin, this.#folder]
    const { stdout } = await exec('ip', command, { input, timeoutMs })
    const timed = parseTimes(stdout)
    if (timed.times.length !== executions.length) throw new Error(`${timed.times.length} of ${executions.length} executions came back`)
    return {
      executions: timed.times.map((time, index) => ({ ...time, stdout: readFileSync(join(this.#folder, String(index)), 'utf8') })),
      cpuSeconds: timed.cpuSeconds,
    }
  }
}

/** What exec-timer prints. */
export function parseTimes(text: string): {
  readonly times: readonly { readonly seconds: number; readonly status: number }[]
  readonly cpuSeconds: number
} {
  const lines = text.trimEnd().split('\n')
  const times = lines.slice(0, -1).map((line) => {
    const [nanoseconds, status] = line.split(' ')
    return { seconds: Number(nanoseconds) / 1e9, status: Number(status) }
  })
  return { times, cpuSeconds: Number(lines.at(-1)) / 1e6 }
}
