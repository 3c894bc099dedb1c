// The shell over plans and tools: collects what clients ask, runs one transaction at a time, finds whose rules are refused and lets
// the others' through, tries again, and reads everything back now and then.
import { type BackoffLimits, backoffMs } from '../lib/backoff.ts'
import type { Clock } from '../lib/clock.ts'
import { Coalescer } from '../lib/coalesce.ts'
import type { Log } from '../lib/log.ts'
import { compose, type Request } from './compose.ts'
import type { NetfilterProblem, Ruleset } from './contract.ts'
import { WriteFailure } from './failure.ts'
import { KernelRules } from './kernel-rules.ts'
import type { ChainCounters, NetfilterClient, NetfilterOutcome, NetfilterService, NetfilterStatus, Variant } from './port.ts'
import { type NetfilterTools, ProcessTools } from './tools.ts'

export type NetfilterOptions = {
  /** Who will ask, in the order of their jumps. Nothing that a former process left is removed before all of them have asked. */
  readonly clients: readonly string[]
  readonly log: Log
  readonly clock: Clock
  /** Default `auto`: kubelet's hint, then where others' rules are, then nft. */
  readonly variant?: Variant | 'auto'
  readonly tools?: NetfilterTools
  /** How often everything is read back though nothing seems to have changed. */
  readonly readBackIntervalMs?: number
  /** In [0, 1); jitters retries. */
  readonly random?: () => number
  /** Told after `problems()` changed. */
  readonly onProblems?: () => void
}

type ClientState = {
  readonly handle: NetfilterClient
  wanted: Ruleset | null
  /** What the kernel last took from this client. */
  good: Ruleset | null
  problems: readonly NetfilterProblem[]
  waiters: ((outcome: NetfilterOutcome) => void)[]
}

const RETRY: BackoffLimits = { baseMs: 250, capMs: 60_000 }
const BUSY_SETS_MS = 1_000
/** A read-back may take at most this part of the time. */
const READ_BACK_SHARE = 100
/** A read-back that made way for a change is made up for after this time without one. */
const READ_BACK_LATER_MS = 1_000

export class Netfilter implements NetfilterService {
  readonly #kernel: KernelRules
  readonly #tools: NetfilterTools
  readonly #log: Log
  readonly #clock: Clock
  readonly #random: () => number
  readonly #readBackIntervalMs: number
  readonly #onProblems: () => void
  readonly #clients = new Map<string, ClientState>()
  readonly #coalescer = new Coalescer(() => this.#turn())
  #timer: Disposable | null = null
  #readBackDueMs = Number.NEGATIVE_INFINITY
  /** Ends a read-back that a change would have to wait for. */
  #abandonReadBack: (() => void) | null = null
  #attempt = 0
  #failures = 0
  #hasSynced = false
  #shownProblems = '[]'
  #isDisposed = false

  /** Does nothing until the first client asks. */
  constructor(options: NetfilterOptions) {
    const { clients, log, clock, variant = 'auto', tools = new ProcessTools(), readBackIntervalMs = 60_000 } = options
    this.#kernel = new KernelRules({ tools, log, variant })
    this.#tools = tools
    this.#log = log
    this.#clock = clock
    this.#random = options.random ?? Math.random
    this.#readBackIntervalMs = readBackIntervalMs
    this.#onProblems = options.onProblems ?? (() => {})
    for (const name of clients) {
      const handle: NetfilterClient = { name, apply: (ruleset) => this.#apply(name, ruleset) }
      this.#clients.set(name, { handle, wanted: null, good: null, problems: [], waiters: [] })
    }
  }

  client(name: string): NetfilterClient {
    return this.#stateOf(name).handle
  }

  problems(): readonly NetfilterProblem[] {
    return [...[...this.#clients.values()].flatMap(({ problems }) => problems), ...this.#kernel.problems()]
  }

  status(): NetfilterStatus {
    const { held, variant, transactions, drifts } = this.#kernel
    const chains = held === null ? [] : [...held.families[4].chains.values(), ...held.families[6].chains.values()]
    const sets = held === null ? [] : [...held.sets.values()]
    return {
      variant,
      hasSynced: this.#hasSynced,
      chains: chains.length,
      rules: chains.reduce((sum, { lines }) => sum + lines.length, 0),
      sets: sets.length,
      members: sets.reduce((sum, { set }) => sum + set.members.size, 0),
      transactions,
      drifts,
      failures: this.#failures,
    }
  }

  counters(client: string): Promise<readonly ChainCounters[]> {
    return this.#kernel.counters(client)
  }

  async resync(): Promise<void> {
    this.#readBackDueMs = Number.NEGATIVE_INFINITY
    if (!this.#isDisposed) await this.#coalescer.request()
  }

  /** Leaves the kernel as it is; waits for a transaction under way. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#isDisposed) return
    this.#isDisposed = true
    this.#timer?.[Symbol.dispose]()
    this.#abandonReadBack?.()
    await this.#coalescer.request()
    this.#tools.close()
  }

  #apply(name: string, ruleset: Ruleset): Promise<NetfilterOutcome> {
    const client = this.#stateOf(name)
    client.wanted = ruleset
    this.#hasSynced = false
    const { promise, resolve } = Promise.withResolvers<NetfilterOutcome>()
    client.waiters.push(resolve)
    this.#abandonReadBack?.()
    void this.#coalescer.request()
    return promise
  }

  #stateOf(name: string): ClientState {
    const client = this.#clients.get(name)
    if (client === undefined) throw new RangeError(`netfilter was not told of a client ${JSON.stringify(name)}`)
    return client
  }

  async #turn(): Promise<void> {
    await Promise.resolve() // requests made in the same breath make one transaction
    const waiting = new Map([...this.#clients].map(([name, client]) => [name, client.waiters]))
    for (const client of this.#clients.values()) client.waiters = []
    const isAsked = [...waiting.values()].some(({ length }) => length > 0)
    const { problems, changed, hasBusySets } = this.#isDisposed ? this.#closed() : await this.#sync(isAsked)
    const isGood = problems.size === 0
    for (const [name, client] of this.#clients) {
      client.problems = problems.get(name) ?? []
      const outcome: NetfilterOutcome = client.problems.length === 0 ? { ok: true, changed } : { ok: false, problems: client.problems }
      for (const resolve of waiting.get(name) ?? []) resolve(outcome)
    }
    if (this.#isDisposed) return
    this.#attempt = isGood ? 0 : this.#attempt + 1
    const clients = [...this.#clients.values()]
    this.#hasSynced = isGood && clients.every(({ wanted, waiters }) => wanted !== null && waiters.length === 0)
    if (clients.some(({ wanted }) => wanted !== null)) this.#arm(isGood, hasBusySets)
    this.#tell()
  }

  #closed(): Turn {
    const problem: NetfilterProblem = { severity: 'error', subject: 'netfilter', message: 'the agent is stopping' }
    return { problems: new Map([...this.#clients.keys()].map((name) => [name, [problem]])), changed: false, hasBusySets: false }
  }

  /**
   * One transaction, after a read-back if one is due and nobody waits; leaves out clients whose rules are refused, then what they had before
   * stays.
   */
  async #sync(isAsked: boolean): Promise<Turn> {
    const asked = new Map([...this.#clients].flatMap(([name, { wanted }]) => (wanted === null ? [] : [[name, wanted] as const])))
    const problems: Problems = new Map()
    const before = this.#kernel.transactions
    let hasBusySets = false
    try {
      if (asked.size > 0) await this.#readBackIfDue(isAsked)
      // Each round but the last leaves out at least one client more.
      for (let isDone = asked.size === 0; !isDone; ) {
        const result = await this.#write(asked, problems, new Set())
        if (result instanceof WriteFailure) await this.#accuse(result, asked, problems)
        else {
          isDone = true
          hasBusySets = result
        }
      }
    } catch (cause) {
      if (!(cause instanceof WriteFailure)) throw cause
      this.#failures++
      for (const name of asked.keys()) if (!problems.has(name)) problems.set(name, [problemOf(name, cause)])
    }
    return { problems, changed: this.#kernel.transactions > before, hasBusySets }
  }

  /**
   * Writes what clients ask, or what they had before where they are in `problems` or `postponed`. Resolves to whether sets are left
   * to be destroyed, or to the failure where it could be a client's fault. Rejects with WriteFailure where it is nobody's.
   */
  async #write(asked: Asked, problems: Problems, postponed: ReadonlySet<string>): Promise<boolean | WriteFailure> {
    if (this.#kernel.isInDoubt) await this.#readBack()
    const requests: Request[] = []
    for (const [client, wanted] of asked) {
      const ruleset = problems.has(client) || postponed.has(client) ? this.#stateOf(client).good : wanted
      if (ruleset !== null) requests.push({ client, ruleset })
    }
    const { wanted, refused } = compose(requests)
    for (const [name, faults] of refused) if (!problems.has(name)) problems.set(name, faults)
    try {
      // Without the rules of a client that this process has never written, what its predecessor left is all there is of them.
      const maySweep = requests.length === this.#clients.size && refused.size === 0
      const { hasBusySets } = await this.#kernel.write(wanted, maySweep)
      for (const [name, ruleset] of asked) if (!problems.has(name) && !postponed.has(name)) this.#stateOf(name).good = ruleset
      return hasBusySets
    } catch (cause) {
      if (!(cause instanceof WriteFailure) || (cause.code !== 'REFUSED' && cause.owners.length === 0)) throw cause
      return cause
    }
  }

  /** Adds those to `problems` whose rules the tools refuse; where they do not say whose, each client's are tried without the others'. */
  async #accuse(failure: WriteFailure, asked: Asked, problems: Problems): Promise<void> {
    const changed = [...asked].filter(([name, ruleset]) => this.#stateOf(name).good !== ruleset).map(([name]) => name)
    const suspects = (failure.owners.length > 0 ? failure.owners : changed).filter((name) => !problems.has(name))
    if (suspects.length === 0) throw failure
    this.#failures++
    if (failure.owners.length > 0 || suspects.length === 1) {
      for (const name of suspects) problems.set(name, [problemOf(name, failure)])
      return
    }
    for (const [index, name] of suspects.entries()) {
      const result = await this.#write(asked, problems, new Set(suspects.slice(index + 1)))
      if (result instanceof WriteFailure) problems.set(name, [problemOf(name, result)])
    }
  }

  /**
   * Changes do not wait for it: it is put off while somebody waits, and abandoned when somebody asks. But not for ever: one that is overdue
   * by more than the time between two takes place.
   */
  async #readBackIfDue(isAsked: boolean): Promise<void> {
    const overdueMs = this.#clock.nowMs() - this.#readBackDueMs
    if (overdueMs < 0 || this.#kernel.isInDoubt) return
    if (overdueMs > this.#readBackIntervalMs) return this.#readBack()
    if (isAsked) return
    const abandoned = Promise.withResolvers<void>()
    let isAbandoned = false
    this.#abandonReadBack = () => {
      isAbandoned = true
      abandoned.resolve()
    }
    const reading = this.#readBack(() => isAbandoned)
    try {
      await Promise.race([reading, abandoned.promise])
    } finally {
      this.#abandonReadBack = null
    }
    if (isAbandoned) reading.catch(() => {}) // it is read again soon
  }

  async #readBack(isAbandoned: () => boolean = () => false): Promise<void> {
    const startedMs = this.#clock.nowMs()
    await this.#kernel.readBack(isAbandoned)
    if (isAbandoned()) return
    const nowMs = this.#clock.nowMs()
    this.#readBackDueMs = nowMs + Math.max(this.#readBackIntervalMs, READ_BACK_SHARE * (nowMs - startedMs))
  }

  #arm(isGood: boolean, hasBusySets: boolean): void {
    const untilDueMs = this.#readBackDueMs - this.#clock.nowMs()
    const readBackMs = untilDueMs > 0 ? untilDueMs : READ_BACK_LATER_MS
    const soonerMs = isGood ? (hasBusySets ? BUSY_SETS_MS : readBackMs) : backoffMs(this.#attempt - 1, RETRY, this.#random())
    this.#timer?.[Symbol.dispose]()
    this.#timer = this.#clock.after(
      Math.min(soonerMs, isGood ? readBackMs : Number.POSITIVE_INFINITY),
      () => void this.#coalescer.request(),
    )
  }

  #tell(): void {
    const problems = this.problems()
    const shown = JSON.stringify(problems)
    if (shown === this.#shownProblems) return
    this.#shownProblems = shown
    if (problems.length === 0) this.#log.info('netfilter.problems.solved')
    else this.#log.error('netfilter.problems.found', { problems: problems.slice(0, 5), count: problems.length })
    this.#onProblems()
  }
}

type Asked = ReadonlyMap<string, Ruleset>
/** By client: why its rules are not in the kernel. */
type Problems = Map<string, readonly NetfilterProblem[]>
type Turn = {
  readonly problems: Problems
  readonly changed: boolean
  readonly hasBusySets: boolean
}

function problemOf(client: string, cause: WriteFailure): NetfilterProblem {
  return { severity: 'error', subject: `netfilter/${client}`, message: cause.message }
}
