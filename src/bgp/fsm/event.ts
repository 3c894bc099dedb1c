// Every event of RFC 4271 §8.1 but those of DelayOpen (12 and 20), with its number there; 29 is RFC 9687's. The last two
// have no number: RFC 2918 adds a message, and §8.2.2 restarts the KeepaliveTimer whenever an UPDATE is sent.

/** What a NOTIFICATION says (RFC 4271 §4.5). */
export type Notification = { readonly code: number; readonly subcode: number; readonly data: Uint8Array }

export type Event =
  | { readonly kind: 'manualStart' } // 1
  /** `notification` null: close without one, so that a peer with graceful restart keeps our routes (RFC 4724 §4). */
  | { readonly kind: 'manualStop'; readonly notification: Notification | null } // 2
  | { readonly kind: 'automaticStart' } // 3
  | { readonly kind: 'manualStartPassive' } // 4
  | { readonly kind: 'automaticStartPassive' } // 5
  | { readonly kind: 'automaticStartDamped' } // 6
  | { readonly kind: 'automaticStartDampedPassive' } // 7
  | { readonly kind: 'automaticStop'; readonly notification: Notification } // 8
  | { readonly kind: 'connectRetryTimerExpired' } // 9
  | { readonly kind: 'holdTimerExpired' } // 10
  | { readonly kind: 'keepaliveTimerExpired' } // 11
  | { readonly kind: 'idleHoldTimerExpired' } // 13
  | { readonly kind: 'tcpConnectionValid' } // 14: a connection arrived from the peer's address
  | { readonly kind: 'tcpConnectionInvalid' } // 15: one arrived from elsewhere
  | { readonly kind: 'tcpConnectionAcked' } // 16: the one we dialled is up
  | { readonly kind: 'tcpConnectionConfirmed' } // 17: the one the peer dialled is up
  | { readonly kind: 'tcpConnectionFails' } // 18
  | { readonly kind: 'openReceived'; readonly holdTimeSeconds: number | null; readonly keepaliveSeconds: number | null } // 19
  | { readonly kind: 'headerError'; readonly notification: Notification } // 21
  | { readonly kind: 'openMessageError'; readonly notification: Notification } // 22
  | { readonly kind: 'openCollisionDump' } // 23
  | { readonly kind: 'notificationVersionError' } // 24
  | { readonly kind: 'notificationReceived' } // 25
  | { readonly kind: 'keepaliveReceived' } // 26
  | { readonly kind: 'updateReceived' } // 27
  | { readonly kind: 'updateMessageError'; readonly notification: Notification } // 28
  | { readonly kind: 'sendHoldTimerExpired' } // 29, RFC 9687
  | { readonly kind: 'routeRefreshReceived' }
  | { readonly kind: 'updateSent' }

export type EventKind = Event['kind']

/** What the machine needs to know of its settings; timer values in seconds. */
export type Local = {
  /** Never dial (RFC 4271 §8.1.1, PassiveTcpEstablishment). Machines of incoming connections are passive. */
  readonly passive: boolean
  readonly connectRetrySeconds: number
  /** The "large" hold time until the peer's OPEN and its first KEEPALIVE (RFC 4271 §8.2.2 suggests four minutes). */
  readonly openWaitSeconds: number
}
