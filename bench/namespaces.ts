// The wires of a run: network namespaces with names of their own, so that nothing leaves them, and their removal, also of what
// a killed run left behind.
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { exec } from '../src/lib/exec.ts'

const PREFIX = 'fib-bench-'
export const NETNS_DIRECTORY = '/run/netns'

/** Addresses one end of a link has, with prefix length. */
export type LinkEnd = { readonly namespace: string; readonly device: string; readonly addresses: readonly string[] }

/** Runs `ip` on each line of a batch. Rejects with ExecError. */
export async function ipBatch(lines: readonly string[], namespace?: string): Promise<void> {
  await exec('ip', [...(namespace === undefined ? [] : ['-n', namespace]), '-batch', '-'], { input: `${lines.join('\n')}\n` })
}

/** A set of namespaces that lives as long as one run. */
export class Namespaces implements AsyncDisposable {
  readonly #names: string[] = []
  /** Nothing runs in them. */
  readonly #pods: string[] = []

  /** Makes a namespace whose name carries our pid, and brings its loopback up. */
  async add(role: string): Promise<string> {
    const name = `${PREFIX}${process.pid}-${role}`
    await exec('ip', ['netns', 'add', name])
    this.#names.push(name)
    const settings = [
      'net.ipv6.conf.all.accept_dad=0',
      'net.ipv6.conf.default.accept_dad=0',
      'net.ipv4.ip_forward=1',
      'net.ipv6.conf.all.forwarding=1',
    ]
    await exec('ip', ['netns', 'exec', name, 'sysctl', '-qw', ...settings])
    await ipBatch(['link set lo up'], name)
    return name
  }

  /** Makes `count` empty namespaces, for pods, in one go. */
  async addPods(count: number): Promise<readonly string[]> {
    const names = Array.from({ length: count }, (_, index) => `${PREFIX}${process.pid}-pod${index}`)
    await ipBatch(names.map((name) => `netns add ${name}`))
    this.#pods.push(...names)
    return names
  }

  /** Joins two namespaces by a veth pair. */
  async link(one: LinkEnd, other: LinkEnd): Promise<void> {
    await ipBatch([`link add ${one.device} netns ${one.namespace} type veth peer name ${other.device} netns ${other.namespace}`])
    for (const end of [one, other]) {
      await ipBatch(
        [
          ...end.addresses.map((address) => `addr add ${address} dev ${end.device}${address.includes(':') ? ' nodad' : ''}`),
          `link set ${end.device} up`,
        ],
        end.namespace,
      )
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const pods = this.#pods.splice(0)
    if (pods.length > 0) await ipBatch(pods.map((name) => `netns del ${name}`))
    for (const name of this.#names.splice(0)) await removeNamespace(name)
  }
}

/** Process ids within a namespace. */
export async function processesIn(namespace: string): Promise<readonly number[]> {
  const { stdout } = await exec('ip', ['netns', 'pids', namespace])
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map(Number)
}

/** Where files are in memory (tmpfs), if the machine has such a place. */
export const MEMORY = existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

/** A directory of one run, named as its namespaces are. */
export function makeScratchDirectory(parent = tmpdir()): string {
  return mkdtempSync(join(parent, `${PREFIX}${process.pid}-`))
}

/** Removes the namespaces, with their processes, and the directories of runs whose process is gone, and our own. */
export async function removeLeftovers(): Promise<readonly string[]> {
  const namespaces = abandoned(NETNS_DIRECTORY)
  for (const name of namespaces) await removeNamespace(name)
  const directories = [...new Set([tmpdir(), MEMORY])].flatMap((parent) => abandoned(parent).map((name) => join(parent, name)))
  for (const directory of directories) rmSync(directory, { recursive: true, force: true })
  return [...namespaces, ...directories]
}

/** Names in a directory that bear our prefix and a pid that is ours or nobody's. */
function abandoned(directory: string): readonly string[] {
  return namesIn(directory).filter((name) => {
    if (!name.startsWith(PREFIX)) return false
    const pid = Number(name.slice(PREFIX.length).split('-')[0])
    return pid === process.pid || !isAlive(pid)
  })
}

function namesIn(directory: string): readonly string[] {
  try {
    return readdirSync(directory)
  } catch {
    return [] // no namespace was ever made on this machine
  }
}

/** Ends the processes that are still in it, then the namespace. */
async function removeNamespace(name: string): Promise<void> {
  for (const pid of await processesIn(name)) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {} // ended by itself meanwhile
  }
  await exec('ip', ['netns', 'delete', name])
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
