// The two ends of the codec: octets to `Message` and back. Total: arbitrary octets give a message or the NOTIFICATION to answer
// with, never a throw, a hang or an over-read.
import { err, ok, type Result, unreachable } from '../../lib/result.ts'
import { isIpv6 } from '../../net/index.ts'
import { AFI, type Family, familyFromCodes, SAFI_UNICAST } from '../family.ts'
import { ERROR, HEADER_LENGTH, MAX_EXTENDED_MESSAGE_LENGTH, MAX_MESSAGE_LENGTH, MESSAGE_TYPE, ROUTE_REFRESH_ERROR } from '../iana.ts'
import { encodePathAttributes } from './attribute-set.ts'
import type { DecodeContext, EncodeContext } from './context.ts'
import { badLength, DecodeError, messageError } from './error.ts'
import { checkHeader } from './framing.ts'
import type { Message, MessageError, NlriRun, RouteRefreshMessage, UpdateMessage } from './message.ts'
import { decodeNotification, encodeNotification } from './notification.ts'
import { u16 } from './octets.ts'
import { decodeOpen, encodeOpen, messageHeader } from './open.ts'
import { decodeUpdate } from './update.ts'
import { encodeEndOfRib, encodeMpAttribute } from './update-encode.ts'
import { OctetWriter } from './writer.ts'

/** Decodes one message, header included. The error is the NOTIFICATION to send before closing. */
export function decodeMessage(bytes: Uint8Array, context: DecodeContext): Result<Message, MessageError> {
  if (bytes.length < HEADER_LENGTH) return err(badLength(bytes.length, `message of ${bytes.length} octets is shorter than its header`))
  const error = checkHeader(bytes, 0, context.extendedMessage)
  if (error !== null) return err(error)
  const length = u16(bytes, 16)
  if (length !== bytes.length) return err(badLength(length, `message says it has ${length} octets and has ${bytes.length}`))
  try {
    return ok(decodeBody(bytes, context))
  } catch (fault) {
    if (fault instanceof DecodeError) return err(fault.error)
    throw fault
  }
}

function decodeBody(bytes: Uint8Array, context: DecodeContext): Message {
  const type = bytes[HEADER_LENGTH - 1]
  if (type === MESSAGE_TYPE.UPDATE) return decodeUpdate(bytes, context)
  if (type === MESSAGE_TYPE.KEEPALIVE) return { kind: 'keepalive' }
  if (type === MESSAGE_TYPE.OPEN) return decodeOpen(bytes)
  if (type === MESSAGE_TYPE.NOTIFICATION) return decodeNotification(bytes)
  return decodeRouteRefresh(bytes, context) // checkHeader lets no other type through
}

/** RFC 2918 §3, RFC 7313 §3.2. Longer ones would carry outbound route filters, which we never offer. */
function decodeRouteRefresh(bytes: Uint8Array, context: DecodeContext): RouteRefreshMessage {
  if (bytes.length !== HEADER_LENGTH + 4) {
    const reason = `ROUTE-REFRESH has ${bytes.length - HEADER_LENGTH} octets after its header, not 4`
    throw new DecodeError(messageError(ERROR.ROUTE_REFRESH, ROUTE_REFRESH_ERROR.INVALID_LENGTH, reason, bytes))
  }
  const family = familyFromCodes(u16(bytes, HEADER_LENGTH), bytes[HEADER_LENGTH + 3] ?? 0)
  const isOurs = family !== null && context.families.has(family)
  return { kind: 'routeRefresh', family: isOurs ? family : null, subtype: bytes[HEADER_LENGTH + 2] ?? 0 }
}

export function encodeKeepalive(): Uint8Array {
  return messageHeader(MESSAGE_TYPE.KEEPALIVE, HEADER_LENGTH).finish()
}

/** Subtype 0 asks for a refresh, 1 and 2 frame the answer (RFC 7313 §4). Throws RangeError without a family. */
export function encodeRouteRefresh({ family, subtype }: Pick<RouteRefreshMessage, 'family' | 'subtype'>): Uint8Array {
  if (family === null) throw new RangeError('ROUTE-REFRESH needs a family')
  return messageHeader(MESSAGE_TYPE.ROUTE_REFRESH, HEADER_LENGTH + 4)
    .u16(AFI[family])
    .u8(subtype)
    .u8(SAFI_UNICAST)
    .finish()
}

/**
 * One message of any kind, so that `decodeMessage(encodeMessage(m))` is `m`. An UPDATE goes into a single message, all its
 * sections together; speakers use `encodeUpdates` instead. Throws RangeError for what one message cannot hold.
 */
export function encodeMessage(message: Message, context: EncodeContext): Uint8Array {
  switch (message.kind) {
    case 'open':
      return encodeOpen(message)
    case 'update':
      return encodeUpdate(message, context)
    case 'notification':
      return encodeNotification(message)
    case 'keepalive':
      return encodeKeepalive()
    case 'routeRefresh':
      return encodeRouteRefresh(message)
    default:
      return unreachable(message)
  }
}

/** The octets of the only run of a family that satisfies `wanted`, or none. */
function onlyRun(runs: readonly NlriRun[], wanted: (run: NlriRun) => boolean): NlriRun | null {
  const found = runs.filter(wanted)
  if (found.length > 1) throw new RangeError('one UPDATE has one place for each of its runs')
  return found[0] ?? null
}

function encodeUpdate(update: UpdateMessage, context: EncodeContext): Uint8Array {
  if (update.endOfRib !== null) return encodeEndOfRib(update.endOfRib)
  const withdrawn = onlyRun(update.withdrawn, ({ family }) => family === 'IPv4Unicast')
  const mpWithdrawn = onlyRun(update.withdrawn, ({ family }) => family !== 'IPv4Unicast')
  const isClassic = (at: UpdateMessage['announced'][number]): boolean => {
    const address = at.attributes.nextHop?.address
    return at.run.family === 'IPv4Unicast' && (address === undefined || !isIpv6(address))
  }
  const classic = update.announced.find(isClassic)
  const multiprotocol = update.announced.find((at) => !isClassic(at))
  if (update.announced.length > (classic === undefined ? 0 : 1) + (multiprotocol === undefined ? 0 : 1))
    throw new RangeError('one UPDATE has one place for each of its runs')

  const list = new OctetWriter()
  if (mpWithdrawn !== null) list.bytes(encodeMpAttribute(mpWithdrawn.family, null, mpWithdrawn.bytes, context))
  if (multiprotocol !== undefined)
    list.bytes(encodeMpAttribute(multiprotocol.run.family, multiprotocol.attributes.nextHop, multiprotocol.run.bytes, context))
  const attributes = classic?.attributes ?? multiprotocol?.attributes
  const family: Family = classic === undefined ? 'IPv6Unicast' : 'IPv4Unicast'
  if (attributes !== undefined) list.bytes(encodePathAttributes(attributes, family, context))

  const withdrawnOctets = withdrawn?.bytes ?? new Uint8Array(0)
  const classicOctets = classic?.run.bytes ?? new Uint8Array(0)
  const length = HEADER_LENGTH + 4 + withdrawnOctets.length + list.length + classicOctets.length
  if (length > (context.extendedMessage ? MAX_EXTENDED_MESSAGE_LENGTH : MAX_MESSAGE_LENGTH))
    throw new RangeError(`UPDATE of ${length} octets does not fit one message`)
  const out = messageHeader(MESSAGE_TYPE.UPDATE, length).u16(withdrawnOctets.length).bytes(withdrawnOctets)
  return out.u16(list.length).bytes(list.finish()).bytes(classicOctets).finish()
}
