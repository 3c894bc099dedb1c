// The port to the kernel's routing table (table main) and what it depends on. Synchronous, because a netlink answer is there when
// the request returns, and because nothing may come between looking and writing. One adapter (netlink/), one fake (tests).
import type { IpAddress, IpFamily } from '../net/index.ts'
import type { RouteBody } from './route.ts'

/** A route as the kernel told it, in one record that is reused for the next: copy what is to be kept. */
export type RouteView = {
  family: IpFamily
  /** 16 octets, of which IPv4 uses the first 4. */
  readonly address: Uint8Array<ArrayBuffer>
  length: number
  protocol: number
  metric: number
  tos: number
  /** Immutable, and often the same object for equal bodies. */
  body: RouteBody
}

export type HostLink = {
  readonly index: number
  readonly name: string
  /** Set up by the administrator (IFF_UP). */
  readonly isUp: boolean
  /** Up and with a carrier (IFF_RUNNING): packets can pass. */
  readonly isRunning: boolean
  /** Longest IP packet it takes, in octets. */
  readonly mtu: number
}

export type HostAddress = {
  readonly address: IpAddress
  readonly prefixLength: number
  readonly interfaceIndex: number
  /** Not tentative (RFC 4862 §5.4): it may be a source address. */
  readonly isUsable: boolean
}

/** What happened to a route: `appended` joined others of the same prefix and metric. */
export type RouteChangeKind = 'added' | 'replaced' | 'appended' | 'removed'

/** Hears what others did to the host's network; our own writes are not repeated to us. */
export interface KernelListener {
  routeChanged(route: RouteView, change: RouteChangeKind): void
  linkChanged(link: HostLink): void
  linkRemoved(index: number): void
  addressChanged(address: HostAddress): void
  addressRemoved(address: HostAddress): void
  /** More happened than the kernel had room to tell: everything known is in doubt. */
  eventsLost(): void
}

export const CREATE = 0
export const REPLACE = 1
export const REMOVE = 2

/** Writes as columns; `bodies` is indexed by `bodyOf` (unused by REMOVE). All concern routes of our protocol. */
export type RouteWrites = {
  readonly family: IpFamily
  readonly count: number
  readonly metric: number
  readonly tos: number
  /** CREATE fails with EEXIST where any route has that prefix, TOS and metric; REPLACE takes its place in one step; REMOVE removes only a route of ours. */
  readonly operations: Uint8Array
  /** 4 or 16 octets each. */
  readonly addresses: Uint8Array
  readonly lengths: Uint8Array
  readonly bodyOf: Uint32Array
  readonly bodies: readonly RouteBody[]
}

/** One write the kernel refused; a removal of what is already gone is none. */
export type WriteFailure = { readonly index: number; readonly code: string; readonly text: string | null }

export type WriteOutcome = {
  readonly failures: readonly WriteFailure[]
  /** Ranges of writes whose fate is unknown, because the kernel's answers were lost; empty normally. */
  readonly unknown: readonly { readonly from: number; readonly to: number }[]
}

export interface RouteBackend extends Disposable {
  /** Hands every route of table main to `visit`; `restart` is called before each attempt. `interrupted`: too much changed meanwhile. */
  listRoutes(family: IpFamily, visit: { restart(): void; route(view: RouteView): void }): 'consistent' | 'interrupted'
  listLinks(): { readonly links: readonly HostLink[]; readonly addresses: readonly HostAddress[] }
  write(writes: RouteWrites): WriteOutcome
  /** Hands what others did since the last call to `listener`, in order, without waiting. False: the kernel had nothing to tell. */
  drain(listener: KernelListener): boolean
  /** Readable (poll(2)) while `drain` has something to tell; null if there is nothing to wait for. */
  readonly eventsDescriptor: number | null
}

/** The kernel could not be read at all. `code` is errno's name. */
export class RouteBackendError extends Error {
  readonly code: string
  constructor(code: string, message: string, cause: unknown) {
    super(message, { cause })
    this.name = 'RouteBackendError'
    this.code = code
  }
}
