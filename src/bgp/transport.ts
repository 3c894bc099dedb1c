// Port to the world of TCP. `tcp-transport.ts` is its adapter on real sockets, `test/support/memory-transport.ts` the one for
// tests under a fake clock.
import type { IpAddress } from '../net/index.ts'

/** An address with the interface a link-local one belongs to. */
export type Endpoint = { readonly address: IpAddress; readonly interface: string | null; readonly port: number }

/** TTL on what we send, and the least we accept (GTSM, RFC 5082). */
export type HopLimit = { readonly send: number; readonly receiveAtLeast: number | null }

export type DialOptions = {
  readonly remote: Endpoint
  readonly sourceAddress: IpAddress | null
  /** TCP MD5 signature key (RFC 2385), or null. */
  readonly password: string | null
  readonly hopLimit: HopLimit
  /** Limit for unacknowledged data, so that a vanished peer is noticed (TCP_USER_TIMEOUT). */
  readonly userTimeoutMs: number
}

/** Options a listening socket must know before the first SYN of a peer arrives. */
export type AcceptedPeer = {
  readonly address: IpAddress
  readonly interface: string | null
  readonly password: string | null
  readonly hopLimit: HopLimit
  /** As in `DialOptions`. */
  readonly userTimeoutMs: number
}

export type CloseReason =
  | { readonly kind: 'closedByPeer' }
  | { readonly kind: 'closedByUs' }
  | { readonly kind: 'error'; readonly code: string; readonly message: string }

export interface ConnectionHandler {
  /** Bytes in arrival order; the view is only valid during the call. */
  received(bytes: Uint8Array): void
  /** The outgoing buffer fell under the low-water mark after `write` had returned false. */
  drained(): void
  /** The kernel took some of the outgoing bytes (feeds the send hold timer, RFC 9687). */
  progressed(): void
  /** Exactly once, last of all. */
  closed(reason: CloseReason): void
}

/** `Connection.write` answers false from the first on, and `drained` comes once under the second. */
export const HIGH_WATER_BYTES = 1024 * 1024
export const LOW_WATER_BYTES = 256 * 1024

export interface Connection {
  readonly local: Endpoint
  readonly remote: Endpoint
  /** Who began it: collision resolution needs to know (RFC 4271 §6.8). */
  readonly direction: 'outgoing' | 'incoming'
  /** Must be called once, in the same turn in which the connection was handed over. */
  attach(handler: ConnectionHandler): void
  /** Queues bytes. False: over the high-water mark; wait for `drained`. The buffer must not change afterwards. */
  write(bytes: Uint8Array): boolean
  /** Bytes not yet taken by the kernel. */
  readonly bufferedBytes: number
  /** Stops or restarts reading (backpressure towards the peer). */
  pause(): void
  resume(): void
  /** Sends what is queued, then FIN, reads on briefly so that no RST destroys a NOTIFICATION, then destroys. */
  close(): void
  /** At once, without FIN handshake (RST where the kernel does so). */
  destroy(): void
}

export interface PendingDial extends Disposable {} // disposing cancels

export interface Listener extends Disposable {
  /** Replaces the whole set of peers whose keys and hop limits the listening sockets enforce; existing connections stay. */
  setPeers(peers: readonly AcceptedPeer[]): void
}

export interface Transport {
  dial(
    options: DialOptions,
    connected: (connection: Connection) => void,
    failed: (reason: { code: string; message: string }) => void,
  ): PendingDial
  /**
   * Listens on each address; none at all means every address of both families. `peers` is what `setPeers` takes: given here, it
   * holds before the first SYN can arrive (RFC 2385). Throws TransportError if an address cannot be bound.
   */
  listen(
    addresses: readonly IpAddress[],
    port: number,
    accepted: (connection: Connection) => void,
    peers?: readonly AcceptedPeer[],
  ): Listener
}

export class TransportError extends Error {
  readonly code: string
  constructor(code: string, message: string, cause?: unknown) {
    super(message, { cause })
    this.name = 'TransportError'
    this.code = code
  }
}
