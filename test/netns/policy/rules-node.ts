// A node whose policy runs in this process, with a store in memory and real rules in a namespace: changes are taken in one by one, as fast as
// the kernel takes them, and a test can stand between the engine and the kernel.
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { Connections } from '../../../src/agent/dataplane/connections.ts'
import { Rules } from '../../../src/agent/dataplane/rules.ts'
import { PolicyMemory } from '../../../src/agent/policy/memory.ts'
import { type PolicyDataplane, PolicyRuntime } from '../../../src/agent/policy/runtime.ts'
import type { DataplaneRequests } from '../../../src/agent/threads.ts'
import type { PodLink } from '../../../src/cni/index.ts'
import { systemClock } from '../../../src/lib/clock.ts'
import { silentLog } from '../../../src/lib/log.ts'
import { ip } from '../../../src/net/index.ts'
import type { Netfilter } from '../../../src/netfilter/index.ts'
import type { PolicySettings } from '../../../src/policy/index.ts'
import { MemoryStore } from '../../../src/store/memory.ts'
import { buildNetns, type Netns } from '../../support/netns.ts'
import { until } from '../../support/poll.ts'
import { Host, NOTHING } from '../netfilter/host.ts'

const NODE = 'n1'

export class RulesNode implements AsyncDisposable {
  readonly net: Netns
  readonly store = new MemoryStore()
  readonly runtime: PolicyRuntime
  readonly host: Host
  readonly #folder = fs.mkdtempSync(path.join(os.tmpdir(), 'fib-rules-'))
  readonly #names: readonly string[]
  readonly #connections = new Connections()
  readonly #netfilter: Netfilter
  #revision = 0
  /** Called with the turn to write; what it does instead is up to it. */
  write: (turn: () => Promise<{ readonly ok: boolean }>, rules: Rules) => Promise<{ readonly ok: boolean }> = (turn) => turn()

  private constructor(net: Netns, names: readonly string[], missingPods: PolicySettings['missingPods']) {
    this.net = net
    this.#names = names
    this.host = new Host(net, NODE)
    this.#netfilter = this.host.netfilter({ clients: Rules.clientsWith({ pods: true }), readBackIntervalMs: 5_000 })
    const rules = new Rules(async () => this.#netfilter)
    const answers: { readonly [K in AskKind]: (request: DataplaneRequests[K]['request']) => Promise<DataplaneRequests[K]['answer']> } = {
      writePolicy: (request) => this.write(() => rules.writePolicy(request), rules),
      listConnections: async ({ addresses }) => this.net.run(NODE, () => [...this.#connections.list(addresses)]),
      cutConnections: async (wanted) => this.net.run(NODE, () => this.#connections.cut(wanted)),
    }
    const ask: PolicyDataplane['ask'] = (kind, request) => answers[kind](request)
    this.runtime = new PolicyRuntime({
      node: NODE,
      log: silentLog,
      clock: systemClock,
      store: this.store,
      dataplane: { ask },
      memory: new PolicyMemory(this.#folder, silentLog),
      settings: { ownNodeEgress: 'allow', missingPods },
      cutsConnections: true,
      onProblems: () => {},
    })
    void this.#netfilter.client('guards').apply(NOTHING)
  }

  /** Pods are namespaces with a veth pair and routes, as CNI would leave them. */
  static async start(
    topic: string,
    names: readonly string[],
    missingPods: PolicySettings['missingPods'] = 'unlabelled',
  ): Promise<RulesNode> {
    const links = names.map((name, at) => {
      const end = { node: name, name: 'eth0', addresses: [`10.1.0.${at + 1}/32`, `fd01::${at + 1}/128`] }
      return [{ node: NODE, name: interfaceOf(at), addresses: ['169.254.1.1/32', 'fe80::1/64'] }, end] as const
    })
    const net = await buildNetns(topic, { nodes: [NODE, ...names], links })
    const forward = 'echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding'
    await net.exec(NODE, 'sh', ['-c', forward])
    const routes = names.flatMap((_, at) => [
      `route add 10.1.0.${at + 1}/32 dev ${interfaceOf(at)}`,
      `route add fd01::${at + 1}/128 dev ${interfaceOf(at)}`,
    ])
    await net.ipBatch(NODE, routes)
    const defaults = ['route add 169.254.1.1 dev eth0', 'route add default via 169.254.1.1', 'route add default via fe80::1 dev eth0']
    await Promise.all(names.map((name) => net.ipBatch(name, defaults)))
    return new RulesNode(net, names, missingPods)
  }

  addressesOf(name: string): { readonly ipv4: string; readonly ipv6: string } {
    const at = this.#names.indexOf(name)
    return { ipv4: `10.1.0.${at + 1}`, ipv6: `fd01::${at + 1}` }
  }

  linkOf(name: string): PodLink {
    const { ipv4, ipv6 } = this.addressesOf(name)
    const hostInterface = interfaceOf(this.#names.indexOf(name))
    return {
      containerId: name,
      ifName: 'eth0',
      netns: this.net.pathOf(name),
      hostInterface,
      addresses: [ip(ipv4), ip(ipv6)],
      mtu: 1500,
      mac: null,
    }
  }

  async admit(name: string): Promise<void> {
    await this.runtime.admit(this.linkOf(name), { namespace: 'x', name, uid: null })
  }

  /** Creates an object in the store, or makes it another. */
  async put(object: object): Promise<void> {
    const { kind, metadata } = object as Put
    const known = await this.store.get(kind as 'Pod', metadata)
    const write = known === null ? this.store.create.bind(this.store) : this.store.update.bind(this.store)
    const version = known === null ? {} : { resourceVersion: known.metadata.resourceVersion }
    await write({ ...object, metadata: { ...metadata, ...version } } as never)
  }

  async take(object: object): Promise<void> {
    const { kind, metadata } = object as Put
    await this.store.delete(kind as 'Pod', metadata)
  }

  /** Resolves when the runtime has taken in all that the store says, and its rules are in the kernel. There has to be a policy. */
  async quiet(): Promise<void> {
    // Of two turns that end from here on, the second has begun here, too.
    for (let round = 0; round < 2; round++) {
      const { turns } = this.runtime.figures()
      await this.put({ kind: 'Namespace', apiVersion: 'v1', metadata: { name: 'quiet', labels: { revision: String(this.#revision++) } } })
      await until('a turn', () => this.runtime.figures().turns > turns, { everyMs: 5 })
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.runtime[Symbol.dispose]()
    await this.#netfilter[Symbol.asyncDispose]()
    this.#connections[Symbol.dispose]()
    this.host[Symbol.dispose]()
    await this.net[Symbol.asyncDispose]()
    fs.rmSync(this.#folder, { recursive: true, force: true })
  }
}

type Put = { readonly kind: string; readonly metadata: { readonly name: string; readonly namespace?: string } }
type AskKind = 'writePolicy' | 'listConnections' | 'cutConnections'

function interfaceOf(at: number): string {
  return `fib${(at + 1).toString(16).padStart(11, '0')}`
}
