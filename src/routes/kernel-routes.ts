// The kernel's routes of the network namespace we are in, ready for use: backend, syncer, tunnels, and the thread that tells when
// others changed something.
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import type { HostNetwork } from '../net/index.ts'
import type { PeerOnLink } from './links.ts'
import { mtuProblems, podMtu, uplinkMtu } from './mtu.ts'
import { NetlinkRouteBackend } from './netlink/backend.ts'
import { NetlinkEvents } from './netlink/events.ts'
import type { RouteProblem } from './status.ts'
import { RouteSyncer } from './syncer.ts'
import { NetlinkTunnelBackend } from './tunnel/netlink-backend.ts'
import type { TunnelNeeds } from './tunnel/plan.ts'
import { Tunnels } from './tunnel/tunnels.ts'

export type KernelRoutesOptions = {
  readonly log: Log
  readonly clock: Clock
  readonly onHostNetwork: (network: HostNetwork) => void
  /** The MTU for pods is another now, so those that run need it too. The first value is there when the constructor returns. */
  readonly onPodMtu?: (mtu: number) => void
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
  /** Nothing until the constructor is done: nobody has hold of us before. */
  #onPodMtu: (mtu: number) => void = () => {}
  readonly #tunnelBackend: NetlinkTunnelBackend
  readonly #tunnels: Tunnels
  #peers: readonly PeerOnLink[] = []
  #seenVersion = ''
  #uplinkMtu = uplinkMtu({ links: [], uplinks: [] })
  #podMtu = this.#uplinkMtu
  #mtuProblems: readonly RouteProblem[] = []
  #fallback: Disposable | null = null

  /** Opens the netlink sockets and looks at the kernel once. Throws SysError where sockets are refused. */
  constructor({ log, clock, onPodMtu = () => {}, ...options }: KernelRoutesOptions) {
    this.#clock = clock
    this.#backend = new NetlinkRouteBackend()
    this.#tunnelBackend = new NetlinkTunnelBackend()
    this.syncer = new RouteSyncer({ backend: this.#backend, log, clock, onTurn: () => this.#look(), ...options })
    this.#tunnels = new Tunnels({
      backend: this.#tunnelBackend,
      log,
      clock,
      uplinkMtu: () => this.#uplinkMtu,
      isUsed: (index) => this.syncer.usesInterface(index),
      onLeaving: (names) => this.syncer.setHidden(names),
    })
    this.#events = new NetlinkEvents({
      descriptor: this.#backend.eventsDescriptor,
      onReadable: () => this.syncer.poll(),
      onFailed: (err) => {
        log.error('routes.events.failed', { err })
        this.#pollLater()
      },
    })
    this.syncer.resync()
    this.#onPodMtu = onPodMtu
  }

  /** BGP peers, by which links towards the fabric are known. */
  setPeers(peers: readonly PeerOnLink[]): void {
    this.#peers = peers
    this.#measure()
  }

  /**
   * Which families are to have a tunnel. The whole truth, to be said once pools and this node's addresses are known: what a
   * predecessor made stays until then. A tunnel that is not wanted goes when the last of its routes has gone.
   */
  setTunnels(needs: TunnelNeeds): void {
    this.#tunnels.set(needs)
    this.#measure()
  }

  /** MTU for pods' links: of the links towards the fabric, less what encapsulation adds. */
  podMtu(): number {
    return this.#podMtu
  }

  /** What is not as it should be with routes and tunnels. */
  problems(): readonly RouteProblem[] {
    return [...this.syncer.problems(), ...this.#tunnels.problems(), ...this.#mtuProblems]
  }

  /** Leaves every route and tunnel in the kernel. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#fallback?.[Symbol.dispose]()
    this.#tunnels[Symbol.dispose]()
    this.syncer[Symbol.dispose]()
    await this.#events[Symbol.asyncDispose]()
    this.#tunnelBackend[Symbol.dispose]()
    this.#backend[Symbol.dispose]()
  }

  /** After a turn of the syncer: links may be others, and a tunnel that waits to go may have lost its last route. */
  #look(): void {
    const version = this.syncer.hostVersion()
    if (version === this.#seenVersion && !this.#tunnels.isLeaving) return
    this.#seenVersion = version
    this.#measure()
    this.#tunnels.sync()
  }

  #measure(): void {
    const links = this.syncer.links()
    const { uplinks } = this.syncer.uplinks(this.#peers)
    const before = { uplink: this.#uplinkMtu, pod: this.#podMtu }
    this.#uplinkMtu = uplinkMtu({ links, uplinks })
    const needs = { links, uplinks, tunnels: this.#tunnels.needs }
    this.#podMtu = podMtu(needs)
    this.#mtuProblems = mtuProblems(needs)
    if (before.uplink !== this.#uplinkMtu) this.#tunnels.sync()
    if (before.pod !== this.#podMtu) this.#onPodMtu(this.#podMtu)
  }

  #pollLater(): void {
    this.#fallback = this.#clock.after(FALLBACK_POLL_MS, () => {
      this.syncer.poll()
      this.#pollLater()
    })
  }
}
