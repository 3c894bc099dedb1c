// The protocol in words for people: NOTIFICATIONs as sentences, capabilities as short phrases. Text from a peer is quoted and
// its control characters are escaped (RFC 9003 §3).
import { quoteText } from '../../lib/log.ts'
import { familyFromCodes } from '../family.ts'
import { CAPABILITY, CEASE, ERROR, FSM_ERROR, HEADER_ERROR, OPEN_ERROR, UPDATE_ERROR } from '../iana.ts'
import { attributeName } from './attribute-set.ts'
import { decodeCapabilities } from './capability.ts'
import { hexOf } from './error.ts'
import type { Capability } from './message.ts'
import { decodeMaxPrefixData, decodeShutdownMessage, unwrapHardReset } from './notification.ts'
import { u16 } from './octets.ts'

/** What is known about the session; what is absent is left out of the sentence. */
export type NotificationContext = {
  /** Who sent it. */
  readonly direction?: 'sent' | 'received'
  readonly localAsn?: number
  /** The AS the peer is configured with. */
  readonly peerAsn?: number | null
}

type Describe = (data: Uint8Array, context: NotificationContext) => string

const HEADER_TEXT: Readonly<Record<number, Describe>> = {
  [HEADER_ERROR.NOT_SYNCHRONIZED]: () => 'connection not synchronized: the marker of a message was not all ones',
  [HEADER_ERROR.BAD_LENGTH]: (data) => `bad message length${data.length >= 2 ? ` ${u16(data, 0)}` : ''}`,
  [HEADER_ERROR.BAD_TYPE]: (data) => `bad message type${data.length >= 1 ? ` ${data[0]}` : ''}`,
}

const OPEN_TEXT: Readonly<Record<number, Describe>> = {
  [OPEN_ERROR.UNSUPPORTED_VERSION]: (data) => `unsupported BGP version${data.length >= 2 ? `; version ${u16(data, 0)} is` : ''}`,
  [OPEN_ERROR.BAD_PEER_AS]: describeBadPeerAs,
  [OPEN_ERROR.BAD_BGP_IDENTIFIER]: (_data, { direction }) =>
    `bad BGP Identifier: ${direction === 'received' ? 'the peer refuses our router ID' : "the peer's router ID is zero or the same as ours"}`,
  [OPEN_ERROR.UNSUPPORTED_OPTIONAL_PARAMETER]: () => 'unsupported optional parameter in OPEN',
  5: () => 'authentication failure (deprecated)',
  [OPEN_ERROR.UNACCEPTABLE_HOLD_TIME]: () => 'unacceptable hold time',
  [OPEN_ERROR.UNSUPPORTED_CAPABILITY]: (data) => {
    const wanted = capabilitiesIn(data)
    return `unsupported or missing capability${wanted.length > 0 ? `: ${wanted.join(', ')}` : ''}`
  },
  [OPEN_ERROR.ROLE_MISMATCH]: () => 'BGP roles do not fit each other: check `role` on both sides',
}

const UPDATE_TEXT: Readonly<Record<number, Describe>> = {
  [UPDATE_ERROR.MALFORMED_ATTRIBUTE_LIST]: () => 'malformed attribute list',
  [UPDATE_ERROR.UNRECOGNIZED_WELL_KNOWN]: (data) => `unrecognized well-known attribute${attributeIn(data)}`,
  [UPDATE_ERROR.MISSING_WELL_KNOWN]: (data) => `missing well-known attribute${data.length > 0 ? ` ${attributeName(data[0] ?? 0)}` : ''}`,
  [UPDATE_ERROR.ATTRIBUTE_FLAGS]: (data) => `wrong attribute flags${attributeIn(data)}`,
  [UPDATE_ERROR.ATTRIBUTE_LENGTH]: (data) => `wrong attribute length${attributeIn(data)}`,
  [UPDATE_ERROR.INVALID_ORIGIN]: () => 'invalid ORIGIN',
  7: () => 'AS routing loop (deprecated)',
  [UPDATE_ERROR.INVALID_NEXT_HOP]: () => 'invalid NEXT_HOP',
  [UPDATE_ERROR.OPTIONAL_ATTRIBUTE]: (data) => `error in optional attribute${attributeIn(data)}`,
  [UPDATE_ERROR.INVALID_NETWORK]: () => 'invalid network field: a prefix could not be read',
  [UPDATE_ERROR.MALFORMED_AS_PATH]: () => 'malformed AS_PATH',
}

const FSM_TEXT: Readonly<Record<number, Describe>> = {
  [FSM_ERROR.OPEN_SENT]: () => 'unexpected message in state OpenSent',
  [FSM_ERROR.OPEN_CONFIRM]: () => 'unexpected message in state OpenConfirm',
  [FSM_ERROR.ESTABLISHED]: () => 'unexpected message in state Established',
}

const CEASE_TEXT: Readonly<Record<number, Describe>> = {
  [CEASE.MAX_PREFIXES]: (data) => {
    const limit = decodeMaxPrefixData(data)
    return `maximum number of prefixes reached${limit === null ? '' : `: ${limit.bound} for ${limit.family ?? 'another family'}`}`
  },
  [CEASE.ADMIN_SHUTDOWN]: (data) => `administrative shutdown${messageIn(data)}`,
  [CEASE.PEER_DECONFIGURED]: () => 'peer deconfigured',
  [CEASE.ADMIN_RESET]: (data) => `administrative reset${messageIn(data)}`,
  [CEASE.CONNECTION_REJECTED]: () => 'connection rejected: the other side has no such peer configured, or does not want it now',
  [CEASE.CONFIGURATION_CHANGE]: () => 'other configuration change',
  [CEASE.COLLISION]: () => 'connection collision resolved: the other connection stays',
  [CEASE.OUT_OF_RESOURCES]: () => 'out of resources',
  [CEASE.HARD_RESET]: (data, context) => {
    const inner = unwrapHardReset({ code: ERROR.CEASE, subcode: CEASE.HARD_RESET, data })
    const isNested = inner?.code === ERROR.CEASE && inner.subcode === CEASE.HARD_RESET
    return inner === null || isNested ? 'hard reset' : `hard reset: ${notificationText(inner.code, inner.subcode, inner.data, context)}`
  },
  [CEASE.BFD_DOWN]: () => 'BFD session down',
}

type ErrorText = { readonly name: string; readonly subcodes: Readonly<Record<number, Describe>> }

const ERROR_TEXT: Readonly<Record<number, ErrorText>> = {
  [ERROR.HEADER]: { name: 'message header error', subcodes: HEADER_TEXT },
  [ERROR.OPEN]: { name: 'OPEN error', subcodes: OPEN_TEXT },
  [ERROR.UPDATE]: { name: 'UPDATE error', subcodes: UPDATE_TEXT },
  [ERROR.HOLD_TIMER_EXPIRED]: { name: 'hold timer expired', subcodes: {} },
  [ERROR.FSM]: { name: 'state machine error', subcodes: FSM_TEXT },
  [ERROR.CEASE]: { name: 'cease', subcodes: CEASE_TEXT },
  [ERROR.ROUTE_REFRESH]: { name: 'ROUTE-REFRESH error', subcodes: { 1: () => 'invalid ROUTE-REFRESH length' } },
  [ERROR.SEND_HOLD_TIMER_EXPIRED]: { name: 'send hold timer expired: the other side did not read', subcodes: {} },
}

/**
 * A NOTIFICATION in plain words, ending in its numbers: `cease: administrative shutdown: "maintenance" (6/2)`. Nothing in `data`
 * is trusted.
 */
export function notificationText(code: number, subcode: number, data: Uint8Array, context: NotificationContext = {}): string {
  const numbers = `(${code}/${subcode})`
  const error = ERROR_TEXT[code]
  if (error === undefined) return `unknown error ${numbers}${data.length > 0 ? ` with data ${hexOf(data)}` : ''}`
  const describe = error.subcodes[subcode]
  if (describe !== undefined)
    return `${code === ERROR.HEADER || code === ERROR.ROUTE_REFRESH ? '' : `${error.name}: `}${describe(data, context)} ${numbers}`
  return `${error.name} ${numbers}`
}

function describeBadPeerAs(_data: Uint8Array, { direction, localAsn, peerAsn }: NotificationContext): string {
  if (direction === 'received')
    return `bad peer AS: the peer does not expect us to be ${localAsn === undefined ? 'this AS' : `AS ${localAsn}`}; check the AS configured there`
  return `bad peer AS: the peer is not ${peerAsn === undefined || peerAsn === null ? 'the AS we are configured for' : `AS ${peerAsn}, which we are configured for`}`
}

/** The shutdown message of RFC 9003; hex if it is not one. */
function messageIn(data: Uint8Array): string {
  if (data.length === 0 || (data.length === 1 && data[0] === 0)) return ''
  const text = decodeShutdownMessage(data)
  return text === null ? ` (unreadable message ${hexOf(data)})` : `: ${quoteText(text, 255)}`
}

/** The attribute an UPDATE error carries: flags, type, and so on. */
function attributeIn(data: Uint8Array): string {
  return data.length >= 2 ? `: ${attributeName(data[1] ?? 0)} (${hexOf(data)})` : ''
}

function capabilitiesIn(data: Uint8Array): readonly string[] {
  const found: Capability[] = []
  try {
    decodeCapabilities(data, found)
  } catch {
    // cut off: those before the damage are still worth showing
  }
  return found.map(capabilityText)
}

const UNKNOWN_NAMES: Readonly<Record<number, string>> = {
  [CAPABILITY.OUTBOUND_ROUTE_FILTERING]: 'outbound route filtering',
  [CAPABILITY.BGPSEC]: 'BGPsec',
  [CAPABILITY.MULTIPLE_LABELS]: 'multiple labels',
  [CAPABILITY.DYNAMIC]: 'dynamic capability',
  [CAPABILITY.MULTISESSION]: 'multisession',
  [CAPABILITY.FQDN]: 'FQDN',
  [CAPABILITY.BFD_STRICT]: 'BFD strict mode',
  [CAPABILITY.SOFTWARE_VERSION]: 'software version',
  [CAPABILITY.PATHS_LIMIT]: 'paths limit',
  [CAPABILITY.LINK_LOCAL_NEXT_HOP]: 'link-local next hop',
  [CAPABILITY.ROUTE_REFRESH_CISCO]: 'route refresh (Cisco)',
}

function familyText(afi: number, safi: number): string {
  return familyFromCodes(afi, safi) ?? `AFI ${afi} SAFI ${safi}`
}

function listText(parts: readonly string[]): string {
  return parts.length === 0 ? '' : ` ${parts.join(', ')}`
}

/** A capability in words a network engineer knows: `multiprotocol IPv4Unicast`, `graceful restart 120 s`. */
export function capabilityText(capability: Capability): string {
  switch (capability.kind) {
    case 'multiprotocol':
      return `multiprotocol ${familyText(capability.afi, capability.safi)}`
    case 'routeRefresh':
      return 'route refresh'
    case 'extendedNextHop':
      return `extended next hop${listText(
        capability.entries.map(
          ({ afi, safi, nextHopAfi }) => `${familyText(afi, safi)} via ${nextHopAfi === 2 ? 'IPv6' : `AFI ${nextHopAfi}`}`,
        ),
      )}`
    case 'extendedMessage':
      return 'extended message'
    case 'role':
      return `role ${capability.role}`
    case 'gracefulRestart': {
      const families = capability.families.map(
        ({ afi, safi, forwardingPreserved }) => `${familyText(afi, safi)}${forwardingPreserved ? ' (forwarding preserved)' : ''}`,
      )
      const flags = `${capability.restarting ? ', restarting' : ''}${capability.notification ? ', with notification' : ''}`
      return `graceful restart ${capability.restartTimeSeconds} s${flags}${families.length > 0 ? `:${listText(families)}` : ''}`
    }
    case 'fourOctetAs':
      return `four-octet AS ${capability.asn}`
    case 'addPath':
      return `add-path${listText(
        capability.families.map(({ afi, safi, send, receive }) => {
          const direction = send && receive ? 'send and receive' : send ? 'send' : receive ? 'receive' : 'off'
          return `${familyText(afi, safi)} ${direction}`
        }),
      )}`
    case 'enhancedRouteRefresh':
      return 'enhanced route refresh'
    case 'longLivedGracefulRestart':
      return `long-lived graceful restart${listText(
        capability.families.map(({ afi, safi, staleTimeSeconds }) => `${familyText(afi, safi)} ${staleTimeSeconds} s`),
      )}`
    case 'unknown':
      return unknownCapabilityText(capability.code, capability.value)
  }
}

const KNOWN_CODES: ReadonlySet<number> = new Set(
  [
    CAPABILITY.MULTIPROTOCOL,
    CAPABILITY.ROUTE_REFRESH,
    CAPABILITY.EXTENDED_NEXT_HOP,
    CAPABILITY.EXTENDED_MESSAGE,
    CAPABILITY.ROLE,
    CAPABILITY.GRACEFUL_RESTART,
    CAPABILITY.FOUR_OCTET_AS,
    CAPABILITY.ADD_PATH,
    CAPABILITY.ENHANCED_ROUTE_REFRESH,
    CAPABILITY.LONG_LIVED_GRACEFUL_RESTART,
  ].map(Number),
)

function unknownCapabilityText(code: number, value: Uint8Array): string {
  const name = UNKNOWN_NAMES[code]
  if (name !== undefined) return name
  return `${KNOWN_CODES.has(code) ? 'malformed capability' : 'unknown capability'} ${code}${value.length > 0 ? ` (${hexOf(value)})` : ''}`
}
