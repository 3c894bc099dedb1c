// One peer: at most one Established session, and at most one each on its way, outgoing and incoming. Decides when to try, which of
// two connections stays, what to offer; tells its observer when a session is up, what arrived, and why it went down. Knows no RIB.
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import { formatIp, ipv4 } from '../net/index.ts'
import { afterRejection, type Fallback, FULL_OFFER, withFallback } from './fallback.ts'
import { type IdleCause, type OtherConnection, resolveCollision } from './fsm/index.ts'
import { CEASE, ERROR } from './iana.ts'
import { MalformedLog } from './malformed-log.ts'
import { noMessages } from './message-counts.ts'
import { localAsnOf, offeredCapabilities } from './negotiate.ts'
import { changeOf, hopLimitOf, userTimeoutMsOf } from './peer-change.ts'
import type { ConfigureOutcome, FsmStateName, PeerObserver, PeerSessionStatus, PeerSettings, StopReason } from './peer-types.ts'
import { Rest } from './rest.ts'
import { retains } from './retention.ts'
import { Session } from './session.ts'
import type { SessionOver, SessionOwner } from './session-owner.ts'
import { planStop, type StopPlan } from './stop-plan.ts'
import type { AcceptedPeer, Connection, Transport } from './transport.ts'
import type { Capability, RouteRefreshMessage, UpdateMessage } from './wire/index.ts'

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

/** A session shorter than this that is lost counts as a failure even if graceful restart holds its routes. */
const BRIEF_MS = 10_000
const FURTHEST_FIRST: readonly FsmStateName[] = ['Established', 'OpenConfirm', 'OpenSent', 'Connect', 'Active']

export class Peer implements Disposable, SessionOwner {
  readonly sent = noMessages()
  readonly received = noMessages()
  readonly #deps: PeerDependencies
  readonly #malformed: MalformedLog
  readonly #rest: Rest
  /** Connections on their way down, with last words still to deliver. */
  readonly #closing = new Set<Connection>()
  #settings: PeerSettings
  #isStarted = false
  #isDisposed = false
  #established: Session | null = null
  #outgoing: Session | null = null
  #incoming: Session | null = null
  #fallback: Fallback = FULL_OFFER
  #drainWaiters: (() => void)[] = []
  #sinceMs: number
  #establishedCount = 0
  #lastError: { readonly reason: string; readonly atMs: number } | null = null

  constructor(deps: PeerDependencies, settings: PeerSettings) {
    this.#deps = deps
    this.#settings = settings
    this.#sinceMs = deps.clock.wallMs()
    this.#malformed = new MalformedLog(deps.clock, deps.log)
    this.#rest = new Rest(deps, () => this.#begin('idleHold'))
  }

  get settings(): PeerSettings {
    return this.#settings
  }

  /** Takes over new settings. What cannot change under a live session ends it with Cease 6/6, and the log says why. */
  configure(settings: PeerSettings): ConfigureOutcome {
    const before = this.#settings
    const change = changeOf(before, settings)
    if (change.kind === 'none') return 'unchanged'
    const wasBusy = this.#sessions().length > 0
    const isShutDown = settings.shutdown !== null
    if (isShutDown && before.shutdown === null) {
      this.#stop(planStop({ kind: 'shutdown', message: settings.shutdown?.message ?? '' }, this.#hasNotificationRestart()))
      this.#settings = settings
      return wasBusy ? 'reset' : 'applied'
    }
    if (change.kind === 'resets') {
      if (wasBusy) this.#deps.log.info('bgp.session.reset', { because: change.because })
      this.#stop({ ...planStop({ kind: 'configurationChanged' }, this.#hasNotificationRestart()), words: change.because })
      this.#settings = settings
      this.#startAfresh()
      return wasBusy ? 'reset' : 'applied'
    }
    this.#settings = settings
    for (const session of this.#sessions()) session.refreshDecoding()
    const limitsChanged = JSON.stringify(before.maxPrefixes) !== JSON.stringify(settings.maxPrefixes)
    const isToStart = (before.shutdown !== null && !isShutDown) || (this.#rest.isForTooManyPrefixes && limitsChanged)
    if (isToStart) this.#startAfresh()
    else if (before.passive !== settings.passive && this.#established === null) this.#redial()
    return 'applied'
  }

  /** Lets the peer connect (dialling, unless passive). Cuts short a pause; while `shutdown` is configured it waits for its end. */
  start(): void {
    if (this.#isDisposed) return
    this.#isStarted = true
    this.#rest.end()
    this.#begin('start')
  }

  /**
   * Ends the session or attempt in the way of `reason`. After shutdown, deconfigured, silent and hardReset the peer stays down
   * until `start`; after maxPrefixes until its restart timer fires or the limits change; after the others it reconnects.
   */
  stop(reason: StopReason): void {
    if (this.#isDisposed) return
    const plan = planStop(reason, this.#hasNotificationRestart())
    const establishedForMs = this.#establishedForMs(this.#established)
    switch (plan.next) {
      case 'stay':
        this.#isStarted = false
        this.#stop(plan)
        return
      case 'rest':
        this.#stop(plan)
        this.#rest.afterTooManyPrefixes(this.#settings.maxPrefixes?.restartAfterSeconds ?? null)
        return
      case 'retry':
        this.#stop(plan)
        this.#restAfter({ kind: 'expectedBack' })
        return
      case 'damped':
        this.#stop(plan)
        this.#restAfter({ kind: 'failed', establishedForMs })
        return
    }
  }

  /**
   * Offers an incoming connection from this peer's address. False: not now; the caller closes it. A new one takes the place of one
   * that has not become a session: the peer has given that up.
   */
  accept(connection: Connection): boolean {
    if (!this.#mayRun() || !this.#rest.admitsIncoming) return false
    this.#incoming?.dispatch({ kind: 'openCollisionDump' }, { reason: 'the peer has opened a newer connection' })
    const session = new Session(this.#deps, this, 'incoming', this.#rest.connectRetryCounter)
    this.#incoming = session
    session.takeOver(connection)
    return true
  }

  /**
   * Sends whole encoded messages (UPDATE, ROUTE-REFRESH); each chunk holds one or more and must not change afterwards. False:
   * over the high-water mark, so hold back until `observer.writable()`; what was passed has been queued all the same. Without
   * an Established session nothing is sent and the answer is false.
   */
  send(chunks: readonly Uint8Array[]): boolean {
    return this.#established?.send(chunks) ?? false
  }

  /** Octets the kernel has not yet taken. */
  get bufferedBytes(): number {
    return this.#established?.bufferedBytes ?? 0
  }

  /** Stops reading from the Established session (the hold timer is not judged meanwhile). */
  pauseReading(): void {
    this.#established?.pauseReading()
  }

  resumeReading(): void {
    this.#established?.resumeReading()
  }

  status(): PeerSessionStatus {
    const states = this.#sessions().map(({ state }) => state)
    return {
      state: FURTHEST_FIRST.find((state) => states.includes(state)) ?? 'Idle',
      sinceMs: this.#sinceMs,
      establishedCount: this.#establishedCount,
      lastError: this.#lastError?.reason ?? null,
      lastErrorAtMs: this.#lastError?.atMs ?? null,
      negotiated: this.#established?.negotiated ?? null,
      offered: this.capabilities(),
      messages: { sent: { ...this.sent }, received: { ...this.received } },
      malformedUpdates: this.#malformed.count,
      bufferedBytes: this.bufferedBytes,
    }
  }

  /** What the listening sockets must know of this peer (`Listener.setPeers`). */
  acceptedPeer(): AcceptedPeer {
    const { address, interface: device, password } = this.#settings
    return { address, interface: device, password, hopLimit: hopLimitOf(this.#settings), userTimeoutMs: userTimeoutMsOf(this.#settings) }
  }

  /** Resolves when the connections that were closed have gone down (about a second at most after `stop`). */
  drained(): Promise<void> {
    if (this.#closing.size === 0) return Promise.resolve()
    return new Promise((resolve) => this.#drainWaiters.push(resolve))
  }

  /** Like `stop` with reason `silent`, and for good: the observer hears nothing more. */
  [Symbol.dispose](): void {
    if (this.#isDisposed) return
    this.#isDisposed = true
    this.#isStarted = false
    this.#stop(planStop({ kind: 'silent' }, false))
  }

  // SessionOwner

  capabilities(): readonly Capability[] {
    return withFallback(offeredCapabilities(this.#settings), this.#fallback)
  }

  openArrived(session: Session): void {
    const remote = { asn: this.#settings.asn, routerId: session.negotiated?.remoteRouterId ?? 0 }
    const local = { asn: localAsnOf(this.#settings), routerId: this.#settings.routerId }
    for (const other of this.#sessions()) {
      if (other === session) continue
      const verdict = resolveCollision(local, remote, session.direction, asOther(other, session))
      if (verdict === 'keepBoth') continue
      this.#deps.log.info('bgp.collision.resolved', { verdict, arriving: session.direction, other: other.state })
      switch (verdict) {
        case 'closeArriving':
          session.dispatch({ kind: 'openCollisionDump' })
          return
        case 'closeOther':
          other.dispatch({ kind: 'openCollisionDump' })
          break
        case 'peerRestarted':
          other.dispatch({ kind: 'tcpConnectionFails' }, { reason: 'the peer has restarted: it opened a new session (RFC 4724)' })
          break
      }
    }
  }

  established(session: Session): void {
    const { negotiated } = session
    if (negotiated === null) return
    this.#forget(session)
    this.#established = session
    this.#rest.end()
    if (this.#outgoing?.state === 'Connect' || this.#outgoing?.state === 'Active') this.#silence(this.#outgoing)
    this.#sinceMs = this.#deps.clock.wallMs()
    this.#establishedCount++
    this.#deps.log.info('bgp.session.established', {
      direction: session.direction,
      routerId: formatIp(ipv4(negotiated.remoteRouterId)),
      families: negotiated.families,
      holdTimeSeconds: negotiated.holdTimeSeconds,
    })
    if (!this.#isDisposed) this.#deps.observer.established(negotiated)
  }

  updateReceived(session: Session, update: UpdateMessage): void {
    if (session !== this.#established) return
    if (update.malformations.length > 0) this.#malformed.add(update)
    this.#deps.observer.updateReceived(update)
  }

  routeRefreshReceived(session: Session, message: RouteRefreshMessage): void {
    if (session === this.#established) this.#deps.observer.routeRefreshReceived(message)
  }

  writable(session: Session): void {
    if (session === this.#established) this.#deps.observer.writable()
  }

  attemptFailed(session: Session, reason: string): void {
    if (this.#established === null) this.#noteError(reason)
    else if (session.state === 'Active') this.#silence(session) // a session is up: nothing is left to try
  }

  over(session: Session, end: SessionOver): void {
    if (this.#isDisposed || !this.#sessions().includes(session)) return // silenced
    const wasEstablished = session === this.#established
    this.#forget(session)
    const establishedForMs = this.#establishedForMs(session)
    const { negotiated } = session
    const isCollision = end.on === 'openCollisionDump' || isCollisionCease(end)
    const retain = wasEstablished && negotiated !== null && retains(negotiated, end.notification)
    if (wasEstablished) {
      this.#sinceMs = this.#deps.clock.wallMs()
      this.#fallback = FULL_OFFER
      this.#deps.log.warn('bgp.session.ended', { reason: end.reason, retain })
    } else if (end.received !== null) this.#fallBack(session, end.received)
    if (!isCollision && (wasEstablished || this.#established === null)) this.#noteError(end.reason)
    if (this.#established === null) {
      if (!isCollision) this.#restAfter(idleCause(end, retain, establishedForMs))
      else if (this.#sessions().length === 0) this.#restAfter({ kind: 'expectedBack' })
    }
    if (wasEstablished) this.#deps.observer.ended({ reason: end.reason, notification: end.notification, retain })
  }

  closing(connection: Connection): void {
    this.#closing.add(connection)
  }

  closed(connection: Connection): void {
    if (!this.#closing.delete(connection) || this.#closing.size > 0) return
    for (const resolve of this.#drainWaiters.splice(0)) resolve()
  }

  // trying

  #mayRun(): boolean {
    return this.#isStarted && !this.#isDisposed && this.#settings.shutdown === null && !this.#rest.isForTooManyPrefixes
  }

  #sessions(): readonly Session[] {
    return [this.#established, this.#outgoing, this.#incoming].filter((session) => session !== null)
  }

  /** Starts the outgoing machine, unless there is something going on already. */
  #begin(on: 'start' | 'idleHold'): void {
    if (!this.#mayRun() || this.#sessions().length > 0) return
    const session = new Session(this.#deps, this, 'outgoing', this.#rest.connectRetryCounter)
    this.#outgoing = session
    if (on === 'idleHold') session.dispatch({ kind: 'idleHoldTimerExpired' })
    else session.dispatch({ kind: this.#settings.passive ? 'automaticStartPassive' : 'automaticStart' })
  }

  #startAfresh(): void {
    this.#fallback = FULL_OFFER
    this.#rest.forgive()
    this.#begin('start')
  }

  #redial(): void {
    if (this.#outgoing !== null) this.#silence(this.#outgoing)
    this.#rest.end()
    this.#begin('start')
  }

  #restAfter(cause: IdleCause): void {
    if (this.#mayRun()) this.#rest.after(cause, this.#settings.connectRetrySeconds)
  }

  // ending

  #stop(plan: StopPlan): void {
    for (const session of this.#sessions()) {
      session.dispatch({ kind: 'manualStop', notification: plan.notification }, { reason: plan.words })
    }
    this.#rest.end()
  }

  /** Ends an attempt without a word and without consequences. */
  #silence(session: Session): void {
    this.#forget(session)
    session.dispatch({ kind: 'manualStop', notification: null })
  }

  #forget(session: Session): void {
    if (this.#established === session) this.#established = null
    if (this.#outgoing === session) this.#outgoing = null
    if (this.#incoming === session) this.#incoming = null
  }

  #fallBack(session: Session, rejection: { readonly code: number; readonly subcode: number; readonly data: Uint8Array }): void {
    const next = afterRejection(this.#fallback, session.offered, rejection)
    if (next.without !== this.#fallback.without) this.#deps.log.warn('bgp.offer.reduced', { without: next.without })
    this.#fallback = next
  }

  /** Logged when it changes; a peer that stays away is not news. */
  #noteError(reason: string): void {
    const isNews = this.#lastError?.reason !== reason
    this.#lastError = { reason, atMs: this.#deps.clock.wallMs() }
    if (!isNews) return
    this.#deps.log.warn('bgp.session.failed', { reason })
    if (!this.#isDisposed && this.#established === null) this.#deps.observer.failing()
  }

  #hasNotificationRestart(): boolean {
    return this.#established?.negotiated?.gracefulRestart?.notification === true
  }

  #establishedForMs(session: Session | null): number | null {
    const since = session?.establishedAtMs ?? null
    return since === null ? null : this.#deps.clock.nowMs() - since
  }
}

function asOther(other: Session, arriving: Session): OtherConnection {
  switch (other.state) {
    case 'Established': {
      const establishedBeforeMs = arriving.connectedAtMs - (other.establishedAtMs ?? 0)
      return { kind: 'Established', graceful: (other.negotiated?.gracefulRestart ?? null) !== null, establishedBeforeMs }
    }
    case 'Idle':
      return { kind: 'Active' } // over, as soon as what it is doing is done
    default:
      return { kind: other.state }
  }
}

/** The peer's half of a collision. */
function isCollisionCease({ received }: SessionOver): boolean {
  return received?.code === ERROR.CEASE && received.subcode === CEASE.COLLISION
}

function idleCause(end: SessionOver, retain: boolean, establishedForMs: number | null): IdleCause {
  if (end.from === 'Connect' || end.from === 'Active') return { kind: 'dialFailed' }
  if (retain && establishedForMs !== null && establishedForMs >= BRIEF_MS) return { kind: 'expectedBack' }
  return end.counts ? { kind: 'failed', establishedForMs } : { kind: 'expectedBack' }
}
