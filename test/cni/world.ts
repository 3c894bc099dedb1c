// A node for the CNI service: fakes of its ports that can fail or die at any call, over a kernel and a journal that outlive them.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { jest } from '@jest/globals'
import {
  type CniObserver,
  CniService,
  type CniServiceDeps,
  type CniUnreadiness,
  type EndpointGate,
  handleOf,
  type Journal,
  openJournal,
  type PodAddresses,
  type PodLink,
  type PodSource,
  type PodWiring,
  type WiredPod,
  type WiringFault,
} from '../../src/cni/index.ts'
import type { AssignFault, Assignment, AssignRequest } from '../../src/ipam/index.ts'
import { FakeClock } from '../../src/lib/clock.ts'
import { silentLog } from '../../src/lib/log.ts'
import { err, ok, type Result } from '../../src/lib/result.ts'
import { cidr, formatIp, ip, type Mac, parseMac } from '../../src/net/index.ts'

export type Reply = { readonly exitStatus: number; readonly stdout: string; readonly json: Printed | null }
/** What a plugin printed, for assertions: a result, or an error. */
export type Printed = {
  readonly cniVersion: string
  readonly supportedVersions?: readonly string[]
  readonly code?: number
  readonly msg?: string
  readonly details?: string
  readonly interfaces: readonly { readonly name: string; readonly mac?: string; readonly mtu?: number; readonly sandbox?: string }[]
  readonly ips: readonly { readonly version?: string; readonly address: string; readonly interface?: number }[]
  readonly routes: readonly { readonly dst: string; readonly gw?: string }[]
  readonly dns: unknown
}

export const NETNS = '/run/netns/pod'
export const MAC = mac('0a:58:0a:f4:00:02')
export const HOST_MAC = mac('ee:ee:ee:ee:ee:ee')

function mac(text: string): Mac {
  const parsed = parseMac(text)
  if (parsed === null) throw new RangeError(text)
  return parsed
}

/** A call of a port, as `step` sees it. */
export type Step = 'lookUp' | 'assign' | 'release' | 'attach' | 'detach' | 'check' | 'admit' | 'dismiss' | 'put' | 'remove'

/** What survives the agent: links in the kernel, gates, the journal's folder. IPAM's memory is a new one each time. */
export class World implements AsyncDisposable {
  readonly directory: string
  readonly links = new Map<string, PodLink>()
  readonly gates = new Set<string>()
  /** Interfaces in pods' namespaces that are not ours: NETNS/IFNAME. */
  readonly foreign = new Set<string>()
  readonly namespaces = new Set([NETNS])
  readonly pods = new Map<string, { annotations: Record<string, string>; namespaceLabels: Record<string, string> | null }>()
  #agent: Agent | null = null

  private constructor(directory: string) {
    this.directory = directory
  }

  static async create(options: AgentOptions = {}): Promise<World> {
    const world = new World(await mkdtemp(join(tmpdir(), 'fibula-cni-')))
    world.#agent = await Agent.start(world, options)
    return world
  }

  get agent(): Agent {
    if (this.#agent === null) throw new Error('no agent yet')
    return this.#agent
  }

  /** The agent is gone, mid-sentence; another one starts over what it left. */
  async restart(options: AgentOptions = {}): Promise<void> {
    this.agent.isDead = true
    this.#agent = await Agent.start(this, options)
  }

  /** All that a pod leaves on a node; empty once it is deleted. */
  leftovers(): readonly string[] {
    return [
      ...[...this.links.keys()].map((name) => `link ${name}`),
      ...[...this.gates].map((name) => `gate ${name}`),
      ...[...this.agent.allocated.entries()].map(
        ([handle, held]) => `addresses of ${handle}: ${held.map(({ address }) => formatIp(address))}`,
      ),
      ...this.agent.journal.all().map(({ link, state }) => `record ${link.containerId}/${link.ifName} ${state}`),
    ]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.agent.isDead = true
    await rm(this.directory, { recursive: true })
  }
}

export type AgentOptions = {
  /** Called before (`after` false) and after each call of a port; what it throws is the call's failure; a promise delays it. */
  readonly onStep?: (step: Step, after: boolean) => unknown
  readonly isStoreAway?: boolean
}

export class Agent {
  readonly clock = new FakeClock()
  readonly allocated = new Map<string, readonly Assignment[]>()
  readonly ended: Parameters<CniObserver['requestEnded']>[0][] = []
  readonly requests: AssignRequest[] = []
  /** Events of level info and above, in order. */
  readonly logged: string[] = []
  changes = 0
  isDead = false
  unreadiness: CniUnreadiness | null = null
  ipamUnready: string | null = null
  assignFault: AssignFault | null = null
  wiringFault: WiringFault | null = null
  checkFaults: readonly string[] = []
  onStep: NonNullable<AgentOptions['onStep']>
  readonly journal: Journal
  readonly service: CniService
  readonly #world: World
  #isStoreAway: boolean
  #storeBack: (() => void)[] = []
  #next = 2

  static async start(world: World, options: AgentOptions): Promise<Agent> {
    const agent = new Agent(world, await openJournal(world.directory, silentLog), options)
    agent.service.start()
    return agent
  }

  private constructor(world: World, journal: Journal, { onStep = () => {}, isStoreAway = false }: AgentOptions) {
    this.#world = world
    this.onStep = onStep
    this.#isStoreAway = isStoreAway
    for (const record of journal.all()) if (record.assignments.length > 0) this.allocated.set(handleOf(record), record.assignments)
    this.journal = {
      all: () => journal.all(),
      get: (key) => journal.get(key),
      byHostInterface: (name) => journal.byHostInterface(name),
      put: (attachment) => this.#step('put', () => journal.put(attachment)),
      remove: (key) => this.#step('remove', () => journal.remove(key)),
    }
    const deps: CniServiceDeps = {
      addresses: this.#addresses(),
      wiring: this.#wiring(),
      pods: this.#pods(),
      gate: this.#gate(),
      journal: this.journal,
      clock: this.clock,
      log: { ...silentLog, info: (event) => void this.logged.push(event), warn: (event) => void this.logged.push(event) },
      unreadiness: () => this.unreadiness,
      observer: {
        requestEnded: (ended) => void this.ended.push(ended),
        attachmentsChanged: () => void this.changes++,
      },
    }
    this.service = new CniService(deps)
  }

  /** From now on, and for what waits. */
  storeReturns(): void {
    this.#isStoreAway = false
    for (const resolve of this.#storeBack.splice(0)) resolve()
  }

  storeGoes(): void {
    this.#isStoreAway = true
  }

  async call(variables: Readonly<Record<string, string>>, config: unknown, signal?: AbortSignal): Promise<Reply> {
    const stdin = new TextEncoder().encode(typeof config === 'string' ? config : JSON.stringify(config))
    const invocation = { variables: new Map(Object.entries(variables)), stdin }
    const { exitStatus, stdout } = await this.service.handle(invocation, signal ?? new AbortController().signal)
    return { exitStatus, stdout, json: stdout === '' ? null : (JSON.parse(stdout) as Printed) }
  }

  /** One call of a port: a dead agent never hears of its end. */
  async #step<T>(step: Step, work: () => T | Promise<T>): Promise<T> {
    await this.onStep(step, false)
    if (this.isDead) await new Promise(() => {})
    const value = await work()
    await this.onStep(step, true)
    if (this.isDead) await new Promise(() => {})
    return value
  }

  #addresses(): PodAddresses {
    return {
      assign: (request) =>
        this.#step('assign', (): Result<readonly Assignment[], AssignFault> => {
          this.requests.push(request)
          if (this.assignFault !== null) return err(this.assignFault)
          const known = this.allocated.get(request.handle)
          if (known !== undefined) return ok(known)
          const last = this.#next++
          const assignments: readonly Assignment[] = [
            { address: ip(`10.244.0.${last}`), family: 4, pool: 'pods', block: cidr('10.244.0.0/26'), sequence: last, isBorrowed: false },
            {
              address: ip(`fd00:244::${last}`),
              family: 6,
              pool: 'pods6',
              block: cidr('fd00:244::/122'),
              sequence: last,
              isBorrowed: false,
            },
          ]
          this.allocated.set(request.handle, assignments)
          return ok(assignments)
        }),
      release: (handle, signal) =>
        this.#step('release', async () => {
          if (this.#isStoreAway)
            await new Promise<void>((resolve, reject) => {
              this.#storeBack.push(resolve)
              signal?.addEventListener('abort', () => reject(signal.reason), { once: true })
            })
          this.allocated.delete(handle)
        }),
      notReadyBecause: () => this.ipamUnready,
    }
  }

  #wiring(): PodWiring {
    const { links, foreign, namespaces } = this.#world
    return {
      attach: (link) =>
        this.#step('attach', (): Result<WiredPod, WiringFault> => {
          if (this.wiringFault !== null) return err(this.wiringFault)
          if (!namespaces.has(link.netns)) return err({ kind: 'namespaceGone', message: 'ENOENT' })
          if (foreign.has(`${link.netns}/${link.ifName}`)) return err({ kind: 'interfaceExists', message: 'EEXIST' })
          links.set(link.hostInterface, link)
          return ok({ mac: link.mac ?? MAC, hostMac: HOST_MAC, hostIndex: 7 })
        }),
      detach: ({ hostInterface }) => this.#step('detach', () => void links.delete(hostInterface)),
      check: (link) => this.#step('check', () => (links.has(link.hostInterface) ? this.checkFaults : ['the host end is missing'])),
      mtu: () => 1480,
    }
  }

  #pods(): PodSource {
    return { lookUp: (pod) => this.#step('lookUp', () => this.#world.pods.get(`${pod.namespace}/${pod.name}`) ?? null) }
  }

  #gate(): EndpointGate {
    const { gates } = this.#world
    return {
      admit: ({ hostInterface }) => this.#step('admit', () => void gates.add(hostInterface)),
      dismiss: ({ hostInterface }) => this.#step('dismiss', () => void gates.delete(hostInterface)),
    }
  }
}

/** A busy machine's disk takes its time. */
const SETTLED_WITHIN_MS = 60_000
jest.setTimeout(2 * SETTLED_WITHIN_MS)

export const CONFIG = { cniVersion: '1.1.0', name: 'fibula', type: 'fibula' }

/** Environment of a command about container `containerId`. */
export function environment(command: string, containerId = 'c1', ifName = 'eth0', netns = NETNS): Record<string, string> {
  return { CNI_COMMAND: command, CNI_CONTAINERID: containerId, CNI_NETNS: netns, CNI_IFNAME: ifName, CNI_PATH: '/opt/cni/bin' }
}

/** Lets everything run that waits for nothing but its turn and the disk, until `condition` holds. */
export async function settle(condition: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + SETTLED_WITHIN_MS
  while (!condition() && performance.now() < deadlineMs) await new Promise((resolve) => setImmediate(resolve))
  if (!condition()) throw new Error(`never came: ${condition}`)
}
