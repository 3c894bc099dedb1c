// The agent's control API seen from the command line (contract: agent/control-api.ts), over its socket on this host or through
// whatever else reaches it. Every failure becomes one line that says what to do.
import { join } from 'node:path'
import { CONTROL_SOCKET } from '../agent/index.ts'
import { type JsonAnswer, requestJson } from '../lib/unix-http.ts'
import { CliError } from './output.ts'

/** An agent of this host: the one of `runDir`, or with `node` the one of that name in the lab. */
export type LocalAgent = { readonly runDir: string; readonly node?: string | undefined; readonly labDir: string }

/** A way to one agent. */
export interface AgentTransport {
  /** How messages call what answers. */
  readonly place: string
  /** One request and its answer, whatever its status. Throws CliError if there is none. */
  ask(method: 'GET' | 'POST', path: string, body?: unknown): Promise<JsonAnswer>
}

export class AgentClient {
  readonly #transport: AgentTransport

  constructor(transport: AgentTransport) {
    this.#transport = transport
  }

  /** GET; `T` is what control-api.ts promises for the path. Throws CliError. */
  get<T>(path: string, query: Readonly<Record<string, string | undefined>> = {}): Promise<T> {
    const given = Object.entries(query).filter((entry): entry is [string, string] => entry[1] !== undefined)
    const search = given.length === 0 ? '' : `?${new URLSearchParams(given)}`
    return this.#ask<T>('GET', `${path}${search}`)
  }

  /** POST with a JSON body. Throws CliError. */
  post<T>(path: string, body: unknown): Promise<T> {
    return this.#ask<T>('POST', path, body)
  }

  async #ask<T>(method: 'GET' | 'POST', path: string, body?: unknown): Promise<T> {
    const { place } = this.#transport
    const answer = await this.#transport.ask(method, path, body)
    if (answer.body === undefined) throw new CliError(`what answers at ${place} is not a fibula agent: its answer is no JSON`)
    if (answer.status >= 200 && answer.status < 300) return answer.body as T
    throw new CliError(errorOf(answer.body) ?? `the agent refused ${method} ${path} with status ${answer.status}`)
  }
}

function errorOf(answer: unknown): string | null {
  if (typeof answer !== 'object' || answer === null || !('error' in answer)) return null
  return typeof answer.error === 'string' ? answer.error : null
}

const ANSWER_WITHIN_MS = 30_000

/** The control socket of an agent on this host. */
export class SocketTransport implements AgentTransport {
  readonly place: string
  readonly #hint: string

  /** Throws CliError if `node` is no name of a node. */
  constructor(agent: LocalAgent) {
    this.place = join(runDirOf(agent), CONTROL_SOCKET)
    this.#hint =
      agent.node === undefined
        ? 'is `fibula agent` running? (--run-dir names another agent, --node one of the lab, --store kubernetes those of a cluster)'
        : `is the lab up, and does it have a node ${agent.node}? (fibula lab status)`
  }

  ask(method: 'GET' | 'POST', path: string, body?: unknown): Promise<JsonAnswer> {
    const asked = { socketPath: this.place, method, path, timeoutMs: ANSWER_WITHIN_MS }
    return requestJson(body === undefined ? asked : { ...asked, body }).catch((cause: NodeJS.ErrnoException) => {
      throw this.#unreachable(cause)
    })
  }

  #unreachable(cause: NodeJS.ErrnoException): CliError {
    const at = this.place
    switch (cause.code) {
      case 'ENOENT':
        return new CliError(`no agent answers at ${at}: ${this.#hint}`, 1, { cause })
      case 'ECONNREFUSED':
      case 'ECONNRESET':
      case 'EPIPE':
        return new CliError(`the agent at ${at} has ended: start \`fibula agent\` again, or see its log for why`, 1, { cause })
      case 'EACCES':
      case 'EPERM':
        return new CliError(`may not open ${at}: run this as root`, 1, { cause })
      case 'ETIMEDOUT':
        return new CliError(`the agent at ${at} has not answered for ${ANSWER_WITHIN_MS / 1000} s: see its log`, 1, { cause })
      default:
        return new CliError(`cannot ask the agent at ${at}: ${cause.message}`, 1, { cause })
    }
  }
}

function runDirOf({ runDir, node, labDir }: LocalAgent): string {
  if (node === undefined) return runDir
  if (!/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(node)) throw new CliError(`not a node name: ${JSON.stringify(node)}`, 2)
  return join(labDir, 'run', node)
}
