// An agent, or the store's watcher alone, as a process of its own beside the API server of a bench, with the files and variables that
// a pod of the cluster would have.
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { CONTROL_SOCKET } from '../../src/agent/control-api.ts'
import { requestJson } from '../../src/lib/unix-http.ts'
import { ADMIN, type KubeApi } from '../../test/support/kube/api-server.ts'
import { figuresOfProcess, type ProcessFigures } from '../process-figures.ts'

const WATCHER = fileURLToPath(new URL('./watcher.ts', import.meta.url))
const ACCOUNT = '/run/secrets/kubernetes.io/serviceaccount'
const READY_MS = 180_000

/** A process that has converged. */
export class Running implements AsyncDisposable {
  readonly #child: ChildProcess
  /** From the start of the process. */
  readonly seconds: number

  private constructor(child: ChildProcess, seconds: number) {
    this.#child = child
    this.seconds = seconds
  }

  /** `command`: what stands before `agent`. */
  static agent(command: readonly string[], kube: KubeApi, node: string, folder: string): Promise<Running> {
    for (const name of ['run', 'state', 'net.d']) mkdirSync(join(folder, name), { recursive: true })
    const options = {
      '--node': node,
      '--store': 'kubernetes',
      '--run-dir': join(folder, 'run'),
      '--state-dir': join(folder, 'state'),
      '--cni-socket': join(folder, 'cni.sock'),
      '--cni-conf-dir': join(folder, 'net.d'),
      '--metrics-port': '0',
    }
    const socketPath = join(folder, 'run', CONTROL_SOCKET)
    return Running.#start([...command, 'agent', ...Object.entries(options).flat()], kube, folder, async () => {
      const { status, body } = await requestJson({ socketPath, method: 'GET', path: '/v1/status', timeoutMs: 5_000 })
      return status === 200 && (body as { readonly ready: boolean }).ready // AgentStatus
    })
  }

  /** The store alone, watching everything there is, the pods of all nodes too. */
  static watcher(kube: KubeApi, folder: string): Promise<Running> {
    mkdirSync(folder, { recursive: true })
    const done = join(folder, 'synced')
    const node = [
      process.execPath,
      '--max-semi-space-size=4',
      '--no-parallel-scavenge',
      '--heap-growing-percent=60',
      '--disable-warning=ExperimentalWarning',
    ]
    return Running.#start([...node, WATCHER, done], kube, folder, async () => readFileSync(done, 'utf8') !== '')
  }

  static async #start(command: readonly string[], kube: KubeApi, folder: string, isReady: () => Promise<boolean>): Promise<Running> {
    const account = join(folder, 'account')
    mkdirSync(account, { recursive: true })
    writeFileSync(join(account, 'ca.crt'), kube.authority())
    writeFileSync(join(account, 'token'), ADMIN)
    const env = { ...process.env, KUBECONFIG: '', KUBERNETES_SERVICE_HOST: kube.url.hostname, KUBERNETES_SERVICE_PORT: kube.url.port }
    const mounts = `mount -t tmpfs tmpfs /run && mkdir -p ${ACCOUNT} && mount --bind ${account} ${ACCOUNT}`
    const log = join(folder, 'log')
    const output = openSync(log, 'a')
    const beganMs = performance.now()
    const child = spawn('unshare', ['--mount', 'sh', '-c', `${mounts} && exec "$@"`, 'sh', ...command], {
      env,
      stdio: ['ignore', output, output],
    })
    for (;;) {
      if (await isReady().catch(() => false)) return new Running(child, (performance.now() - beganMs) / 1000)
      if (child.exitCode !== null || performance.now() - beganMs > READY_MS) {
        child.kill('SIGKILL')
        throw new Error(`it did not converge:\n${readFileSync(log, 'utf8').slice(-2_000)}`)
      }
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }

  /** The command replaces the shell, and that `unshare`: all have one pid. */
  figures(): ProcessFigures {
    const figures = figuresOfProcess(this.#child.pid ?? 0)
    if (figures.rssMiB === 0) throw new Error('it has ended')
    return figures
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    await new Promise<void>((resolve) => {
      this.#child.once('exit', () => resolve())
      this.#child.kill('SIGKILL')
    })
  }
}
