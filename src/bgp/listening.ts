// Waiting for peers to connect: the listening sockets, kept in step with the configuration, and which peer a connection is
// from. A port that cannot be had is tried again and shown as a problem; an unknown peer is refused without a word.
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import { compareIp, formatIp } from '../net/index.ts'
import type { SpeakerConfig } from './config.ts'
import type { Peering } from './peering.ts'
import { type Connection, type Listener, type Transport, TransportError } from './transport.ts'

type ListenConfig = SpeakerConfig['listen']

type ListeningDeps = {
  readonly clock: Clock
  readonly log: Log
  readonly transport: Transport
  readonly peerings: ReadonlyMap<string, Peering>
  /** `error` changed. */
  readonly changed: () => void
}

const RETRY_MS = 2_000
/** Refused connections are logged once in this time. */
const REFUSAL_LOG_MS = 60_000

export class Listening {
  readonly #deps: ListeningDeps
  #config: ListenConfig = null
  #listener: Listener | null = null
  #retry: Disposable | null = null
  #refusals = 0
  #refusalsLoggedAtMs = Number.NEGATIVE_INFINITY
  /** Why nothing can connect to us, or null. */
  error: string | null = null

  constructor(deps: ListeningDeps) {
    this.#deps = deps
  }

  /** Listens as `config` says, and lets the sockets know the peers of this moment with their keys. */
  update(config: ListenConfig): void {
    if (!isSame(config, this.#config)) {
      this.close()
      this.#config = config
      this.#open()
    }
    this.#listener?.setPeers(this.#acceptedPeers())
  }

  close(): void {
    this.#retry?.[Symbol.dispose]()
    this.#retry = null
    this.#listener?.[Symbol.dispose]()
    this.#listener = null
    this.#config = null
  }

  #open(): void {
    const config = this.#config
    if (config === null) return
    try {
      this.#listener = this.#deps.transport.listen(config.addresses, config.port, (connection) => this.#accept(connection))
      this.#listener.setPeers(this.#acceptedPeers())
      this.error = null
    } catch (error) {
      if (!(error instanceof TransportError)) throw error
      if (this.error !== error.message) this.#deps.log.error('bgp.listener.failed', { err: error })
      this.error = error.message
      this.#retry = this.#deps.clock.after(RETRY_MS, () => this.#open())
    }
    this.#deps.changed()
  }

  #acceptedPeers() {
    return [...this.#deps.peerings.values()].map(({ session }) => session.acceptedPeer())
  }

  #accept(connection: Connection): void {
    const { remote, local } = connection
    for (const { config, session } of this.#deps.peerings.values()) {
      if (compareIp(config.address, remote.address) !== 0) continue
      if (config.interface !== null && config.interface !== remote.interface) continue
      if (config.sourceAddress !== null && compareIp(config.sourceAddress, local.address) !== 0) continue
      if (session.accept(connection)) return
      break
    }
    this.#refuse(connection)
  }

  #refuse(connection: Connection): void {
    this.#refusals++
    const nowMs = this.#deps.clock.nowMs()
    if (nowMs - this.#refusalsLoggedAtMs > REFUSAL_LOG_MS) {
      this.#deps.log.warn('bgp.connection.refused', { remote: formatIp(connection.remote.address), refused: this.#refusals })
      this.#refusalsLoggedAtMs = nowMs
    }
    connection.destroy()
  }
}

function isSame(a: ListenConfig, b: ListenConfig): boolean {
  if (a === null || b === null) return a === b
  return a.port === b.port && a.addresses.length === b.addresses.length && a.addresses.every((address, at) => address === b.addresses[at])
}
