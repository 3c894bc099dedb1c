// Connect: waiting for the connection we dialled (RFC 4271 §8.2.2).
import { unreachable } from '../../lib/result.ts'
import type { Step } from './action.ts'
import type { Event, Local } from './event.ts'
import type { Connect } from './state.ts'
import { arm, stay, toIdle, toOpenSent } from './step.ts'

export function inConnect(state: Connect, event: Event, local: Local): Step {
  switch (event.kind) {
    case 'manualStart':
    case 'automaticStart':
    case 'manualStartPassive':
    case 'automaticStartPassive':
    case 'automaticStartDamped':
    case 'automaticStartDampedPassive':
    case 'sendHoldTimerExpired': // nothing has been sent that could be held
    case 'updateSent':
    case 'tcpConnectionValid':
    case 'tcpConnectionInvalid':
      return stay(state)
    case 'manualStop':
      return toIdle(state, { counter: 'zero' })
    case 'connectRetryTimerExpired':
      return stay(state, [{ kind: 'closeConnection' }, arm('connectRetry', local.connectRetrySeconds), { kind: 'dial' }])
    case 'tcpConnectionAcked':
    case 'tcpConnectionConfirmed':
      return toOpenSent(state, local)
    case 'tcpConnectionFails':
      return toIdle(state, { counter: 'keep' })
    case 'headerError': // we have sent no OPEN, so no NOTIFICATION either (§8.1.1, SendNOTIFICATIONwithoutOPEN is false)
    case 'openMessageError':
    case 'notificationVersionError':
    case 'automaticStop':
    case 'holdTimerExpired':
    case 'keepaliveTimerExpired':
    case 'idleHoldTimerExpired':
    case 'openReceived':
    case 'openCollisionDump':
    case 'notificationReceived':
    case 'keepaliveReceived':
    case 'updateReceived':
    case 'updateMessageError':
    case 'routeRefreshReceived':
      return toIdle(state, { counter: 'increment' })
    default:
      return unreachable(event)
  }
}
