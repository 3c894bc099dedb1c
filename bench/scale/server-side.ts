// The API server's side of watches: how many there are, and watchers that do nothing with what they hear.
import https from 'node:https'
import type { ApiServer } from '../../src/store/kubernetes/api-server.ts'
import { ADMIN, type KubeApi } from '../../test/support/kube/api-server.ts'

/** Watches of our own kinds of client that the server serves at present: those it serves to itself are among them, so mind differences. */
export async function watchesOf(api: ApiServer): Promise<number> {
  const text = await api.text({ method: 'GET', path: '/metrics' })
  const lines = text.split('\n').filter((line) => line.startsWith('apiserver_longrunning_requests{') && line.includes('verb="WATCH"'))
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}

export class RawWatchers implements Disposable {
  readonly #agent = new https.Agent({ keepAlive: true, rejectUnauthorized: false })
  events = 0
  octets = 0

  /** All of them have begun. */
  static async start(kube: KubeApi, count: number): Promise<RawWatchers> {
    const watchers = new RawWatchers()
    const query = 'watch=true&allowWatchBookmarks=true&timeoutSeconds=600'
    const first = await new Promise<string>((resolve, reject) => {
      const headers = { authorization: `Bearer ${ADMIN}` }
      https
        .get(new URL('/api/v1/nodes?limit=1', kube.url), { agent: watchers.#agent, headers }, (response) => {
          let text = ''
          response.on('data', (chunk) => {
            text += String(chunk)
          })
          response.on('end', () =>
            resolve((JSON.parse(text) as { readonly metadata: { readonly resourceVersion: string } }).metadata.resourceVersion),
          )
        })
        .on('error', reject)
    })
    for (let at = 0; at < count; at++) {
      await new Promise<void>((resolve, reject) => {
        const headers = { authorization: `Bearer ${ADMIN}`, accept: 'application/json' }
        const url = new URL(`/api/v1/nodes?${query}&resourceVersion=${first}`, kube.url)
        https
          .get(url, { agent: watchers.#agent, headers }, (response) => {
            response.on('data', (chunk: Buffer) => {
              watchers.octets += chunk.length
              for (let from = chunk.indexOf(10); from >= 0; from = chunk.indexOf(10, from + 1)) watchers.events++
            })
            response.on('error', () => {}) // the end of the bench
            resolve()
          })
          .on('error', reject)
      })
    }
    return watchers
  }

  [Symbol.dispose](): void {
    this.#agent.destroy()
  }
}
