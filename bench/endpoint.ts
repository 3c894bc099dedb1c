// One BGP session of a bench tool: dials until the daemon answers, brings the session up, keeps it alive and hands over
// UPDATEs. No policy, no validation: the daemon is what is measured.
import { connect, type Socket } from 'node:net'
import type { Family } from '../src/bgp/family.ts'
import { Framer, KEEPALIVE, MESSAGE, openMessage } from './messages.ts'

export type EndpointOptions = {
  readonly localAddress: string
  readonly asn: number
  readonly routerId: number
  readonly dutAddress: string
  readonly families: readonly Family[]
  readonly onUpdate: (bytes: Uint8Array, start: number, end: number) => void
  /** Called after each chunk from the socket, when the messages in it have been handed over. */
  readonly onDrained: () => void
}

const PORT = 179
const HOLD_TIME_SECONDS = 240
const KEEPALIVE_MS = 30_000
const RETRY_MS = 200
const READ_BUFFER_BYTES = 1 << 18

/** Monotonic milliseconds of the machine, the same clock in every process of it. */
export function machineMs(): number {
  return Number(process.hrtime.bigint()) / 1e6
}

export class Endpoint implements Disposable {
  readonly #options: EndpointOptions
  readonly #failed: (reason: string) => void
  #socket: Socket | null = null
  #established = false
  #timer: NodeJS.Timeout | null = null

  private constructor(options: EndpointOptions, failed: (reason: string) => void) {
    this.#options = options
    this.#failed = failed
  }

  /** Resolves when the session is established; `failed` is told when it ends later. The caller sets the deadline. */
  static establish(options: EndpointOptions, failed: (reason: string) => void): Promise<Endpoint> {
    const endpoint = new Endpoint(options, failed)
    return new Promise((resolve) => endpoint.#dial(() => resolve(endpoint)))
  }

  /** Writes as fast as the socket takes it; resolves when the kernel has all of it. */
  write(bytes: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      if (this.#socket === null) return resolve()
      this.#socket.write(bytes, () => resolve())
    })
  }

  #dial(up: () => void): void {
    const { localAddress, dutAddress, asn, routerId, families, onUpdate, onDrained } = this.#options
    const framer = new Framer((type, bytes, start, end) => {
      if (type === MESSAGE.update) onUpdate(bytes, start, end)
      else if (type === MESSAGE.open) socket.write(KEEPALIVE)
      else if (type === MESSAGE.keepalive && !this.#established) {
        this.#established = true
        this.#timer = setInterval(() => socket.write(KEEPALIVE), KEEPALIVE_MS)
        up()
      } else if (type === MESSAGE.notification) this.#ended(`NOTIFICATION ${bytes[start + 19]}/${bytes[start + 20]} from ${dutAddress}`)
    })
    const buffer = Buffer.allocUnsafeSlow(READ_BUFFER_BYTES)
    const socket = connect({
      host: dutAddress,
      port: PORT,
      localAddress,
      noDelay: true,
      onread: {
        buffer,
        callback: (length) => {
          framer.push(buffer.subarray(0, length))
          onDrained()
          return true
        },
      },
    })
    this.#socket = socket
    socket.on('connect', () => socket.write(openMessage({ asn, routerId, holdTimeSeconds: HOLD_TIME_SECONDS, families })))
    socket.on('error', () => {}) // 'close' follows
    socket.on('close', () => {
      if (this.#established) this.#ended(`connection of ${localAddress} closed by ${dutAddress}`)
      else if (this.#socket === socket) setTimeout(() => this.#dial(up), RETRY_MS)
    })
  }

  #ended(reason: string): void {
    if (!this.#established || this.#socket === null) return // before that: dialled again
    this[Symbol.dispose]()
    this.#failed(reason)
  }

  [Symbol.dispose](): void {
    const socket = this.#socket
    this.#socket = null
    if (this.#timer !== null) clearInterval(this.#timer)
    socket?.destroy()
  }
}
