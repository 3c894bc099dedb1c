// Traffic between every pair of some places, as users of a network notice its loss: 100 numbered datagrams a second each way, and one TCP
// stream a pair.
import { type ChildProcess, spawn } from 'node:child_process'
import path from 'node:path'
import { compare, type Gap } from '../numbered.ts'
import { until } from '../poll.ts'
import type { FlowCommand, FlowEvent, StreamReport } from './flow-main.ts'
import { PATIENCE_MS } from './patience.ts'
import type { Place } from './process.ts'

export type FlowEnd = { readonly name: string; readonly place: Place; readonly address: string }

/** What one direction of a pair lost: runs of consecutive datagrams, and when (wall-clock milliseconds) the first of each was sent. */
export type Loss = {
  readonly from: string
  readonly to: string
  readonly lost: number
  readonly gaps: readonly Gap[]
}

export type FlowsResult = {
  readonly directions: number
  readonly sent: number
  readonly lost: number
  readonly losses: readonly Loss[]
  readonly streams: number
  /** Connections that were reset or closed. */
  readonly breaks: number
  readonly longestStallMs: number
  /** The longest time in which one of the places sent nothing: a loss that short could hide in it. */
  readonly longestPauseMs: number
}

const ROOT = path.resolve(import.meta.dirname, '../../..')
const EVERY_MS = 10
/** What is missing counts as lost when so many looks in a row have found no more of it. */
const SETTLED_AFTER = 10
const LOOK_EVERY_MS = 500

type Report = Extract<FlowEvent, { event: 'report' }>

export class Flows implements AsyncDisposable {
  readonly #ends: readonly End[]

  private constructor(ends: readonly End[]) {
    this.#ends = ends
  }

  /** Resolves once every pair hears each other; what was lost until then does not count. */
  static async start(places: readonly FlowEnd[], deadlineMs = PATIENCE_MS): Promise<Flows> {
    const flows = new Flows(places.map((each, id) => new End(id, each)))
    try {
      for (const end of flows.#ends) {
        const alike = flows.#ends.filter((each) => each !== end && each.isIpv6 === end.isIpv6)
        const peers = alike.map(({ id, address }) => ({ id, address }))
        end.command({
          op: 'start',
          id: end.id,
          local: end.address,
          peers,
          streams: peers.filter(({ id }) => id > end.id),
          everyMs: EVERY_MS,
        })
        end.expects(peers.map(({ id }) => id))
      }
      const deaf = (): string =>
        flows.#ends
          .filter((each) => !each.hearsAll)
          .map((each) => each.explain())
          .join('; ')
      await until('everybody hears everybody', () => deaf() === '', { deadlineMs, explain: deaf })
      for (const end of flows.#ends) end.command({ op: 'begin' })
      return flows
    } catch (cause) {
      await flows[Symbol.asyncDispose]()
      throw cause
    }
  }

  /** Ends sending, waits for what is still under way (or waits to be read), and counts. */
  async finish(): Promise<FlowsResult> {
    for (const end of this.#ends) end.command({ op: 'end' })
    let result = await this.#count()
    for (let unchanged = 0; result.lost > 0 && unchanged < SETTLED_AFTER; ) {
      await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS))
      const next = await this.#count()
      unchanged = next.lost === result.lost ? unchanged + 1 : 0
      result = next
    }
    return result
  }

  async #count(): Promise<FlowsResult> {
    const reports = await Promise.all(this.#ends.map((end) => end.report()))
    const losses: Loss[] = []
    let [directions, sent] = [0, 0]
    for (const [from, sender] of this.#ends.entries())
      for (const [to, receiver] of this.#ends.entries()) {
        const [sending, receiving] = [reports[from], reports[to]]
        if (from === to || sender.isIpv6 !== receiver.isIpv6 || sending === undefined || receiving === undefined) continue
        directions++
        sent += sending.next - sending.first
        const { lost: missing, gaps } = compare(sending, of(receiving.received, from) ?? [])
        const lost = missing - (of(receiving.overflowed, from) ?? 0)
        if (lost > 0) losses.push({ from: sender.name, to: receiver.name, lost, gaps })
      }
    const streams: readonly StreamReport[] = reports.flatMap((each) => each.streams)
    return {
      directions,
      sent,
      lost: losses.reduce((sum, each) => sum + each.lost, 0),
      losses,
      streams: streams.length,
      breaks: streams.reduce((sum, each) => sum + each.breaks, 0),
      longestStallMs: Math.max(0, ...streams.map((each) => each.longestStallMs)),
      longestPauseMs: Math.max(...reports.map((each) => each.longestPauseMs)),
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#ends.map((end) => end.kill()))
  }
}

function of<T>(byPeer: readonly (readonly [number, T])[], peer: number): T | undefined {
  return byPeer.find(([id]) => id === peer)?.[1]
}

class End {
  readonly id: number
  readonly name: string
  readonly address: string
  readonly #child: ChildProcess
  #expected: readonly number[] = []
  #heard: Extract<FlowEvent, { event: 'heard' }> | undefined
  #report: Report | undefined

  constructor(id: number, { name, place, address }: FlowEnd) {
    this.id = id
    this.name = name
    this.address = address
    const [first = '', ...rest] = [
      ...place,
      path.join(ROOT, 'scripts/node'),
      '--disable-warning=ExperimentalWarning',
      path.join(import.meta.dirname, 'flow-main.ts'),
    ]
    this.#child = spawn(first, rest, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    this.#child.on('message', (message) => this.#handle(message as FlowEvent))
  }

  get isIpv6(): boolean {
    return this.address.includes(':')
  }

  expects(peers: readonly number[]): void {
    this.#expected = peers
  }

  get hearsAll(): boolean {
    return this.#heard !== undefined && this.#missing().length === 0
  }

  explain(): string {
    return `${this.name} (${this.address}) does not hear ${this.#missing().join(', ')}`
  }

  command(command: FlowCommand): void {
    this.#child.send(command)
  }

  async report(): Promise<Report> {
    this.#report = undefined
    this.command({ op: 'report' })
    return until(`the count of ${this.name}`, () => this.#report, { deadlineMs: PATIENCE_MS })
  }

  async kill(): Promise<void> {
    const ended = new Promise<void>((resolve) => this.#child.once('exit', () => resolve()))
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    this.#child.kill('SIGKILL')
    await ended
  }

  #missing(): readonly string[] {
    const heard = this.#heard
    return this.#expected.flatMap((id) => [
      ...(heard?.datagrams.includes(id) ? [] : [`datagrams of ${id}`]),
      ...(id < this.id || heard?.streams.includes(id) ? [] : [`the stream to ${id}`]),
    ])
  }

  #handle(event: FlowEvent): void {
    switch (event.event) {
      case 'heard':
        this.#heard = event
        return
      case 'report':
        this.#report = event
        return
      default:
        throw new Error(`unknown event: ${JSON.stringify(event satisfies never)}`)
    }
  }
}
