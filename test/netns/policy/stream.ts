// A steady stream of first packets on several flows, and what became of each packet (`stream.py`).
import type { ChildProcess } from 'node:child_process'
import path from 'node:path'
import { createInterface, type Interface } from 'node:readline'
import type { Netns } from '../../support/netns.ts'
import { until } from '../../support/poll.ts'

export type StreamFlow = {
  readonly id: string
  readonly from: string
  readonly to: string
  readonly address: string
  readonly port: number
}
export type StreamReport = {
  /** The longest time in which nothing was sent: a window that short could hide in it. */
  readonly longestPauseMs: number
  readonly flows: Readonly<
    Record<string, { readonly sent: number; readonly received: number; readonly lostRuns: readonly (readonly [number, number])[] }>
  >
}

const PROGRAM = path.resolve(import.meta.dirname, 'stream.py')

export class Stream implements Disposable {
  readonly #child: ChildProcess
  readonly #lines: Interface

  private constructor(child: ChildProcess, lines: Interface) {
    this.#child = child
    this.#lines = lines
  }

  /** `from` and `to` are nodes of the topology. Resolves when it has been sending for a second. */
  static async start(net: Netns, flows: readonly StreamFlow[], everyMs: number): Promise<Stream> {
    const [first] = flows
    if (first === undefined) throw new RangeError('no flows')
    const child = net.spawn(first.from, 'python3', [PROGRAM], { stdio: ['pipe', 'pipe', 'inherit'] })
    if (child.stdout === null) throw new Error('no output')
    const stream = new Stream(child, createInterface(child.stdout))
    const asked = { everyMs, flows: flows.map((flow) => ({ ...flow, from: net.pathOf(flow.from), to: net.pathOf(flow.to) })) }
    child.stdin?.write(`${JSON.stringify(asked)}\n`)
    await stream.#line()
    return stream
  }

  /** Resolves when so many packets more have been sent on every flow. */
  async sendMore(count: number): Promise<void> {
    const sent = async (): Promise<number> => {
      this.#child.stdin?.write('count\n')
      return Number(await this.#line())
    }
    const before = await sent()
    await until(`${count} packets more`, async () => (await sent()) >= before + count, { everyMs: 5 })
  }

  async end(): Promise<StreamReport> {
    this.#child.stdin?.write('\n')
    return JSON.parse(await this.#line()) as StreamReport
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL')
  }

  #line(): Promise<string> {
    return new Promise((resolve, reject) => {
      const ended = (): void => reject(new Error('the stream ended'))
      this.#child.once('exit', ended)
      this.#lines.once('line', (line) => {
        this.#child.off('exit', ended)
        resolve(line)
      })
    })
  }
}
