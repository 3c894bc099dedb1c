// One machine and its connection: performs the actions of `fsm`, turns octets and timers into events. A peer has at most one
// session that is Established and one each on its way, outgoing and incoming.
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import { unreachable } from '../lib/result.ts'
import {
  type Action,
  type Event,
  type EventKind,
  idle,
  type Local,
  type State,
  sendHoldSeconds,
  type TimerName,
  timerMs,
  transition,
} from './fsm/index.ts'
import { ERROR, OPEN_ERROR } from './iana.ts'
import { countMessages, type MessageCounts } from './message-counts.ts'
import { isInternal, localAsnOf, negotiate, openMessage } from './negotiate.ts'
import { hopLimitOf, userTimeoutMsOf } from './peer-change.ts'
import type { Negotiated, PeerSettings, SessionEnd } from './peer-types.ts'
import { connectionLost, dialFailure, noAnswer } from './reasons.ts'
import { RestartableTimer } from './restartable-timer.ts'
import type { Connection, PendingDial, Transport } from './transport.ts'
import {
  type Capability,
  checkOpen,
  createDecodeContext,
  type DecodeContext,
  decodeMessage,
  encodeKeepalive,
  encodeNotification,
  encodeOpen,
  hexOf,
  type Message,
  type MessageError,
  MessageFramer,
  type NotificationMessage,
  notificationText,
  type OpenMessage,
  preOpenContext,
  type RouteRefreshMessage,
  type UpdateMessage,
} from './wire/index.ts'

/** Why an event happened, in words for people; `received` is the NOTIFICATION that did it. */
export type Cause = { readonly reason: string; readonly received?: NotificationMessage }

/** What a session needs of its peer, and tells it. */
export interface SessionOwner {
  readonly settings: PeerSettings
  /** Messages by direction. */
  readonly sent: MessageCounts
  readonly received: MessageCounts
  /** What the next OPEN offers. */
  capabilities(): readonly Capability[]
  /** A good OPEN has arrived and `negotiated` is set: settle collisions. False: this session has lost and is over. */
  openArrived(session: Session): boolean
  established(session: Session): void
  updateReceived(session: Session, update: UpdateMessage): void
  routeRefreshReceived(session: Session, message: RouteRefreshMessage): void
  writable(session: Session): void
  /** An attempt failed; the machine goes on by itself. */
  attemptFailed(session: Session, reason: string): void
  /** The machine is back in Idle, for good: the next attempt gets another. All its actions have been performed. */
  over(session: Session, end: SessionOver): void
  /** The connection is on its way down, or has gone down. */
  closing(connection: Connection): void
  closed(connection: Connection): void
}

export type SessionOver = {
  readonly from: State['kind']
  readonly on: EventKind
  readonly reason: string
  /** The last NOTIFICATION, whichever way it went. */
  readonly notification: SessionEnd['notification']
  readonly received: NotificationMessage | null
  /** ConnectRetryCounter went up: the failure counts for damping. */
  readonly counts: boolean
}

export type SessionDeps = {
  readonly clock: Clock
  readonly log: Log
  readonly transport: Transport
  readonly random: () => number
}

/** How long a connection may take to bring the peer's OPEN; RFC 4271 §8.2.2 suggests four minutes, at most. */
const OPEN_WAIT_SECONDS = 60
const KEEPALIVE = encodeKeepalive()

export class Session {
  readonly direction: 'outgoing' | 'incoming'
  readonly #deps: SessionDeps
  readonly #owner: SessionOwner
  readonly #framer = new MessageFramer()
  readonly #timers: { readonly [T in TimerName]: RestartableTimer }
  readonly #sendHold: RestartableTimer
  readonly #pending: { readonly event: Event; readonly cause: Cause | null }[] = []
  #state: State
  #running = false
  #connection: Connection | null = null
  #dial: PendingDial | null = null
  #secondLook: Disposable | null = null
  #context: DecodeContext = preOpenContext
  #ourOpen: OpenMessage | null = null
  #negotiated: Negotiated | null = null
  #isPaused = false
  /** When the TCP connection came up, and when the session was Established; clock milliseconds. */
  #connectedAtMs = 0
  #establishedAtMs: number | null = null

  constructor(deps: SessionDeps, owner: SessionOwner, direction: 'outgoing' | 'incoming', connectRetryCounter: number) {
    this.#deps = deps
    this.#owner = owner
    this.#state = idle(connectRetryCounter)
    this.direction = direction
    const timer = (expired: () => void): RestartableTimer => new RestartableTimer(deps.clock, expired)
    this.#timers = {
      connectRetry: timer(() => this.#connectRetryExpired()),
      hold: timer(() => this.#holdExpired()),
      keepalive: timer(() => this.dispatch({ kind: 'keepaliveTimerExpired' })),
    }
    this.#sendHold = timer(() => this.#sendHoldExpired())
  }

  get state(): State['kind'] {
    return this.#state.kind
  }

  /** From the OPENs; null before both have been seen. */
  get negotiated(): Negotiated | null {
    return this.#negotiated
  }

  get connectedAtMs(): number {
    return this.#connectedAtMs
  }

  get establishedAtMs(): number | null {
    return this.#establishedAtMs
  }

  get bufferedBytes(): number {
    return this.#connection?.bufferedBytes ?? 0
  }

  /** The capabilities in the OPEN we sent; empty before. */
  get offered(): readonly Capability[] {
    return this.#ourOpen?.capabilities ?? []
  }

  /** Runs an incoming connection from the peer. */
  takeOver(connection: Connection): void {
    this.dispatch({ kind: 'automaticStartPassive' })
    this.#adopt(connection)
    this.dispatch({ kind: 'tcpConnectionConfirmed' })
  }

  /** Runs one event to completion; an event that an action raises waits its turn. */
  dispatch(event: Event, cause: Cause | null = null): void {
    if (this.#running) {
      this.#pending.push({ event, cause })
      return
    }
    this.#running = true
    let over: SessionOver | null = null
    try {
      over = this.#run(event, cause)
      for (let next = this.#pending.shift(); next !== undefined; next = this.#pending.shift())
        over = this.#run(next.event, next.cause) ?? over
    } finally {
      this.#running = false
    }
    if (over !== null) this.#owner.over(this, over)
  }

  /** Sends whole encoded messages; meaningful only while Established. */
  send(chunks: readonly Uint8Array[]): boolean {
    if (this.#state.kind !== 'Established') return false
    let hasRoom = true
    for (const chunk of chunks) {
      countMessages(this.#owner.sent, chunk)
      hasRoom = this.#write(chunk)
    }
    if (chunks.length > 0) this.dispatch({ kind: 'updateSent' })
    return hasRoom
  }

  pauseReading(): void {
    this.#isPaused = true
    this.#connection?.pause()
  }

  /** What the peer did meanwhile cannot be known, so it gets a whole hold time again. */
  resumeReading(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.#connection?.resume()
    this.#restartHold()
  }

  /** Settings that decoding depends on have changed. */
  refreshDecoding(): void {
    const { negotiated } = this
    if (negotiated !== null) this.#context = this.#contextOf(negotiated)
  }

  #run(event: Event, cause: Cause | null): SessionOver | null {
    const before = this.#state
    const { state, actions } = transition(before, event, this.#local())
    this.#state = state
    if (state.kind === before.kind) {
      for (const action of actions) this.#perform(action, '')
      return null
    }
    const reason = cause?.reason ?? defaultReason(event, before.kind)
    this.#logChange(before.kind, event)
    for (const action of actions) this.#perform(action, reason)
    // Back in Active after OpenSent the outgoing machine waits to dial again; an incoming one has nothing left to wait for.
    const fellBack = state.kind === 'Active' && before.kind === 'OpenSent'
    if (fellBack && this.direction === 'outgoing') this.#owner.attemptFailed(this, reason)
    if (state.kind !== 'Idle' && !(fellBack && this.direction === 'incoming')) return null
    this.#release()
    const sent = actions.find((action) => action.kind === 'sendNotification')?.notification
    const received = cause?.received ?? null
    const said = received ?? sent ?? null
    const direction = received === null ? 'sent' : 'received'
    return {
      from: before.kind,
      on: event.kind,
      reason,
      notification: said === null ? null : { direction, code: said.code, subcode: said.subcode },
      received,
      counts: fellBack || state.connectRetryCounter > before.connectRetryCounter,
    }
  }

  #local(): Local {
    const { settings } = this.#owner
    return {
      passive: settings.passive || this.direction === 'incoming',
      connectRetrySeconds: Math.max(1, settings.connectRetrySeconds),
      openWaitSeconds: OPEN_WAIT_SECONDS,
    }
  }

  #perform(action: Action, reason: string): void {
    switch (action.kind) {
      case 'dial':
        this.#startDial()
        return
      case 'closeConnection':
        this.#closeConnection()
        return
      case 'sendOpen':
        this.#sendOpen()
        return
      case 'sendKeepalive':
        this.#owner.sent.keepalive++
        this.#write(KEEPALIVE)
        return
      case 'sendNotification': {
        const { code, subcode, data } = action.notification
        this.#owner.sent.notification++
        this.#deps.log.warn('bgp.notification.sent', { code, subcode, data: hexOf(data), reason })
        this.#write(encodeNotification(action.notification))
        return
      }
      case 'armTimer':
        this.#arm(action.timer, action.seconds)
        return
      case 'cancelTimer':
        this.#timers[action.timer].stop()
        return
      case 'sessionUp':
        this.#establishedAtMs = this.#deps.clock.nowMs()
        this.#owner.established(this)
        return
      case 'sessionDown': // told by `over`, when this machine is at rest
        return
      default:
        unreachable(action)
    }
  }

  // timers

  #arm(timer: TimerName, seconds: number): void {
    if (timer === 'hold') this.#forgetSecondLook()
    this.#timers[timer].restart(timerMs(timer, seconds, this.#deps.random()))
  }

  #connectRetryExpired(): void {
    if (this.#state.kind === 'Connect') this.#owner.attemptFailed(this, noAnswer(this.#owner.settings))
    this.dispatch({ kind: 'connectRetryTimerExpired' })
  }

  /**
   * The hold time is over by the clock. If the event loop was blocked, what the peer sent in time may still wait in the socket:
   * let it be read first, then judge. A peer we ourselves do not read from cannot be judged at all.
   */
  #holdExpired(): void {
    if (this.#isPaused) {
      this.#restartHold()
      return
    }
    this.#secondLook = this.#deps.clock.soon(() => {
      this.#secondLook = null
      const { state } = this
      const reason =
        state === 'OpenSent' ? 'the peer sent no OPEN' : `hold timer expired: nothing came from the peer for ${this.#holdWords()}`
      this.dispatch({ kind: 'holdTimerExpired' }, { reason })
    })
  }

  #holdWords(): string {
    return `${this.#negotiated?.holdTimeSeconds ?? OPEN_WAIT_SECONDS} s`
  }

  #restartHold(): void {
    const holdTimeSeconds = this.#negotiated?.holdTimeSeconds ?? null
    if (holdTimeSeconds !== null && this.#state.kind === 'Established') this.#arm('hold', holdTimeSeconds)
  }

  #forgetSecondLook(): void {
    this.#secondLook?.[Symbol.dispose]()
    this.#secondLook = null
  }

  /** RFC 9687: runs while the kernel does not take what we have to say. */
  #watchSending(hasProgressed: boolean): void {
    if (this.#state.kind !== 'Established' || this.bufferedBytes === 0) {
      this.#sendHold.stop()
      return
    }
    if (this.#sendHold.isRunning && !hasProgressed) return
    const seconds = sendHoldSeconds(this.#negotiated?.holdTimeSeconds ?? null, this.#owner.settings.sendHoldTimeSeconds)
    if (seconds !== null) this.#sendHold.restart(seconds * 1_000)
  }

  #sendHoldExpired(): void {
    const reason = 'send hold timer expired: the peer does not read what we send'
    this.dispatch({ kind: 'sendHoldTimerExpired' }, { reason })
  }

  // connection

  #startDial(): void {
    const { settings } = this.#owner
    const { address, interface: device, port, sourceAddress, password } = settings
    this.#dial = this.#deps.transport.dial(
      {
        remote: { address, interface: device, port },
        sourceAddress,
        password,
        hopLimit: hopLimitOf(settings),
        userTimeoutMs: userTimeoutMsOf(settings),
      },
      (connection) => {
        this.#dial = null
        this.#adopt(connection)
        this.dispatch({ kind: 'tcpConnectionAcked' })
      },
      ({ code, message }) => {
        this.#dial = null
        this.dispatch({ kind: 'tcpConnectionFails' }, { reason: dialFailure(settings, code, message) })
      },
    )
  }

  #adopt(connection: Connection): void {
    this.#connection = connection
    this.#connectedAtMs = this.#deps.clock.nowMs()
    const isCurrent = (): boolean => this.#connection === connection
    connection.attach({
      received: (bytes) => {
        if (isCurrent()) this.#receive(bytes)
      },
      drained: () => {
        if (isCurrent() && this.#state.kind === 'Established') this.#owner.writable(this)
      },
      progressed: () => {
        if (isCurrent()) this.#watchSending(true)
      },
      closed: (reason) => {
        this.#owner.closed(connection)
        if (!isCurrent()) return
        this.#connection = null
        const phase = this.#state.kind === 'Established' || this.#state.kind === 'OpenConfirm' ? this.#state.kind : 'OpenSent'
        this.dispatch({ kind: 'tcpConnectionFails' }, { reason: connectionLost(phase, reason) })
      },
    })
  }

  #closeConnection(): void {
    this.#dial?.[Symbol.dispose]()
    this.#dial = null
    const connection = this.#connection
    if (connection === null) return
    this.#connection = null
    this.#framer.stop()
    this.#owner.closing(connection)
    connection.close()
  }

  #write(bytes: Uint8Array): boolean {
    const hasRoom = this.#connection?.write(bytes) ?? false
    this.#watchSending(false)
    return hasRoom
  }

  #release(): void {
    for (const timer of Object.values(this.#timers)) timer[Symbol.dispose]()
    this.#sendHold[Symbol.dispose]()
    this.#forgetSecondLook()
  }

  // messages

  #sendOpen(): void {
    this.#ourOpen = openMessage(this.#owner.settings, this.#owner.capabilities())
    this.#owner.sent.open++
    this.#write(encodeOpen(this.#ourOpen))
  }

  #receive(bytes: Uint8Array): void {
    const error = this.#framer.push(bytes, this.#onMessage)
    if (error !== null) this.#refuse(error)
  }

  readonly #onMessage = (bytes: Uint8Array): void => {
    const decoded = decodeMessage(bytes, this.#context)
    if (decoded.ok) this.#handle(decoded.value)
    else this.#refuse(decoded.error)
  }

  #handle(message: Message): void {
    this.#owner.received[message.kind]++
    switch (message.kind) {
      case 'update':
        this.dispatch({ kind: 'updateReceived' })
        if (this.#state.kind === 'Established') this.#owner.updateReceived(this, message)
        return
      case 'keepalive':
        this.dispatch({ kind: 'keepaliveReceived' })
        return
      case 'routeRefresh':
        this.dispatch({ kind: 'routeRefreshReceived' })
        if (this.#state.kind === 'Established') this.#owner.routeRefreshReceived(this, message)
        return
      case 'open':
        this.#openReceived(message)
        return
      case 'notification':
        this.#notificationReceived(message)
        return
      default:
        unreachable(message)
    }
  }

  #openReceived(theirs: OpenMessage): void {
    const { settings } = this.#owner
    const ours = this.#ourOpen
    const connection = this.#connection
    if (this.#state.kind !== 'OpenSent' || ours === null || connection === null) {
      this.dispatch({ kind: 'openReceived', holdTimeSeconds: null, keepaliveSeconds: null })
      return
    }
    const accepted = checkOpen(theirs, {
      localAsn: localAsnOf(settings),
      localRouterId: settings.routerId,
      peerAsn: settings.asn,
      role: isInternal(settings) ? null : settings.role,
    })
    if (!accepted.ok) {
      this.#refuse(accepted.error)
      return
    }
    const negotiated = negotiate(settings, { ours, theirs, accepted: accepted.value, localAddress: connection.local.address })
    if (!negotiated.ok) {
      this.#refuse(negotiated.error)
      return
    }
    this.#negotiated = negotiated.value
    if (!this.#owner.openArrived(this)) return
    this.#context = this.#contextOf(negotiated.value)
    this.#framer.setExtendedMessage(this.#context.extendedMessage)
    const { holdTimeSeconds, keepaliveSeconds } = negotiated.value
    this.dispatch({ kind: 'openReceived', holdTimeSeconds, keepaliveSeconds })
  }

  #contextOf(negotiated: Negotiated): DecodeContext {
    const { settings } = this.#owner
    return createDecodeContext({
      peerType: negotiated.peerType,
      localAsn: localAsnOf(settings),
      peerAsn: negotiated.remoteAsn,
      enforceFirstAs: settings.enforceFirstAs && settings.role !== 'RouteServerClient', // a route server leaves itself out of the path
      fourOctetAs: negotiated.fourOctetAs,
      extendedMessage: this.offered.some(({ kind }) => kind === 'extendedMessage'), // RFC 8654 §4: who offers it must accept it
      families: new Set(negotiated.families),
      addPathReceive: new Set(negotiated.addPathReceive),
      extendedNextHop: negotiated.extendedNextHop,
    })
  }

  #notificationReceived(message: NotificationMessage): void {
    const { code, subcode, data } = message
    const { settings } = this.#owner
    const words = notificationText(code, subcode, data, { direction: 'received', localAsn: localAsnOf(settings), peerAsn: settings.asn })
    const reason = `the peer ended the session: ${words}`
    this.#deps.log.warn('bgp.notification.received', { code, subcode, data: hexOf(data), reason })
    const isVersionError = code === ERROR.OPEN && subcode === OPEN_ERROR.UNSUPPORTED_VERSION
    this.dispatch({ kind: isVersionError ? 'notificationVersionError' : 'notificationReceived' }, { reason, received: message })
  }

  /** A message that cannot be accepted. */
  #refuse({ code, subcode, data, reason }: MessageError): void {
    const kind = code === ERROR.OPEN ? 'openMessageError' : code === ERROR.UPDATE ? 'updateMessageError' : 'headerError'
    this.dispatch({ kind, notification: { code, subcode, data } }, { reason })
  }

  #logChange(from: State['kind'], event: Event): void {
    const to = this.#state.kind
    const fields = { from, to, on: event.kind, direction: this.direction }
    if (to === 'Established' || from === 'Established') this.#deps.log.info('bgp.fsm.changed', fields)
    else this.#deps.log.debug('bgp.fsm.changed', fields)
  }
}

function defaultReason(event: Event, state: State['kind']): string {
  switch (event.kind) {
    case 'openReceived':
      return `the peer sent an unexpected OPEN in state ${state}`
    case 'keepaliveReceived':
      return `the peer sent an unexpected KEEPALIVE in state ${state}`
    case 'updateReceived':
      return `the peer sent an unexpected UPDATE in state ${state}`
    case 'routeRefreshReceived':
      return `the peer sent an unexpected ROUTE-REFRESH in state ${state}`
    case 'openCollisionDump':
      return 'connection collision: the other connection stays'
    default:
      return `the session ended on ${event.kind} in state ${state}`
  }
}
