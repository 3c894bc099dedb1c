// Active: waiting for the peer to connect, or for the time to dial again (RFC 4271 §8.2.2).
import { unreachable } from '../../lib/result.ts'
import type { Step } from './action.ts'
import type { Event, Local } from './event.ts'
import type { Active } from './state.ts'
import { arm, stay, toIdle, toOpenSent } from './step.ts'

export function inActive(state: Active, event: Event, local: Local): Step {
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
    case 'connectRetryTimerExpired': {
      const restart = arm('connectRetry', local.connectRetrySeconds)
      if (local.passive) return stay(state, [restart]) // RFC 4271 would dial here even so; a passive peer never does
      return { state: { ...state, kind: 'Connect' }, actions: [restart, { kind: 'dial' }] }
    }
    case 'tcpConnectionAcked':
    case 'tcpConnectionConfirmed':
      return toOpenSent(state, local)
    case 'tcpConnectionFails': // RFC 4271 also restarts the ConnectRetryTimer, which means nothing in Idle: we stop it
    case 'headerError':
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
