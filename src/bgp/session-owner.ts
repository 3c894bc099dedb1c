// What a session needs of its peer, and what it tells it.
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import type { EventKind } from './fsm/index.ts'
import type { MessageCounts } from './message-counts.ts'
import type { FsmStateName, PeerSettings, SessionEnd } from './peer-types.ts'
import type { Session } from './session.ts'
import type { Connection, Transport } from './transport.ts'
import type { Capability, NotificationMessage, RouteRefreshMessage, UpdateMessage } from './wire/index.ts'

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
  /** A good OPEN has arrived and `negotiated` is set: settle collisions, of which this session may not survive. */
  openArrived(session: Session): void
  established(session: Session): void
  /** The machine has seen these first; if it would not have them, the session is over already. */
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
  readonly from: FsmStateName
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
