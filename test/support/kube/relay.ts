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
  readonly #target: URL

  private constructor(server: Server, folder: string, target: URL) {
    this.#server = server
    this.#folder = folder
    this.#target = target
  }

  /** Leads to an address and port of this process' loopback. */
  static async to(target: URL): Promise<Relay> {
    const folder = mkdtempSync(join(tmpdir(), 'fib-relay-'))
    const server = createServer((client) => {
      const upstream = connect(Number(target.port), target.hostname)
      for (const each of [client, upstream]) each.on('error', () => {}) // its other end is gone
      client.on('close', () => upstream.destroy())
      upstream.on('close', () => client.destroy())
      client.pipe(upstream)
      upstream.pipe(client)
    })
    await new Promise<void>((listening) => server.listen(join(folder, 'api.sock'), listening))
    return new Relay(server, folder, target)
  }

  /** Opens the same address and port on the loopback of a namespace; it ends with the namespace. */
  async open(net: Netns, node: string): Promise<void> {
    const args = ['--disable-warning=ExperimentalWarning', join(ROOT, 'test/support/kube/relay-main.ts')]
    const { hostname, port } = this.#target
    const child = net.spawn(node, join(ROOT, 'scripts/node'), [...args, hostname, port, join(this.#folder, 'api.sock')], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    if (child.stdout === null) throw new Error('the relay has no output')
    const ended = once(child, 'exit').then(() => Promise.reject(new Error('the relay ended')))
    ended.catch(() => {}) // at the end of a test it is ended
    await Promise.race([once(child.stdout, 'data'), ended])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await new Promise((closed) => {
      this.#server.close(closed)
    })
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
