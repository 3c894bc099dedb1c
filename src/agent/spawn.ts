// The agent's threads, joined by a port of their own: best paths leave the bgp thread straight for the dataplane.
import { setFlagsFromString } from 'node:v8'
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads'
import type { LogLevel } from '../lib/log.ts'
import type { BgpThreadData, DataplaneThreadData } from './threads.ts'

export type ThreadName = 'bgp' | 'dataplane'

export type ThreadsOptions = {
  readonly logLevel: LogLevel
  readonly node: string
  readonly peersUpBefore: readonly string[] | null
  readonly servesPods: boolean
  /** A thread has failed, or ended without being told to. */
  readonly onEnded: (thread: ThreadName, error: Error) => void
}

export type Threads = { readonly bgp: Worker; readonly dataplane: Worker }

/**
 * Of the young generation's halves of every thread that is started from now on. Tables of routes are outside the heap, and what is made
 * beside them is gone at once; the main thread has more (bin/fibula), because pods wait for it.
 */
const SEMI_SPACE_MIB = 1

export function spawnThreads({ logLevel, node, peersUpBefore, servesPods, onEnded }: ThreadsOptions): Threads {
  setFlagsFromString(`--max-semi-space-size=${SEMI_SPACE_MIB}`)
  const { port1, port2 } = new MessageChannel()
  const bgp: BgpThreadData & { dataplanePort: MessagePort } = { logLevel, node, peersUpBefore, dataplanePort: port1 }
  const dataplane: DataplaneThreadData & { bgpPort: MessagePort } = { logLevel, node, servesPods, bgpPort: port2 }
  return { bgp: spawn('bgp', bgp, [port1], onEnded), dataplane: spawn('dataplane', dataplane, [port2], onEnded) }
}

function spawn(thread: ThreadName, workerData: unknown, transferList: readonly MessagePort[], onEnded: ThreadsOptions['onEnded']): Worker {
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  const worker = new Worker(new URL(`./${thread}-worker.${extension}`, import.meta.url), {
    workerData,
    transferList: [...transferList],
    name: thread,
    trackUnmanagedFds: false, // netlink sockets and namespaces are opened by libc and closed by fs
  })
  worker.on('error', (error) => onEnded(thread, error instanceof Error ? error : new Error(String(error))))
  worker.on('exit', (code) => onEnded(thread, new Error(`the ${thread} thread ended with ${code}`)))
  return worker
}
