// One TCP connection on Node's `net`: bounded bites towards the kernel, so that progress is what the kernel really took (RFC 9687),
// and an ending that does not lose a NOTIFICATION to a reset.
import type net from 'node:net'
import type { Clock } from '../lib/clock.ts'
import { type CloseReason, type Connection, type ConnectionHandler, type Endpoint, HIGH_WATER_BYTES, LOW_WATER_BYTES } from './transport.ts'

/** One write to the kernel; its completion is one `progressed`. */
const BITE_BYTES = 64 * 1024
/** What one peer may have read of it before others get their turn: Node would hand over two megabytes in one, 100 ms of work. */
const READ_BYTES_A_TURN = 128 * 1024
/** After `close`: how long to flush, and to read what the peer still sends, before giving up. */
const DRAIN_MS = 1_000

export class TcpConnection implements Connection {
  readonly local: Endpoint
  readonly remote: Endpoint
  readonly direction: 'outgoing' | 'incoming'
  readonly #socket: net.Socket
  readonly #clock: Clock
  #handler: ConnectionHandler | null = null
  #queue: Uint8Array[] = []
  #queuedBytes = 0
  #bitingBytes = 0
  #flushPlanned = false
  #owesDrained = false
  #state: 'open' | 'closing' | 'closed' = 'open'
  #reason: CloseReason = { kind: 'closedByPeer' }
  #deadline: Disposable | null = null
  #isPaused = false
  #readBytes = 0
  /** Reading rests until the event loop has been round. */
  #rest: Disposable | null = null

  /** Takes over a connected socket made with `allowHalfOpen`. */
  constructor(socket: net.Socket, clock: Clock, ends: Pick<Connection, 'local' | 'remote' | 'direction'>) {
    this.#socket = socket
    this.#clock = clock
    this.local = ends.local
    this.remote = ends.remote
    this.direction = ends.direction
    socket.on('data', (bytes: Uint8Array) => {
      if (this.#state !== 'open') return
      this.#handler?.received(bytes)
      this.#readBytes += bytes.length
      if (this.#readBytes >= READ_BYTES_A_TURN) this.#restFromReading()
    })
    socket.on('end', () => this.#ended())
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (this.#state === 'open') this.#reason = { kind: 'error', code: error.code ?? 'EIO', message: error.message }
    })
    socket.on('close', () => this.#closed())
  }

  get bufferedBytes(): number {
    return this.#queuedBytes + this.#bitingBytes
  }

  attach(handler: ConnectionHandler): void {
    this.#handler = handler
  }

  write(bytes: Uint8Array): boolean {
    if (this.#state !== 'open') return false
    this.#queue.push(bytes)
    this.#queuedBytes += bytes.length
    if (!this.#flushPlanned && this.#bitingBytes === 0) {
      this.#flushPlanned = true
      queueMicrotask(() => this.#flush()) // everything written in one turn goes out together
    }
    this.#owesDrained ||= this.bufferedBytes > HIGH_WATER_BYTES
    return !this.#owesDrained
  }

  pause(): void {
    this.#isPaused = true
    this.#socket.pause()
  }

  resume(): void {
    this.#isPaused = false
    if (this.#rest === null) this.#socket.resume()
  }

  close(): void {
    if (this.#state !== 'open') return
    this.#state = 'closing'
    this.#reason = { kind: 'closedByUs' }
    this.#deadline = this.#clock.after(DRAIN_MS, () => this.#socket.destroy())
    this.#socket.resume()
    if (this.bufferedBytes === 0) this.#socket.end()
  }

  destroy(): void {
    if (this.#state === 'closed') return
    this.#state = 'closing'
    this.#reason = { kind: 'closedByUs' }
    this.#queue = []
    this.#queuedBytes = 0
    this.#socket.resetAndDestroy()
  }

  #restFromReading(): void {
    this.#readBytes = 0
    if (this.#state !== 'open' || this.#rest !== null) return
    this.#socket.pause()
    this.#rest = this.#clock.soon(() => {
      this.#rest = null
      if (!this.#isPaused) this.#socket.resume()
    })
  }

  /** Gives the kernel the next bite, one at a time. */
  #flush(): void {
    this.#flushPlanned = false
    if (this.#bitingBytes > 0 || this.#queuedBytes === 0 || this.#socket.destroyed) return
    const bite = this.#nextBite()
    this.#queuedBytes -= bite.length
    this.#bitingBytes = bite.length
    this.#socket.write(bite, (error) => this.#bitten(error ?? null))
  }

  #nextBite(): Uint8Array {
    let count = 0
    let bytes = 0
    for (const chunk of this.#queue) {
      if (count > 0 && bytes + chunk.length > BITE_BYTES) break
      bytes += chunk.length
      count++
    }
    const [first, ...rest] = this.#queue.splice(0, count)
    if (first === undefined) return new Uint8Array(0)
    if (first.length > BITE_BYTES) {
      this.#queue.unshift(first.subarray(BITE_BYTES))
      return first.subarray(0, BITE_BYTES)
    }
    return rest.length === 0 ? first : Buffer.concat([first, ...rest], bytes)
  }

  #bitten(error: Error | null): void {
    this.#bitingBytes = 0
    if (error !== null) return // 'error' and 'close' follow
    if (this.#state === 'open') this.#handler?.progressed()
    this.#flush()
    if (this.#state === 'closing' && this.bufferedBytes === 0) this.#socket.end()
    if (this.#state === 'open' && this.#owesDrained && this.bufferedBytes < LOW_WATER_BYTES) {
      this.#owesDrained = false
      this.#handler?.drained()
    }
  }

  /** The peer's FIN: nothing more will come, so nothing is worth sending either. */
  #ended(): void {
    if (this.#state === 'closing' && !this.#socket.writableFinished) return // our own last words still go out
    this.#socket.destroy()
  }

  #closed(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#deadline?.[Symbol.dispose]()
    this.#rest?.[Symbol.dispose]()
    this.#queue = []
    this.#queuedBytes = 0
    this.#bitingBytes = 0
    this.#handler?.closed(this.#reason)
    this.#handler = null
  }
}
