// Throwaway network namespaces for tests on the real kernel: a namespace a node, veth pairs and switches between them, all built
// by a few `ip -batch` runs and gone at the end of the `await using` block, with every process that was started inside.
// Run such tests through test/netns/run.sh, which makes a leak impossible even when the test is killed.
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { type ExecOptions, type ExecOutput, exec } from '../../src/lib/exec.ts'
import { inNetns, settleThreadPool } from '../../src/sys/netns.ts'
import { until } from './poll.ts'

export type LinkEnd = {
  readonly node: string
  /** Interface name inside the node. */
  readonly name: string
  /** With prefix length; IPv6 is usable at once (no duplicate address detection). */
  readonly addresses?: readonly string[]
}

export type Topology = {
  readonly nodes: readonly string[]
  /** Veth pairs. */
  readonly links?: readonly (readonly [LinkEnd, LinkEnd])[]
  /** Each switch is a bridge in a namespace of its own, with one port for each end. */
  readonly switches?: readonly { readonly name: string; readonly ends: readonly LinkEnd[] }[]
  /** Interfaces that are up and lead nowhere: their far end, NAME-far, is in the same node. */
  readonly stubs?: readonly LinkEnd[]
}

let built = 0

/** Builds a topology; names of namespaces are `fib-TOPIC-PID-N-NODE`. Rejects, leaving nothing behind, if any part fails. */
export async function buildNetns(topic: string, topology: Topology): Promise<Netns> {
  await settleThreadPool()
  const netns = new Netns(`fib-${topic}-${process.pid}-${built++}`, [
    ...topology.nodes,
    ...(topology.switches ?? []).map((each) => each.name),
  ])
  try {
    await netns.build(topology)
    return netns
  } catch (cause) {
    await netns[Symbol.asyncDispose]()
    throw cause
  }
}

export class Netns implements AsyncDisposable {
  readonly #stem: string
  readonly #nodes: readonly string[]
  readonly #children = new Set<ChildProcess>()

  constructor(stem: string, nodes: readonly string[]) {
    this.#stem = stem
    this.#nodes = nodes
  }

  /** Name of a node's namespace, for `ip -n`. */
  nameOf(node: string): string {
    if (!this.#nodes.includes(node)) throw new RangeError(`no node ${node} in ${this.#stem}`)
    return `${this.#stem}-${node}`
  }

  /** Path of a node's namespace, for `nsenter --net=PATH` and `inNetns`. */
  pathOf(node: string): string {
    return `/run/netns/${this.nameOf(node)}`
  }

  /** `ip -n NODE …`, arguments separated by single spaces; resolves to its standard output. */
  async ip(node: string, command: string): Promise<string> {
    return (await exec('ip', ['-n', this.nameOf(node), ...command.split(' ')])).stdout
  }

  /** Many `ip` commands in one process, stopping at the first that fails. */
  async ipBatch(node: string, commands: readonly string[]): Promise<void> {
    await exec('ip', ['-n', this.nameOf(node), '-batch', '-'], { input: `${commands.join('\n')}\n` })
  }

  /** Runs a program inside a node to its end. */
  exec(node: string, command: string, args: readonly string[], options: ExecOptions = {}): Promise<ExecOutput> {
    return exec('nsenter', [`--net=${this.pathOf(node)}`, command, ...args], options)
  }

  /** Starts a program inside a node, in its own process group; that whole group is killed at the end of the test. */
  spawn(node: string, command: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const child = spawn('nsenter', [`--net=${this.pathOf(node)}`, command, ...args], { stdio: 'pipe', ...options, detached: true })
    this.#children.add(child)
    return child
  }

  /** Runs a synchronous function with this thread inside a node: sockets it opens stay there. */
  run<T>(node: string, work: () => T extends PromiseLike<unknown> ? never : T): T {
    return inNetns(this.pathOf(node), work)
  }

  async build({ links = [], switches = [], stubs = [] }: Topology): Promise<void> {
    await exec('ip', ['-batch', '-'], { input: this.#nodes.map((node) => `netns add ${this.nameOf(node)}\n`).join('') })
    // The addresses of a test are unique: waiting a second for duplicate address detection proves nothing.
    const noDad = 'for f in all default lo; do echo 0 > /proc/sys/net/ipv6/conf/$f/accept_dad; done; ip link set lo up'
    await Promise.all(this.#nodes.map((node) => this.exec(node, 'sh', ['-c', noDad])))
    const creation = new Batches()
    const configuration = new Batches()
    const use = (end: LinkEnd): void => {
      const addresses = (end.addresses ?? []).map(
        (address) => `address add ${address} dev ${end.name}${address.includes(':') ? ' nodad' : ''}`,
      )
      configuration.add(end.node, `link set ${end.name} up`, ...addresses)
    }
    for (const { name, ends } of switches) {
      creation.add(name, 'link add br0 type bridge', 'link set br0 up')
      for (const [port, end] of ends.entries()) {
        creation.add(
          name,
          `link add p${port} type veth peer name ${end.name} netns ${this.nameOf(end.node)}`,
          `link set p${port} master br0 up`,
        )
        use(end)
      }
    }
    for (const [a, b] of links) {
      creation.add(a.node, `link add ${a.name} type veth peer name ${b.name} netns ${this.nameOf(b.node)}`)
      use(a)
      use(b)
    }
    for (const end of stubs) {
      creation.add(end.node, `link add ${end.name} type veth peer name ${end.name}-far`, `link set ${end.name}-far up`)
      use(end)
    }
    for (const [node, commands] of [...creation.entries(), ...configuration.entries()]) await this.ipBatch(node, commands)
    const used = new Map<string, string[]>()
    const uses = (node: string, ...names: readonly string[]): void => void used.set(node, [...(used.get(node) ?? []), ...names])
    for (const { name, ends } of switches) {
      uses(name, ...ends.map((_, port) => `p${port}`), ...(ends.length === 0 ? [] : ['br0']))
      for (const end of ends) uses(end.node, end.name)
    }
    for (const { node, name } of links.flat()) uses(node, name)
    for (const { node, name } of stubs) uses(node, name, `${name}-far`)
    await Promise.all([...used].map(([node, names]) => this.#settled(node, names)))
  }

  /** What the kernel does a little later, on its own threads: links and ports that carry, link-local addresses that can be used. */
  async #settled(node: string, names: readonly string[]): Promise<void> {
    await until(
      `the links of ${node} carry and its addresses can be used`,
      async () => {
        const shown = JSON.parse(await this.ip(node, '-json address show')) as readonly ShownLink[]
        const waited = shown.filter(
          ({ ifname, operstate, addr_info }) =>
            names.includes(ifname) && (operstate !== 'UP' || addr_info.some(({ tentative }) => tentative === true)),
        )
        if (waited.length > 0) throw new Error(JSON.stringify(waited))
        return true
      },
      { everyMs: 25 },
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#children].map(endGroup))
    this.#children.clear()
    const listed = (await exec('ip', ['netns', 'list'])).stdout.split('\n').map((line) => line.split(' ')[0])
    const present = this.#nodes.map((node) => this.nameOf(node)).filter((name) => listed.includes(name))
    await exec('ip', ['-batch', '-'], { input: present.map((name) => `netns del ${name}\n`).join('') })
  }
}

type ShownLink = {
  readonly ifname: string
  readonly operstate: string
  readonly addr_info: readonly { readonly tentative?: boolean }[]
}

/** Commands by node: one `ip -batch` each, in the order the nodes were first named. */
class Batches {
  readonly #byNode = new Map<string, string[]>()

  add(node: string, ...commands: readonly string[]): void {
    const known = this.#byNode.get(node)
    if (known === undefined) this.#byNode.set(node, [...commands])
    else known.push(...commands)
  }

  entries(): Iterable<readonly [string, readonly string[]]> {
    return this.#byNode
  }
}

async function endGroup(child: ChildProcess): Promise<void> {
  if (child.pid === undefined) return
  const ended = child.exitCode !== null || child.signalCode !== null ? Promise.resolve() : once(child, 'close')
  try {
    process.kill(-child.pid, 'SIGKILL')
  } catch {
    // the whole group has ended already
  }
  await ended
}
