// A node: its own network, mount, host name, IPC and process namespaces, and in them containerd, kubelet and kube-proxy. What a disk
// would keep (images, the kubelet's and the agent's state, CNI configuration) lies in a folder and outlives a reboot; /run does not.
import fs from 'node:fs'
import path from 'node:path'
import { type ExecOptions, type ExecOutput, exec } from '../../../src/lib/exec.ts'
import { until } from '../poll.ts'
import { DEBIAN_PLUGINS, toolPath } from '../tools/index.ts'
import { clearCgroup, makeCgroup } from './cgroups.ts'
import type { Credentials } from './credentials.ts'
import type { Fabric } from './fabric.ts'
import { DNS_SERVICE, type NodeSpec, POD_RANGE } from './layout.ts'
import { PATIENCE_MS } from './patience.ts'
import { type Place, Program } from './process.ts'

export type KubeProxyMode = {
  readonly mode: 'iptables' | 'nftables'
  /** How it tells traffic of its own pods: their range of addresses, or the name of their interface on the node. */
  readonly localBy: { readonly kind: 'clusterCidr' } | { readonly kind: 'interfacePrefix'; readonly prefix: string }
}

export type NodeOptions = {
  readonly fabric: Fabric
  readonly folder: string
  /** Of the whole cluster: the node's own is below it. */
  readonly cgroup: string
  readonly credentials: Credentials
  readonly pauseImage: string
}

/** Folders of a node that a disk would hold, by where the node sees them. */
const DISK = {
  containerd: '/var/lib/containerd',
  kubelet: '/var/lib/kubelet',
  cniState: '/var/lib/cni',
  fibula: '/var/lib/fibula',
  log: '/var/log',
  cni: '/etc/cni',
  plugins: '/opt/cni/bin',
} as const

/** What a kubelet would set on the machine, shown to it as set: this machine is not ours alone. */
const SYSCTLS: Readonly<Record<string, string>> = {
  'vm/overcommit_memory': '1',
  'vm/panic_on_oom': '0',
  'kernel/panic': '10',
  'kernel/panic_on_oops': '1',
  'kernel/keys/root_maxkeys': '1000000',
  'kernel/keys/root_maxbytes': '25000000',
}

// $1 the node's folder, $2 its name, $3 its first process
const BOOT = `hostname "$2"
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/netns /run/lock
for each in ${Object.entries(DISK)
  .map(([name, target]) => `${name}:${target}`)
  .join(' ')}; do
  mkdir -p "$1/\${each%%:*}" "\${each#*:}"
  mount --bind "$1/\${each%%:*}" "\${each#*:}"
done
for each in $(cd "$1/sysctl" && find . -type f); do [ ! -e "/proc/sys/$each" ] || mount --bind "$1/sysctl/$each" "/proc/sys/$each"; done
mount --make-rshared /
touch /run/booted
exec "$3"`

export class Node {
  readonly spec: NodeSpec
  readonly #fabric: Fabric
  readonly #folder: string
  readonly #cgroup: string
  readonly #credentials: Credentials
  readonly #pauseImage: string
  #init: Program | undefined
  #programs = new Map<string, Program>()
  #pid = 0

  constructor(spec: NodeSpec, options: NodeOptions) {
    this.spec = spec
    this.#fabric = options.fabric
    this.#folder = path.join(options.folder, spec.name)
    this.#cgroup = makeCgroup(options.cgroup, spec.name)
    this.#credentials = options.credentials
    this.#pauseImage = options.pauseImage
    for (const name of Object.keys(DISK)) fs.mkdirSync(path.join(this.#folder, name), { recursive: true })
    fs.cpSync(DEBIAN_PLUGINS, path.join(this.#folder, 'plugins'), { recursive: true })
    fs.mkdirSync(path.join(this.#folder, 'cni/net.d'), { recursive: true })
    for (const [name, value] of Object.entries(SYSCTLS)) {
      fs.mkdirSync(path.dirname(path.join(this.#folder, 'sysctl', name)), { recursive: true })
      fs.writeFileSync(path.join(this.#folder, 'sysctl', name), `${value}\n`)
    }
  }

  get name(): string {
    return this.spec.name
  }

  /** Front of a command line that runs on the node. */
  get place(): Place {
    return ['nsenter', '--target', String(this.#pid), '--mount', '--net', '--uts', '--ipc', '--pid']
  }

  /** The node's folder for CNI configurations, as seen from here. */
  get cniConfigurations(): string {
    return path.join(this.#folder, 'cni/net.d')
  }

  /** Runs a program on the node to its end. */
  exec(command: readonly string[], options: ExecOptions = {}): Promise<ExecOutput> {
    const [first = '', ...rest] = [...this.place, ...command]
    return exec(first, rest, options)
  }

  /** Powers the machine on: namespaces and containerd. `startKubelet` makes it a node. */
  async boot(): Promise<void> {
    const clear = (): boolean => {
      clearCgroup(this.#cgroup)
      return true
    }
    await until(`the cgroups that ${this.name} had are gone`, clear, { deadlineMs: PATIENCE_MS })
    const unshare = ['unshare', '--mount', '--uts', '--ipc', '--pid', '--fork', '--kill-child', '--mount-proc']
    const command = [...unshare, 'sh', '-eu', '-c', BOOT, 'boot', this.#folder, this.name, toolPath('pause')]
    const init = Program.start(`${this.name} boot`, this.#fabric.place(this.name), command, this.#log('boot'))
    this.#init = init
    await until(
      `${this.name} boots`,
      () => {
        init.assertRunning()
        const [child] = fs.readFileSync(`/proc/${init.pid}/task/${init.pid}/children`, 'utf8').trim().split(' ')
        if (child === undefined || child === '' || !fs.existsSync(`/proc/${child}/root/run/booted`)) return false
        this.#pid = Number(child)
        return true
      },
      { deadlineMs: PATIENCE_MS },
    )
    fs.writeFileSync(path.join(this.#folder, 'containerd.toml'), containerdConfig(this.#pauseImage))
    this.#start('containerd', [toolPath('containerd'), '--config', path.join(this.#folder, 'containerd.toml')], {
      env: { ...process.env, PATH: `${path.dirname(toolPath('containerd-shim-runc-v2'))}:${process.env['PATH']}` },
    })
    await until(
      `${this.name}: containerd answers`,
      async () => {
        this.#program('containerd').assertRunning()
        return await this.ctr('version')
      },
      { deadlineMs: PATIENCE_MS },
    )
  }

  /** How many network namespaces of pods the runtime holds: one goes only after the network has been told. */
  podNamespaces(): number {
    return fs.readdirSync(`/proc/${this.#pid}/root/run/netns`).length
  }

  /** Where the pod with that address is: its network namespace. Throws if no pod of this node has the address. */
  async podPlace(address: string): Promise<Place> {
    const folder = `/proc/${this.#pid}/root/run/netns`
    let last: unknown
    for (const name of fs.readdirSync(folder)) {
      const place = ['nsenter', `--net=${path.join(folder, name)}`]
      try {
        const addresses = await exec('nsenter', [...place.slice(1), 'ip', '-oneline', 'address', 'show'])
        if (addresses.stdout.includes(` ${address}/`)) return place
      } catch (cause) {
        last = cause // that of a pod that is just going, of the specs before: not the one that is looked for
      }
    }
    throw new Error(`no pod on ${this.name} has the address ${address}`, { cause: last })
  }

  /** SIGKILL to the first process of a container, by its id in the pod's status (containerd://…). */
  async killContainer(containerId: string): Promise<void> {
    const tasks = await this.ctr('tasks', 'list')
    const id = containerId.replace('containerd://', '')
    const pid = tasks.stdout
      .split('\n')
      .find((line) => line.startsWith(id))
      ?.split(/\s+/)[1]
    if (pid === undefined) throw new Error(`${this.name} runs no container ${containerId}`)
    await this.exec(['kill', '-KILL', pid])
  }

  ctr(...args: readonly string[]): Promise<ExecOutput> {
    return this.exec([toolPath('ctr'), '--namespace', 'k8s.io', ...args], { timeoutMs: PATIENCE_MS })
  }

  async importImage(archive: string): Promise<void> {
    await this.ctr('images', 'import', '--local', archive)
  }

  /** Gives an image of the node one more name, as if it had been pulled by it. */
  async nameImage(name: string, another: string): Promise<void> {
    await this.ctr('images', 'tag', name.includes('/') ? name : `docker.io/library/${name}`, another)
  }

  startKubelet(): void {
    const file = path.join(this.#folder, 'kubelet.json')
    const resolv = path.join(this.#folder, 'resolv.conf')
    fs.writeFileSync(resolv, '')
    fs.writeFileSync(file, JSON.stringify(kubeletConfig(this.#cgroup, resolv)))
    const { address, rack } = this.spec
    this.#start('kubelet', [
      toolPath('kubelet'),
      `--config=${file}`,
      `--kubeconfig=${this.#credentials.kubeconfig(`system:node:${this.name}`)}`,
      `--hostname-override=${this.name}`,
      `--node-ip=${address.ipv4},${address.ipv6}`,
      `--node-labels=rack=${rack}`,
    ])
  }

  /** Starts kube-proxy, or starts it again in another mode after taking the first one's rules away. */
  async startKubeProxy({ mode, localBy }: KubeProxyMode): Promise<void> {
    if (this.#programs.has('kube-proxy')) {
      await this.#program('kube-proxy').kill()
      await this.exec([toolPath('kube-proxy'), '--cleanup'])
    }
    this.#start('kube-proxy', [
      toolPath('kube-proxy'),
      `--kubeconfig=${this.#credentials.kubeconfig('system:kube-proxy')}`,
      `--hostname-override=${this.name}`,
      `--proxy-mode=${mode}`,
      '--conntrack-max-per-core=0', // these sysctls belong to the machine
      '--conntrack-min=0',
      '--conntrack-tcp-timeout-established=0',
      '--conntrack-tcp-timeout-close-wait=0',
      ...(localBy.kind === 'clusterCidr'
        ? ['--detect-local-mode=ClusterCIDR', `--cluster-cidr=${POD_RANGE.ipv4},${POD_RANGE.ipv6}`]
        : ['--detect-local-mode=InterfaceNamePrefix', `--pod-interface-name-prefix=${localBy.prefix}`]),
    ])
    await until(
      `${this.name}: kube-proxy serves`,
      async () => {
        this.#program('kube-proxy').assertRunning()
        return (await this.exec(['ss', '-Hltn', 'sport = :10256'])).stdout !== ''
      },
      { deadlineMs: PATIENCE_MS, everyMs: 250 },
    )
  }

  /** Throws with the end of its log if one of the node's programs has ended. */
  assertRunning(): void {
    for (const each of this.#programs.values()) each.assertRunning()
  }

  /** The power fails: every process of the node ends at once. */
  async powerOff(): Promise<void> {
    await this.#init?.kill()
    await Promise.all([...this.#programs.values()].map((each) => each.ended()))
    this.#programs = new Map()
    this.#pid = 0
  }

  log(name: 'containerd' | 'kubelet' | 'kube-proxy', characters?: number): string {
    return this.#program(name).log(characters)
  }

  #start(name: string, command: readonly string[], options: { readonly env?: NodeJS.ProcessEnv } = {}): void {
    this.#programs.set(name, Program.start(`${this.name} ${name}`, this.place, command, this.#log(name), options))
  }

  #program(name: string): Program {
    const program = this.#programs.get(name)
    if (program === undefined) throw new Error(`${this.name} has no ${name}`)
    return program
  }

  #log(name: string): string {
    return path.join(this.#folder, `${name}.log`)
  }
}

/** config.toml, version 3. Without CAP_SYS_RESOURCE (`restrict_oom_score_adj`) no sandbox could start in a container. */
function containerdConfig(pause: string): string {
  return `version = 3
root = "/var/lib/containerd"
state = "/run/containerd"
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "${pause}"
[plugins."io.containerd.cri.v1.runtime"]
  restrict_oom_score_adj = true
  disable_apparmor = true
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["/opt/cni/bin"]
  conf_dir = "/etc/cni/net.d"
`
}

function kubeletConfig(cgroup: string, resolvConf: string): object {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    // So that logs, exec and port-forward work without certificates: nobody else can reach this network.
    authentication: { anonymous: { enabled: true }, webhook: { enabled: false } },
    authorization: { mode: 'AlwaysAllow' },
    cgroupDriver: 'cgroupfs',
    cgroupRoot: cgroup,
    failCgroupV1: false,
    enforceNodeAllocatable: [],
    clusterDNS: [DNS_SERVICE.ipv4],
    clusterDomain: 'cluster.local',
    containerRuntimeEndpoint: 'unix:///run/containerd/containerd.sock',
    // The machine's disk is not the cluster's business.
    evictionHard: { 'memory.available': '0%', 'nodefs.available': '0%', 'nodefs.inodesFree': '0%', 'imagefs.available': '0%' },
    imageGCHighThresholdPercent: 100,
    localStorageCapacityIsolation: false,
    failSwapOn: false,
    resolvConf,
    volumePluginDir: '/var/lib/kubelet/volume-plugins',
    maxPods: 150,
    serializeImagePulls: false,
    registryPullQPS: 0,
    eventRecordQPS: 0,
    kubeAPIQPS: 50,
    kubeAPIBurst: 100,
  }
}
