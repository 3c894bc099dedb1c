// Everything negotiated that changes how octets are read or written. Fixed for the life of a session (RFC 4760, 6793, 7911,
// 8654, 8950): the codec never guesses.
import type { Family } from '../family.ts'
import { AttributeCache } from './attribute-cache.ts'

export type DecodeContext = {
  readonly peerType: 'eBGP' | 'iBGP'
  readonly localAsn: number
  readonly peerAsn: number
  /** eBGP: the leftmost AS of AS_PATH must be the peer's (RFC 4271 §6.3). Off towards route servers (RFC 7947 §2.2.2). */
  readonly enforceFirstAs: boolean
  readonly fourOctetAs: boolean
  readonly extendedMessage: boolean
  /** Families both sides offered; everything else is ignored. */
  readonly families: ReadonlySet<Family>
  /** Families whose received NLRI carry path identifiers. */
  readonly addPathReceive: ReadonlySet<Family>
  /** IPv4 NLRI may come with an IPv6 next hop (RFC 8950). */
  readonly extendedNextHop: boolean
  /** Of this session alone: what it remembers depends on everything above. */
  readonly attributeCache: AttributeCache
}

export type DecodeOptions = Omit<DecodeContext, 'attributeCache'> & { readonly attributeCache?: AttributeCache }

/** A context with an attribute cache of its own. */
export function createDecodeContext(options: DecodeOptions): DecodeContext {
  return {
    peerType: options.peerType,
    localAsn: options.localAsn,
    peerAsn: options.peerAsn,
    enforceFirstAs: options.enforceFirstAs,
    fourOctetAs: options.fourOctetAs,
    extendedMessage: options.extendedMessage,
    families: options.families,
    addPathReceive: options.addPathReceive,
    extendedNextHop: options.extendedNextHop,
    attributeCache: options.attributeCache ?? new AttributeCache(),
  }
}

/** Before the OPENs have been exchanged: no family, no option. An UPDATE then decodes to nothing, and is the FSM's to refuse. */
export const preOpenContext: DecodeContext = createDecodeContext({
  peerType: 'eBGP',
  localAsn: 0,
  peerAsn: 0,
  enforceFirstAs: false,
  fourOctetAs: false,
  extendedMessage: false,
  families: new Set<Family>(),
  addPathReceive: new Set<Family>(),
  extendedNextHop: false,
})

export type EncodeContext = {
  readonly peerType: 'eBGP' | 'iBGP'
  readonly fourOctetAs: boolean
  readonly extendedMessage: boolean
  /** Families in whose NLRI we send path identifiers (RFC 7911). */
  readonly addPathSend: ReadonlySet<Family>
  /** IPv4 NLRI may be sent with an IPv6 next hop (RFC 8950). */
  readonly extendedNextHop: boolean
}
