// What the shell has to do after a step, in this order.
import type { Notification } from './event.ts'
import type { State } from './state.ts'

export type TimerName = 'connectRetry' | 'hold' | 'keepalive'

export type Action =
  | { readonly kind: 'dial' }
  /** Ends the connection or the attempt to make one; what has been sent before still goes out. */
  | { readonly kind: 'closeConnection' }
  | { readonly kind: 'sendOpen' }
  | { readonly kind: 'sendKeepalive' }
  | { readonly kind: 'sendNotification'; readonly notification: Notification }
  /** Starts or restarts; `connectRetry` and `keepalive` are jittered by the shell (RFC 4271 §10). */
  | { readonly kind: 'armTimer'; readonly timer: TimerName; readonly seconds: number }
  | { readonly kind: 'cancelTimer'; readonly timer: TimerName }
  | { readonly kind: 'sessionUp' }
  /** The routes of the peer go, or stay as stale ones if graceful restart says so (RFC 4724 §4.2). */
  | { readonly kind: 'sessionDown' }

export type Step = { readonly state: State; readonly actions: readonly Action[] }
