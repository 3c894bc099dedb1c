// A TCP proxy that cuts its connections on demand, in the middle of whatever is being sent.
import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'

export class CuttingProxy implements AsyncDisposable {
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly port: number
  cuts = 0

  private constructor(server: Server, port: number) {
    this.#server = server
    this.port = port
  }

  /** Passes everything on to an address and port. */
  static async before(target: URL): Promise<CuttingProxy> {
    const server = createServer()
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const address = server.address()
    if (typeof address !== 'object' || address === null) throw new Error('no port')
    const proxy = new CuttingProxy(server, address.port)
    server.on('connection', (client) => {
      const upstream = connect(Number(target.port), target.hostname)
      for (const socket of [client, upstream]) {
        proxy.#sockets.add(socket)
        socket.on('error', () => {}) // its other end was cut
        socket.on('close', () => proxy.#sockets.delete(socket))
      }
      client.pipe(upstream)
      upstream.pipe(client)
    })
    return proxy
  }

  /** Resolves when there is a connection to cut. */
  async connected(): Promise<void> {
    while (this.#sockets.size === 0) await once(this.#server, 'connection')
  }

  /** Resets every connection there is. */
  cut(): void {
    this.cuts += this.#sockets.size
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}
