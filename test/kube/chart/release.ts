// Helm against a real API server, with a home of its own.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { stringify } from 'yaml'
import { CHART, type KubeObject, NAMESPACE } from '../../../scripts/manifests.ts'
import { ApiError, ApiServer } from '../../../src/store/kubernetes/api-server.ts'
import { ADMIN, KubeApi } from '../../support/kube/api-server.ts'
import { until } from '../../support/poll.ts'
import { HELM } from '../../support/tools/index.ts'

export type HelmOutcome = { readonly status: number | null; readonly stdout: string; readonly stderr: string }
/** Tells a hang from a wait. */
const HELM_MS = 300_000
type Values = Readonly<Record<string, unknown>>

/** Plurals that are not the kind and an `s`. */
const PLURALS: Readonly<Record<string, string>> = {
  ValidatingAdmissionPolicy: 'validatingadmissionpolicies',
  NetworkPolicy: 'networkpolicies',
}
const CLUSTER_SCOPED =
  /^(Namespace|CustomResourceDefinition|ClusterRole|ClusterRoleBinding|ValidatingAdmissionPolicy.*|BGP.*|IPPool|NodeNetwork|Node)$/

export class Cluster implements AsyncDisposable {
  readonly kube: KubeApi
  readonly api: ApiServer
  readonly #folder: string
  #files = 0

  private constructor(kube: KubeApi) {
    this.kube = kube
    this.api = new ApiServer(kube.connection())
    this.#folder = mkdtempSync(path.join(tmpdir(), 'fibula-chart-'))
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [{ name: 'test', cluster: { server: kube.url.href, 'insecure-skip-tls-verify': true } }],
      users: [{ name: 'admin', user: { token: ADMIN } }],
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'admin' } }],
      'current-context': 'test',
    }
    writeFileSync(path.join(this.#folder, 'config'), stringify(config))
  }

  static async start(): Promise<Cluster> {
    return new Cluster(await KubeApi.start())
  }

  /** Runs helm; whatever its exit status. */
  try(args: readonly string[], values: Values = {}): HelmOutcome {
    const file = path.join(this.#folder, `values-${++this.#files}.yaml`)
    writeFileSync(file, stringify(values))
    const { PATH } = process.env
    const env = { PATH, HOME: this.#folder, KUBECONFIG: path.join(this.#folder, 'config') }
    const takesValues = ['install', 'upgrade', 'template', 'lint'].includes(args[0] ?? '')
    const { status, stdout, stderr } = spawnSync(HELM, [...args, ...(takesValues ? ['--values', file] : [])], {
      env,
      encoding: 'utf8',
      timeout: HELM_MS,
    })
    return { status, stdout, stderr }
  }

  /** Runs helm; throws with what it says if it fails. */
  helm(args: readonly string[], values: Values = {}): string {
    const { status, stdout, stderr } = this.try(args, values)
    if (status !== 0) throw new Error(`helm ${args.join(' ')}: ${stderr}${stdout}`)
    return stdout
  }

  install(values: Values = {}, chart: string = CHART): string {
    return this.helm(['install', 'fibula', chart, '--namespace', NAMESPACE, '--create-namespace'], values)
  }

  upgrade(values: Values = {}, chart: string = CHART): string {
    return this.helm(['upgrade', 'fibula', chart, '--namespace', NAMESPACE], values)
  }

  /** A copy of the chart that a test may change. */
  copyOfChart(name: string): string {
    const folder = path.join(this.#folder, name)
    mkdirSync(folder)
    cpSync(CHART, folder, { recursive: true })
    return folder
  }

  async get<T = KubeObject>(resource: string): Promise<T | null> {
    try {
      return (await this.api.request({ method: 'GET', path: resource })) as T // of the kind that was asked for
    } catch (cause) {
      if (cause instanceof ApiError && cause.status === 404) return null
      throw cause
    }
  }

  /** As `kubectl apply --server-side --validate=strict` does; with `dryRun` nothing is kept. Throws ApiError. */
  async apply(object: KubeObject, { dryRun = false, manager = 'kubectl' } = {}): Promise<void> {
    await this.api.request({
      method: 'PATCH',
      path: pathOf(object),
      query: { fieldManager: manager, force: 'true', fieldValidation: 'Strict', ...(dryRun ? { dryRun: 'All' } : {}) },
      body: object,
      contentType: 'application/apply-patch+yaml',
    })
  }

  /** Waits until the server takes objects of a kind whose definition is new or changed. */
  async served(object: KubeObject): Promise<void> {
    await until(`objects of kind ${object.kind} are taken`, async () => {
      await this.apply(object, { dryRun: true })
      return true
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.api[Symbol.dispose]()
    await this.kube[Symbol.asyncDispose]()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

/** Where an object is. */
export function pathOf({ apiVersion, kind, metadata }: KubeObject): string {
  const plural = PLURALS[kind] ?? `${kind.toLowerCase()}s`
  const group = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`
  const namespace = CLUSTER_SCOPED.test(kind) ? '' : `/namespaces/${metadata.namespace ?? NAMESPACE}`
  return `${group}${namespace}/${plural}/${metadata.name}`
}
