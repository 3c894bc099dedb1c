// A node of the cluster: its agent, with the pods' side on, and the runtime's part: the plugin called as containerd calls it.
import fs from 'node:fs'
import path from 'node:path'
import { RecordFile } from '../../../src/cni/record-file.ts'
import { ExecError } from '../../../src/lib/exec.ts'
import { fibula } from '../../support/agent.ts'
import type { Netns } from '../../support/netns.ts'
import { NetnsProcess } from '../../support/netns-process.ts'
import { until } from '../../support/poll.ts'

const ROOT = path.resolve(import.meta.dirname, '../../..')
/** The plugin as `make build` leaves it. */
export const { FIBULA_CNI: SHIM = path.join(ROOT, 'dist/cni/fibula') } = process.env
const [FIBULA = ''] = fibula.programs
const CNI_VERSION = '1.1.0' // Debian's chained plugins, and so the conflist, are behind

export type CniCommand = 'ADD' | 'DEL' | 'CHECK' | 'STATUS' | 'GC' | 'VERSION'
export type PluginCall = {
  readonly containerId: string
  readonly netns: string
  readonly ifName?: string
  /** As a kubelet's runtime names it; default: no pod of Kubernetes. */
  readonly pod?: { readonly namespace: string; readonly name: string; readonly uid?: string }
}
export type CniResult = {
  readonly interfaces: readonly { readonly name: string; readonly mac: string; readonly sandbox?: string }[]
  readonly ips: readonly { readonly address: string; readonly interface?: number; readonly gateway?: string }[]
}
export type Conflist = {
  readonly cniVersion: string
  readonly name: string
  readonly plugins: readonly Readonly<Record<string, unknown>>[]
}

export class ClusterNode {
  readonly name: string
  readonly #net: Netns
  readonly #folder: string
  readonly #store: string
  readonly #wrap: readonly string[]
  #process: NetnsProcess | undefined

  constructor(
    net: Netns,
    name: string,
    { folder, store, wrap }: { readonly folder: string; readonly store: string; readonly wrap: readonly string[] },
  ) {
    this.#net = net
    this.name = name
    this.#folder = path.join(folder, name)
    this.#store = store
    this.#wrap = wrap
    for (const each of [this.runFolder, this.confFolder]) fs.mkdirSync(each, { recursive: true })
  }

  get runFolder(): string {
    return path.join(this.#folder, 'run')
  }

  get stateFolder(): string {
    return path.join(this.#folder, 'state')
  }

  /** The runtime's /etc/cni/net.d. */
  get confFolder(): string {
    return path.join(this.#folder, 'net.d')
  }

  get socket(): string {
    return path.join(this.#folder, 'cni.sock')
  }

  get pid(): number {
    if (this.#process === undefined) throw new Error('the agent has not been started')
    return this.#process.pid
  }

  /** Starts the agent, with more arguments if there are, and waits until STATUS says that pods can have a network. */
  async launch({
    deadlineMs = 120_000,
    args: more = [],
  }: {
    readonly deadlineMs?: number
    readonly args?: readonly string[]
  } = {}): Promise<void> {
    const options = {
      '--node': this.name,
      '--store': `dir:${this.#store}`,
      '--run-dir': this.runFolder,
      '--state-dir': this.stateFolder,
      '--cni-socket': this.socket,
      '--cni-conf-dir': this.confFolder,
      '--metrics-port': '0',
    }
    const [command = FIBULA, ...args] = [...this.#wrap, FIBULA, 'agent', ...Object.entries(options).flat(), ...more]
    const started = new NetnsProcess(this.#net, this.name, command, args, path.join(this.#folder, 'log'))
    this.#process = started
    await until(
      `node ${this.name} can give pods a network`,
      async () => {
        started.assertRunning()
        if (!fs.existsSync(this.socket) || fs.readdirSync(this.confFolder).length === 0) throw new Error('no socket, or no conflist')
        await this.call('STATUS', null)
        return true
      },
      { deadlineMs, explain: () => started.log() },
    )
  }

  async kill(): Promise<void> {
    await this.#process?.end('SIGKILL')
  }

  async stop(): Promise<void> {
    await this.#process?.end('SIGTERM')
  }

  log(): string {
    return this.#process?.log() ?? ''
  }

  /** What the agent has written for the runtime. */
  conflist(): Conflist {
    const [file, ...more] = fs.readdirSync(this.confFolder).filter((name) => name.endsWith('.conflist'))
    if (file === undefined || more.length > 0)
      throw new Error(`there should be one conflist: ${fs.readdirSync(this.confFolder).join(', ')}`)
    return JSON.parse(fs.readFileSync(path.join(this.confFolder, file), 'utf8')) as Conflist
  }

  /** A list of our plugin, as in `conflist`, and of others behind it. */
  chain(name: string, cniVersion: string, ...next: Conflist['plugins']): Conflist {
    const [ours] = this.conflist().plugins
    if (ours === undefined) throw new Error('the conflist is empty')
    return { cniVersion, name, plugins: [ours, ...next] }
  }

  /** Runs the plugin in the node's namespace; its standard output. Rejects with its error object in the message. */
  async call(command: CniCommand, call: PluginCall | null): Promise<string> {
    const { name, plugins } = this.conflist()
    const env = {
      PATH: process.env['PATH'],
      CNI_COMMAND: command,
      CNI_PATH: path.dirname(SHIM),
      ...(call === null
        ? {}
        : { CNI_CONTAINERID: call.containerId, CNI_NETNS: call.netns, CNI_IFNAME: call.ifName ?? 'eth0', CNI_ARGS: argsOf(call) }),
    }
    try {
      const input = JSON.stringify({ ...plugins[0], cniVersion: CNI_VERSION, name })
      return (await this.#net.exec(this.name, SHIM, [], { env, input })).stdout
    } catch (cause) {
      if (!(cause instanceof ExecError)) throw cause
      throw new Error(`${this.name}: ${command} of ${call?.containerId ?? 'nothing'}: ${cause.message}`, { cause })
    }
  }

  async add(call: PluginCall): Promise<CniResult> {
    return JSON.parse(await this.call('ADD', call)) as CniResult
  }

  async remove(call: PluginCall): Promise<void> {
    await this.call('DEL', call)
  }

  /** Records of attachments in the state directory. */
  journal(): readonly string[] {
    const records = path.join(this.stateFolder, 'attachments', 'records')
    if (!fs.existsSync(records)) return []
    using file = new RecordFile(records)
    return file.read().map(({ text }) => text)
  }

  /** Waits until there is none: DEL answers before the store has heard of the release. */
  async untilForgotten(): Promise<void> {
    await until(`node ${this.name} remembers no attachment`, () => {
      if (this.journal().length > 0) throw new Error(this.journal().join('\n'))
      return true
    })
  }

  /** Links and routes in the node's namespace that belong to a pod, in the kernel's words. */
  async podTraces(): Promise<readonly string[]> {
    const lines = async (command: string): Promise<readonly string[]> => (await this.#net.ip(this.name, command)).trim().split('\n')
    const [links, routes4, routes6, proxies4, proxies6, neighbours] = await Promise.all([
      lines('-br link show type veth'),
      lines('-4 route show table all'),
      lines('-6 route show table all'),
      lines('-4 neigh show proxy'),
      lines('-6 neigh show proxy'),
      lines('neigh show'),
    ])
    const isPodLink = /\bfib[0-9a-f]{11}\b/
    return [...links, ...routes4, ...routes6, ...proxies4, ...proxies6, ...neighbours].filter((line) => isPodLink.test(line))
  }
}

function argsOf({ pod }: PluginCall): string {
  if (pod === undefined) return 'IgnoreUnknown=1'
  const uid = pod.uid === undefined ? '' : `;K8S_POD_UID=${pod.uid}`
  return `IgnoreUnknown=1;K8S_POD_NAMESPACE=${pod.namespace};K8S_POD_NAME=${pod.name}${uid}`
}
