// Parts from which the state functions build their steps.
import { CEASE, ERROR, FSM_ERROR } from '../iana.ts'
import type { Action, Step, TimerName } from './action.ts'
import type { Local, Notification } from './event.ts'
import { idle, type OpenConfirm, type OpenSent, type State } from './state.ts'

const NOTHING: readonly Action[] = []
const NO_DATA = new Uint8Array(0)

/** NOTIFICATIONs this machine sends by itself. */
export const HOLD_TIMER_EXPIRED: Notification = { code: ERROR.HOLD_TIMER_EXPIRED, subcode: 0, data: NO_DATA }
export const UNEXPECTED_IN_OPEN_SENT: Notification = { code: ERROR.FSM, subcode: FSM_ERROR.OPEN_SENT, data: NO_DATA }
export const UNEXPECTED_IN_OPEN_CONFIRM: Notification = { code: ERROR.FSM, subcode: FSM_ERROR.OPEN_CONFIRM, data: NO_DATA }
export const UNEXPECTED_IN_ESTABLISHED: Notification = { code: ERROR.FSM, subcode: FSM_ERROR.ESTABLISHED, data: NO_DATA }
export const COLLISION_RESOLUTION: Notification = { code: ERROR.CEASE, subcode: CEASE.COLLISION, data: NO_DATA }
export const SEND_HOLD_TIMER_EXPIRED: Notification = { code: ERROR.SEND_HOLD_TIMER_EXPIRED, subcode: 0, data: NO_DATA }

export function stay(state: State, actions: readonly Action[] = NOTHING): Step {
  return { state, actions }
}

export function arm(timer: TimerName, seconds: number): Action {
  return { kind: 'armTimer', timer, seconds }
}

type Ending = {
  /** What becomes of ConnectRetryCounter. */
  readonly counter: 'keep' | 'increment' | 'zero'
  readonly notification?: Notification | null
}

/** To Idle: last words if any, then all resources go. */
export function toIdle(state: State, { counter, notification = null }: Ending): Step {
  const count = counter === 'zero' ? 0 : counter === 'increment' ? state.connectRetryCounter + 1 : state.connectRetryCounter
  return {
    state: idle(count),
    actions: [
      ...(notification === null ? NOTHING : [{ kind: 'sendNotification', notification } as const]),
      { kind: 'closeConnection' },
      { kind: 'cancelTimer', timer: 'connectRetry' },
      { kind: 'cancelTimer', timer: 'hold' },
      { kind: 'cancelTimer', timer: 'keepalive' },
      ...(state.kind === 'Established' ? [{ kind: 'sessionDown' } as const] : NOTHING),
    ],
  }
}

/** From Connect or Active once TCP is up: OPEN, and the large hold time until the peer's comes. */
export function toOpenSent(state: State, local: Local): Step {
  const next: OpenSent = { kind: 'OpenSent', connectRetryCounter: state.connectRetryCounter }
  return {
    state: next,
    actions: [{ kind: 'cancelTimer', timer: 'connectRetry' }, { kind: 'sendOpen' }, arm('hold', local.openWaitSeconds)],
  }
}

/** Restarts the KeepaliveTimer, unless the hold time is 0. */
export function armKeepalive({ keepaliveSeconds }: { readonly keepaliveSeconds: number | null }): readonly Action[] {
  return keepaliveSeconds === null ? NOTHING : [arm('keepalive', keepaliveSeconds)]
}

/** Restarts the HoldTimer at the negotiated value, unless that is 0. */
export function armHold({ holdTimeSeconds }: { readonly holdTimeSeconds: number | null }): readonly Action[] {
  return holdTimeSeconds === null ? NOTHING : [arm('hold', holdTimeSeconds)]
}

/**
 * From OpenSent on a good OPEN. With a hold time of 0 RFC 4271 starts no timer here; we let the large one run until the first
 * KEEPALIVE, because a peer that never sends it would hold the connection for ever.
 */
export function toOpenConfirm(
  state: OpenSent,
  agreed: { readonly holdTimeSeconds: number | null; readonly keepaliveSeconds: number | null },
  local: Local,
): Step {
  const { holdTimeSeconds, keepaliveSeconds } = agreed
  const next: OpenConfirm = { kind: 'OpenConfirm', connectRetryCounter: state.connectRetryCounter, holdTimeSeconds, keepaliveSeconds }
  return {
    state: next,
    actions: [{ kind: 'sendKeepalive' }, ...armKeepalive(next), arm('hold', holdTimeSeconds ?? local.openWaitSeconds)],
  }
}
