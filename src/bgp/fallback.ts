// Which capabilities to leave out of the next OPEN after a peer has refused the last one (RFC 5492 §3: old peers reject what they
// do not know). Pure. Each rejection costs one attempt; a session that ends starts again with the full offer, so a peer that has
// been upgraded is met at its best.
import { CAPABILITY, ERROR, OPEN_ERROR } from './iana.ts'
import { type Capability, capabilityCode } from './wire/index.ts'

export type Fallback = {
  readonly without: 'nothing' | 'all' | readonly string[]
  /** OPENs in a row refused as malformed, with no hint what at. */
  readonly unexplained: number
}
export const FULL_OFFER: Fallback = { without: 'nothing', unexplained: 0 }

/** A NOTIFICATION that came in answer to our OPEN. */
export type Rejection = { readonly code: number; readonly subcode: number; readonly data: Uint8Array }

/** How often a peer may call our OPEN malformed before we try with less. */
const PATIENCE = 3
/** What daemons of the last years have learnt to parse, and the first to go. */
const MODERN: readonly number[] = [
  CAPABILITY.EXTENDED_NEXT_HOP,
  CAPABILITY.EXTENDED_MESSAGE,
  CAPABILITY.ROLE,
  CAPABILITY.ADD_PATH,
  CAPABILITY.ENHANCED_ROUTE_REFRESH,
  CAPABILITY.LONG_LIVED_GRACEFUL_RESTART,
]

/** The offer with what the peer does not bear left out. */
export function withFallback(offer: readonly Capability[], { without }: Fallback): readonly Capability[] {
  if (without === 'nothing') return offer
  return without === 'all' ? [] : offer.filter((capability) => !without.includes(nameOf(capability)))
}

export function afterRejection(fallback: Fallback, offered: readonly Capability[], { code, subcode, data }: Rejection): Fallback {
  if (code !== ERROR.OPEN) return fallback
  switch (subcode) {
    case OPEN_ERROR.UNSUPPORTED_CAPABILITY: {
      const names = namesIn(data)
      const refused = offered.map(nameOf).filter((name) => names.includes(name))
      if (refused.length === 0) return allOrNothing(fallback)
      return { without: [...new Set([...namedIn(fallback), ...refused])], unexplained: 0 }
    }
    case OPEN_ERROR.UNSUPPORTED_OPTIONAL_PARAMETER:
      return allOrNothing(fallback)
    case OPEN_ERROR.UNSPECIFIC: {
      const unexplained = fallback.unexplained + 1
      if (unexplained < PATIENCE) return { ...fallback, unexplained }
      const modern = offered.filter((capability) => MODERN.includes(capabilityCode(capability))).map(nameOf)
      if (fallback.without === 'all' || modern.length === 0) return allOrNothing(fallback)
      return { without: [...new Set([...namedIn(fallback), ...modern])], unexplained: 0 }
    }
    default:
      return fallback // the AS, the identifier, the hold time or the role is wrong: no offer would help
  }
}

/** Without any; and if that was refused too, with all again, lest a passing fault leave the session poor for ever. */
function allOrNothing({ without }: Fallback): Fallback {
  return { without: without === 'all' ? 'nothing' : 'all', unexplained: 0 }
}

function namedIn({ without }: Fallback): readonly string[] {
  return typeof without === 'string' ? [] : without
}

/** A capability by its code, multiprotocol also by its family: one that is refused need not take the other with it. */
function nameOf(capability: Capability): string {
  return capability.kind === 'multiprotocol' ? `1 ${capability.afi}/${capability.safi}` : `${capabilityCode(capability)}`
}

/** The capabilities listed in the data of OPEN error 7 (RFC 5492 §5), as far as they can be read. */
function namesIn(data: Uint8Array): readonly string[] {
  const names: string[] = []
  for (let at = 0; at + 2 <= data.length; at += 2 + (data[at + 1] ?? 0)) {
    const code = data[at] ?? 0
    const isFamily = code === CAPABILITY.MULTIPROTOCOL && data[at + 1] === 4 && at + 6 <= data.length
    names.push(isFamily ? `1 ${((data[at + 2] ?? 0) << 8) | (data[at + 3] ?? 0)}/${data[at + 5] ?? 0}` : `${code}`)
  }
  return names
}
