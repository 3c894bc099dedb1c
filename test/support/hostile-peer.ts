// A BGP peer made of bare octets: it says exactly what a test tells it to, when it is told to, and no more. It can be silent, stop
// reading (zero window), dial and listen at once, and send any malformed message.
import type { ChildProcess } from 'node:child_process'
import path from 'node:path'
import { KEEPALIVE, open, type RawOpen } from './bgp-bytes.ts'
import type { Netns } from './netns.ts'
import { HopelessError, until } from './poll.ts'
import type { RawCommand, RawEvent } from './raw-tcp-main.ts'

export type RawMessage = { readonly type: number; readonly body: Buffer }

const ROOT = path.resolve(import.meta.dirname, '../..')
export const BGP_TYPE = { OPEN: 1, UPDATE: 2, NOTIFICATION: 3, KEEPALIVE: 4, ROUTE_REFRESH: 5 } as const

/** Sockets in one namespace. Disposing ends the process that holds them, so every connection is reset. */
export class HostilePeer implements AsyncDisposable {
  readonly #child: ChildProcess
  readonly #connections = new Map<number, HostileConnection>()
  readonly #accepted: HostileConnection[] = []
  #listening = false
  #nextId = 1
  #output = ''

  private constructor(child: ChildProcess) {
    this.#child = child
    child.on('message', (event) => this.#handle(event as RawEvent))
    for (const stream of [child.stdout, child.stderr]) stream?.on('data', (text: Buffer) => (this.#output += text.toString()))
  }

  static start(net: Netns, node: string): HostilePeer {
    const args = ['--disable-warning=ExperimentalWarning', path.join(ROOT, 'test/support/raw-tcp-main.ts')]
    return new HostilePeer(net.spawn(node, path.join(ROOT, 'scripts/node'), args, { stdio: ['ignore', 'pipe', 'pipe', 'ipc'] }))
  }

  /** Accepts connections from now on; take them with `accept`. */
  async listen(address: string, port = 179): Promise<void> {
    this.#listening = false
    this.command({ op: 'listen', address, port })
    await until('the hostile peer listens', () => this.#listening, { explain: () => this.#output })
  }

  /** The next incoming connection. */
  async accept(deadlineMs = 120_000): Promise<HostileConnection> {
    await until('a connection to the hostile peer', () => this.#accepted.length > 0, { deadlineMs, explain: () => this.#output })
    const connection = this.#accepted.shift()
    if (connection === undefined) throw new Error('the connection is gone')
    return connection
  }

  /** Connects, as often as it takes until somebody listens there. */
  dial(address: string, options: { readonly from?: string; readonly port?: number } = {}): Promise<HostileConnection> {
    return until(`a connection to ${address}`, () => this.#dialOnce(address, options), { everyMs: 200 })
  }

  async #dialOnce(address: string, options: { readonly from?: string; readonly port?: number }): Promise<HostileConnection> {
    const id = this.#nextId++
    const connection = new HostileConnection(this, id)
    this.#connections.set(id, connection)
    this.command({ op: 'dial', id, address, port: options.port ?? 179, from: options.from ?? null })
    await until(`an answer of ${address}`, () => connection.opened || connection.closed, { explain: () => this.#output })
    if (!connection.opened) throw new Error(`cannot connect to ${address}: ${connection.error}`)
    return connection
  }

  command(command: RawCommand): void {
    if (this.#child.connected) this.#child.send(command) // after the end of its process a peer has nothing to say
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const connection of this.#connections.values()) connection.fallSilent()
    const { promise, resolve } = Promise.withResolvers<void>()
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) resolve()
    this.#child.once('exit', () => resolve())
    this.#child.kill('SIGKILL')
    await promise
  }

  #handle(event: RawEvent): void {
    if (event.event === 'listening') {
      this.#listening = true
      return
    }
    let connection = this.#connections.get(event.id)
    if (connection === undefined) {
      connection = new HostileConnection(this, event.id)
      this.#connections.set(event.id, connection)
    }
    connection.take(event)
    if (event.event === 'open' && event.incoming) this.#accepted.push(connection)
  }
}

/** One TCP connection of a hostile peer. */
export class HostileConnection {
  readonly #peer: HostilePeer
  readonly #id: number
  #buffer = Buffer.alloc(0)
  readonly #messages: RawMessage[] = []
  #keepalives: NodeJS.Timeout | undefined
  opened = false
  /** The other side has sent FIN. */
  ended = false
  /** It is gone in both directions; `error` says why if it did not end in peace. */
  closed = false
  error: string | null = null

  constructor(peer: HostilePeer, id: number) {
    this.#peer = peer
    this.#id = id
  }

  /** Whole messages received so far. */
  get messages(): readonly RawMessage[] {
    return this.#messages
  }

  send(bytes: Buffer): void {
    this.#peer.command({ op: 'write', id: this.#id, hex: bytes.toString('hex') })
  }

  /** Reads no more: with small kernel buffers the window that the other side sees goes to zero. */
  stopReading(): void {
    this.#peer.command({ op: 'pause', id: this.#id })
  }

  resumeReading(): void {
    this.#peer.command({ op: 'resume', id: this.#id })
  }

  /** Sends no more KEEPALIVEs of its own accord. */
  fallSilent(): void {
    clearInterval(this.#keepalives)
  }

  /** FIN. */
  end(): void {
    this.fallSilent()
    this.#peer.command({ op: 'end', id: this.#id })
  }

  /** RST. */
  reset(): void {
    this.fallSilent()
    this.#peer.command({ op: 'reset', id: this.#id })
  }

  /** Waits for the `nth` message (from 1) of a type; rejects as soon as it cannot come any more. */
  async receive(type: number, nth = 1, deadlineMs = 120_000): Promise<RawMessage> {
    const what = `message ${nth} of type ${type}`
    const explain = (): string => `received types ${this.#messages.map((each) => each.type).join(' ')}; closed: ${this.closed}`
    const look = (): RawMessage | undefined => {
      const found = this.#messages.filter((each) => each.type === type)[nth - 1]
      if (found === undefined && (this.ended || this.closed)) throw new HopelessError(`no ${what}: ${explain()}`)
      return found
    }
    try {
      return await until(what, look, { deadlineMs, explain })
    } catch (cause) {
      throw cause instanceof HopelessError ? new Error(cause.message, { cause }) : cause // hopeless is this connection, not what another one may bring
    }
  }

  /** Waits until the other side has closed the connection, one way or the other. */
  async gone(deadlineMs = 120_000): Promise<void> {
    await until('the connection is closed', () => this.ended || this.closed, { deadlineMs })
  }

  /** OPEN and KEEPALIVE both ways; afterwards the session is up and, if `keepaliveSeconds` is given, kept up. */
  async establish(own: RawOpen, keepaliveSeconds: number | null = 1): Promise<void> {
    this.send(open(own))
    await this.receive(BGP_TYPE.OPEN)
    this.send(KEEPALIVE)
    await this.receive(BGP_TYPE.KEEPALIVE)
    if (keepaliveSeconds === null) return
    this.#keepalives = setInterval(() => this.send(KEEPALIVE), keepaliveSeconds * 1_000)
    this.#keepalives.unref()
  }

  take(event: Exclude<RawEvent, { readonly event: 'listening' }>): void {
    switch (event.event) {
      case 'open':
        this.opened = true
        return
      case 'data':
        this.#buffer = Buffer.concat([this.#buffer, Buffer.from(event.hex, 'hex')])
        this.#cut()
        return
      case 'ended':
        this.ended = true
        this.fallSilent()
        return
      case 'closed':
        this.closed = true
        this.error = event.error
        this.fallSilent()
        return
      default:
        throw new Error(`unknown event: ${JSON.stringify(event satisfies never)}`)
    }
  }

  #cut(): void {
    while (this.#buffer.length >= 19) {
      const length = this.#buffer.readUInt16BE(16)
      if (length < 19 || this.#buffer.length < length) return
      this.#messages.push({ type: this.#buffer.readUInt8(18), body: Buffer.from(this.#buffer.subarray(19, length)) })
      this.#buffer = this.#buffer.subarray(length)
    }
  }
}
