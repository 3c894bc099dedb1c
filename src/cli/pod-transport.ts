// The agents of a cluster, each reached by executing `fibula ask` in its pod, as `kubectl exec` would: whoever may do that may ask,
// and agents listen on no address for it.
import { Writable } from 'node:stream'
import type { JsonAnswer } from '../lib/unix-http.ts'
import { openStore, StoreError } from '../store/index.ts'
import type { AgentTransport } from './client.ts'
import { CliError } from './output.ts'

export type ClusterAgent = { readonly node: string; readonly transport: AgentTransport }

/** Labels of the agents' pods, and their container, as the Helm chart has them. */
const AGENT_LABELS = { 'app.kubernetes.io/name': 'fibula', 'app.kubernetes.io/component': 'agent' }
const CONTAINER = 'agent'
const ANSWER_WITHIN_MS = 30_000

/** The agents of all nodes, or of one, in order of the nodes' names. Throws CliError if there are none. */
export async function podTransports(wanted: {
  readonly node: string | null
  readonly namespace: string
  readonly context: string | null
}): Promise<readonly ClusterAgent[]> {
  const { node, namespace, context } = wanted
  const pods = await listPods(wanted)
  const running = pods.filter(({ status }) => status.phase === 'Running')
  if (running.length === 0) {
    if (node !== null) throw new CliError(`no agent runs on node ${node}: see \`kubectl get pods -n ${namespace} -o wide\``)
    throw new CliError(`no agent runs in namespace ${namespace}: is Fibula installed there? (--namespace names another)`)
  }
  const { Exec, KubeConfig } = await import('@kubernetes/client-node')
  const config = new KubeConfig()
  config.loadFromDefault()
  if (context !== null) config.setCurrentContext(context)
  const exec = new Exec(config)
  return running
    .map(({ metadata: { name }, spec }) => ({
      node: spec.nodeName ?? '',
      transport: {
        place: `pod ${namespace}/${name}`,
        ask: (method: 'GET' | 'POST', path: string, body?: unknown) => {
          const command = ['fibula', 'ask', method, path, ...(body === undefined ? [] : [JSON.stringify(body)])]
          return within(ANSWER_WITHIN_MS, `pod ${namespace}/${name}`, run(exec, namespace, name, command))
        },
      },
    }))
    .sort((a, b) => (a.node < b.node ? -1 : a.node > b.node ? 1 : 0))
}

async function listPods({
  node,
  namespace,
  context,
}: {
  readonly node: string | null
  readonly namespace: string
  readonly context: string | null
}) {
  try {
    await using store = openStore('kubernetes', { context })
    return await store.list({ kind: 'Pod', namespace, labels: AGENT_LABELS, ...(node === null ? {} : { nodeName: node }) })
  } catch (cause) {
    if (cause instanceof StoreError) throw new CliError(cause.message, 1, { cause })
    throw cause
  }
}

type Execution = InstanceType<typeof import('@kubernetes/client-node')['Exec']>

/** Runs a command to its end; what it writes is a JsonAnswer. */
async function run(exec: Execution, namespace: string, pod: string, command: readonly string[]): Promise<JsonAnswer> {
  const [out, err] = [new Collector(), new Collector()]
  const place = `pod ${namespace}/${pod}`
  const failure = await new Promise<string | null>((resolve, reject) => {
    exec
      .exec(namespace, pod, CONTAINER, [...command], out, err, null, false, ({ status, message }) =>
        resolve(status === 'Success' ? null : (message ?? 'the command failed')),
      )
      .then(
        (socket) => {
          socket.on('close', () => resolve('the connection was closed'))
          socket.on('error', (cause: Error) => resolve(cause.message))
        },
        (cause: unknown) => reject(new CliError(`cannot execute a command in ${place}: ${messageOf(cause)}`, 1, { cause })),
      )
  })
  if (failure !== null) {
    const said = err.text.trim().replace(/^fibula: /, '')
    throw new CliError(said === '' ? `cannot ask the agent in ${place}: ${failure}` : said)
  }
  return answerOf(out.text, place)
}

function answerOf(text: string, place: string): JsonAnswer {
  try {
    const answer: unknown = JSON.parse(text)
    if (typeof answer === 'object' && answer !== null && 'status' in answer && typeof answer.status === 'number')
      return { status: answer.status, body: 'body' in answer ? answer.body : undefined }
  } catch {
    // said below
  }
  throw new CliError(`the agent in ${place} answered with something that is no answer: ${text.slice(0, 100)}`)
}

/** A failed handshake of a WebSocket is an event, not an error. */
function messageOf(cause: unknown): string {
  if (cause instanceof Error) return cause.message
  const message = typeof cause === 'object' && cause !== null && 'message' in cause ? cause.message : cause
  return String(message)
}

function within<T>(ms: number, place: string, work: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new CliError(`${place} has not answered for ${ms / 1000} s`)), ms)
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}

class Collector extends Writable {
  readonly #chunks: Buffer[] = []
  override _write(chunk: Buffer | string, _encoding: BufferEncoding, done: () => void): void {
    this.#chunks.push(Buffer.from(chunk))
    done()
  }
  get text(): string {
    return Buffer.concat(this.#chunks).toString()
  }
}
