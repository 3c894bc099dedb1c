// cni: a pod's network from the exec of the plugin to its answer, one after another and fifty at once, with everything the plugin
// does in between: addresses, links, routes. The pods are bare network namespaces, of the same kind for everybody.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CniPlugin, Installed } from '../cni-plugins.ts'
import { type ExecTimer, type Execution, makeExecTimer, type Timed, type TimedBatch } from '../exec-timer.ts'
import { NETNS_DIRECTORY } from '../namespaces.ts'
import { figuresOf } from '../process-figures.ts'
import { quantile } from '../statistics.ts'
import type { Measurement } from './measurement.ts'
import { addStation, makeBed } from './topology.ts'

export type CniOptions = {
  readonly pods: number
  /** How many plugins run at once. */
  readonly atOnce: number
  /** All pods are made, and removed, this often. */
  readonly rounds: number
  readonly timeoutMs: number
}

/** Programs, caches and the JIT are warm after all pods have come and gone this often: an agent lives for weeks. */
const WARM_UP_ROUNDS = 3
const REMOVED_AT_ONCE = 10

/** `seconds` is the median where one runs after another, else the 99th percentile. CPU is that of an ADD, the daemon's part included. */
export async function measureCni(plugin: CniPlugin, options: CniOptions): Promise<Measurement> {
  await using bed = await makeBed()
  const missing = plugin.missing()
  if (missing !== null) throw new Error(missing)
  await addStation(bed, 1, 'IPv4Unicast') // the uplink
  const pods = await bed.namespaces.addPods(options.pods)
  const folder = join(bed.directory, 'timer')
  mkdirSync(folder)
  const timer = await makeExecTimer(folder)
  await using installed = await plugin.install(bed)
  return await bed.measure(async () => {
    const node = new Node(bed.dutNamespace, bed.directory, installed, timer, options.timeoutMs)
    for (let round = 0; round < WARM_UP_ROUNDS; round++) {
      await node.add(pods, options.atOnce)
      await node.remove(pods)
    }
    const added: TimedBatch[] = []
    const removed: TimedBatch[] = []
    let daemonCpuSeconds = 0
    for (let round = 0; round < options.rounds; round++) {
      const before = await figuresOf(bed.dutNamespace)
      added.push(await node.add(pods, options.atOnce))
      daemonCpuSeconds += (await figuresOf(bed.dutNamespace)).cpuSeconds - before.cpuSeconds
      removed.push(await node.remove(pods))
    }
    const times = secondsOf(added)
    const [median, p99] = [quantile(times, 0.5), quantile(times, 0.99)]
    const { peakRssMiB, processes } = await figuresOf(bed.dutNamespace)
    const pluginCpuSeconds = added.reduce((sum, batch) => sum + batch.cpuSeconds, 0)
    return {
      seconds: options.atOnce === 1 ? median : p99,
      cpuSeconds: (pluginCpuSeconds + daemonCpuSeconds) / times.length,
      peakRssMiB: processes === 0 ? Number.NaN : peakRssMiB,
      details: { median, p99, fastest: Math.min(...times), removal: quantile(secondsOf(removed), 0.5) },
    }
  })
}

function secondsOf(batches: readonly TimedBatch[]): readonly number[] {
  return batches.flatMap(({ executions }) => executions.map(({ seconds }) => seconds))
}

/** The runtime's part: which plugin is called with what for which pod. */
class Node {
  readonly #namespace: string
  readonly #installed: Installed
  readonly #timer: ExecTimer
  readonly #timeoutMs: number
  readonly #config: string

  constructor(namespace: string, directory: string, installed: Installed, timer: ExecTimer, timeoutMs: number) {
    this.#namespace = namespace
    this.#installed = installed
    this.#timer = timer
    this.#timeoutMs = timeoutMs
    this.#config = join(directory, 'network.json')
    writeFileSync(this.#config, JSON.stringify(installed.config))
  }

  /** Rejects unless every pod got addresses that no other one has. */
  async add(pods: readonly string[], atOnce: number): Promise<TimedBatch> {
    const batch = await this.#call('ADD', pods, atOnce)
    const addresses = batch.executions.flatMap(({ stdout }) => addressesIn(stdout))
    const wanted = pods.length * this.#installed.addressesEach
    const distinct = new Set(addresses).size
    if (distinct !== wanted) throw new Error(`${pods.length} pods have ${distinct} addresses, should have ${wanted}`)
    return batch
  }

  remove(pods: readonly string[]): Promise<TimedBatch> {
    return this.#call('DEL', pods, REMOVED_AT_ONCE)
  }

  async #call(command: 'ADD' | 'DEL', pods: readonly string[], batch: number): Promise<TimedBatch> {
    const executions = pods.map(
      (pod): Execution => ({
        CNI_COMMAND: command,
        CNI_CONTAINERID: pod,
        CNI_NETNS: `${NETNS_DIRECTORY}/${pod}`,
        CNI_IFNAME: 'eth0',
        CNI_PATH: this.#installed.path,
      }),
    )
    const timeoutMs = this.#timeoutMs
    const done = await this.#timer.run(this.#namespace, this.#installed.program, this.#config, executions, { batch, timeoutMs })
    const bad: Timed | undefined = done.executions.find(({ status }) => status !== 0)
    if (bad !== undefined) throw new Error(`${command} failed with exit status ${bad.status}: ${bad.stdout.slice(0, 500)}`)
    return done
  }
}

/** Addresses of an ADD's result (CNI specification 1.0, "ADD Success"). */
export function addressesIn(result: string): readonly string[] {
  const { ips = [] } = JSON.parse(result) as { readonly ips?: readonly { readonly address: string }[] }
  return ips.map(({ address }) => address)
}
