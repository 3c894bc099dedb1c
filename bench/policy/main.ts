// What policy costs a node, from changed objects to rules in the kernel, beside the bare tools given the same text, in a network namespace of
// its own. The engine, the mirror and the writer do their work in the order of the agent (src/agent/policy/runtime.ts); what crosses
// threads there is cloned here. One argument, PolicyBenchSettings as JSON; the last line of its output is a PolicyReport.
import { readFileSync } from 'node:fs'
import { systemClock } from '../../src/lib/clock.ts'
import { createLog } from '../../src/lib/log.ts'
import { Netfilter, type Variant } from '../../src/netfilter/index.ts'
import { type PolicyChange, PolicyEngine, type PolicyPod, RulesetMirror } from '../../src/policy/index.ts'
import { figuresOfProcess } from '../process-figures.ts'
import { pause } from '../scenarios/measurement.ts'
import { quantile } from '../statistics.ts'
import { type ClusterShape, clusterOf, endpointChange, networkPolicy, OWN_NODE, podAt, podChange, policyChange } from './cluster.ts'
import { RecordingTools, rewriteAll, runBare, type ToolRun, wipe } from './tools.ts'

export type PolicyBenchSettings = {
  readonly shape: ClusterShape
  readonly runs: number
  readonly variant: Variant
  /** Changes of each kind in a run. */
  readonly changes: number
  readonly observeMs: number
}

export type PolicySample = {
  readonly seconds: number | null
  readonly cpuSeconds: number | null
  readonly peakRssMiB: number | null
  readonly details: Readonly<Record<string, number>>
}
/** `pods`: label changes and arrivals together. */
export type PolicyPart = 'first' | 'label' | 'arrival' | 'pods' | 'policy' | 'idle'
/** Samples by part and participant. */
export type PolicyReport = { readonly [P in PolicyPart]: Readonly<Record<string, readonly PolicySample[]>> }

const SUBJECT = 'fibula'
const BARE = 'bare tools'
const NAIVE = 'naive rewrite'
const NAIVE_REWRITES = 3
/** As src/netfilter/netfilter.ts has them: read-backs are so far apart, and so many times as long as one takes. */
const READ_BACK_SECONDS = 60
const READ_BACK_SHARE = 100
const CLOCK_TICKS_PER_SECOND = 100

/** The agent's part: engine, mirror and writer. */
class Node implements AsyncDisposable {
  readonly engine = new PolicyEngine({ node: OWN_NODE, ownNodeEgress: 'allow', missingPods: 'deny', families: [4, 6] })
  readonly tools = new RecordingTools()
  readonly netfilter: Netfilter
  readonly #mirror = new RulesetMirror()
  /** Of the last call. */
  engineSeconds = 0

  constructor(variant: Variant) {
    const log = createLog({ level: 'warn' })
    this.netfilter = new Netfilter({ clients: ['policy'], log, clock: systemClock, variant, tools: this.tools })
  }

  async first(changes: readonly PolicyChange[]): Promise<number> {
    const beganMs = performance.now()
    this.engine.update(changes)
    const whole = this.engine.ruleset()
    this.engineSeconds = secondsSince(beganMs)
    await this.#write(this.#mirror.reset(structuredClone(whole)))
    return secondsSince(beganMs)
  }

  /** Null: it changes no rule. */
  async change(changes: readonly PolicyChange[]): Promise<number | null> {
    const beganMs = performance.now()
    const delta = this.engine.update(changes)
    this.engineSeconds = secondsSince(beganMs)
    if (!delta.changesRules) return null
    await this.#write(this.#mirror.apply(structuredClone(delta.ruleset)))
    return secondsSince(beganMs)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.netfilter[Symbol.asyncDispose]()
  }

  async #write(ruleset: ReturnType<RulesetMirror['ruleset']>): Promise<void> {
    const outcome = await this.netfilter.client('policy').apply(ruleset)
    if (!outcome.ok) throw new Error(outcome.problems.map(({ message }) => message).join('; '))
  }
}

class Bench {
  readonly #settings: PolicyBenchSettings
  readonly #report: { [P in PolicyPart]: Record<string, PolicySample[]> } = {
    first: {},
    label: {},
    arrival: {},
    pods: {},
    policy: {},
    idle: {},
  }

  constructor(settings: PolicyBenchSettings) {
    this.#settings = settings
  }

  async run(): Promise<PolicyReport> {
    const { variant, runs } = this.#settings
    await this.#once() // warm, and not counted
    for (const part of Object.keys(this.#report) as PolicyPart[]) this.#report[part] = {}
    for (let run = 0; run < runs; run++) await this.#once()
    await wipe(variant)
    return this.#report
  }

  async #once(): Promise<void> {
    const { shape, variant } = this.#settings
    await wipe(variant)
    const firstRuns = await this.#withNode(clusterOf(shape))
    await this.#naive(firstRuns)
    await wipe(variant)
    const before = cpuSeconds()
    const seconds = await runBare(firstRuns)
    this.#add('first', BARE, { seconds, cpuSeconds: cpuSeconds() - before, peakRssMiB: null, details: {} })
  }

  /** All that the agent's part does; gives what its first program ran. */
  async #withNode(cluster: readonly PolicyChange[]): Promise<readonly ToolRun[]> {
    const heapBefore = heapMiB()
    await using node = new Node(this.#settings.variant)
    const before = cpuSeconds()
    const seconds = await node.first(cluster)
    const firstRuns = node.tools.take()
    const cpu = cpuSeconds() - before
    const { chains, rules, sets, members } = node.netfilter.status()
    const { peakRssMiB } = figuresOfProcess(process.pid)
    const details = { engineSeconds: node.engineSeconds, chains, rules, sets, members, heapMiB: heapMiB() - heapBefore }
    this.#add('first', SUBJECT, { seconds, cpuSeconds: cpu, peakRssMiB, details })
    await this.#policyChanges(node)
    await this.#podChanges(node)
    await this.#idle(node)
    return firstRuns
  }

  /** Policies change to and fro; the bare tools are given the same lines in turn, so that the kernel is as the writer knows it. */
  async #policyChanges(node: Node): Promise<void> {
    const { shape, changes } = this.#settings
    const indexes = policiesInForce(node.engine)
    const [own, bare] = [new Tally(), new Tally()]
    let lines = 0
    for (let at = 0; at < changes; at++) {
      const index = indexes[at % indexes.length]
      if (index === undefined) throw new Error('no policy selects a local pod')
      const recorded: (readonly ToolRun[])[] = []
      for (const version of [at + 1, 0]) {
        node.tools.take()
        await own.add(node, [policyChange(networkPolicy(shape, index, version))])
        recorded.push(node.tools.take())
      }
      for (const runs of recorded) {
        const before = cpuSeconds()
        bare.note(await runBare(runs), cpuSeconds() - before)
        lines += runs.reduce((sum, { input }) => sum + input.split('\n').length, 0)
      }
    }
    this.#add('policy', SUBJECT, own.sample(0.5, { lines: lines / bare.count }))
    this.#add('policy', BARE, bare.sample(0.5))
  }

  /** Pods of this node and of others get another label and have it taken back; pods arrive on this node, and half of them leave. */
  async #podChanges(node: Node): Promise<void> {
    const { shape, changes } = this.#settings
    const all = Array.from({ length: shape.pods }, (_, index) => index)
    const local = all.filter((index) => podAt(shape, index).node === OWN_NODE)
    const labels = new Tally()
    for (let at = 0; at < changes; at++) {
      const of = at % 2 === 0 ? all : local
      const index = of[(at * 37) % of.length] ?? 0
      for (const app of [anotherApp(podAt(shape, index)), undefined]) await labels.add(node, [podChange(podAt(shape, index, app))])
    }
    this.#add('label', SUBJECT, labels.sample(0.5))
    const [arrivals, departures] = [new Tally(), new Tally()]
    for (let at = 0; at < changes; at++) {
      const index = shape.pods + at
      const pod = { ...podAt(shape, index), node: OWN_NODE }
      const [podArrives, endpointArrives] = [podChange(pod), endpointChange(index, pod)]
      await arrivals.add(node, [podArrives, endpointArrives])
      if (at % 2 === 0) await departures.add(node, [gone(endpointArrives), gone(podArrives)])
    }
    this.#add('arrival', SUBJECT, arrivals.sample(0.5, { departureMs: quantile(departures.seconds, 0.5) * 1000 }))
    this.#add('pods', SUBJECT, labels.with(arrivals).sample(0.99))
  }

  /** CPU of a minute without changes: of a time in which nothing happens, and of the read-backs that a minute has when one has read all. */
  async #idle(node: Node): Promise<void> {
    const { observeMs } = this.#settings
    const [firstCpu, firstMs] = [cpuSeconds(), performance.now()]
    await node.netfilter.resync() // what was written is read once
    const first = { readAllSeconds: secondsSince(firstMs), readAllCpuSeconds: cpuSeconds() - firstCpu }
    await pause(1_500) // sets that are still held on to are gone then, and the garbage of reading
    const before = cpuSeconds()
    await pause(observeMs)
    const nothing = (cpuSeconds() - before) / (observeMs / 1000)
    const [cpu, beganMs] = [cpuSeconds(), performance.now()]
    await node.netfilter.resync()
    const [readBackCpu, readBackSeconds] = [cpuSeconds() - cpu, secondsSince(beganMs)]
    const interval = Math.max(READ_BACK_SECONDS, readBackSeconds * READ_BACK_SHARE)
    const share = nothing + readBackCpu / interval
    const { drifts } = node.netfilter.status()
    const details = { cpuPercent: share * 100, readBackSeconds, readBackCpuSeconds: readBackCpu, ...first, drifts }
    this.#add('idle', SUBJECT, { seconds: null, cpuSeconds: share * READ_BACK_SECONDS, peakRssMiB: null, details })
  }

  async #naive(first: readonly ToolRun[]): Promise<void> {
    const seconds: number[] = []
    const before = cpuSeconds()
    for (let at = 0; at < NAIVE_REWRITES; at++) seconds.push(await rewriteAll(first))
    const cpu = (cpuSeconds() - before) / NAIVE_REWRITES
    for (const part of ['label', 'arrival', 'policy'] as const) {
      this.#add(part, NAIVE, { seconds: quantile(seconds, 0.5), cpuSeconds: cpu, peakRssMiB: null, details: {} })
    }
  }

  #add(part: PolicyPart, participant: string, sample: PolicySample): void {
    const samples = this.#report[part]
    samples[participant] = [...(samples[participant] ?? []), sample]
  }
}

/** Changes of one kind: how long each took until the kernel had it, and what they cost. */
class Tally {
  readonly seconds: number[] = []
  readonly #engine: number[] = []
  #cpuSeconds = 0

  get count(): number {
    return this.seconds.length
  }

  /** A change that alters no rule is not counted: nothing is written. */
  async add(node: Node, changes: readonly PolicyChange[]): Promise<void> {
    const before = cpuSeconds()
    const seconds = await node.change(changes)
    if (seconds === null) return
    this.note(seconds, cpuSeconds() - before)
    this.#engine.push(node.engineSeconds)
  }

  note(seconds: number, cpu: number): void {
    this.seconds.push(seconds)
    this.#cpuSeconds += cpu
  }

  with(other: Tally): Tally {
    const both = new Tally()
    both.seconds.push(...this.seconds, ...other.seconds)
    both.#engine.push(...this.#engine, ...other.#engine)
    both.#cpuSeconds = this.#cpuSeconds + other.#cpuSeconds
    return both
  }

  /** `share`: which quantile its seconds are. */
  sample(share: number, details: PolicySample['details'] = {}): PolicySample {
    const ms = (sample: readonly number[], at: number): number => quantile(sample, at) * 1000
    const engine = this.#engine.length === 0 ? {} : { engineMs: ms(this.#engine, 0.5) }
    return {
      seconds: quantile(this.seconds, share),
      cpuSeconds: this.#cpuSeconds / this.count,
      peakRssMiB: null,
      details: { medianMs: ms(this.seconds, 0.5), p99Ms: ms(this.seconds, 0.99), ...engine, ...details },
    }
  }
}

/** Indexes of NetworkPolicies that isolate a pod of this node and have rules for it. */
function policiesInForce(engine: PolicyEngine): readonly number[] {
  const keys = new Set([...engine.state.endpoints.keys()].flatMap((name) => engine.policiesOf(name)?.ingress.networkPolicies ?? []))
  const hasRules = (key: string): boolean => (engine.state.networkPolicies.get(key)?.rules.ingress.length ?? 0) > 0
  return [...keys].filter(hasRules).map((key) => Number(key.slice(key.lastIndexOf('-') + 1)))
}

function anotherApp({ labels }: PolicyPod): string {
  return labels['app'] === 'app-1' ? 'app-2' : 'app-1'
}

function gone(change: PolicyChange): PolicyChange {
  return { ...change, value: null }
}

function secondsSince(beganMs: number): number {
  return (performance.now() - beganMs) / 1000
}

/** Of this process, all its threads, and the programs it has waited for (proc(5): utime, stime, cutime, cstime). */
function cpuSeconds(): number {
  const stat = readFileSync('/proc/self/stat', 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks), 0) / CLOCK_TICKS_PER_SECOND
}

function heapMiB(): number {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed / 2 ** 20
}

const settings = JSON.parse(process.argv[2] ?? '') as PolicyBenchSettings
console.log(JSON.stringify(await new Bench(settings).run()))
