// An API server for programs inside namespaces of a test, which cannot reach the loopback of the host: its port appears on theirs.
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Netns } from '../netns.ts'

const ROOT = resolve(import.meta.dirname, '../../..')

export class Relay implements AsyncDisposable {
  readonly #server: Server
  readonly #folder: string
  readonly #port: number

  private constructor(server: Server, folder: string, port: number) {
    this.#server = server
    this.#folder = folder
    this.#port = port
  }

  /** Leads to a port of this process' loopback. */
  static async to(port: number): Promise<Relay> {
    const folder = mkdtempSync(join(tmpdir(), 'fib-relay-'))
    const server = createServer((client) => {
      const upstream = connect(port, '127.0.0.1')
      for (const each of [client, upstream]) each.on('error', () => {}) // its other end is gone
      client.on('close', () => upstream.destroy())
      upstream.on('close', () => client.destroy())
      client.pipe(upstream)
      upstream.pipe(client)
    })
    await new Promise<void>((listening) => server.listen(join(folder, 'api.sock'), listening))
    return new Relay(server, folder, port)
  }

  /** Opens the same port on the loopback of a namespace; it ends with the namespace. */
  async open(net: Netns, node: string): Promise<void> {
    const args = ['--disable-warning=ExperimentalWarning', join(ROOT, 'test/support/kube/relay-main.ts')]
    const child = net.spawn(node, join(ROOT, 'scripts/node'), [...args, String(this.#port), join(this.#folder, 'api.sock')])
    if (child.stdout === null) throw new Error('the relay has no output')
    await once(child.stdout, 'data')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise((closed) => {
      this.#server.close(closed)
    })
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
