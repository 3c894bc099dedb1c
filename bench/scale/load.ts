// Puts objects into an API server, many at once, and keeps Nodes beating as kubelets do.
import type { ApiServer } from '../../src/store/kubernetes/api-server.ts'
import { type Made, nodeName, nodeStatus } from './objects.ts'

const AT_ONCE = 48
const MERGE_PATCH = 'application/merge-patch+json'

/** Creates all of them, each with its status. */
export async function load(api: ApiServer, objects: readonly Made[]): Promise<void> {
  await many(objects, async ({ collection, body, status }) => {
    await api.request({ method: 'POST', path: collection, body })
    const path = `${collection}/${body.metadata.name}/status`
    if (status !== undefined) await api.request({ method: 'PATCH', path, body: { status }, contentType: MERGE_PATCH })
  })
}

async function many<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    for (let item = items[next++]; item !== undefined; item = items[next++]) await work(item)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
}

/** Every Node reports itself once in `periodMs`, in turn, until disposed of. */
export class Heartbeats implements Disposable {
  readonly #timer: NodeJS.Timeout
  #beat = 0
  failed = 0

  constructor(api: ApiServer, nodes: number, periodMs: number) {
    this.#timer = setInterval(() => {
      const at = this.#beat++ % nodes
      const path = `/api/v1/nodes/${nodeName(at)}/status`
      const body = { status: nodeStatus(at, this.#beat) }
      api.request({ method: 'PATCH', path, body, contentType: MERGE_PATCH }).catch(() => this.failed++)
    }, periodMs / nodes)
  }

  get sent(): number {
    return this.#beat
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }
}
