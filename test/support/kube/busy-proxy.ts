// An HTTP proxy before an API server that can say that it has too much to do, as priority and fairness does.
import { createServer, type Server } from 'node:http'
import https from 'node:https'
import type { ApiConnection } from '../../../src/store/kubernetes/api-server.ts'

export class BusyProxy implements AsyncDisposable {
  readonly #server: Server
  readonly #agent = new https.Agent({ rejectUnauthorized: false })
  readonly #url: URL
  /** While true, every request is sent away. */
  isBusy = false
  /** How many were sent away. */
  refused = 0

  private constructor(server: Server, url: URL) {
    this.#server = server
    this.#url = url
  }

  static async before(target: URL): Promise<BusyProxy> {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    if (typeof address !== 'object' || address === null) throw new Error('no port')
    const proxy = new BusyProxy(server, new URL(`http://127.0.0.1:${address.port}`))
    server.on('request', (request, response) => {
      if (proxy.isBusy) {
        proxy.refused++
        response.writeHead(429, { 'retry-after': '1', 'content-type': 'text/plain' }) // k8s.io/apiserver, filters/maxinflight.go
        response.end('Too many requests, please try again later.')
        return
      }
      const { method, headers } = request
      const onward = https.request(new URL(request.url ?? '/', target), { method, headers, agent: proxy.#agent }, (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers)
        response.flushHeaders() // a watch may have nothing to say for long
        answer.pipe(response)
      })
      onward.on('error', () => response.destroy())
      response.on('close', () => onward.destroy())
      request.pipe(onward)
    })
    return proxy
  }

  connection(token: string): () => Promise<ApiConnection> {
    return async () => ({ url: this.#url, options: async () => ({ headers: { authorization: `Bearer ${token}` } }), [Symbol.dispose]() {} })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#agent.destroy()
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}
