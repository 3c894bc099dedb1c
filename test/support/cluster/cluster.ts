// A real Kubernetes cluster on this machine: a control plane, three nodes on two subnets, a top-of-rack router that speaks BGP, and a
// client behind it. Run inside the namespaces that test/cluster/run.sh makes: they are what cleans up, whatever happens.
import path from 'node:path'
import { type ExecOptions, type ExecOutput, exec } from '../../../src/lib/exec.ts'
import { until } from '../poll.ts'
import { toolPath } from '../tools/index.ts'
import { useBridge } from './bridge.ts'
import { ControlPlane } from './control-plane.ts'
import { Credentials } from './credentials.ts'
import { dnsManifests } from './dns.ts'
import { Fabric } from './fabric.ts'
import { type ImageArchive, readArchive, upstreamImages } from './images.ts'
import { NODES } from './layout.ts'
import { type KubeProxyMode, Node } from './node.ts'
import { KUBECTL_PATIENCE, PATIENCE_FLAG, PATIENCE_MS } from './patience.ts'
import type { Place } from './process.ts'

export type ClusterOptions = {
  /** `none`: whoever starts the cluster installs a network, and nodes stay NotReady until then. */
  readonly network: 'bridge' | 'none'
  /** Archives of images beside upstream's. */
  readonly images?: readonly string[]
  /** False: not at all. With the network `none`, `startDns` starts it. */
  readonly dns: boolean
  readonly kubeProxy: KubeProxyMode
  /** Told in a few words what is being done. */
  readonly progress: (what: string) => void
}

export class Cluster implements AsyncDisposable {
  readonly folder: string
  readonly fabric: Fabric
  readonly credentials: Credentials
  readonly nodes: readonly Node[]
  readonly #controlPlane: ControlPlane
  readonly #images: readonly ImageArchive[]
  readonly #dnsImage: string | undefined
  /** Names of upstream's images that every node has. */
  readonly upstream: { readonly pause: string; readonly agnhost: string }

  private constructor(parts: Pick<Cluster, 'folder' | 'fabric' | 'credentials' | 'nodes' | 'upstream'> & ClusterParts) {
    this.folder = parts.folder
    this.fabric = parts.fabric
    this.credentials = parts.credentials
    this.nodes = parts.nodes
    this.upstream = parts.upstream
    this.#controlPlane = parts.controlPlane
    this.#images = parts.images
    this.#dnsImage = parts.dnsImage
  }

  /** Started, with every node registered; and, unless the network is `none`, ready, with DNS answering. */
  static async start({ network, images: more = [], dns, kubeProxy, progress }: ClusterOptions): Promise<Cluster> {
    const { FIBULA_CLUSTER_DIR: folder, FIBULA_CLUSTER_CGROUP: cgroup } = process.env
    if (folder === undefined || cgroup === undefined) throw new Error('a cluster is started by test/cluster/run.sh')
    progress('fabric and control plane')
    const { pause, agnhost } = await upstreamImages()
    const dnsImage = dns ? await readArchive(toolPath('coredns.tar')) : undefined
    const images = [pause, agnhost, ...(dnsImage === undefined ? [] : [dnsImage]), ...(await Promise.all(more.map(readArchive)))]
    const fabric = await Fabric.build()
    const credentials = await Credentials.make(path.join(folder, 'credentials'))
    const controlPlane = await ControlPlane.start(fabric.place('control'), folder, credentials)
    progress('three nodes')
    const nodes = NODES.map((spec) => new Node(spec, { fabric, folder, cgroup, credentials, pauseImage: pause.name }))
    const cluster = new Cluster({
      folder,
      fabric,
      credentials,
      nodes,
      upstream: { pause: pause.name, agnhost: agnhost.name },
      controlPlane,
      images,
      dnsImage: dnsImage?.name,
    })
    if (network === 'bridge') await useBridge(fabric, nodes)
    await Promise.all(nodes.map((node) => node.boot()))
    progress('images')
    await Promise.all(nodes.map((node) => cluster.#importImages(node)))
    for (const node of nodes) node.startKubelet()
    await Promise.all(nodes.map((node) => node.startKubeProxy(kubeProxy)))
    progress('nodes register')
    await cluster.kubectlUntil(
      'every node is registered',
      ['get', 'nodes', '-o', 'name'],
      (text) => text.trim().split('\n').length === NODES.length,
    )
    if (network !== 'none') {
      if (dns) await cluster.startDns()
      await cluster.ready()
    }
    return cluster
  }

  /** CoreDNS, whose pod runs as soon as there is a network. The cluster was started with its image. */
  async startDns(): Promise<void> {
    if (this.#dnsImage === undefined) throw new Error('this cluster was started without DNS')
    await this.apply(dnsManifests(this.#dnsImage))
  }

  /** Waits until every node is Ready, and DNS if there is one. */
  async ready(): Promise<void> {
    // A kubelet that could not write its CSINode because the node was not registered yet tries again after two minutes.
    await this.kubectl(['wait', '--for=condition=Ready', 'nodes', '--all', PATIENCE_FLAG], KUBECTL_PATIENCE)
    const deployments = await this.kubectl(['get', 'deployments', '--namespace', 'kube-system', '-o', 'name'])
    if (deployments.stdout.includes('coredns'))
      await this.kubectl(['rollout', 'status', 'deployment/coredns', '--namespace', 'kube-system', PATIENCE_FLAG], KUBECTL_PATIENCE)
  }

  node(name: string): Node {
    const node = this.nodes.find((each) => each.name === name)
    if (node === undefined) throw new RangeError(`no node ${name}`)
    return node
  }

  /** Front of a command line that runs where the control plane does. */
  get place(): Place {
    return this.fabric.place('control')
  }

  get adminConfig(): string {
    return this.credentials.kubeconfig('admin')
  }

  /** Runs a program with the administrator's kubeconfig, where the control plane is. */
  run(command: readonly string[], options: ExecOptions = {}): Promise<ExecOutput> {
    const [first = '', ...rest] = [...this.place, ...command]
    return exec(first, rest, {
      timeoutMs: PATIENCE_MS,
      ...options,
      env: { ...process.env, ...options.env, KUBECONFIG: this.adminConfig, HOME: this.folder },
    })
  }

  kubectl(args: readonly string[], options: ExecOptions = {}): Promise<ExecOutput> {
    return this.run([toolPath('kubectl'), ...args], options)
  }

  /** Parses what `kubectl ARGS -o json` prints; the caller knows its shape. */
  async get<T>(args: readonly string[]): Promise<T> {
    return JSON.parse((await this.kubectl(['get', ...args, '-o', 'json'])).stdout) as T
  }

  async apply(manifests: readonly object[]): Promise<void> {
    await this.kubectl(['apply', '-f', '-'], { input: JSON.stringify({ apiVersion: 'v1', kind: 'List', items: manifests }) })
  }

  async kubectlUntil(what: string, args: readonly string[], holds: (stdout: string) => boolean, deadlineMs = PATIENCE_MS): Promise<void> {
    let seen = ''
    await until(
      what,
      async () => {
        for (const node of this.nodes) node.assertRunning()
        seen = (await this.kubectl(args)).stdout
        return holds(seen)
      },
      { deadlineMs, everyMs: 250, explain: () => seen.slice(-2_000) },
    )
  }

  /** The power of a node fails, and comes back: new namespaces, an empty /run, the same disk. Resolves when its programs run again. */
  async reboot(node: Node, kubeProxy: KubeProxyMode): Promise<void> {
    await node.powerOff()
    await this.fabric.unplug(node.spec)
    await this.fabric.plug(node.spec)
    await node.boot()
    node.startKubelet()
    await node.startKubeProxy(kubeProxy)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.powerOff()))
    await this.#controlPlane.stop()
    await this.fabric[Symbol.asyncDispose]()
  }

  async #importImages(node: Node): Promise<void> {
    for (const { file } of this.#images) await node.importImage(file)
  }
}

type ClusterParts = {
  readonly controlPlane: ControlPlane
  readonly images: readonly ImageArchive[]
  readonly dnsImage: string | undefined
}
