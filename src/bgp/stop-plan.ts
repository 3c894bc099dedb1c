// What each reason to stop says to the peer, and what becomes of us afterwards. Pure.
import { unreachable } from '../lib/result.ts'
import type { Notification } from './fsm/index.ts'
import { CEASE, ERROR } from './iana.ts'
import type { StopReason } from './peer-types.ts'
import { encodeMaxPrefixData, encodeShutdownMessage, wrapHardReset } from './wire/index.ts'

export type StopPlan = {
  /** null: close without a word (RFC 4724 §4). */
  readonly notification: Notification | null
  /** stay: down until started again; retry: at once; damped: after the idle hold time; rest: after the maximum-prefix pause. */
  readonly next: 'stay' | 'retry' | 'damped' | 'rest'
  readonly words: string
}

const NO_DATA = new Uint8Array(0)

function cease(subcode: number, data: Uint8Array = NO_DATA): Notification {
  return { code: ERROR.CEASE, subcode, data }
}

/**
 * `notificationGraceful`: the N bit is agreed, so a plain NOTIFICATION would be taken for a restart. What has to flush our routes
 * then goes as a hard reset (RFC 8538 §3.1, §4).
 */
export function planStop(reason: StopReason, notificationGraceful: boolean): StopPlan {
  const flushing = (notification: Notification): Notification => (notificationGraceful ? wrapHardReset(notification) : notification)
  const said = (message: string): string => (message === '' ? '' : `: ${message}`)
  switch (reason.kind) {
    case 'shutdown': {
      const notification = flushing(cease(CEASE.ADMIN_SHUTDOWN, encodeShutdownMessage(reason.message)))
      return { notification, next: 'stay', words: `we shut the session down${said(reason.message)}` }
    }
    case 'reset': {
      const notification = cease(CEASE.ADMIN_RESET, encodeShutdownMessage(reason.message))
      return { notification, next: 'retry', words: `we reset the session${said(reason.message)}` }
    }
    case 'deconfigured':
      return { notification: flushing(cease(CEASE.PEER_DECONFIGURED)), next: 'stay', words: 'the peer is no longer configured' }
    case 'configurationChanged':
      return { notification: cease(CEASE.CONFIGURATION_CHANGE), next: 'retry', words: 'the configuration changed' }
    case 'maxPrefixes': {
      const notification = flushing(cease(CEASE.MAX_PREFIXES, encodeMaxPrefixData(reason.family, reason.bound)))
      return { notification, next: 'rest', words: `the peer sent more than ${reason.bound} ${reason.family} prefixes` }
    }
    case 'updateError': {
      const { code, subcode, data } = reason.error
      return { notification: { code, subcode, data }, next: 'damped', words: reason.error.reason }
    }
    case 'outOfResources':
      return { notification: flushing(cease(CEASE.OUT_OF_RESOURCES)), next: 'damped', words: 'we ran out of resources' }
    case 'silent':
      return { notification: null, next: 'stay', words: 'we closed the connection to come back (graceful restart)' }
    case 'hardReset': {
      // To a peer that has not agreed to RFC 8538 a plain Cease flushes, and 6/9 would mean nothing.
      const notification = flushing(cease(CEASE.ADMIN_SHUTDOWN, encodeShutdownMessage(reason.message)))
      return { notification, next: 'stay', words: `we shut the session down for good${said(reason.message)}` }
    }
    default:
      return unreachable(reason)
  }
}
