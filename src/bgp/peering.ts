// One configured peer as the speaker sees it: the session (`Peer`) on one side, the tables (`Rib`) on the other, and between
// them what neither knows: graceful restart helping, End-of-RIB, maximum prefixes, route refresh. Performs `helperStep`.
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import type { PeerConfig } from './config.ts'
import type { Family } from './family.ts'
import { type HelperAction, type HelperEvent, type HelperState, helperStep, NOTHING_RETAINED } from './graceful-restart.ts'
import { type Negotiated, Peer, type PeerObserver, type PeerSettings, type SessionEnd, type StopReason } from './peer.ts'
import type { PeerId, Rib } from './rib/index.ts'
import type { Transport } from './transport.ts'
import { encodeEndOfRib, encodeRouteRefresh, type RouteRefreshMessage, type UpdateMessage } from './wire/index.ts'

/** What a peering tells the speaker. */
export interface PeeringObserver {
  established(peering: Peering, negotiated: Negotiated): void
  endOfRibReceived(peering: Peering, family: Family): void
  ended(peering: Peering, end: SessionEnd): void
  /** The session has not come up for too long, or for another reason than before. */
  failing(): void
}

export type PeeringDeps = {
  readonly clock: Clock
  readonly log: Log
  readonly transport: Transport
  readonly random: () => number
  readonly rib: Rib
  readonly observer: PeeringObserver
}

/** A refresh whose EoRR never comes ends by itself (RFC 7313 §4). */
const REFRESH_WINDOW_SECONDS = 360

/** A session that is to come up for the first time is awaited so many pauses between attempts before anybody is told: both ends begin when they begin. */
const AWAITED_RETRIES = 2

type TimerName = 'awaited' | 'restart' | 'stale' | `longLived ${Family}` | `refresh ${Family}`

const longLivedTimer = (family: Family): TimerName => `longLived ${family}`
const refreshTimer = (family: Family): TimerName => `refresh ${family}`

export class Peering implements PeerObserver, Disposable {
  readonly key: string
  readonly id: PeerId
  readonly session: Peer
  readonly #deps: PeeringDeps
  readonly #timers = new Map<TimerName, Disposable>()
  readonly #endOfRibReceived = new Set<Family>()
  readonly #endOfRibSent = new Set<Family>()
  readonly #refreshAnswered = new Set<Family>()
  #config: PeerConfig
  #negotiated: Negotiated | null = null
  #helper: HelperState = NOTHING_RETAINED
  #flaps = 0
  #lastEnd: { readonly reason: string; readonly atMs: number } | null = null
  #warnedOfPrefixes = new Set<Family>()

  constructor(deps: PeeringDeps, settings: PeerSettings) {
    this.#deps = deps
    this.#config = settings
    this.key = settings.key
    this.id = deps.rib.addPeer(settings)
    const { clock, log, transport, random } = deps
    this.session = new Peer({ clock, log: log.child({ peer: settings.key }), transport, random, observer: this }, settings)
  }

  get config(): PeerConfig {
    return this.#config
  }

  get negotiated(): Negotiated | null {
    return this.#negotiated
  }

  get flaps(): number {
    return this.#flaps
  }

  /** Why and when (wall clock) the last session that was up ended; attempts since then may have failed for other reasons. */
  get lastEnd(): { readonly reason: string; readonly atMs: number } | null {
    return this.#lastEnd
  }

  get endOfRib(): { readonly received: readonly Family[]; readonly sent: readonly Family[] } {
    return { received: [...this.#endOfRibReceived], sent: [...this.#endOfRibSent] }
  }

  /** Up, or down with routes held for its return: what a successor of this process has to wait for. */
  get isUpOrRetained(): boolean {
    return this.#negotiated !== null || this.#helper.retained.size > 0
  }

  get gracefulRestart(): 'none' | 'waiting for peer' | 'long-lived stale' | 'waiting for End-of-RIB' {
    if (this.#helper.retained.size === 0) return 'none'
    if (this.#helper.connected) return 'waiting for End-of-RIB'
    return [...this.#helper.retained.values()].includes('longLived') ? 'long-lived stale' : 'waiting for peer'
  }

  /** Not up yet, but it is too early to worry. */
  get isAwaited(): boolean {
    return this.#timers.has('awaited')
  }

  start(): void {
    this.#await()
    this.session.start()
  }

  /** Applies new settings; only what the session itself was built from resets it (and the log says so). */
  configure(settings: PeerSettings): void {
    if (this.#config.shutdown !== null && settings.shutdown === null) this.#await()
    this.#config = settings
    this.#warnedOfPrefixes.clear()
    this.#deps.rib.configurePeer(this.id, settings)
    this.session.configure(settings)
    this.#checkMaxPrefixes()
  }

  /** The peer is no longer configured, or we end: nothing of it stays. */
  remove(reason: StopReason): void {
    this.session.stop(reason)
    this.#help({ kind: 'deconfigured' })
    this.#deps.rib.removePeer(this.id)
    this[Symbol.dispose]()
  }

  /** Sends everything again, and asks the peer to do so (`soft`), or starts the session anew. */
  reset(soft: boolean): void {
    if (!soft) {
      this.session.stop({ kind: 'reset', message: '' })
      this.session.start()
      return
    }
    for (const family of this.#negotiated?.families ?? []) {
      if (this.#negotiated?.routeRefresh === true) this.session.send([encodeRouteRefresh({ family, subtype: 0 })])
      this.#answerRefresh(family)
    }
  }

  // PeerObserver

  established(negotiated: Negotiated): void {
    this.#negotiated = negotiated
    this.#cancel('awaited')
    this.#endOfRibReceived.clear()
    this.#endOfRibSent.clear()
    this.#help({ kind: 'established', negotiated })
    this.#deps.rib.sessionUp(this.id, negotiated)
    this.#deps.observer.established(this, negotiated)
  }

  updateReceived(update: UpdateMessage): void {
    this.#deps.rib.applyUpdate(this.id, update)
    if (update.endOfRib !== null) {
      this.#endOfRibReceived.add(update.endOfRib)
      this.#help({ kind: 'endOfRibReceived', family: update.endOfRib })
      this.#deps.observer.endOfRibReceived(this, update.endOfRib)
    }
    if (update.announced.length > 0) this.#checkMaxPrefixes()
  }

  routeRefreshReceived({ family, subtype }: RouteRefreshMessage): void {
    if (family === null || this.#negotiated?.families.includes(family) !== true) return // RFC 2918 §4
    switch (subtype) {
      case 0:
        this.#answerRefresh(family)
        return
      case 1: // BoRR
        if (!this.#negotiated.enhancedRouteRefresh) return
        this.#deps.rib.beginRefresh(this.id, family)
        this.#arm(refreshTimer(family), REFRESH_WINDOW_SECONDS, () => this.#endRefresh(family))
        return
      case 2: // EoRR
        if (this.#timers.has(refreshTimer(family))) this.#endRefresh(family)
        return
      default: // RFC 7313 §5: unknown subtypes are ignored
        return
    }
  }

  ended(end: SessionEnd): void {
    const negotiated = this.#negotiated
    if (negotiated === null) return
    this.#negotiated = null
    this.#flaps++
    this.#lastEnd = { reason: end.reason, atMs: this.#deps.clock.wallMs() }
    for (const family of negotiated.families) this.#cancel(refreshTimer(family))
    this.#deps.rib.sessionDown(this.id)
    this.#help({ kind: 'ended', negotiated, retain: end.retain })
    this.#deps.observer.ended(this, end)
  }

  failing(): void {
    if (!this.isAwaited) this.#deps.observer.failing()
  }

  writable(): void {
    this.#deps.rib.writable(this.id)
  }

  // what the RIB asks for

  /** Hands encoded UPDATEs to the session. False: it is behind, so the RIB keeps only keys for it until it is writable. */
  deliver(chunks: readonly Uint8Array[]): boolean {
    return this.session.send(chunks)
  }

  /** The whole Adj-RIB-Out of a family has been handed over, first of the session or in answer to a refresh. */
  tableSent(family: Family): void {
    if (this.#negotiated === null) return
    if (!this.#endOfRibSent.has(family)) {
      this.#endOfRibSent.add(family)
      this.session.send([encodeEndOfRib(family)])
    }
    if (this.#refreshAnswered.delete(family)) this.session.send([encodeRouteRefresh({ family, subtype: 2 })])
  }

  [Symbol.dispose](): void {
    for (const timer of this.#timers.values()) timer[Symbol.dispose]()
    this.#timers.clear()
    this.session[Symbol.dispose]()
  }

  #await(): void {
    this.#arm('awaited', AWAITED_RETRIES * this.#config.connectRetrySeconds, () => this.#deps.observer.failing())
  }

  #answerRefresh(family: Family): void {
    if (this.#negotiated?.enhancedRouteRefresh === true && this.#endOfRibSent.has(family)) {
      // RFC 7313 §4: BoRR must not come before the End-of-RIB of the session's start
      this.#refreshAnswered.add(family)
      this.session.send([encodeRouteRefresh({ family, subtype: 1 })])
    }
    this.#deps.rib.refresh(this.id, family)
  }

  #endRefresh(family: Family): void {
    this.#cancel(refreshTimer(family))
    this.#deps.rib.endRefresh(this.id, family)
  }

  /** RFC 4486 §4: over the bound the session ends with Cease 6/1; under it, one warning when it comes near. */
  #checkMaxPrefixes(): void {
    const limits = this.#config.maxPrefixes
    if (limits === null || this.#negotiated === null) return
    for (const family of this.#negotiated.families) {
      const bound = family === 'IPv4Unicast' ? limits.ipv4 : limits.ipv6
      if (bound === null) continue
      const { received } = this.#deps.rib.counts(this.id, family)
      if (received > bound) {
        this.#deps.log.error('bgp.maxPrefixes.exceeded', { peer: this.key, family, bound, received })
        this.session.stop({ kind: 'maxPrefixes', family, bound })
        return
      }
      const isNear = received * 100 >= bound * limits.warnAtPercent
      if (isNear && !this.#warnedOfPrefixes.has(family)) {
        this.#warnedOfPrefixes.add(family)
        this.#deps.log.warn('bgp.maxPrefixes.near', { peer: this.key, family, bound, received, warnAtPercent: limits.warnAtPercent })
      } else if (!isNear) this.#warnedOfPrefixes.delete(family)
    }
  }

  /** Families near their maximum, for the status page. */
  get familiesNearMaximum(): readonly Family[] {
    return [...this.#warnedOfPrefixes]
  }

  #help(event: HelperEvent): void {
    const { state, actions } = helperStep(this.#helper, event)
    this.#helper = state
    for (const action of actions) this.#perform(action)
  }

  #perform(action: HelperAction): void {
    const { rib, log } = this.#deps
    switch (action.kind) {
      case 'markStale':
        log.info('bgp.routes.retained', { peer: this.key, family: action.family })
        rib.markStale(this.id, action.family)
        break
      case 'startLongLived':
        log.info('bgp.routes.longLivedStale', { peer: this.key, family: action.family })
        rib.startLongLived(this.id, action.family)
        break
      case 'sweepStale':
        rib.sweepStale(this.id, action.family)
        break
      case 'clear':
        rib.clear(this.id, action.family)
        break
      case 'armRestartTimer':
        this.#arm('restart', action.seconds, () => this.#help({ kind: 'restartTimerExpired' }))
        return
      case 'armStaleTimer':
        this.#arm('stale', action.seconds, () => this.#help({ kind: 'staleTimerExpired' }))
        return
      case 'armLongLivedTimer': {
        const { family } = action
        this.#arm(longLivedTimer(family), action.seconds, () => this.#help({ kind: 'longLivedTimerExpired', family }))
        return
      }
      case 'cancelRestartTimer':
        this.#cancel('restart')
        return
      case 'cancelStaleTimer':
        this.#cancel('stale')
        return
      case 'cancelLongLivedTimer':
        this.#cancel(longLivedTimer(action.family))
        return
    }
  }

  #arm(name: TimerName, seconds: number, fire: () => void): void {
    this.#cancel(name)
    this.#timers.set(
      name,
      this.#deps.clock.after(seconds * 1000, () => {
        this.#timers.delete(name)
        fire()
      }),
    )
  }

  #cancel(name: TimerName): void {
    this.#timers.get(name)?.[Symbol.dispose]()
    this.#timers.delete(name)
  }
}
