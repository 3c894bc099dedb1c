// The agent's end of the socket that plugin processes connect to: one request a connection (frame.ts says how it looks). What
// is malformed, too large or too slow is dropped, and costs no other connection anything.
import { chmodSync, mkdirSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { dirname } from 'node:path'
import { type Clock, systemClock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import { isAnswered } from '../lib/unix-socket.ts'
import { CNI_CODE, type CniReply, faultReply } from './error.ts'
import { type CniInvocation, decodeRequest, encodeResponse, requestLength } from './frame.ts'

/** Who answers invocations; never rejects. `signal` aborts when the plugin's process has gone. */
export interface CniHandler {
  handle(invocation: CniInvocation, signal: AbortSignal): Promise<CniReply>
}

export type CniServerOptions = {
  readonly path: string
  readonly service: CniHandler
  readonly log: Log
  readonly clock?: Clock
  /** How long a client may take to send its request, and to take its answer (default 10 s each). */
  readonly clientTimeoutMs?: number
  /** Connections beyond these are closed at once; the plugin then answers "try again later" (default 1024). */
  readonly maxConnections?: number
}

/**
 * Listens until disposed, which then drops who has not asked yet and waits for the answers under way. The directory is made if it is
 * missing; a socket that a killed agent left behind is replaced. Rejects if a living one answers on it, or if the path cannot be
 * listened on.
 */
export async function serveCni(options: CniServerOptions): Promise<AsyncDisposable> {
  const { path, log, maxConnections = 1024 } = options
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 })
  if (await isAnswered(path)) throw new Error(`another agent already answers on ${path}: stop it, or choose another --cni-socket`)
  rmSync(path, { force: true })
  const running = new Set<Promise<void>>()
  const asking = new Set<Socket>()
  const server = createServer((socket) => {
    const served = serveOne(socket, options, asking).catch((error: unknown) => log.warn('cni.client.failed', { err: error }))
    running.add(served)
    void served.finally(() => running.delete(served))
  })
  server.maxConnections = maxConnections
  await new Promise<void>((resolve, reject) => {
    const umask = process.umask(0o177) // the socket is never reachable for others, not even before chmod
    server.once('error', reject)
    server.listen(path, resolve)
    process.umask(umask)
  })
  server.on('error', (error) => log.error('cni.server.failed', { err: error }))
  chmodSync(path, 0o600)
  return {
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of asking) socket.destroy()
      await Promise.all(running)
      await closed
    },
  }
}

async function serveOne(
  socket: Socket,
  { service, log, clock = systemClock, clientTimeoutMs = 10_000 }: CniServerOptions,
  /** Those that have not sent their whole request yet. */
  asking: Set<Socket>,
): Promise<void> {
  const gone = new AbortController()
  const abort = (): void => gone.abort(new Error('the plugin has gone'))
  socket.on('error', abort)
  socket.on('close', abort)
  const tooSlow = (): void => void socket.destroy()
  try {
    let invocation: CniInvocation
    {
      using _deadline = clock.after(clientTimeoutMs, tooSlow)
      asking.add(socket)
      const received = await receive(socket).finally(() => asking.delete(socket))
      if (typeof received === 'string') {
        if (socket.bytesRead > 0) log.warn('cni.request.malformed', { reason: received })
        return
      }
      invocation = received
    }
    socket.resume() // nothing more is due: what closes it is the end of the process
    const reply = await service.handle(invocation, gone.signal).catch((error: unknown) => {
      log.error('cni.request.crashed', { err: error })
      return faultReply({ code: CNI_CODE.internal, message: 'a bug in the agent; its log says more' }, undefined)
    })
    if (gone.signal.aborted) return
    using _deadline = clock.after(clientTimeoutMs, tooSlow)
    await new Promise<void>((resolve) => {
      socket.once('close', () => resolve())
      socket.end(encodeResponse(reply), resolve)
    })
  } finally {
    socket.destroy()
  }
}

/** The request, or what is wrong with it. */
function receive(socket: Socket): Promise<CniInvocation | string> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = []
    let size = 0
    let wanted: number | null = null
    const settle = (result: CniInvocation | string): void => {
      socket.removeAllListeners('data').removeAllListeners('end')
      resolve(result)
    }
    socket.on('data', (chunk) => {
      chunks.push(chunk)
      size += chunk.length
      if (wanted === null) {
        const length = requestLength(Buffer.concat(chunks))
        if (!length.ok) return settle(length.error)
        wanted = length.value
      }
      if (wanted === null || size < wanted) return
      if (size > wanted) return settle('more octets than its length says')
      const request = decodeRequest(Buffer.concat(chunks))
      settle(request.ok ? request.value : request.error)
    })
    socket.on('end', () => settle(`ended after ${size} octets`))
    socket.on('close', () => settle(`closed after ${size} octets`))
  })
}
