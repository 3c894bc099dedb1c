// A cluster for the controller: a real API server, and replicas of the controller as processes with exactly the rights they ask for.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import https from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { CONTROLLER_RIGHTS } from '../../../src/controller/index.ts'
import type { Lease, Store } from '../../../src/store/index.ts'
import { KubernetesStore } from '../../../src/store/kubernetes/adapter.ts'
import { ApiServer } from '../../../src/store/kubernetes/api-server.ts'
import { ADMIN, KubeApi } from '../../support/kube/api-server.ts'
import { allow, installCrds, makeNamespace } from '../../support/kube/apply.ts'
import { ruleOf } from '../../support/kube/rights.ts'
import { type PollOptions, until } from '../../support/poll.ts'

const ROOT = join(import.meta.dirname, '../../..')
export const NAMESPACE = 'fibula-system'
export const USER = {
  token: 'controller-token',
  name: `system:serviceaccount:${NAMESPACE}:fibula-controller`,
  groups: ['system:serviceaccounts'],
}

export type LogLine = Readonly<Record<string, unknown>> & { readonly msg: string }

/** A replica of the controller in a process of its own. */
export class Replica {
  readonly identity: string
  readonly #child: ChildProcess
  readonly #ended: Promise<number | null>
  readonly log: LogLine[] = []
  #rest = ''

  constructor(identity: string, args: readonly string[], env: NodeJS.ProcessEnv) {
    this.identity = identity
    const program = join(ROOT, 'src', 'cli', 'main.ts')
    // It ends with us, however we end.
    this.#child = spawn('setpriv', ['--pdeathsig', 'KILL', process.execPath, program, 'controller', '--identity', identity, ...args], {
      env,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => this.#read(text))
    // With `exit` alone the last lines of its log might not have been read.
    this.#ended = new Promise((resolve) => this.#child.once('close', (status) => resolve(status)))
  }

  /** Ends with its exit status; null: killed. */
  end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
    this.#child.kill(signal)
    return this.#ended
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#child.kill(signal)
  }

  has(event: string): boolean {
    return this.log.some(({ msg }) => msg === event)
  }

  #read(text: string): void {
    const lines = (this.#rest + text).split('\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) this.log.push(line.startsWith('{') ? (JSON.parse(line) as LogLine) : { msg: line })
  }
}

export class World implements AsyncDisposable {
  readonly kube: KubeApi
  /** The administrator's hand. */
  readonly admin: Store
  readonly api: ApiServer
  readonly #folder: string
  readonly #replicas = new Set<Replica>()

  private constructor(kube: KubeApi) {
    this.kube = kube
    this.admin = new KubernetesStore(kube.connection())
    this.api = new ApiServer(kube.connection())
    this.#folder = mkdtempSync(join(tmpdir(), 'fibula-controller-'))
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'test', cluster: { server: kube.url.href, 'insecure-skip-tls-verify': true } }],
      users: [{ name: 'controller', user: { token: USER.token } }],
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'controller' } }],
      'current-context': 'test',
    }
    writeFileSync(join(this.#folder, 'config'), stringify(config))
  }

  /** With CRDs, the namespace, and the rights of the controller. */
  static async start(): Promise<World> {
    const kube = await KubeApi.start([USER])
    const world = new World(kube)
    await installCrds(kube.connection())
    await makeNamespace(kube.connection(), NAMESPACE)
    for (const scope of ['cluster', 'ownNamespace'] as const) {
      const namespace = scope === 'cluster' ? null : NAMESPACE
      const rules = CONTROLLER_RIGHTS.filter((right) => right.scope === scope).map(ruleOf)
      await allow(kube.connection(), { user: USER.name, role: 'fibula-controller', namespace, rules })
    }
    const serviceAccount = { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'default' } }
    await world.api.request({ method: 'POST', path: '/api/v1/namespaces/default/serviceaccounts', body: serviceAccount })
    return world
  }

  replica(identity: string, args: readonly string[] = []): Replica {
    const { PATH, HOME } = process.env
    const env = { PATH, HOME, KUBECONFIG: join(this.#folder, 'config') }
    const common = ['--store', 'kubernetes', '--metrics-port', '0', '--leak-grace', '3s', '--status-interval', '1s']
    const replica = new Replica(identity, [...common, ...args], env)
    this.#replicas.add(replica)
    return replica
  }

  async lease(): Promise<Lease['spec'] | null> {
    return (await this.admin.get('Lease', { namespace: NAMESPACE, name: 'fibula-controller' }))?.spec ?? null
  }

  async addNode(name: string, isReady = true, labels: Readonly<Record<string, string>> = {}): Promise<void> {
    await this.api.request({ method: 'POST', path: '/api/v1/nodes', body: { apiVersion: 'v1', kind: 'Node', metadata: { name, labels } } })
    const status = { conditions: [{ type: 'Ready', status: isReady ? 'True' : 'Unknown', reason: 'Test', message: 'test' }] }
    await this.api.request({
      method: 'PATCH',
      path: `/api/v1/nodes/${name}/status`,
      body: { status },
      contentType: 'application/merge-patch+json',
    })
  }

  async addPod(name: string, node: string, ip: string): Promise<void> {
    const spec = {
      nodeName: node,
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 0,
      containers: [{ name: 'c', image: 'nothing' }],
    }
    const body = { apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec }
    await this.api.request({ method: 'POST', path: '/api/v1/namespaces/default/pods', body })
    await this.api.request({
      method: 'PATCH',
      path: `/api/v1/namespaces/default/pods/${name}/status`,
      body: { status: { phase: 'Running', podIP: ip, podIPs: [{ ip }] } },
      contentType: 'application/merge-patch+json',
    })
  }

  async remove(path: string): Promise<void> {
    await this.api.request({ method: 'DELETE', path, query: { gracePeriodSeconds: '0' } })
  }

  /** What `kubectl get` prints: names of the columns, and the cells of each row. */
  async table(plural: string): Promise<{ readonly columns: readonly Column[]; readonly rows: readonly (readonly unknown[])[] }> {
    const text = await fetchText(new URL(`/apis/fibula.network/v1alpha1/${plural}`, this.kube.url))
    const table = JSON.parse(text) as { columnDefinitions: readonly Column[]; rows: readonly { readonly cells: readonly unknown[] }[] }
    return { columns: table.columnDefinitions, rows: table.rows.map(({ cells }) => cells) }
  }

  /** Polls with time enough for a busy machine; explains with the end of every log. */
  until<T>(what: string, probe: () => T | Promise<T>, options: PollOptions = {}) {
    const explain = (): string =>
      [...this.#replicas]
        .map(
          ({ identity, log }) =>
            `${identity}:\n${log
              .slice(-15)
              .map((line) => JSON.stringify(line))
              .join('\n')}`,
        )
        .join('\n')
    return until(what, probe, { deadlineMs: 120_000, everyMs: 200, explain, ...options })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([...this.#replicas].map((replica) => replica.end('SIGKILL')))
    await this.admin[Symbol.asyncDispose]()
    this.api[Symbol.dispose]()
    await this.kube[Symbol.asyncDispose]()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

export type Column = { readonly name: string; readonly type: string; readonly priority: number }

function fetchText(url: URL): Promise<string> {
  const headers = { authorization: `Bearer ${ADMIN}`, accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' }
  return new Promise((resolve, reject) => {
    https
      .get(url, { rejectUnauthorized: false, headers }, (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (part: string) => {
          text += part
        })
        response.on('end', () => resolve(text))
      })
      .on('error', reject)
  })
}
