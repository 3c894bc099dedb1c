// A node of a cluster: a real agent in a namespace, with exactly the rights it asks for, at a real API server, and a real BIRD as its
// top-of-rack router. `kubectl` is the administrator's hand.
import { spawnSync } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { stringify } from 'yaml'
import { type AgentStatus, CONTROL_SOCKET } from '../../../src/agent/control-api.ts'
import { AGENT_RIGHTS } from '../../../src/agent/index.ts'
import type { PeerStatus } from '../../../src/bgp/status.ts'
import { requestJson } from '../../../src/lib/unix-http.ts'
import type { NodeNetwork, Store } from '../../../src/store/index.ts'
import { KubernetesStore } from '../../../src/store/kubernetes/adapter.ts'
import { ApiServer } from '../../../src/store/kubernetes/api-server.ts'
import { Bird } from '../../support/daemons/bird.ts'
import { daemonConfig, peerConfig } from '../../support/daemons/daemon.ts'
import { KubeApi } from '../../support/kube/api-server.ts'
import { installCrds, makeNamespace } from '../../support/kube/apply.ts'
import { Relay } from '../../support/kube/relay.ts'
import { grantRights } from '../../support/kube/rights.ts'
import { buildNetns, type Netns } from '../../support/netns.ts'
import { NetnsProcess } from '../../support/netns-process.ts'
import { until } from '../../support/poll.ts'

const ROOT = path.resolve(import.meta.dirname, '../../..')
export const NAMESPACE = 'fibula-system'
export const NODE = 'n1'
export const TOR = '10.0.0.1'
/** Namespaces for pods. */
export const PODS = ['p1', 'p2', 'p3'] as const
export const PASSWORD = 'erstes-geheimnis'
export const USER = { token: 'agent-token', name: `system:serviceaccount:${NAMESPACE}:fibula-agent`, groups: ['system:serviceaccounts'] }
/** What `describeWith` has to find. */
export const PROGRAMS: readonly string[] = ['ip', 'nsenter', 'bird', 'birdc', 'curl']

const API = 'fibula.network/v1alpha1'
const TOR_ASN = 65_001
const NODE_ASN = 64_512
/** The plugin as `make build` leaves it. */
export const SHIM = path.join(ROOT, 'dist/cni/fibula')
/** Behind the router, and on the node: routes between them come from BGP alone. */
export const BEHIND = { tor: '192.0.2.1', node: '198.51.100.1' }

export type AgentRun = {
  /** More arguments. */
  readonly args?: readonly string[]
  /** Served only if it is to give pods addresses. */
  readonly servesPods?: boolean
}

export class World implements AsyncDisposable {
  readonly kube: KubeApi
  readonly net: Netns
  readonly admin: Store
  readonly #relay: Relay
  readonly #folder: string
  #process: NetnsProcess | null = null
  #bird: Bird | null = null

  private constructor(kube: KubeApi, net: Netns, relay: Relay) {
    this.kube = kube
    this.net = net
    this.admin = new KubernetesStore(kube.connection())
    this.#relay = relay
    this.#folder = fs.mkdtempSync(path.join(os.tmpdir(), 'fib-kubeagent-'))
    for (const name of ['run', 'state', 'net.d']) fs.mkdirSync(this.folder(name))
  }

  /** The API server with CRDs, roles, a Node, a configuration and a password; nothing runs in the namespaces yet. */
  static async start(): Promise<World> {
    const kube = await KubeApi.start([USER])
    await installCrds(kube.connection())
    await makeNamespace(kube.connection(), NAMESPACE)
    const rights = AGENT_RIGHTS.filter(({ when }) => when !== 'detection') // those are for a test of its own
    await grantRights(kube.connection(), USER.name, NAMESPACE, rights)
    const end = (node: string, host: number) => ({ node, name: 'eth0', addresses: [`10.0.0.${host}/24`, `fd00::${host}/64`] })
    const net = await buildNetns('kubeagent', {
      nodes: [NODE, 'tor', ...PODS],
      switches: [{ name: 'lan', ends: [end(NODE, 11), end('tor', 1)] }],
    })
    await net.ip(NODE, `address add ${BEHIND.node}/32 dev lo`)
    await net.ip('tor', `address add ${BEHIND.tor}/32 dev lo`)
    const relay = await Relay.to(kube.url)
    await relay.open(net, NODE)
    const world = new World(kube, net, relay)
    await world.makeCluster()
    return world
  }

  async makeCluster(): Promise<void> {
    await this.makeNode(NODE, '10.0.0.11', { rack: 'a' })
    await this.apply({
      kind: 'BGPConfiguration',
      metadata: { name: 'default' },
      spec: { asNumber: NODE_ASN, connectRetryTime: '1s', networks: [`${BEHIND.node}/32`] },
    })
    await this.apply({ kind: 'BGPFilter', metadata: { name: 'everything' }, spec: { importV4: [{ action: 'Accept' }] } })
    await this.apply({ kind: 'IPPool', metadata: { name: 'pods' }, spec: { cidr: '10.244.0.0/16' } })
    await this.setPassword('tor-md5', PASSWORD)
  }

  /** A Node as its kubelet keeps it: addresses and conditions in the status. */
  async makeNode(name: string, address: string, labels: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.apply({ apiVersion: 'v1', kind: 'Node', metadata: { name, labels } })
    await this.patchNode(name, {
      addresses: [{ type: 'InternalIP', address }],
      conditions: [{ type: 'Ready', status: 'True', reason: 'KubeletReady', message: 'kubelet is posting ready status' }],
    })
  }

  /** Merges into the status of a Node, as a kubelet does. */
  async patchNode(name: string, status: object): Promise<void> {
    const body = { status }
    await this.request('PATCH', `/api/v1/nodes/${name}/status`, body, 'application/strategic-merge-patch+json')
  }

  /** As `kubectl apply --server-side` does. */
  async apply(object: {
    readonly apiVersion?: string
    readonly kind: string
    readonly metadata: { readonly name: string; readonly labels?: object; readonly annotations?: object }
    readonly [field: string]: unknown
  }): Promise<void> {
    const { apiVersion = API, kind, metadata } = object
    const plural = `${kind.toLowerCase()}s`
    const where = kind === 'Secret' ? `/api/v1/namespaces/${NAMESPACE}` : apiVersion === 'v1' ? '/api/v1' : `/apis/${apiVersion}`
    const body = { ...object, apiVersion }
    const path = `${where}/${plural}/${metadata.name}?fieldManager=kubectl&force=true`
    await this.request('PATCH', path, body, 'application/apply-patch+yaml')
  }

  async request(method: 'GET' | 'PATCH' | 'DELETE', resource: string, body?: unknown, contentType?: string): Promise<unknown> {
    using api = new ApiServer(this.kube.connection())
    const url = new URL(resource, 'https://api')
    const query = Object.fromEntries(url.searchParams)
    return api.request({ method, path: url.pathname, query, body, ...(contentType === undefined ? {} : { contentType }) })
  }

  setPassword(name: string, password: string): Promise<void> {
    const data = { password: Buffer.from(password).toString('base64') }
    return this.apply({ apiVersion: 'v1', kind: 'Secret', metadata: { name }, data })
  }

  /** The session with BIRD, by its password. */
  peerWithTor(spec: Readonly<Record<string, unknown>> = {}): Promise<void> {
    return this.apply({
      kind: 'BGPPeer',
      metadata: { name: 'tor' },
      spec: {
        peerIP: TOR,
        asNumber: TOR_ASN,
        nodeSelector: { matchLabels: { rack: 'a' } },
        filters: ['everything'],
        password: { secretKeyRef: { name: 'tor-md5', key: 'password' } },
        gracefulRestart: { enabled: true, restartTime: '240s' },
        ...spec,
      },
    })
  }

  /** Replaces what BIRD is configured with; starts it if it does not run. */
  async bird(password: string | null = PASSWORD): Promise<Bird> {
    const peers = [
      peerConfig({
        address: '10.0.0.11',
        localAddress: TOR,
        asn: NODE_ASN,
        password,
        families: ['IPv4Unicast'],
        gracefulRestart: { restartTimeSeconds: 240 },
      }),
    ]
    const addresses = { ipv4: TOR, ipv6: 'fd00::1' }
    const announce = [{ prefix: '192.0.2.0/24' }]
    const config = daemonConfig({ asn: TOR_ASN, routerId: TOR, addresses, peers, announce, kernelRoutes: true })
    if (this.#bird === null) {
      this.#bird = new Bird(this.net, 'tor', config)
      await this.#bird.ready()
    } else await this.#bird.configure(config)
    return this.#bird
  }

  folder(name: string): string {
    return path.join(this.#folder, name)
  }

  get pid(): number {
    if (this.#process === null) throw new Error('the agent has not been started')
    return this.#process.pid
  }

  /** Starts the agent and waits until its control socket answers. */
  async launch({ args = [], servesPods = true }: AgentRun = {}): Promise<void> {
    fs.writeFileSync(this.folder('kubeconfig'), kubeconfig(this.kube.url))
    const options = {
      '--store': 'kubernetes',
      '--run-dir': this.folder('run'),
      '--state-dir': this.folder('state'),
      '--metrics-port': '9179',
      ...(servesPods ? { '--cni-socket': this.folder('cni.sock'), '--cni-conf-dir': this.folder('net.d') } : {}),
    }
    const program = ['--disable-warning=ExperimentalWarning', path.join(ROOT, 'src/cli/main.ts'), 'agent']
    const env = { ...process.env, KUBECONFIG: this.folder('kubeconfig'), NODE_NAME: NODE }
    const all = [...program, ...Object.entries(options).flat(), ...args]
    const started = new NetnsProcess(this.net, NODE, path.join(ROOT, 'scripts/node'), all, this.folder('log'), { env })
    this.#process = started
    await until(
      'the agent answers',
      async () => {
        started.assertRunning()
        return (await this.status()).node === NODE
      },
      { explain: () => started.log() },
    )
  }

  /** The plugin, called as a container runtime calls it, with `args` as CNI_ARGS; what it prints. Rejects with its error. */
  async cni(command: 'ADD' | 'DEL', pod: (typeof PODS)[number], args = ''): Promise<string> {
    // It is written a moment after the agent says that it is ready, and a runtime knows of no network before.
    const isThere = (): string | undefined => fs.readdirSync(this.folder('net.d')).find((name) => name.endsWith('.conflist'))
    const file = await until('the runtime is told of the network', isThere, { explain: () => this.log().slice(-3_000) })
    const conflist = JSON.parse(fs.readFileSync(path.join(this.folder('net.d'), file), 'utf8')) as { readonly plugins: readonly object[] }
    const env = {
      PATH: process.env['PATH'],
      CNI_COMMAND: command,
      CNI_PATH: path.dirname(SHIM),
      CNI_CONTAINERID: pod,
      CNI_NETNS: this.net.pathOf(pod),
      CNI_IFNAME: 'eth0',
      ...(args === '' ? {} : { CNI_ARGS: args }),
    }
    const input = JSON.stringify({ ...conflist.plugins[0], cniVersion: '1.1.0', name: 'fibula' })
    return (await this.net.exec(NODE, SHIM, [], { env, input })).stdout
  }

  /** Attaches a pod; its address. */
  async add(pod: (typeof PODS)[number]): Promise<string> {
    const { ips } = JSON.parse(await this.cni('ADD', pod)) as { readonly ips: readonly { readonly address: string }[] }
    return ips[0]?.address.split('/')[0] ?? ''
  }

  /** Status of a probe of the agent. */
  async probe(name: 'healthz' | 'readyz'): Promise<number> {
    const url = `http://127.0.0.1:9179/${name}`
    return Number((await this.net.exec(NODE, 'curl', ['-s', '-o', '/dev/null', '-w', '%{http_code}', url])).stdout)
  }

  async kill(): Promise<void> {
    await this.#process?.end('SIGKILL')
  }

  async stop(): Promise<void> {
    await this.#process?.end('SIGTERM')
  }

  /** What a reboot takes: the run directory, and what is ours in the kernel. */
  async reboot(): Promise<void> {
    await this.kill()
    fs.rmSync(this.folder('run'), { recursive: true })
    fs.mkdirSync(this.folder('run'))
    spawnSync('ip', ['-n', this.net.nameOf(NODE), 'route', 'flush', 'proto', '179'])
  }

  log(): string {
    return this.#process?.log(Number.POSITIVE_INFINITY) ?? ''
  }

  status(): Promise<AgentStatus> {
    return this.#ask('/v1/status')
  }

  peers(): Promise<readonly PeerStatus[]> {
    return this.#ask('/v1/bgp/peers')
  }

  async peer(name: string): Promise<PeerStatus> {
    const found = (await this.peers()).find((each) => each.name === name)
    if (found === undefined) throw new Error(`the agent has no peer ${name}`)
    return found
  }

  async established(name = 'tor', deadlineMs = 120_000): Promise<PeerStatus> {
    return until(
      `the session ${name} is up`,
      async () => {
        const peer = await this.peer(name)
        if (peer.state !== 'Established') throw new Error(`${peer.state}: ${peer.lastError}`)
        return peer
      },
      { deadlineMs, explain: () => this.log().slice(-3_000) },
    )
  }

  /** The NodeNetwork once `wanted` holds of it. */
  report(what: string, wanted: (report: NodeNetwork) => boolean, deadlineMs = 120_000): Promise<NodeNetwork> {
    let seen = ''
    return until(
      what,
      async () => {
        const report = await this.admin.get('NodeNetwork', { name: NODE })
        seen = JSON.stringify(report, null, 1)
        return report !== null && wanted(report) ? report : null
      },
      { deadlineMs, everyMs: 200, explain: () => `${seen}\n${this.log().slice(-3_000)}` },
    )
  }

  async #ask<T>(resource: string): Promise<T> {
    const socketPath = path.join(this.folder('run'), CONTROL_SOCKET)
    const answer = await requestJson({ socketPath, method: 'GET', path: resource, timeoutMs: 30_000 })
    if (answer.status !== 200) throw new Error(`${resource}: ${answer.status} ${JSON.stringify(answer.body)}`)
    return answer.body as T
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
    await this.#bird?.[Symbol.asyncDispose]()
    await this.net[Symbol.asyncDispose]()
    await this.#relay[Symbol.asyncDispose]()
    await this.admin[Symbol.asyncDispose]()
    await this.kube[Symbol.asyncDispose]()
    fs.rmSync(this.#folder, { recursive: true, force: true })
  }
}

function kubeconfig(server: URL): string {
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'test', cluster: { server: server.href, 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'agent', user: { token: USER.token } }],
    contexts: [{ name: 'test', context: { cluster: 'test', user: 'agent' } }],
    'current-context': 'test',
  })
}
