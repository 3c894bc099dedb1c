// What a change of settings means for a session that is up, and what the sockets need to know of the settings. Pure.
import { isDeepStrictEqual } from 'node:util'
import { sendHoldSeconds } from './fsm/index.ts'
import { isInternal, localAsnOf } from './negotiate.ts'
import type { PeerSettings } from './peer-types.ts'
import type { HopLimit } from './transport.ts'

export type SettingsChange =
  | { readonly kind: 'none' }
  /** Takes effect at once or with the next session. */
  | { readonly kind: 'live' }
  /** Cannot take effect under the session; `because` names what changed, for people, without its value. */
  | { readonly kind: 'resets'; readonly because: string }

/** What a session is built from: OPEN, capabilities that change the encoding, and the socket. Everything else can wait or is live. */
const FOUNDATIONS: readonly { readonly of: (settings: PeerSettings) => unknown; readonly what: string }[] = [
  { what: 'our AS number', of: localAsnOf },
  { what: "the peer's AS number", of: ({ asn }) => asn },
  { what: 'our router ID', of: ({ routerId }) => routerId },
  { what: "the peer's address", of: ({ address, interface: device }) => [address, device] },
  { what: "the peer's port", of: ({ port }) => port },
  { what: 'our source address', of: ({ sourceAddress }) => sourceAddress },
  { what: 'the password', of: ({ password }) => password },
  { what: 'the address families', of: ({ families }) => [...families].sort() },
  { what: 'add-path', of: ({ addPath }) => [addPath.receive, addPath.send > 0] },
  { what: 'our role', of: (settings) => (isInternal(settings) ? null : settings.role) },
  { what: 'TTL security or multihop', of: hopLimitOf },
  { what: 'extended next hop', of: ({ extendedNextHop }) => extendedNextHop },
]

export function changeOf(before: PeerSettings, after: PeerSettings): SettingsChange {
  const changed = FOUNDATIONS.filter(({ of }) => !isDeepStrictEqual(of(before), of(after))).map(({ what }) => what)
  if (changed.length > 0) return { kind: 'resets', because: `${changed.join(', ')} changed` }
  return isDeepStrictEqual(before, after) ? { kind: 'none' } : { kind: 'live' }
}

const MAX_HOPS = 255
const MULTIHOP = 64

/** TTL security (RFC 5082 §3), multihop, or 1: a directly connected eBGP peer is on the link or not at all. */
export function hopLimitOf(settings: PeerSettings): HopLimit {
  if (settings.ttlSecurity !== null) return { send: MAX_HOPS, receiveAtLeast: MAX_HOPS - settings.ttlSecurity + 1 }
  return { send: isInternal(settings) ? MULTIHOP : (settings.ebgpMultihop ?? 1), receiveAtLeast: null }
}

/** Lets the send hold timer, with its NOTIFICATION, come first; what remains for the kernel is a peer that refuses even that. */
const USER_TIMEOUT_MARGIN_SECONDS = 30

export function userTimeoutMsOf({ holdTimeSeconds, sendHoldTimeSeconds }: PeerSettings): number {
  const hold = holdTimeSeconds === 0 ? 1 : holdTimeSeconds // without hold time nothing else would ever notice
  return ((sendHoldSeconds(hold, sendHoldTimeSeconds) ?? 0) + USER_TIMEOUT_MARGIN_SECONDS) * 1_000
}
