// HTTP to a Kubernetes API server: requests with a JSON answer, and watches, whose answer is a line for each event. Says what went
// wrong in the server's own terms; what to do about it is for the callers.
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http'
import type { RequestOptions } from 'node:https'

/** How to reach a server and who we are there. */
export interface ApiConnection extends Disposable {
  readonly url: URL
  /** Agent, TLS settings and headers for one request. Asked before each, so that a rotated token or certificate is used. */
  options(): Promise<RequestOptions>
}

export type ApiRequest = {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** Begins with `/`; the query is separate. */
  readonly path: string
  readonly query?: Readonly<Record<string, string>>
  readonly body?: unknown
  readonly contentType?: string
}

/** The server refused: its `Status` (Kubernetes API conventions, "Response Status Kind"). */
export class ApiError extends Error {
  readonly status: number
  /** One word: `NotFound`, `AlreadyExists`, `Conflict`, `Invalid`, `Expired`… */
  readonly reason: string
  readonly causes: readonly ApiCause[]
  /** What the server asked us to wait, in ms; null: nothing. */
  readonly retryAfterMs: number | null
  constructor(status: number, reason: string, message: string, causes: readonly ApiCause[], retryAfterMs: number | null) {
    super(message)
    this.name = 'ApiError'
    this.status = status
    this.reason = reason
    this.causes = causes
    this.retryAfterMs = retryAfterMs
  }
}

export type ApiCause = { readonly field: string; readonly message: string }

/** A server that says nothing for so long is taken for dead. */
const SILENCE_MS = 30_000
const MAX_ANSWER_BYTES = 256 * 1024 * 1024

export class ApiServer implements Disposable {
  readonly #connect: () => Promise<ApiConnection>
  #connection: Promise<ApiConnection> | null = null

  /** `connect` finds the server when it is needed first; if it cannot, every request rejects with why, and the next one tries again. */
  constructor(connect: () => Promise<ApiConnection>) {
    this.#connect = connect
  }

  /** Ends what is under way. */
  [Symbol.dispose](): void {
    this.#connection?.then(
      (connection) => connection[Symbol.dispose](),
      () => {},
    )
  }

  /** The JSON answer. Rejects with ApiError, the error of the socket, or the reason of `signal`. */
  async request(request: ApiRequest, signal?: AbortSignal): Promise<unknown> {
    const response = await this.#send(request, SILENCE_MS, signal)
    return parseJson(await readAll(response))
  }

  /**
   * Hands every line of the answer to `onLine` until the server ends it. Rejects like `request`, and with code ETIMEDOUT when
   * nothing has come for `idleMs`.
   */
  async lines(request: ApiRequest, idleMs: number, onLine: (line: string) => void, signal: AbortSignal): Promise<void> {
    const response = await this.#send(request, idleMs, signal)
    let rest = ''
    for await (const chunk of response.setEncoding('utf8')) {
      const text = rest + String(chunk)
      const lines = text.split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) if (line !== '') onLine(line)
    }
  }

  async #send({ method, path, query, body, contentType }: ApiRequest, silenceMs: number, signal?: AbortSignal): Promise<IncomingMessage> {
    signal?.throwIfAborted()
    const connection = await this.#connected()
    const { url } = connection
    const target = new URL(url.pathname.replace(/\/$/, '') + path, url)
    for (const [key, value] of Object.entries(query ?? {})) target.searchParams.set(key, value)
    const content = body === undefined ? undefined : JSON.stringify(body)
    const options = await connection.options()
    const headers: OutgoingHttpHeaders = {
      accept: 'application/json',
      'user-agent': 'fibula',
      ...(options.headers as OutgoingHttpHeaders | undefined), // an object wherever a connection makes them
      ...(content === undefined ? {} : { 'content-type': contentType ?? 'application/json', 'content-length': Buffer.byteLength(content) }),
    }
    const client = process.getBuiltinModule(url.protocol === 'https:' ? 'node:https' : 'node:http')
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const asked = client.request(target, { ...options, method, headers, timeout: silenceMs, ...(signal === undefined ? {} : { signal }) })
      asked.on('timeout', () =>
        asked.destroy(Object.assign(new Error(`${url.host} has said nothing for ${silenceMs / 1000} s`), { code: 'ETIMEDOUT' })),
      )
      asked.on('error', (error) => reject(signal?.aborted === true ? signal.reason : error))
      asked.on('response', resolve)
      asked.end(content)
    })
    const status = response.statusCode ?? 0
    if (status >= 200 && status < 300) return response
    throw errorOf(status, response.headers['retry-after'], await readAll(response))
  }

  #connected(): Promise<ApiConnection> {
    this.#connection ??= this.#connect().catch((error: unknown) => {
      this.#connection = null
      throw error
    })
    return this.#connection
  }
}

async function readAll(response: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of response.setEncoding('utf8')) {
    text += String(chunk)
    if (text.length > MAX_ANSWER_BYTES) throw new Error(`an answer of over ${MAX_ANSWER_BYTES} octets`)
  }
  return text
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw new Error(`the API server answered with something that is no JSON: ${text.slice(0, 100)}`)
  }
}

/** What a `Status` says, or what can be said of an answer that is none. */
export function errorOf(status: number, retryAfter: string | undefined, text: string): ApiError {
  const body = statusOf(text)
  const causes = (body.details?.causes ?? []).map(({ field = '', message = '' }) => ({ field, message }))
  const seconds = Number(retryAfter ?? body.details?.retryAfterSeconds ?? Number.NaN)
  const message = body.message ?? `the API server answered with status ${status}: ${text.slice(0, 200).trim()}`
  return new ApiError(status, body.reason ?? '', message, causes, Number.isFinite(seconds) && seconds > 0 ? seconds * 1000 : null)
}

type StatusBody = {
  readonly message?: string
  readonly reason?: string
  readonly code?: number
  readonly details?: {
    readonly retryAfterSeconds?: number
    readonly causes?: readonly { readonly field?: string; readonly message?: string }[]
  }
}

function statusOf(text: string): StatusBody {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'Status' ? (value as StatusBody) : {}
  } catch {
    return {}
  }
}
