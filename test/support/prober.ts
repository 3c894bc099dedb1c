// Counts lost packets exactly: two nodes send each other numbered datagrams at 100 a second, both ways at once, and afterwards the
// numbers sent are compared with the numbers received.
import type { ChildProcess } from 'node:child_process'
import path from 'node:path'
import type { Netns } from './netns.ts'
import { type Comparison, compare } from './numbered.ts'
import { until } from './poll.ts'
import type { ProbeCommand, ProbeEvent } from './prober-main.ts'

export type ProbeEnd = { readonly node: string; readonly address: string }

/** One direction. */
export type ProbeResult = Comparison & {
  readonly from: string
  readonly to: string
  /** The longest time in which nothing was sent: a gap that short could hide in it. */
  readonly longestPauseMs: number
  readonly sendErrors: Readonly<Record<string, number>>
}

const ROOT = path.resolve(import.meta.dirname, '../..')
const PORT = 5_005
const EVERY_MS = 10

/** Probes between two addresses. `begin` starts the count, `finish` ends it; disposing ends both processes. */
export class Prober implements AsyncDisposable {
  readonly #ends: readonly [Probe, Probe]

  private constructor(ends: readonly [Probe, Probe]) {
    this.#ends = ends
  }

  /** Starts sending both ways and resolves once both directions deliver and the count has begun; what was lost until then does not count. */
  static async start(net: Netns, a: ProbeEnd, b: ProbeEnd, deadlineMs = 120_000): Promise<Prober> {
    const prober = new Prober([new Probe(net, a), new Probe(net, b)])
    try {
      const [left, right] = prober.#ends
      left.command({ op: 'start', local: a.address, remote: b.address, port: PORT, everyMs: EVERY_MS })
      right.command({ op: 'start', local: b.address, remote: a.address, port: PORT, everyMs: EVERY_MS })
      const explain = (): string => `${a.address} receives: ${left.receiving}, ${b.address} receives: ${right.receiving}`
      await until('probes arrive both ways', () => left.receiving && right.receiving, { deadlineMs, explain })
      for (const end of prober.#ends) end.command({ op: 'begin' })
      for (const end of prober.#ends) await end.sent() // answered behind it: both have begun to count
      return prober
    } catch (cause) {
      await prober[Symbol.asyncDispose]()
      throw cause
    }
  }

  /** Resolves when each end has sent so many more: by the clock alone a sender that was kept waiting would have sent none. */
  async sendMore(count: number): Promise<void> {
    const from = await Promise.all(this.#ends.map((end) => end.sent()))
    await until(`${count} more probes each way`, async () =>
      (await Promise.all(this.#ends.map((end) => end.sent()))).every((sent, at) => sent >= (from[at] ?? 0) + count),
    )
  }

  /** Ends sending, waits for what is still under way, and counts: from `a` to `b` first. */
  async finish(): Promise<readonly [ProbeResult, ProbeResult]> {
    const [left, right] = this.#ends
    for (const end of this.#ends) end.command({ op: 'end' })
    await until('both ends have sent their last', () => this.#ends.every(({ ended }) => ended)) // or a slow one would send on behind the count
    for (const end of this.#ends) end.command({ op: 'report' })
    const [fromLeft, fromRight] = await Promise.all([left.report(), right.report()])
    return [count(left.address, right.address, fromLeft, fromRight), count(right.address, left.address, fromRight, fromLeft)]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#ends.map((end) => end.end()))
  }
}

type Report = Extract<ProbeEvent, { event: 'report' }>

/** Compares the numbers one end sent with those the other received. */
export function count(from: string, to: string, sender: Report, receiver: Pick<Report, 'received'>): ProbeResult {
  const { longestPauseMs, sendErrors } = sender
  return { from, to, ...compare(sender, receiver.received), longestPauseMs, sendErrors }
}

class Probe {
  readonly address: string
  readonly #child: ChildProcess
  #report: Report | undefined
  #next: number | undefined
  receiving = false
  ended = false

  constructor(net: Netns, { node, address }: ProbeEnd) {
    this.address = address
    const args = ['--disable-warning=ExperimentalWarning', path.join(ROOT, 'test/support/prober-main.ts')]
    this.#child = net.spawn(node, path.join(ROOT, 'scripts/node'), args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.#child.on('message', (message) => this.#handle(message as ProbeEvent))
  }

  command(command: ProbeCommand): void {
    this.#child.send(command)
  }

  /** How many it has sent since its start. */
  sent(): Promise<number> {
    this.#next = undefined
    this.command({ op: 'progress' })
    return until(`how much ${this.address} has sent`, () => this.#next !== undefined && { next: this.#next }, { everyMs: 5 }).then(
      ({ next }) => next,
    )
  }

  report(): Promise<Report> {
    return until(`the count of ${this.address}`, () => this.#report)
  }

  async end(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) resolve()
    this.#child.once('exit', () => resolve())
    this.#child.kill('SIGKILL')
    await promise
  }

  #handle(event: ProbeEvent): void {
    if (event.event === 'receiving') this.receiving = true
    else if (event.event === 'progress') this.#next = event.next
    else if (event.event === 'ended') this.ended = true
    else if (event.event === 'report') this.#report = event
  }
}
