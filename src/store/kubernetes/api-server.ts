// HTTP to a Kubernetes API server: requests with a JSON answer, and watches, whose answer is a line for each event. Says what went
// wrong in the server's own terms; what to do about it is for the callers.
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http'
import type { RequestOptions } from 'node:https'
import { sleep } from '../../lib/clock.ts'

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

/** `idleMs`: a server that says nothing for so long is taken for dead (ETIMEDOUT). `opened`: it has begun to answer. */
export interface LineReader {
  readonly idleMs: number
  opened(): void
  line(text: string): void
}

export type ApiServerOptions = {
  /** A server that says nothing for so long is taken for dead. Default 30 s. */
  readonly silenceMs?: number
  /** In [0, 1). */
  readonly random?: () => number
  readonly wait?: (delayMs: number, signal?: AbortSignal) => Promise<void>
}

const SILENCE_MS = 30_000
const MAX_ANSWER_BYTES = 256 * 1024 * 1024
/** A server that asks us to wait is obeyed so many times before it counts as away, and never for longer than this at once. */
const PATIENCE = 4
const LONGEST_WAIT_MS = 60_000

export class ApiServer implements Disposable {
  readonly #connect: () => Promise<ApiConnection>
  readonly #silenceMs: number
  readonly #random: () => number
  readonly #wait: (delayMs: number, signal?: AbortSignal) => Promise<void>
  #connection: Promise<ApiConnection> | null = null

  /** `connect` finds the server when it is needed first; if it cannot, every request rejects with why, and the next one tries again. */
  constructor(connect: () => Promise<ApiConnection>, options: ApiServerOptions = {}) {
    const { silenceMs = SILENCE_MS, random = Math.random, wait = sleep } = options
    this.#connect = connect
    this.#silenceMs = silenceMs
    this.#random = random
    this.#wait = wait
  }

  /** Ends what is under way. */
  [Symbol.dispose](): void {
    this.#connection?.then(
      (connection) => connection[Symbol.dispose](),
      () => {},
    )
  }

  /**
   * The JSON answer. Rejects with ApiError, the error of the socket, or the reason of `signal`. A server that is too busy (429) has
   * done nothing yet: it is asked again after the time it names, and a bit more, so that those it sends away do not come back at once.
   */
  async request(request: ApiRequest, signal?: AbortSignal): Promise<unknown> {
    return parseJson(await this.text(request, signal))
  }

  /** The same, as it came. */
  async text(request: ApiRequest, signal?: AbortSignal): Promise<string> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await readAll(await this.#sendAgain(request, this.#silenceMs, signal))
      } catch (error) {
        const isBusy = error instanceof ApiError && error.status === TOO_MANY_REQUESTS && error.retryAfterMs !== null
        if (!isBusy || attempt === PATIENCE) throw error
        await this.#wait(jittered(error.retryAfterMs ?? 0, this.#random()), signal)
      }
    }
  }

  /** Hands over every line of the answer until the server ends it. Rejects like `request`, but for a server that is too busy. */
  async lines(request: ApiRequest, { idleMs, opened, line: hand }: LineReader, signal: AbortSignal): Promise<void> {
    const response = await this.#sendAgain(request, idleMs, signal)
    opened()
    let rest = ''
    for await (const chunk of response.setEncoding('utf8')) {
      const text = rest + String(chunk)
      const lines = text.split('\n')
      rest = lines.pop() ?? ''
      if (rest.length > MAX_ANSWER_BYTES) throw tooLong()
      for (const line of lines) if (line !== '') hand(line)
    }
  }

  /** A connection kept open may have been closed at its other end in the meantime: a question may be asked again, a write may not. */
  async #sendAgain(request: ApiRequest, silenceMs: number, signal?: AbortSignal): Promise<IncomingMessage> {
    try {
      return await this.#send(request, silenceMs, signal)
    } catch (error) {
      if (request.method !== 'GET' || !(error instanceof StaleConnection)) throw error instanceof StaleConnection ? error.cause : error
      return await this.#send(request, silenceMs, signal)
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
      let answer: IncomingMessage | null = null
      asked.on('timeout', () => {
        const error = Object.assign(new Error(`${url.host} has said nothing for ${silenceMs / 1000} s`), { code: 'ETIMEDOUT' })
        answer?.destroy(error) // whoever reads it hears why
        asked.destroy(error)
      })
      asked.on('error', (error: NodeJS.ErrnoException) => {
        const isStale = asked.reusedSocket && error.code === 'ECONNRESET'
        reject(signal?.aborted === true ? signal.reason : isStale ? new StaleConnection(error) : error)
      })
      asked.on('response', (message) => {
        answer = message
        resolve(message)
      })
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

const TOO_MANY_REQUESTS = 429

/** What the server asked us to wait and up to as much again: it asks everybody for the same. */
export function jittered(retryAfterMs: number, random: number): number {
  return Math.min(LONGEST_WAIT_MS, retryAfterMs * (1 + random))
}

class StaleConnection extends Error {
  constructor(cause: Error) {
    super(cause.message, { cause })
  }
}

function tooLong(): Error {
  return new Error(`the API server sent over ${MAX_ANSWER_BYTES} octets in one piece`)
}

async function readAll(response: IncomingMessage): Promise<string> {
  let text = ''
  for await (const chunk of response.setEncoding('utf8')) {
    text += String(chunk)
    if (text.length > MAX_ANSWER_BYTES) throw tooLong()
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
