// Established: UPDATEs flow (RFC 4271 §8.2.2). UPDATE errors arrive here only if RFC 7606 demands a session reset.
import { unreachable } from '../../lib/result.ts'
import type { Step } from './action.ts'
import type { Event } from './event.ts'
import type { Established } from './state.ts'
import {
  armHold,
  armKeepalive,
  COLLISION_RESOLUTION,
  HOLD_TIMER_EXPIRED,
  SEND_HOLD_TIMER_EXPIRED,
  stay,
  toIdle,
  UNEXPECTED_IN_ESTABLISHED,
} from './step.ts'

export function inEstablished(state: Established, event: Event): Step {
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
      return stay(state)
    case 'manualStop':
      return toIdle(state, { counter: 'zero', notification: event.notification })
    case 'automaticStop':
      return toIdle(state, { counter: 'increment', notification: event.notification })
    case 'holdTimerExpired':
      return toIdle(state, { counter: 'increment', notification: HOLD_TIMER_EXPIRED })
    case 'sendHoldTimerExpired': // the shell writes it if it can be written (RFC 9687 §3.2)
      return toIdle(state, { counter: 'increment', notification: SEND_HOLD_TIMER_EXPIRED })
    case 'keepaliveTimerExpired':
      return stay(state, [{ kind: 'sendKeepalive' }, ...armKeepalive(state)])
    case 'updateSent':
      return stay(state, armKeepalive(state))
    case 'keepaliveReceived':
    case 'updateReceived':
    case 'routeRefreshReceived': // RFC 4271 knows no such message; like most, we take it as a sign of life
      return stay(state, armHold(state))
    case 'headerError': // §6.1 wins over the generic FSM error of §8.2.2
    case 'updateMessageError':
      return toIdle(state, { counter: 'increment', notification: event.notification })
    case 'openCollisionDump':
      return toIdle(state, { counter: 'increment', notification: COLLISION_RESOLUTION })
    case 'notificationVersionError':
    case 'notificationReceived':
    case 'tcpConnectionFails':
      return toIdle(state, { counter: 'increment' })
    case 'openReceived':
    case 'openMessageError':
    case 'connectRetryTimerExpired':
    case 'idleHoldTimerExpired':
      return toIdle(state, { counter: 'increment', notification: UNEXPECTED_IN_ESTABLISHED })
    default:
      return unreachable(event)
  }
}
