// One JSON request over HTTP on a unix socket: how everything on a host talks to the agent's control socket.
import { http } from './node-http.ts'

export type JsonRequest = {
  readonly socketPath: string
  readonly method: 'GET' | 'POST'
  readonly path: string
  /** Sent as JSON; absent: no body. */
  readonly body?: unknown
  readonly timeoutMs: number
}

/** `body` is what the JSON says, or undefined if the answer is no JSON. */
export type JsonAnswer = { readonly status: number; readonly body: unknown }

/** Asks and waits for the whole answer. Rejects with the error of the socket, or one with code `ETIMEDOUT` after `timeoutMs` of silence. */
export function requestJson({ socketPath, method, path, body, timeoutMs }: JsonRequest): Promise<JsonAnswer> {
  return new Promise((resolve, reject) => {
    const headers = body === undefined ? {} : { 'content-type': 'application/json' }
    const asked = http.request({ socketPath, method, path, headers, timeout: timeoutMs }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
      })
      response.on('error', reject)
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: parseJson(text) }))
    })
    asked.on('timeout', () => asked.destroy(Object.assign(new Error(`no answer for ${timeoutMs} ms`), { code: 'ETIMEDOUT' })))
    asked.on('error', reject)
    asked.end(body === undefined ? undefined : JSON.stringify(body))
  })
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
