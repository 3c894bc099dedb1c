// Calls back when the kernel's event socket has something to drain: a thread waits on it (events-worker.ts), because Node has no
// public way to wait on a descriptor of our own.
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { type EventsWorkerData, IDLE, STOP } from './events-signal.ts'

export type NetlinkEventsOptions = {
  readonly descriptor: number
  /** Must drain the descriptor before it returns. */
  readonly onReadable: () => void
  /** The waiting thread is gone: nobody calls `onReadable` any more. */
  readonly onFailed: (cause: unknown) => void
}

export class NetlinkEvents implements AsyncDisposable {
  readonly #state = new Int32Array(new SharedArrayBuffer(4))
  readonly #worker: Worker

  constructor({ descriptor, onReadable, onFailed }: NetlinkEventsOptions) {
    const workerData: EventsWorkerData = { descriptor, signal: this.#state.buffer }
    const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
    this.#worker = new Worker(new URL(`./events-worker.${extension}`, import.meta.url), { workerData, name: 'netlink events' })
    this.#worker.unref()
    this.#worker.on('error', onFailed)
    this.#worker.on('message', () => {
      onReadable()
      if (Atomics.compareExchange(this.#state, 0, 1, IDLE) !== STOP) Atomics.notify(this.#state, 0)
    })
  }

  /** Resolves when the thread has let go of the descriptor, which may be closed then. */
  async [Symbol.asyncDispose](): Promise<void> {
    const ended = this.#worker.threadId === -1 ? Promise.resolve() : once(this.#worker, 'exit')
    Atomics.store(this.#state, 0, STOP)
    Atomics.notify(this.#state, 0)
    this.#worker.ref()
    await ended
  }
}
