// One machine and its connection: performs the actions of `fsm`, turns octets and timers into events. A peer has at most one
// session that is Established and one each on its way, outgoing and incoming.
import { unreachable } from '../lib/result.ts'
import {
  type Action,
  type Event,
  idle,
  type Local,
  type Notification,
  type State,
  sendHoldSeconds,
  type TimerName,
  transition,
} from './fsm/index.ts'
import { CEASE, ERROR, OPEN_ERROR } from './iana.ts'
import { countMessages } from './message-counts.ts'
import { decodeContextOf, localAsnOf, negotiate, openMessage } from './negotiate.ts'
import { hopLimitOf, userTimeoutMsOf } from './peer-change.ts'
import type { Negotiated } from './peer-types.ts'
import { connectionLost, dialFailure, noAnswer, unexpected } from './reasons.ts'
import type { Cause, SessionDeps, SessionOver, SessionOwner } from './session-owner.ts'
import { SessionTimers, type TimerObserver } from './session-timers.ts'
import type { Connection, PendingDial } from './transport.ts'
import {
  type Capability,
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
} from './wire/index.ts'

/** How long a connection may take to bring the peer's OPEN; RFC 4271 §8.2.2 suggests four minutes, at most. */
const OPEN_WAIT_SECONDS = 60
const KEEPALIVE = encodeKeepalive()

export class Session implements TimerObserver {
  readonly direction: 'outgoing' | 'incoming'
  readonly #deps: SessionDeps
  readonly #owner: SessionOwner
  #framer = new MessageFramer()
  readonly #timers: SessionTimers
  readonly #pending: { readonly event: Event; readonly cause: Cause | null }[] = []
  #state: State
  #running = false
  #connection: Connection | null = null
  #dial: PendingDial | null = null
  #context: DecodeContext = preOpenContext
  #ourOpen: OpenMessage | null = null
  #negotiated: Negotiated | null = null
  /** When the TCP connection came up, and when the session was Established; clock milliseconds. */
  #connectedAtMs = 0
  #establishedAtMs: number | null = null

  constructor(deps: SessionDeps, owner: SessionOwner, direction: 'outgoing' | 'incoming', connectRetryCounter: number) {
    this.#deps = deps
    this.#owner = owner
    this.#state = idle(connectRetryCounter)
    this.direction = direction
    this.#timers = new SessionTimers(deps, this)
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
    this.#timers.suspendHold(true)
    this.#connection?.pause()
  }

  resumeReading(): void {
    this.#timers.suspendHold(false)
    this.#connection?.resume()
  }

  /** Settings that decoding depends on have changed. */
  refreshDecoding(): void {
    if (this.#negotiated !== null) this.#context = decodeContextOf(this.#owner.settings, this.#negotiated)
  }

  #run(event: Event, cause: Cause | null): SessionOver | null {
    const before = this.#state
    const { state, actions } = transition(before, event, this.#local())
    this.#state = state
    if (state.kind === before.kind) {
      for (const action of actions) this.#perform(action, '')
      return null
    }
    const reason = cause?.reason ?? unexpected(event, before.kind)
    this.#logChange(before.kind, event)
    for (const action of actions) this.#perform(action, reason)
    // Back in Active after OpenSent the outgoing machine waits to dial again; an incoming one has nothing left to wait for.
    const fellBack = state.kind === 'Active' && before.kind === 'OpenSent'
    if (fellBack && this.direction === 'outgoing') this.#owner.attemptFailed(this, reason)
    if (state.kind !== 'Idle' && !(fellBack && this.direction === 'incoming')) return null
    this.#timers[Symbol.dispose]()
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
        this.#owner.sent.notification++
        this.#logNotification('bgp.notification.sent', action.notification, reason)
        this.#write(encodeNotification(action.notification))
        return
      }
      case 'armTimer':
        this.#timers.arm(action.timer, action.seconds)
        return
      case 'cancelTimer':
        this.#timers.stop(action.timer)
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

  expired(timer: TimerName | 'sendHold'): void {
    switch (timer) {
      case 'connectRetry':
        if (this.#state.kind === 'Connect') this.#owner.attemptFailed(this, noAnswer(this.#owner.settings))
        this.dispatch({ kind: 'connectRetryTimerExpired' })
        return
      case 'hold': {
        const seconds = this.#negotiated?.holdTimeSeconds ?? OPEN_WAIT_SECONDS
        const silence = `hold timer expired: nothing came from the peer for ${seconds} s`
        this.dispatch({ kind: 'holdTimerExpired' }, { reason: this.#state.kind === 'OpenSent' ? 'the peer sent no OPEN' : silence })
        return
      }
      case 'keepalive':
        this.dispatch({ kind: 'keepaliveTimerExpired' })
        return
      case 'sendHold':
        this.dispatch({ kind: 'sendHoldTimerExpired' }, { reason: 'send hold timer expired: the peer does not read what we send' })
        return
    }
  }

  #watchSending(hasProgressed: boolean): void {
    const waitingBytes = this.#state.kind === 'Established' ? this.bufferedBytes : 0
    const holdTimeSeconds = this.#negotiated?.holdTimeSeconds ?? null
    this.#timers.watchSending(waitingBytes, hasProgressed, sendHoldSeconds(holdTimeSeconds, this.#owner.settings.sendHoldTimeSeconds))
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
    this.#framer = new MessageFramer() // of an earlier connection nothing must remain
    this.#context = preOpenContext
    this.#negotiated = null
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
        this.#owner.updateReceived(this, message)
        return
      case 'keepalive':
        this.dispatch({ kind: 'keepaliveReceived' })
        return
      case 'routeRefresh':
        this.dispatch({ kind: 'routeRefreshReceived' })
        this.#owner.routeRefreshReceived(this, message)
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
    const negotiated = negotiate(settings, { ours, theirs, localAddress: connection.local.address })
    if (!negotiated.ok) {
      this.#refuse(negotiated.error)
      return
    }
    this.#negotiated = negotiated.value
    this.#owner.openArrived(this)
    this.#context = decodeContextOf(settings, negotiated.value)
    this.#framer.setExtendedMessage(this.#context.extendedMessage)
    const { holdTimeSeconds, keepaliveSeconds } = negotiated.value
    this.dispatch({ kind: 'openReceived', holdTimeSeconds, keepaliveSeconds }) // ignored, if a collision has been lost
  }

  #notificationReceived(message: NotificationMessage): void {
    const { code, subcode, data } = message
    const { settings } = this.#owner
    const words = notificationText(code, subcode, data, { direction: 'received', localAsn: localAsnOf(settings), peerAsn: settings.asn })
    const reason = `the peer ended the session: ${words}`
    this.#logNotification('bgp.notification.received', message, reason)
    const isVersionError = code === ERROR.OPEN && subcode === OPEN_ERROR.UNSUPPORTED_VERSION
    this.dispatch({ kind: isVersionError ? 'notificationVersionError' : 'notificationReceived' }, { reason, received: message })
  }

  /** A message that cannot be accepted. */
  #refuse({ code, subcode, data, reason }: MessageError): void {
    const kind = code === ERROR.OPEN ? 'openMessageError' : code === ERROR.UPDATE ? 'updateMessageError' : 'headerError'
    this.dispatch({ kind, notification: { code, subcode, data } }, { reason })
  }

  /** Both ways with its numbers; the loser of a collision is nothing to worry about. */
  #logNotification(event: string, { code, subcode, data }: Notification, reason: string): void {
    const isCollision = code === ERROR.CEASE && subcode === CEASE.COLLISION
    this.#deps.log[isCollision ? 'info' : 'warn'](event, { code, subcode, data: hexOf(data), reason })
  }

  #logChange(from: State['kind'], event: Event): void {
    const to = this.#state.kind
    const fields = { from, to, on: event.kind, direction: this.direction }
    if (to === 'Established' || from === 'Established') this.#deps.log.info('bgp.fsm.changed', fields)
    else this.#deps.log.debug('bgp.fsm.changed', fields)
  }
}
