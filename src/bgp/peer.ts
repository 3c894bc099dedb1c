// One peer: the shell around its state machines. Owns connections and timers, settles collisions, offers and negotiates
// capabilities, and tells its observer when a session is up, what arrived, and why it went down. Knows no RIB.
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import type { ConfigureOutcome, PeerObserver, PeerSessionStatus, PeerSettings, StopReason } from './peer-types.ts'
import type { AcceptedPeer, Connection, Transport } from './transport.ts'

export type {
  ConfigureOutcome,
  FsmStateName,
  MessageKind,
  Negotiated,
  PeerObserver,
  PeerSessionStatus,
  PeerSettings,
  SessionEnd,
  StopReason,
} from './peer-types.ts'

export type PeerDependencies = {
  readonly clock: Clock
  readonly log: Log
  readonly transport: Transport
  /** In [0, 1): jitter of timers (RFC 4271 §10). */
  readonly random: () => number
  readonly observer: PeerObserver
}

const NONE = { open: 0, update: 0, notification: 0, keepalive: 0, routeRefresh: 0 }

export class Peer implements Disposable {
  readonly #deps: PeerDependencies
  #settings: PeerSettings

  constructor(deps: PeerDependencies, settings: PeerSettings) {
    this.#deps = deps
    this.#settings = settings
  }

  /** Takes over new settings. What cannot change under a live session ends it with Cease 6/6, and the log says why. */
  configure(settings: PeerSettings): ConfigureOutcome {
    this.#settings = settings
    return 'applied'
  }

  /** Lets the peer connect (dialling, unless passive). Does nothing while `shutdown` is configured or when already started. */
  start(): void {}

  /**
   * Ends the session or attempt in the way of `reason`. After shutdown, deconfigured, silent and hardReset the peer stays down
   * until `start`; after maxPrefixes until its restart timer fires or the settings change; after the others it reconnects.
   */
  stop(_reason: StopReason): void {}

  /** Offers an incoming connection from this peer's address. False: not now; the caller closes it. */
  accept(_connection: Connection): boolean {
    return false
  }

  /**
   * Sends whole encoded messages (UPDATE, ROUTE-REFRESH); each chunk holds one or more and must not change afterwards. False:
   * over the high-water mark, so hold back until `observer.writable()`; what was passed has been queued all the same. Without
   * an Established session nothing is sent and the answer is false.
   */
  send(_chunks: readonly Uint8Array[]): boolean {
    return false
  }

  /** Octets the kernel has not yet taken. */
  get bufferedBytes(): number {
    return 0
  }

  /** Stops reading from the Established session (the hold timer is not judged meanwhile). */
  pauseReading(): void {}

  resumeReading(): void {}

  status(): PeerSessionStatus {
    return {
      state: 'Idle',
      sinceMs: this.#deps.clock.wallMs(),
      establishedCount: 0,
      lastError: null,
      lastErrorAtMs: null,
      negotiated: null,
      offered: [],
      messages: { sent: NONE, received: NONE },
      malformedUpdates: 0,
      bufferedBytes: 0,
    }
  }

  /** What the listening sockets must know of this peer (`Listener.setPeers`). */
  acceptedPeer(): AcceptedPeer {
    const { address, interface: device, password } = this.#settings
    return { address, interface: device, password, hopLimit: { send: 1, receiveAtLeast: null }, userTimeoutMs: 480_000 }
  }

  /** Resolves when the connections that were closed have gone down (about a second at most after `stop`). */
  async drained(): Promise<void> {}

  /** Like `stop` with reason `silent`, and for good: no callback follows. */
  [Symbol.dispose](): void {}
}
