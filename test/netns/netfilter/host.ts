// A host of its own with real iptables and ipset in a namespace, seen through the module under test and past it.
import type { ChildProcessByStdio } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { systemClock } from '../../../src/lib/clock.ts'
import type { ExecOptions } from '../../../src/lib/exec.ts'
import { silentLog } from '../../../src/lib/log.ts'
import type { IpFamily } from '../../../src/net/index.ts'
import { Netfilter, type NetfilterOptions, ProcessTools, type Rule, type Ruleset, type Variant } from '../../../src/netfilter/index.ts'
import { listenTo, type Start } from '../../../src/netfilter/standing.ts'
import type { Run } from '../../../src/netfilter/tools.ts'
import { NETLINK_NETFILTER, NetlinkSocket } from '../../../src/sys/netlink-socket.ts'
import type { Netns } from '../../support/netns.ts'

export const NOTHING: Ruleset = { sets: [], families: { 4: { chains: [], hooks: [] }, 6: { chains: [], hooks: [] } } }

/** A node of a topology as a host. Legacy tools of all namespaces share one lock file: this host has its own. */
export class Host implements Disposable {
  readonly #net: Netns
  readonly #node: string
  readonly #folder = fs.mkdtempSync(path.join(os.tmpdir(), 'fib-netfilter-'))
  /** Every input that changed, or should have changed, something. */
  readonly inputs: string[] = []

  constructor(net: Netns, node: string) {
    this.#net = net
    this.#node = node
  }

  get lockFile(): string {
    return path.join(this.#folder, 'xtables.lock')
  }

  async exec(command: string, args: readonly string[], options: ExecOptions = {}): Promise<string> {
    const env = { ...process.env, XTABLES_LOCKFILE: this.lockFile }
    return (await this.#net.exec(this.#node, command, args, { ...options, env })).stdout
  }

  netfilter(options: Partial<NetfilterOptions> = {}): Netfilter {
    const start: Start = (command, args, listener) => {
      const env = { ...process.env, XTABLES_LOCKFILE: this.lockFile }
      const child = this.#net.spawn(this.#node, command, args, { env })
      return listenTo(child as ChildProcessByStdio<Writable, Readable, Readable>, listener) // spawned with pipes
    }
    const openSocket = (): NetlinkSocket => this.#net.run(this.#node, () => new NetlinkSocket({ protocol: NETLINK_NETFILTER }))
    const run: Run = async (command, args, execOptions) => ({ stdout: await this.exec(command, args, execOptions), stderr: '' })
    const tools = new RecordingTools(this.inputs, run, { start, openSocket })
    const readBackIntervalMs = 3_600_000 // tests say when; on a slow machine one by the clock would come in between
    return new Netfilter({ clients: ['guards'], log: silentLog, clock: systemClock, tools, readBackIntervalMs, ...options })
  }

  /** Lines of a restore input that is somebody else's. */
  async load(variant: Variant, family: IpFamily, ...lines: readonly string[]): Promise<void> {
    await this.exec(`${family === 4 ? 'iptables' : 'ip6tables'}-${variant}-restore`, ['--noflush'], { input: `${lines.join('\n')}\n` })
  }

  /** Rules and user chains by table, without counters and comments; optionally of others, or of ours, only. */
  async rules(variant: Variant, family: IpFamily, whose: 'all' | 'ours' | 'others' = 'all'): Promise<readonly string[]> {
    const saved = await this.exec(`${family === 4 ? 'iptables' : 'ip6tables'}-${variant}-save`, [])
    let table = ''
    const lines: string[] = []
    for (const line of saved.split('\n')) {
      if (line.startsWith('*')) table = line.slice(1)
      const isRule = line.startsWith('-A ') || (line.startsWith(':') && line.includes(' - '))
      const isOurs = /(^:fib|^-A fib|--comment "?fibula"? )/.test(line)
      if (isRule && (whose === 'all' || (whose === 'ours') === isOurs)) lines.push(`${table} ${line.replace(/ \[\d+:\d+\]$/, '')}`)
    }
    return lines
  }

  async members(set: string): Promise<readonly string[]> {
    const saved = await this.exec('ipset', ['save', set])
    return saved.split('\n').flatMap((line) => (line.startsWith('add ') ? [line.slice(5 + set.length)] : []))
  }

  async setNames(): Promise<readonly string[]> {
    return (await this.exec('ipset', ['list', '-n'])).split('\n').filter((name) => name !== '')
  }

  [Symbol.dispose](): void {
    fs.rmSync(this.#folder, { recursive: true })
  }
}

class RecordingTools extends ProcessTools {
  readonly #inputs: string[]

  constructor(inputs: string[], ...options: ConstructorParameters<typeof ProcessTools>) {
    super(...options)
    this.#inputs = inputs
  }

  override restoreRules(variant: Variant, family: IpFamily, input: string): Promise<void> {
    this.#inputs.push(input)
    return super.restoreRules(variant, family, input)
  }

  override restoreSets(input: string): Promise<void> {
    this.#inputs.push(input)
    return super.restoreSets(input)
  }
}

/** A ruleset for one chain in table filter that INPUT jumps to, the same for both families. */
export function oneChain(name: string, rules: readonly Rule[], sets: Ruleset['sets'] = []): Ruleset {
  const part = {
    chains: [{ table: 'filter' as const, name, rules }],
    hooks: [{ table: 'filter' as const, chain: 'INPUT' as const, position: 'first' as const, jumpTo: name, match: [] }],
  }
  return { sets, families: { 4: part, 6: part } }
}
