// Idle: no resources, incoming connections refused; only starts do anything (RFC 4271 §8.2.2).
import { unreachable } from '../../lib/result.ts'
import type { Step } from './action.ts'
import type { Event, Local } from './event.ts'
import type { Active, Connect, Idle } from './state.ts'
import { arm, stay } from './step.ts'

export function inIdle(state: Idle, event: Event, local: Local): Step {
  switch (event.kind) {
    case 'manualStart':
    case 'automaticStart':
      return toConnect(0, local)
    case 'manualStartPassive':
    case 'automaticStartPassive':
      return toActive(0, local)
    case 'automaticStartDamped': // damping is what the counter is for: keep it
      return toConnect(state.connectRetryCounter, local)
    case 'automaticStartDampedPassive':
      return toActive(state.connectRetryCounter, local)
    case 'idleHoldTimerExpired':
      return local.passive ? toActive(state.connectRetryCounter, local) : toConnect(state.connectRetryCounter, local)
    case 'manualStop':
    case 'automaticStop':
    case 'connectRetryTimerExpired':
    case 'holdTimerExpired':
    case 'keepaliveTimerExpired':
    case 'tcpConnectionValid':
    case 'tcpConnectionInvalid':
    case 'tcpConnectionAcked':
    case 'tcpConnectionConfirmed':
    case 'tcpConnectionFails':
    case 'openReceived':
    case 'headerError':
    case 'openMessageError':
    case 'openCollisionDump':
    case 'notificationVersionError':
    case 'notificationReceived':
    case 'keepaliveReceived':
    case 'updateReceived':
    case 'updateMessageError':
    case 'sendHoldTimerExpired':
    case 'routeRefreshReceived':
    case 'updateSent':
      return stay(state)
    default:
      return unreachable(event)
  }
}

function toConnect(connectRetryCounter: number, local: Local): Step {
  const next: Connect = { kind: 'Connect', connectRetryCounter }
  return { state: next, actions: [arm('connectRetry', local.connectRetrySeconds), { kind: 'dial' }] }
}

function toActive(connectRetryCounter: number, local: Local): Step {
  const next: Active = { kind: 'Active', connectRetryCounter }
  return { state: next, actions: [arm('connectRetry', local.connectRetrySeconds)] }
}
