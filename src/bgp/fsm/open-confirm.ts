// OpenConfirm: OPENs exchanged, waiting for the peer's KEEPALIVE (RFC 4271 §8.2.2). Collisions are settled above this machine.
import { unreachable } from '../../lib/result.ts'
import type { Action, Step } from './action.ts'
import type { Event } from './event.ts'
import type { Established, OpenConfirm } from './state.ts'
import { arm, armKeepalive, COLLISION_RESOLUTION, HOLD_TIMER_EXPIRED, stay, toIdle, UNEXPECTED_IN_OPEN_CONFIRM } from './step.ts'

export function inOpenConfirm(state: OpenConfirm, event: Event): Step {
  switch (event.kind) {
    case 'manualStart':
    case 'automaticStart':
    case 'manualStartPassive':
    case 'automaticStartPassive':
    case 'automaticStartDamped':
    case 'automaticStartDampedPassive':
    case 'tcpConnectionValid':
    case 'tcpConnectionInvalid':
    case 'tcpConnectionAcked':
    case 'tcpConnectionConfirmed':
    case 'sendHoldTimerExpired':
    case 'updateSent':
      return stay(state)
    case 'manualStop':
      return toIdle(state, { counter: 'zero', notification: event.notification })
    case 'automaticStop':
      return toIdle(state, { counter: 'increment', notification: event.notification })
    case 'holdTimerExpired':
      return toIdle(state, { counter: 'increment', notification: HOLD_TIMER_EXPIRED })
    case 'keepaliveTimerExpired':
      return stay(state, [{ kind: 'sendKeepalive' }, ...armKeepalive(state)])
    case 'keepaliveReceived':
      return toEstablished(state)
    case 'headerError':
    case 'openMessageError':
      return toIdle(state, { counter: 'increment', notification: event.notification })
    case 'openCollisionDump':
      return toIdle(state, { counter: 'increment', notification: COLLISION_RESOLUTION })
    case 'notificationVersionError':
      return toIdle(state, { counter: 'keep' })
    case 'notificationReceived':
    case 'tcpConnectionFails':
      return toIdle(state, { counter: 'increment' })
    case 'openReceived': // a second OPEN on one connection: RFC 6608
    case 'connectRetryTimerExpired':
    case 'idleHoldTimerExpired':
    case 'updateReceived':
    case 'updateMessageError':
    case 'routeRefreshReceived':
      return toIdle(state, { counter: 'increment', notification: UNEXPECTED_IN_OPEN_CONFIRM })
    default:
      return unreachable(event)
  }
}

function toEstablished(state: OpenConfirm): Step {
  const next: Established = { ...state, kind: 'Established' }
  const hold: Action = state.holdTimeSeconds === null ? { kind: 'cancelTimer', timer: 'hold' } : arm('hold', state.holdTimeSeconds)
  return { state: next, actions: [hold, { kind: 'sessionUp' }] }
}
