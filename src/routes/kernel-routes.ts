// The kernel's routes of the network namespace we are in, ready for use: backend, syncer, and the thread that tells when others
// changed something.
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import type { HostNetwork } from '../net/index.ts'
import { NetlinkRouteBackend } from './netlink/backend.ts'
import { NetlinkEvents } from './netlink/events.ts'
import { RouteSyncer } from './syncer.ts'

export type KernelRoutesOptions = {
  readonly log: Log
  readonly clock: Clock
  readonly onHostNetwork: (network: HostNetwork) => void
  readonly readBackIntervalMs?: number
}

/** How often we look ourselves when the waiting thread is gone. */
const FALLBACK_POLL_MS = 500

/** Owned by one thread, which it may block while the kernel is busy. */
export class KernelRoutes implements AsyncDisposable {
  readonly syncer: RouteSyncer
  readonly #backend: NetlinkRouteBackend
  readonly #events: NetlinkEvents
  readonly #clock: Clock
  #fallback: Disposable | null = null

  /** Opens the netlink sockets and looks at the kernel once. Throws SysError where sockets are refused. */
  constructor({ log, clock, ...options }: KernelRoutesOptions) {
    this.#clock = clock
    this.#backend = new NetlinkRouteBackend()
    this.syncer = new RouteSyncer({ backend: this.#backend, log, clock, ...options })
    this.#events = new NetlinkEvents({
      descriptor: this.#backend.eventsDescriptor,
      onReadable: () => this.syncer.poll(),
      onFailed: (err) => {
        log.error('routes.events.failed', { err })
        this.#pollLater()
      },
    })
    this.syncer.resync()
  }

  /** Leaves every route in the kernel. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#fallback?.[Symbol.dispose]()
    this.syncer[Symbol.dispose]()
    await this.#events[Symbol.asyncDispose]()
    this.#backend[Symbol.dispose]()
  }

  #pollLater(): void {
    this.#fallback = this.#clock.after(FALLBACK_POLL_MS, () => {
      this.syncer.poll()
      this.#pollLater()
    })
  }
}
