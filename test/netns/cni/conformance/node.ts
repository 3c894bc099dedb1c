// A node that answers plugins: the real service, socket, journal, IPAM and pod wiring in this process, acting in a network namespace
// of its own; host routes are made as the route syncer would. Blocks are kept in memory. A machine `outside` is on the node's link.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type Attachment,
  type CniHandler,
  type CniReply,
  CniService,
  type CniUnreadiness,
  heldAllocations,
  openJournal,
  PodLinks,
  type PodWiring,
  serveCni,
} from '../../../../src/cni/index.ts'
import { createNodeIpam, type IpamConfig, type NodeIpam, type PoolConfig } from '../../../../src/ipam/index.ts'
import { systemClock } from '../../../../src/lib/clock.ts'
import { exec } from '../../../../src/lib/exec.ts'
import { silentLog } from '../../../../src/lib/log.ts'
import { bitsOf, cidr, familyOf, formatIp, formatPrefix, hostPrefix } from '../../../../src/net/index.ts'
import { buildNetns, type Netns } from '../../../support/netns.ts'
import { until } from '../../../support/poll.ts'
import { MemoryBlockStore } from './block-store.ts'
import { type Environment, type Execution, execPlugin } from './plugins.ts'

export const CONFIG = { cniVersion: '1.1.0', name: 'fibula', type: 'fibula' }

const pool = (name: string, range: string): PoolConfig => ({
  name,
  range: cidr(range),
  blockSize: range.includes(':') ? 122 : 26,
  selectsNode: true,
  namespaceSelector: null,
  disabled: false,
  assignmentMode: 'Automatic',
  forWorkloads: true,
})

const IPAM: IpamConfig = {
  pools: [pool('pods', '10.244.0.0/16'), pool('pods6', 'fd00:244::/112')],
  reservations: [],
  strictAffinity: false,
  maxBlocksPerHost: null,
  coolDownSeconds: 30,
}

let pods = 0

/** A moment in the life of an attachment at which a test may kill the agent, or hold it. */
export type Moment = 'beforeAttach' | 'afterAttach' | 'afterDetach' | 'afterAdmit'

export const NODE_ADDRESSES = ['192.0.2.1', '2001:db8::1'] as const

export class Node implements AsyncDisposable {
  readonly directory: string
  readonly net: Netns
  readonly store = new MemoryBlockStore()
  readonly annotations = new Map<string, Record<string, string>>()
  unreadiness: CniUnreadiness | null = null
  /** Called at each moment; a promise holds the agent there. */
  at: (moment: Moment) => unknown = () => {}
  readonly #links: PodLinks
  readonly #namespaces: string[] = []
  #agent: { readonly service: CniService; readonly ipam: NodeIpam; readonly server: AsyncDisposable; kill(): void } | null = null
  #journal: () => readonly Attachment[] = () => []

  private constructor(directory: string, net: Netns, links: PodLinks) {
    this.directory = directory
    this.net = net
    this.#links = links
  }

  static async start(): Promise<Node> {
    const [v4, v6] = NODE_ADDRESSES
    const net = await buildNetns('conformance', {
      nodes: ['host', 'outside'],
      links: [
        [
          { node: 'host', name: 'uplink', addresses: [`${v4}/24`, `${v6}/64`] },
          { node: 'outside', name: 'eth0', addresses: ['192.0.2.2/24', '2001:db8::2/64'] },
        ],
      ],
    })
    const links = net.run('host', () => new PodLinks())
    const node = new Node(await mkdtemp(join(tmpdir(), 'fibula-conformance-')), net, links)
    await net.exec('host', 'sh', ['-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding'])
    await net.ipBatch('outside', [`route add default via ${v4}`, `route add default via ${v6}`])
    await node.startAgent()
    return node
  }

  get socket(): string {
    return join(this.directory, 'run', 'cni.sock')
  }

  get config(): typeof CONFIG & { readonly socket: string } {
    return { ...CONFIG, socket: this.socket }
  }

  /** Opens the journal, adopts, resumes, serves: as the agent does. */
  async startAgent(): Promise<void> {
    const journal = await openJournal(join(this.directory, 'attachments'), silentLog)
    const ipam = createNodeIpam({
      node: 'n1',
      store: this.store,
      clock: systemClock,
      random: Math.random,
      log: silentLog,
      options: { batchMs: 1 },
    })
    ipam.adopt(heldAllocations(journal.all()))
    ipam.configure(IPAM)
    const dead = { is: false }
    const killed = Promise.withResolvers<CniReply>()
    const service = new CniService({
      addresses: ipam,
      wiring: this.#wiring(dead),
      pods: {
        lookUp: ({ namespace, name }) =>
          Promise.resolve({ annotations: this.annotations.get(`${namespace}/${name}`) ?? {}, namespaceLabels: null }),
      },
      gate: { admit: () => this.#moment('afterAdmit', dead), dismiss: () => Promise.resolve() },
      journal,
      clock: systemClock,
      log: silentLog,
      unreadiness: () => this.unreadiness,
    })
    service.start()
    const handler: CniHandler = { handle: (invocation, signal) => Promise.race([service.handle(invocation, signal), killed.promise]) }
    const server = await serveCni({ path: this.socket, service: handler, log: silentLog })
    this.#journal = () => journal.all()
    const kill = (): void => {
      dead.is = true
      killed.resolve({ exitStatus: 1, stdout: '{' }) // as far as it got
    }
    this.#agent = { service, ipam, server, kill }
    if (!this.store.isAway) await until('IPAM has addresses', () => ipam.notReadyBecause() === null)
  }

  /** The agent stops as for an upgrade. */
  async stopAgent(): Promise<void> {
    const agent = this.#agent
    this.#agent = null
    await agent?.service[Symbol.asyncDispose]()
    await agent?.server[Symbol.asyncDispose]()
    await agent?.ipam[Symbol.asyncDispose]()
  }

  /** Mid-sentence: what it was about to do is never done, and plugins that wait see their connection end. */
  async killAgent(): Promise<void> {
    const agent = this.#agent
    this.#agent = null
    agent?.kill()
    await agent?.server[Symbol.asyncDispose]()
    await agent?.ipam[Symbol.asyncDispose]()
  }

  /** After a test, however it ended: an agent that is ready and has no pods. */
  async restore(): Promise<void> {
    this.at = () => {}
    this.store.isAway = false
    this.unreadiness = null
    if (this.#agent === null) await this.startAgent()
    this.configurePools()
    const variables = new Map([
      ['CNI_COMMAND', 'GC'],
      ['CNI_PATH', '/'],
    ])
    for (const name of new Set(this.#journal().map(({ network }) => network))) {
      const stdin = new TextEncoder().encode(JSON.stringify({ ...CONFIG, name, 'cni.dev/valid-attachments': [] }))
      await this.#agent?.service.handle({ variables, stdin }, new AbortController().signal)
    }
    await until('an agent with addresses and without pods', () => this.hasAddresses() && this.records().length === 0)
  }

  async newPod(): Promise<string> {
    const name = `fib-conformance-${process.pid}-${pods++}`
    await exec('ip', ['netns', 'add', name])
    await exec('ip', ['-n', name, 'link', 'set', 'lo', 'up'])
    this.#namespaces.push(name)
    return `/run/netns/${name}`
  }

  async removePod(netns: string): Promise<void> {
    await exec('ip', ['netns', 'del', netns.slice('/run/netns/'.length)])
    this.#namespaces.splice(this.#namespaces.indexOf(netns.slice('/run/netns/'.length)), 1)
  }

  /** `ip` inside a pod's namespace, words separated by single spaces. */
  async inPod(netns: string, command: string): Promise<string> {
    return (await exec('ip', ['-n', netns.slice('/run/netns/'.length), ...command.split(' ')])).stdout
  }

  /** Runs a program inside a pod's namespace to its end. */
  execInPod(netns: string, command: string, args: readonly string[]): ReturnType<typeof exec> {
    return exec('nsenter', [`--net=${netns}`, command, ...args])
  }

  /** Starts a program inside a pod's namespace; kill it before the end of the test. */
  spawnInPod(netns: string, command: string, args: readonly string[]): ChildProcess {
    return spawn('nsenter', [`--net=${netns}`, command, ...args], { stdio: 'ignore' })
  }

  /** Other pools from now on; without an argument those of the beginning. */
  configurePools(pools: readonly PoolConfig[] = IPAM.pools): void {
    this.#agent?.ipam.configure({ ...IPAM, pools })
  }

  hasAddresses(): boolean {
    return this.#agent?.ipam.notReadyBecause() === null
  }

  /** The records of the journal: CONTAINERID/IFNAME STATE. */
  records(): readonly string[] {
    return this.#journal().map(({ link, state }) => `${link.containerId}/${link.ifName} ${state}`)
  }

  /** Everything an attachment may leave on the node: links, addresses, routes, rules, records, allocations. */
  async leftovers(): Promise<string> {
    const shown = await Promise.all(
      ['-brief link', '-4 route show table all', '-6 route show table all', 'neighbour show proxy', 'rule'].map((what) =>
        this.net.ip('host', what),
      ),
    )
    const rules = (await this.net.exec('host', 'sh', ['-c', 'iptables-save; ip6tables-save'])).stdout.replaceAll(/^#.*\n|\[\d+:\d+\]/gm, '')
    const handles = this.store.allocations().map(({ handle }) => handle)
    return [...shown, rules, ...this.records(), ...handles].join('\n').replaceAll(/expires \d+sec|@if\d+|@\S+/g, '')
  }

  /** Waits until the node is as `before` again: releases go on after DEL has answered. */
  async untilAs(before: string): Promise<void> {
    let now = ''
    await until(
      'nothing is left behind',
      async () => {
        now = await this.leftovers()
        return now === before
      },
      { explain: () => `before:\n${before}\nnow:\n${now}` },
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.at = () => {}
    this.store.isAway = false
    await this.killAgent()
    for (const name of this.#namespaces.splice(0)) await exec('ip', ['netns', 'del', name])
    this.#links[Symbol.dispose]()
    await this.net[Symbol.asyncDispose]()
    await rm(this.directory, { recursive: true })
  }

  async #moment(moment: Moment, dead: { readonly is: boolean }): Promise<void> {
    await this.at(moment)
    if (dead.is) await new Promise(() => {})
  }

  #wiring(dead: { readonly is: boolean }): PodWiring {
    return {
      attach: async (link) => {
        await this.#moment('beforeAttach', dead)
        const wired = this.net.run('host', () => this.#links.attach(link))
        const routes = link.addresses.map(
          (address) => `route replace ${formatPrefix(hostPrefix(address))} dev ${link.hostInterface} metric 179`,
        )
        if (wired.ok) await this.net.ipBatch('host', routes)
        await this.#moment('afterAttach', dead)
        return wired
      },
      detach: async (link) => {
        const left = this.net.run('host', () => this.#links.detach([link]))
        await this.#moment('afterDetach', dead)
        if (left.length > 0) throw new Error(left.join('; '))
      },
      check: async (link) => {
        const faults = [...this.net.run('host', () => this.#links.check(link))]
        for (const address of link.addresses) {
          const family = familyOf(address) === 4 ? '-4' : '-6'
          const shown = await this.net.ip('host', `${family} route show ${formatIp(address)}/${bitsOf(familyOf(address))}`)
          if (!shown.includes(`dev ${link.hostInterface}`)) faults.push(`the host route to ${formatIp(address)} is missing`)
        }
        return faults
      },
      mtu: () => 1480,
    }
  }
}

/** A plugin's executable, aimed at one node. */
export class Plugin {
  readonly #path: string
  readonly #node: Node

  constructor(folder: string, node: Node) {
    this.#path = join(folder, 'fibula')
    this.#node = node
  }

  /** Executes a command about container `containerId`; `over` adds to the configuration, `environment` to the variables (empty: unset). */
  run(
    command: string,
    {
      netns,
      containerId = 'c1',
      ifName = 'eth0',
      over = {},
      environment = {},
      stdin,
      signal,
    }: {
      readonly netns?: string
      readonly containerId?: string
      readonly ifName?: string
      readonly over?: Readonly<Record<string, unknown>>
      readonly environment?: Environment
      readonly stdin?: string | Uint8Array
      readonly signal?: AbortSignal
    } = {},
  ): Promise<Execution> {
    const variables = {
      CNI_COMMAND: command,
      CNI_CONTAINERID: containerId,
      CNI_NETNS: netns ?? '',
      CNI_IFNAME: ifName,
      CNI_PATH: '/opt/cni/bin',
      FIBULA_CNI_SOCKET: stdin === undefined ? undefined : this.#node.socket, // what is not our configuration names no socket
      ...environment,
    }
    const set = Object.fromEntries(Object.entries(variables).filter((entry): entry is [string, string] => (entry[1] ?? '') !== ''))
    return this.#execute(set, stdin ?? JSON.stringify({ ...this.#node.config, ...over }), signal)
  }

  /** With exactly these variables and this input. */
  raw(environment: Environment, stdin: string | 'closed'): Promise<Execution> {
    return this.#execute({ FIBULA_CNI_SOCKET: this.#node.socket, ...environment }, stdin)
  }

  #execute(environment: Environment, stdin: string | Uint8Array | 'closed', signal?: AbortSignal): Promise<Execution> {
    return execPlugin(this.#node.net.pathOf('host'), this.#path, environment, stdin, signal === undefined ? {} : { signal })
  }
}
