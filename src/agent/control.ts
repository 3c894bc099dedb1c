// The control socket (see control-api.ts): HTTP over a unix socket in the run directory, for this host's root only. A socket
// file a killed agent left behind is replaced; one that a living agent answers on is not.
import { chmodSync, rmSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { join } from 'node:path'
import type { Log } from '../lib/log.ts'
import { http } from '../lib/node-http.ts'
import { isAnswered } from '../lib/unix-socket.ts'
import { CONTROL_SOCKET } from './control-api.ts'

/** A request that cannot be answered, with the HTTP status that says why. */
export class RequestError extends Error {
  readonly status: 400 | 404 | 503
  constructor(status: RequestError['status'], message: string) {
    super(message)
    this.name = 'RequestError'
    this.status = status
  }
}

export type Handler = (request: { readonly query: URLSearchParams; readonly body: unknown }) => Promise<unknown> | unknown
/** Keyed by `METHOD /path`. */
export type Routes = Readonly<Record<string, Handler>>

const MAX_BODY_BYTES = 1024 * 1024

async function readBody(request: IncomingMessage): Promise<unknown> {
  let text = ''
  for await (const chunk of request.setEncoding('utf8')) {
    text += chunk
    if (text.length > MAX_BODY_BYTES) throw new RequestError(400, `request body over ${MAX_BODY_BYTES} octets`)
  }
  if (text === '') return null
  try {
    return JSON.parse(text)
  } catch {
    throw new RequestError(400, 'request body is not JSON')
  }
}

async function answer(routes: Routes, request: IncomingMessage): Promise<unknown> {
  const url = new URL(request.url ?? '/', 'http://agent')
  const handler = routes[`${request.method} ${url.pathname}`]
  if (handler === undefined) throw new RequestError(404, `no such request: ${request.method} ${url.pathname}`)
  return handler({ query: url.searchParams, body: await readBody(request) })
}

function respond(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

/** Rejects if another agent runs with this run directory: to be asked before anything of its is touched. */
export async function refuseToBeSecond(runDir: string): Promise<void> {
  if (await isAnswered(join(runDir, CONTROL_SOCKET)))
    throw new Error(`another agent already runs with run directory ${runDir}: stop it, or choose another --run-dir`)
}

/** Serves the routes until disposed. Rejects if another agent already answers on this socket. */
export async function serveControl(runDir: string, routes: Routes, log: Log): Promise<AsyncDisposable> {
  await refuseToBeSecond(runDir)
  const path = join(runDir, CONTROL_SOCKET)
  rmSync(path, { force: true })
  const server = http.createServer((request, response) => {
    answer(routes, request).then(
      (body) => respond(response, 200, body ?? {}),
      (error: unknown) => {
        if (error instanceof RequestError) return respond(response, error.status, { error: error.message })
        log.error('agent.control.failed', { err: error, url: request.url })
        respond(response, 503, { error: error instanceof Error ? error.message : String(error) })
      },
    )
  })
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(path, resolve))
  chmodSync(path, 0o600)
  return {
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
