// The six states of RFC 4271 §8.2.2, each carrying what is true in it and nothing else. One machine belongs to one connection
// (or the attempt to make it); a peer has at most two at a time.

type Counted = {
  /** Failures since the last clean start (RFC 4271 §8, ConnectRetryCounter); feeds the idle hold time. */
  readonly connectRetryCounter: number
}
type Agreed = {
  /** null: agreed on 0, so neither timer runs (RFC 4271 §4.4). */
  readonly holdTimeSeconds: number | null
  readonly keepaliveSeconds: number | null
}

export type Idle = Counted & { readonly kind: 'Idle' }
export type Connect = Counted & { readonly kind: 'Connect' }
export type Active = Counted & { readonly kind: 'Active' }
export type OpenSent = Counted & { readonly kind: 'OpenSent' }
export type OpenConfirm = Counted & Agreed & { readonly kind: 'OpenConfirm' }
export type Established = Counted & Agreed & { readonly kind: 'Established' }

export type State = Idle | Connect | Active | OpenSent | OpenConfirm | Established

export function idle(connectRetryCounter = 0): Idle {
  return { kind: 'Idle', connectRetryCounter }
}
