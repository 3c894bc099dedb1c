// A real kube-apiserver over a real etcd, for one test file: started in a scratch folder on a loopback address of this process, gone
// when disposed of. scripts/tools builds the binaries.
import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import https from 'node:https'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ApiConnection } from '../../../src/store/kubernetes/api-server.ts'
import { ETCD, KUBE_APISERVER } from '../tools/index.ts'

export const ADMIN = 'admin'
const READY_WITHIN_MS = 170_000
const AUDIT_LOG = 'audit.log'
/** Who asked for what, of service accounts alone; a watch as soon as it is answered. */
const AUDIT_POLICY = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  rules: [{ level: 'Metadata', userGroups: ['system:serviceaccounts'] }, { level: 'None' }],
}

/** One request of a service account. */
export type AuditedRequest = {
  readonly user: string
  readonly verb: string
  readonly apiGroup: string
  /** `nodenetworks/status` for a subresource. */
  readonly resource: string
  readonly namespace: string | null
  readonly name: string | null
  readonly isAllowed: boolean
}

export type KubeUser = { readonly token: string; readonly name: string; readonly groups: readonly string[] }

export class KubeApi implements AsyncDisposable {
  readonly url: URL
  readonly #folder: string
  readonly #etcd: ChildProcess
  readonly #etcdUrl: string
  #server: ChildProcess
  readonly #startServer: () => ChildProcess

  private constructor(url: URL, folder: string, etcd: ChildProcess, etcdUrl: string, startServer: () => ChildProcess) {
    this.url = url
    this.#etcdUrl = etcdUrl
    this.#folder = folder
    this.#etcd = etcd
    this.#startServer = startServer
    this.#server = startServer()
  }

  /** Ready to answer. `users` beside the administrator authenticate with their token. */
  static async start(users: readonly KubeUser[] = []): Promise<KubeApi> {
    const folder = mkdtempSync(join(tmpdir(), 'fibula-kube-'))
    const address = ownAddress()
    const [client, peer, secure] = await freePorts(address)
    const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    writeFileSync(join(folder, 'sa.key'), privateKey.export({ type: 'pkcs8', format: 'pem' }))
    writeFileSync(join(folder, 'sa.pub'), publicKey.export({ type: 'spki', format: 'pem' }))
    const everybody = [{ token: ADMIN, name: ADMIN, groups: ['system:masters'] }, ...users]
    writeFileSync(
      join(folder, 'tokens.csv'),
      everybody.map(({ token, name, groups }) => `${token},${name},${name},"${groups.join(',')}"\n`).join(''),
    )
    writeFileSync(join(folder, 'audit-policy.json'), JSON.stringify(AUDIT_POLICY))
    const etcd = run(ETCD, join(folder, 'etcd.log'), [
      '--data-dir',
      join(folder, 'etcd'),
      `--listen-client-urls=http://${address}:${client}`,
      `--advertise-client-urls=http://${address}:${client}`,
      `--listen-peer-urls=http://${address}:${peer}`,
      '--unsafe-no-fsync',
    ])
    const startServer = () =>
      run(KUBE_APISERVER, join(folder, 'kube-apiserver.log'), [
        `--etcd-servers=http://${address}:${client}`,
        `--bind-address=${address}`,
        `--secure-port=${secure}`,
        `--cert-dir=${join(folder, 'certs')}`,
        '--service-account-issuer=https://kubernetes.default.svc',
        `--service-account-key-file=${join(folder, 'sa.pub')}`,
        `--service-account-signing-key-file=${join(folder, 'sa.key')}`,
        '--authorization-mode=Node,RBAC',
        `--token-auth-file=${join(folder, 'tokens.csv')}`,
        '--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112',
        '--allow-privileged=true',
        '--min-request-timeout=60',
        `--audit-policy-file=${join(folder, 'audit-policy.json')}`,
        `--audit-log-path=${join(folder, AUDIT_LOG)}`,
      ])
    const api = new KubeApi(new URL(`https://${address}:${secure}`), folder, etcd, `http://${address}:${client}`, startServer)
    try {
      await api.ready()
    } catch (error) {
      await api[Symbol.asyncDispose]()
      throw error
    }
    return api
  }

  /** As the administrator, or with another token. */
  connection(token: string = ADMIN): () => Promise<ApiConnection> {
    return async () => {
      const agent = new https.Agent({ keepAlive: true, rejectUnauthorized: false })
      const headers = { authorization: `Bearer ${token}` }
      return { url: this.url, options: async () => ({ agent, headers }), [Symbol.dispose]: () => agent.destroy() }
    }
  }

  /** The certificates by which the server is known, as a pod finds them in `ca.crt`. */
  authority(): string {
    return readFileSync(join(this.#folder, 'certs', 'apiserver.crt'), 'utf8')
  }

  get serverPid(): number {
    return this.#server.pid ?? 0
  }

  /** Sends a signal to the API server; SIGKILL ends it until `restart`. */
  signal(signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void {
    this.#server.kill(signal)
  }

  /** Starts the API server again after it was killed, and waits for it. */
  async restart(): Promise<void> {
    await ended(this.#server)
    this.#server = this.#startServer()
    await this.ready()
  }

  /** Makes etcd forget all versions but the present one, so that a watch from an older one is refused (410). */
  async compact(): Promise<void> {
    const status = await this.#etcdRequest('/v3/maintenance/status', {})
    await this.#etcdRequest('/v3/kv/compaction', {
      revision: (status as { readonly header: { readonly revision: string } }).header.revision,
      physical: true,
    })
  }

  async #etcdRequest(path: string, body: unknown): Promise<unknown> {
    const answer = await fetch(`${this.#etcdUrl}${path}`, { method: 'POST', body: JSON.stringify(body) })
    if (!answer.ok) throw new Error(`etcd ${path}: ${answer.status} ${await answer.text()}`)
    return answer.json()
  }

  /** Requests of service accounts so far, in the order of their answers. */
  requests(): readonly AuditedRequest[] {
    const lines = readFileSync(join(this.#folder, AUDIT_LOG), 'utf8').split('\n').slice(0, -1) // the last may be half written
    return lines.flatMap((line) => {
      const { user, verb, objectRef, annotations = {} } = JSON.parse(line) as AuditEvent
      if (objectRef === undefined) return []
      const { resource, subresource, apiGroup = '', namespace = null, name = null } = objectRef
      return {
        user: user.username,
        verb,
        apiGroup,
        resource: subresource === undefined ? resource : `${resource}/${subresource}`,
        namespace,
        name,
        isAllowed: annotations['authorization.k8s.io/decision'] === 'allow',
      }
    })
  }

  async ready(): Promise<void> {
    const untilMs = performance.now() + READY_WITHIN_MS
    for (;;) {
      try {
        const answer = await fetchStatus(this.url, '/readyz')
        if (answer === 200) return
      } catch {
        // not listening yet
      }
      if (performance.now() > untilMs || this.#server.exitCode !== null)
        throw new Error(`the API server is not ready:\n${readFileSync(join(this.#folder, 'kube-apiserver.log'), 'utf8').slice(-2000)}`)
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const process of [this.#server, this.#etcd]) process.kill('SIGKILL')
    await Promise.all([ended(this.#server), ended(this.#etcd)])
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** As much of an event (audit.k8s.io/v1) as is looked at. */
type AuditEvent = {
  readonly user: { readonly username: string }
  readonly verb: string
  readonly objectRef?: {
    readonly resource: string
    readonly subresource?: string
    readonly apiGroup?: string
    readonly namespace?: string
    readonly name?: string
  }
  readonly annotations?: Readonly<Record<string, string>>
}

function run(binary: string, log: string, args: readonly string[]): ChildProcess {
  const output = openSync(log, 'a')
  return spawn('setpriv', ['--pdeathsig', 'KILL', binary, ...args], { stdio: ['ignore', output, output] }) // ends with us, however we end
}

function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise((resolve) => child.once('exit', () => resolve()))
}

/**
 * A loopback address (RFC 1122 section 3.2.1.3) of this process alone: nobody else takes a port of it between the choice and the
 * start, or while the server is away.
 */
function ownAddress(): string {
  const { pid } = process // less than 2^22 (Linux, PID_MAX_LIMIT)
  return `127.${64 + (pid >> 16)}.${(pid >> 8) & 255}.${pid & 255}`
}

/** Three ports next to each other, below those that the kernel gives to whoever asks for any. */
async function freePorts(address: string): Promise<readonly [number, number, number]> {
  for (let first = 20_000; first < 30_000; first += 3) {
    const ports = [first, first + 1, first + 2] as const
    if ((await Promise.all(ports.map((port) => isFree(address, port)))).every(Boolean)) return ports
  }
  throw new Error(`${address} has no free ports`)
}

function isFree(address: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, address, () => server.close(() => resolve(true)))
  })
}

async function fetchStatus(url: URL, path: string): Promise<number> {
  return new Promise((resolve, reject) => {
    https
      .get(new URL(path, url), { rejectUnauthorized: false, headers: { authorization: `Bearer ${ADMIN}` } }, (response) => {
        response.resume()
        resolve(response.statusCode ?? 0)
      })
      .on('error', reject)
  })
}
