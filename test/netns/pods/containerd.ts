// A real containerd on a node of the cluster: in the node's network namespace and a mount namespace of its own, where the folders
// of the runtime (network configuration, plugins, results, shims' sockets) are the node's.
import fs from 'node:fs'
import path from 'node:path'
import { type ExecOutput, exec } from '../../../src/lib/exec.ts'
import { NetnsProcess } from '../../support/netns-process.ts'
import { until } from '../../support/poll.ts'
import { CONTAINERD, CONTAINERD_FOLDER, CTR, DEBIAN_PLUGINS, POD_IMAGE, POD_IMAGE_ARCHIVE } from '../../support/tools/index.ts'
import type { Cluster } from './cluster.ts'
import { type ClusterNode, type CniResult, SHIM } from './node.ts'

export const CONTAINERD_PROGRAMS = [CONTAINERD, CTR, POD_IMAGE_ARCHIVE, 'runc', `${DEBIAN_PLUGINS}/portmap`]

const CGROUPS = '/sys/fs/cgroup'

/** config.toml, version 3: only what `ctr run` needs; the Kubernetes side is off. */
function config(folder: string): string {
  return `version = 3
root = "${folder}/root"
state = "${folder}/state"
disabled_plugins = ["io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime", "io.containerd.grpc.v1.cri"]
[grpc]
  address = "${folder}/containerd.sock"
[ttrpc]
  address = "${folder}/containerd.sock.ttrpc"
`
}

export class Containerd implements AsyncDisposable {
  readonly #cluster: Cluster
  readonly #node: ClusterNode
  readonly #folder: string
  /** containerd's own namespace, and so the cgroup of its containers. */
  readonly #namespace: string
  readonly #process: NetnsProcess

  private constructor(cluster: Cluster, node: ClusterNode, folder: string) {
    this.#cluster = cluster
    this.#node = node
    this.#folder = folder
    this.#namespace = cluster.net.nameOf(node.name)
    // libcni, ctr and containerd's shims use these places whatever they are told; the mount namespace makes them the node's.
    const script = `mkdir -p /etc/cni/net.d /opt/cni/bin /var/lib/cni /run/containerd
mount --bind "$1" /etc/cni/net.d; mount --bind "$2/bin" /opt/cni/bin; mount --bind "$2/cni" /var/lib/cni
mount -t tmpfs tmpfs /run/containerd
exec "$3" --config "$2/config.toml"`
    const args = ['-m', '--propagation', 'slave', 'sh', '-e', '-c', script, 'containerd', node.confFolder, folder, CONTAINERD]
    const env = { ...process.env, PATH: `${CONTAINERD_FOLDER}:${process.env['PATH']}` }
    this.#process = new NetnsProcess(cluster.net, node.name, 'unshare', args, path.join(folder, 'log'), { env })
  }

  /** Starts containerd on a node whose agent runs, and gives it the test image. */
  static async start(cluster: Cluster, node: ClusterNode): Promise<Containerd> {
    const folder = cluster.scratch(`containerd-${node.name}`)
    for (const each of ['bin', 'cni']) fs.mkdirSync(path.join(folder, each), { recursive: true })
    fs.cpSync(DEBIAN_PLUGINS, path.join(folder, 'bin'), { recursive: true })
    fs.copyFileSync(SHIM, path.join(folder, 'bin/fibula'))
    fs.writeFileSync(path.join(folder, 'config.toml'), config(folder))
    const started = new Containerd(cluster, node, folder)
    try {
      await until('containerd answers', async () => {
        started.#process.assertRunning()
        return await started.ctr('version')
      })
      await started.ctr('images', 'import', POD_IMAGE_ARCHIVE)
      return started
    } catch (cause) {
      await started[Symbol.asyncDispose]()
      throw new Error(`${(cause as Error).message}\n${started.#process.log()}`, { cause })
    }
  }

  /** `ctr ARGS`, where containerd runs. */
  ctr(...args: readonly string[]): Promise<ExecOutput> {
    const command = [CTR, '--address', `${this.#folder}/containerd.sock`, '--namespace', this.#namespace, ...args]
    return exec('nsenter', ['--target', String(this.#process.pid), '--mount', '--net', ...command])
  }

  /** Starts a container with a network: `ctr run --cni`. It answers on TCP port `port`. Returns what the plugin answered. */
  async run(id: string, port: number): Promise<CniResult> {
    await this.ctr('run', '--detach', '--cni', POD_IMAGE, id, '/pod', String(port))
    const results = path.join(this.#folder, 'cni/results')
    const file = fs.readdirSync(results).find((name) => name.endsWith(`-${this.#namespace}-${id}-eth0`))
    if (file === undefined) throw new Error(`no result of ${id} among ${fs.readdirSync(results).join(', ')}`)
    return (JSON.parse(fs.readFileSync(path.join(results, file), 'utf8')) as { readonly result: CniResult }).result
  }

  /** Ends a container. ctr calls DEL without CNI_NETNS: the namespace goes with the process. */
  async stop(id: string): Promise<void> {
    await this.ctr('tasks', 'kill', '--signal', 'SIGKILL', id)
    await until(`container ${id} has ended`, async () => (await this.ctr('tasks', 'delete', id).catch(ended)) !== null)
    await this.ctr('containers', 'delete', id)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process.end('SIGTERM')
    // shims and containers outlive containerd
    const { stdout } = await exec('ip', ['netns', 'pids', this.#cluster.net.nameOf(this.#node.name)])
    const left = stdout.split('\n').filter((pid) => pid !== '' && isShim(pid))
    for (const pid of left) process.kill(Number(pid), 'SIGKILL')
    for (const controller of fs.readdirSync(CGROUPS)) removeCgroup(path.join(CGROUPS, controller, this.#namespace))
  }
}

/** `tasks delete` refuses as long as the task's end has not come through: null then. */
function ended(cause: Error): null {
  if (/must be stopped|not stopped|running/i.test(cause.message)) return null
  throw cause
}

function isShim(pid: string): boolean {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith(path.join(CONTAINERD_FOLDER, 'containerd-shim'))
  } catch {
    return false // ended meanwhile
  }
}

/** Deepest first: a cgroup with children cannot be removed. Absent: fine. */
function removeCgroup(folder: string): void {
  if (!fs.existsSync(folder)) return
  for (const entry of fs.readdirSync(folder, { withFileTypes: true })) if (entry.isDirectory()) removeCgroup(path.join(folder, entry.name))
  try {
    fs.rmdirSync(folder)
  } catch {
    // a process in it is still ending: an empty cgroup hurts nobody
  }
}
