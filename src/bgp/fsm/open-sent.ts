// OpenSent: our OPEN is out, waiting for the peer's (RFC 4271 §8.2.2). Collisions are settled above this machine.
import { unreachable } from '../../lib/result.ts'
import type { Step } from './action.ts'
import type { Event, Local } from './event.ts'
import type { Active, OpenSent } from './state.ts'
import { arm, COLLISION_RESOLUTION, HOLD_TIMER_EXPIRED, stay, toIdle, toOpenConfirm, UNEXPECTED_IN_OPEN_SENT } from './step.ts'

export function inOpenSent(state: OpenSent, event: Event, local: Local): Step {
  switch (event.kind) {
    case 'manualStart':
    case 'automaticStart':
    case 'manualStartPassive':
    case 'automaticStartPassive':
    case 'automaticStartDamped':
    case 'automaticStartDampedPassive':
    case 'tcpConnectionValid': // a second connection is tracked by its own machine until its OPEN
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
    case 'tcpConnectionFails': {
      const next: Active = { kind: 'Active', connectRetryCounter: state.connectRetryCounter }
      return {
        state: next,
        actions: [{ kind: 'closeConnection' }, { kind: 'cancelTimer', timer: 'hold' }, arm('connectRetry', local.connectRetrySeconds)],
      }
    }
    case 'openReceived':
      return toOpenConfirm(state, event, local)
    case 'headerError':
    case 'openMessageError':
      return toIdle(state, { counter: 'increment', notification: event.notification })
    case 'openCollisionDump':
      return toIdle(state, { counter: 'increment', notification: COLLISION_RESOLUTION })
    case 'notificationVersionError':
      return toIdle(state, { counter: 'keep' })
    case 'notificationReceived': // RFC 4271 asks for an FSM error here, but a NOTIFICATION is never answered with another
      return toIdle(state, { counter: 'increment' })
    case 'connectRetryTimerExpired':
    case 'keepaliveTimerExpired':
    case 'idleHoldTimerExpired':
    case 'keepaliveReceived':
    case 'updateReceived':
    case 'updateMessageError':
    case 'routeRefreshReceived':
      return toIdle(state, { counter: 'increment', notification: UNEXPECTED_IN_OPEN_SENT })
    default:
      return unreachable(event)
  }
}
