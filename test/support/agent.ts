// Drives the real agent, `bin/fibula agent`, inside a namespace: writes its manifests, asks its control socket, kills it and starts
// it again. As a `DaemonDriver` it takes the same configuration and shows the same routes as the daemons it talks to.
import fs from 'node:fs'
import http from 'node:http'
import path from 'node:path'
import { type AgentStatus, CONTROL_SOCKET, type KernelRouteStatus } from '../../src/agent/control-api.ts'
import type { PeerStatus, RouteStatus } from '../../src/bgp/status.ts'
import type { ExecOutput } from '../../src/lib/exec.ts'
import { type AgentSettings, renderManifests } from './agent-manifests.ts'
import {
  type Announcement,
  assertSupported,
  comparePaths,
  type Daemon,
  type DaemonConfig,
  type DaemonDriver,
  type ReceivedPath,
  runFolder,
  sorted,
} from './daemons/daemon.ts'
import type { Netns } from './netns.ts'
import { NetnsProcess } from './netns-process.ts'
import { until } from './poll.ts'

const ROOT = path.resolve(import.meta.dirname, '../..')
/** The program under test; `make build` leaves it there. */
const { FIBULA = path.join(ROOT, 'bin/fibula') } = process.env

/** A running agent. Its BGPPeers are `p0`, `p1`, … in the order of the configuration. */
export class Agent implements Daemon {
  readonly name = 'fibula'
  readonly #net: Netns
  readonly #node: string
  readonly #folder: string
  #config: DaemonConfig
  #settings: AgentSettings
  #process: NetnsProcess | undefined

  constructor(net: Netns, node: string, config: DaemonConfig, settings: AgentSettings = {}) {
    this.#net = net
    this.#node = node
    this.#config = config
    this.#settings = settings
    this.#folder = runFolder('fibula')
    for (const folder of [this.storeFolder, this.runFolder]) fs.mkdirSync(folder)
    this.#write()
  }

  get storeFolder(): string {
    return path.join(this.#folder, 'store')
  }

  get runFolder(): string {
    return path.join(this.#folder, 'run')
  }

  /** Process id of the agent. */
  get pid(): number {
    if (this.#process === undefined) throw new Error('the agent has not been started')
    return this.#process.pid
  }

  get running(): boolean {
    return this.#process?.running ?? false
  }

  /** Starts the process and waits until its control socket answers. */
  async launch(): Promise<void> {
    const args = ['agent', '--node', this.#node, '--store', `dir:${this.storeFolder}`, '--run-dir', this.runFolder]
    const started = new NetnsProcess(this.#net, this.#node, FIBULA, args, path.join(this.#folder, 'log'))
    this.#process = started
    await until(
      'the agent answers',
      async () => {
        started.assertRunning()
        return (await this.status()).pid === started.pid
      },
      { explain: () => started.log() },
    )
  }

  status(): Promise<AgentStatus> {
    return this.#get<AgentStatus>('/v1/status')
  }

  peers(): Promise<readonly PeerStatus[]> {
    return this.#get<readonly PeerStatus[]>('/v1/bgp/peers')
  }

  /** One peer by the address in the configuration. */
  async peer(address: string): Promise<PeerStatus> {
    const name = this.#nameOf(address)
    const found = (await this.peers()).find((each) => each.name === name)
    if (found === undefined) throw new Error(`the agent shows no peer ${name}`)
    return found
  }

  routes(query: Readonly<Record<string, string>>): Promise<readonly RouteStatus[]> {
    return this.#get<readonly RouteStatus[]>(`/v1/bgp/routes?${new URLSearchParams(query)}`)
  }

  kernelRoutes(): Promise<readonly KernelRouteStatus[]> {
    return this.#get<readonly KernelRouteStatus[]>('/v1/routes')
  }

  async established(peer: string): Promise<boolean> {
    return (await this.peer(peer)).state === 'Established'
  }

  async received(peer: string): Promise<readonly ReceivedPath[]> {
    return this.#paths(await this.routes({ in: this.#nameOf(peer) }), peer)
  }

  /** What it shows of its Adj-RIB-Out, in the form in which the peer would show its Adj-RIB-In. */
  async advertised(peer: string): Promise<readonly ReceivedPath[]> {
    return this.#paths(await this.routes({ out: this.#nameOf(peer) }), peer)
  }

  async setAnnounced(announce: readonly Announcement[]): Promise<void> {
    this.configure({ ...this.#config, announce })
  }

  /** Writes the manifests of a new configuration; the agent notices by itself. */
  configure(config: DaemonConfig, settings: AgentSettings = this.#settings): void {
    this.#config = config
    this.#settings = settings
    this.#write()
  }

  /** `bin/fibula ARGS` against this agent, inside its namespace. */
  command(...args: readonly string[]): Promise<ExecOutput> {
    return this.#net.exec(this.#node, FIBULA, [...args, '--run-dir', this.runFolder])
  }

  async stop(): Promise<void> {
    await this.#process?.end('SIGTERM')
  }

  async kill(): Promise<void> {
    await this.#process?.end('SIGKILL')
  }

  /** Starts it again with the same folders: how it comes back is its own business. */
  restart(): Promise<void> {
    return this.launch()
  }

  log(): string {
    return this.#process?.log() ?? ''
  }

  /** All it has ever logged, also before it was started again. */
  wholeLog(): string {
    return this.#process?.log(Number.POSITIVE_INFINITY) ?? ''
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    fs.rmSync(this.#folder, { recursive: true, force: true })
  }

  #nameOf(peer: string): string {
    const at = this.#config.peers.findIndex((each) => each.address === peer)
    if (at < 0) throw new RangeError(`no peer ${peer}`)
    return `p${at}`
  }

  /** Everything in one file, replaced at once: the agent never sees half of it. */
  #write(): void {
    const manifests = renderManifests(this.#node, this.#config, this.#settings)
    const file = path.join(this.storeFolder, 'manifests.yaml')
    fs.writeFileSync(`${file}.new`, manifests.map((each) => JSON.stringify(each)).join('\n---\n'))
    fs.renameSync(`${file}.new`, file)
  }

  #paths(routes: readonly RouteStatus[], peer: string): readonly ReceivedPath[] {
    const isIbgp = this.#config.peers.find((each) => each.address === peer)?.asn === this.#config.asn
    return routes.flatMap(({ prefix, paths }) => paths.map((each) => receivedPath(prefix, each, isIbgp))).sort(comparePaths)
  }

  #get<T>(resource: string): Promise<T> {
    return new Promise((resolve, reject) => {
      const options = { socketPath: path.join(this.runFolder, CONTROL_SOCKET), path: resource, timeout: 30_000 }
      const request = http.get(options, (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (part: string) => (text += part))
        response.on('end', () => {
          if (response.statusCode === 200) resolve(JSON.parse(text) as T)
          else reject(new Error(`${resource}: ${response.statusCode} ${text}`))
        })
        response.on('error', reject)
      })
      request.on('timeout', () => request.destroy(new Error(`${resource}: no answer in 30 s`)))
      request.on('error', reject)
    })
  }
}

function receivedPath(prefix: string, shown: RouteStatus['paths'][number], isIbgp: boolean): ReceivedPath {
  return {
    prefix,
    nextHop: (shown.nextHop ?? '').split(' ')[0] ?? '',
    asPath: shown.asPath,
    origin: shown.origin as ReceivedPath['origin'],
    med: shown.med,
    localPref: isIbgp ? shown.localPref : null,
    communities: sorted(shown.communities),
    largeCommunities: sorted(shown.largeCommunities),
    extendedCommunities: sorted(shown.extendedCommunities),
    onlyToCustomer: shown.onlyToCustomer,
  }
}

/** Starts an agent with settings that only it has. */
export async function startAgent(net: Netns, node: string, config: DaemonConfig, settings: AgentSettings = {}): Promise<Agent> {
  assertSupported(fibula, config)
  const agent = new Agent(net, node, config, settings)
  try {
    await agent.launch()
    return agent
  } catch (cause) {
    await agent[Symbol.asyncDispose]()
    throw cause
  }
}

export const fibula: DaemonDriver = {
  name: 'fibula',
  programs: [FIBULA],
  supports: new Set([
    'md5',
    'gtsm',
    'addPathSend',
    'addPathReceive',
    'passOn',
    'gracefulRestart',
    'gracefulRestartHelper',
    'gracefulRestartRestarter',
    'extendedMessage',
    'extendedNextHop',
    'foreignAsPath',
    'linkLocal',
    'multihop',
    'longLivedGracefulRestart',
    'role',
    'kernelRoutes',
  ]),
  start: (net, node, config) => startAgent(net, node, config),
}
