// The HTTP port of a long-running role for machines: /metrics, /healthz (the loops turn, nothing else), /readyz (may traffic rely on us?).
import { http } from './node-http.ts'

export type HttpSource = {
  readonly metrics: () => Promise<{ readonly contentType: string; readonly text: string }>
  /** Names of loops that do not turn; empty: healthy. */
  readonly stuckLoops: () => readonly string[]
  /** Reasons not to be ready; empty: ready. */
  readonly notReadyBecause: () => readonly string[]
}

/** Serves until disposed; rejects if the port cannot be bound. */
export async function serveHttp(port: number, source: HttpSource): Promise<AsyncDisposable> {
  const server = http.createServer((request, response) => {
    const verdict = (reasons: readonly string[]) =>
      response.writeHead(reasons.length === 0 ? 200 : 503).end(reasons.length === 0 ? 'ok\n' : `${reasons.join('\n')}\n`)
    switch (new URL(request.url ?? '/', 'http://host').pathname) {
      case '/healthz':
        verdict(source.stuckLoops().map((loop) => `loop ${loop} is stuck`))
        return
      case '/readyz':
        verdict(source.notReadyBecause())
        return
      case '/metrics':
        source.metrics().then(
          ({ contentType, text }) => response.writeHead(200, { 'content-type': contentType }).end(text),
          (error: unknown) => response.writeHead(503).end(`${error instanceof Error ? error.message : String(error)}\n`),
        )
        return
      default:
        response.writeHead(404).end('try /metrics, /healthz or /readyz\n')
    }
  })
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, resolve))
  return {
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
