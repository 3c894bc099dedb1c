// UPDATE (RFC 4271 §4.3, §6.3; RFC 4760; RFC 7606): the hot path. Walks the headers of the attribute list, finds the sections
// that hold NLRI, and leaves the attributes themselves to `AttributeCache`. Nothing is allocated for a prefix.
import type { PathAttributes } from '../attributes.ts'
import { type Family, familyFromCodes } from '../family.ts'
import { ATTRIBUTE, ATTRIBUTE_FLAG, HEADER_LENGTH, UPDATE_ERROR } from '../iana.ts'
import { KeyRanges } from './attribute-cache.ts'
import { decodeAttributeSet } from './attribute-set.ts'
import type { AttributeVerdict } from './attribute-verdict.ts'
import type { DecodeContext } from './context.ts'
import { DecodeError, hexOf, malformedAttributeList, updateError } from './error.ts'
import type { Malformation, MessageError, NlriRun, UpdateMessage } from './message.ts'
import { NlriScan, withoutUnusable } from './nlri.ts'
import { u16, view } from './octets.ts'

/** Header, the two length fields. */
const MIN_UPDATE = HEADER_LENGTH + 4
const NO_RUNS: readonly NlriRun[] = []
const NO_MALFORMATIONS: readonly Malformation[] = []
const NO_ANNOUNCED: UpdateMessage['announced'] = []
const KIND_BITS = ATTRIBUTE_FLAG.OPTIONAL | ATTRIBUTE_FLAG.TRANSITIVE

const SHAPE_CLASSIC = 0x100
const SHAPE_MULTIPROTOCOL = 0x200

/** Where the two multiprotocol attributes of one UPDATE are; reused, since decoding is synchronous. */
class AttributeWalk {
  readonly key = new KeyRanges()
  /** Some octets of the list belong to neither MP_REACH_NLRI nor MP_UNREACH_NLRI. */
  hasOthers = false
  reachStart = -1
  reachValue = -1
  reachEnd = -1
  unreachStart = -1
  unreachValue = -1
  unreachEnd = -1

  /** Finds them, and the ranges of everything else. Throws if the NLRI in them cannot be located (RFC 7606 §3 g, j). */
  walk(bytes: Uint8Array, start: number, end: number): void {
    this.key.clear()
    this.hasOthers = false
    this.reachStart = -1
    this.unreachStart = -1
    let at = start
    let rangeStart = start
    while (at < end) {
      const left = end - at
      const type = left > 1 ? (bytes[at + 1] ?? 0) : 0
      const isExtended = ((bytes[at] ?? 0) & ATTRIBUTE_FLAG.EXTENDED_LENGTH) !== 0
      const value = at + (isExtended ? 4 : 3)
      const next = value > end ? -1 : value + (isExtended ? u16(bytes, at + 2) : (bytes[at + 2] ?? 0))
      const isMultiprotocol = type === ATTRIBUTE.MP_REACH_NLRI || type === ATTRIBUTE.MP_UNREACH_NLRI
      if (next < 0 || next > end) {
        if (isMultiprotocol) throw new DecodeError(malformedAttributeList(`attribute ${type} runs past the end of the attribute list`))
        this.hasOthers = true
        break // what is left is judged with the other attributes (RFC 7606 §4)
      }
      if (isMultiprotocol) {
        this.#found(type, at, value, next)
        this.key.add(rangeStart, at)
        rangeStart = next
      } else this.hasOthers = true
      at = next
    }
    this.key.add(rangeStart, end)
  }

  #found(type: number, at: number, value: number, next: number): void {
    if (type === ATTRIBUTE.MP_REACH_NLRI) {
      if (this.reachStart >= 0) throw new DecodeError(malformedAttributeList('MP_REACH_NLRI twice in one UPDATE'))
      this.reachStart = at
      this.reachValue = value
      this.reachEnd = next
    } else {
      if (this.unreachStart >= 0) throw new DecodeError(malformedAttributeList('MP_UNREACH_NLRI twice in one UPDATE'))
      this.unreachStart = at
      this.unreachValue = value
      this.unreachEnd = next
    }
  }
}

const walk = new AttributeWalk()
const scan = new NlriScan()

/** What one UPDATE has come to so far; reused, and emptied before each. */
class Work {
  withdrawn: NlriRun[] | null = null
  malformations: Malformation[] | null = null
  multiprotocol: NlriRun | null = null
  /** Wrong flags on an MP attribute, or null; the cache knows only the others. */
  flagFault: MessageError | null = null
  /** MP_REACH_NLRI of a family we did not agree on, with or without prefixes. */
  hasIgnoredReach = false

  clear(): void {
    this.withdrawn = null
    this.malformations = null
    this.multiprotocol = null
    this.flagFault = null
    this.hasIgnoredReach = false
  }

  withdraw(run: NlriRun | null): void {
    if (run === null || run.count === 0) return
    this.withdrawn ??= []
    this.withdrawn.push(run)
  }

  found(malformation: Malformation): void {
    this.malformations ??= []
    this.malformations.push(malformation)
  }
}

const work = new Work()

/** Decodes an UPDATE whose header has been checked. Throws DecodeError where the session has to end. */
export function decodeUpdate(bytes: Uint8Array, context: DecodeContext): UpdateMessage {
  const length = bytes.length
  const withdrawnLength = u16(bytes, HEADER_LENGTH)
  if (MIN_UPDATE + withdrawnLength > length)
    throw new DecodeError(malformedAttributeList('withdrawn routes run past the end of the message'))
  const withdrawnEnd = HEADER_LENGTH + 2 + withdrawnLength
  const attributesStart = withdrawnEnd + 2
  const attributesEnd = attributesStart + u16(bytes, withdrawnEnd)
  if (attributesEnd > length) throw new DecodeError(malformedAttributeList('path attributes run past the end of the message'))
  if (length === MIN_UPDATE) return endOfRib('IPv4Unicast', context) // RFC 4724 §2

  work.clear()
  const hasIpv4 = context.families.has('IPv4Unicast')
  if (withdrawnLength > 0 && hasIpv4) work.withdraw(classicRun(bytes, HEADER_LENGTH + 2, withdrawnEnd, context))
  if (attributesEnd === attributesStart && attributesEnd === length) return message(work.withdrawn, NO_ANNOUNCED, NO_MALFORMATIONS)

  walk.walk(bytes, attributesStart, attributesEnd)
  if (walk.unreachStart >= 0) {
    const ended = readUnreach(bytes, withdrawnLength === 0 && attributesEnd === length, context)
    if (ended !== null) return endOfRib(ended, context)
  }
  if (walk.reachStart >= 0) readReach(bytes, context)
  const hasNlriField = attributesEnd < length
  const classic =
    hasNlriField && hasIpv4 ? announcedRun(bytes, attributesEnd, length, 'IPv4Unicast', context, UPDATE_ERROR.INVALID_NETWORK) : null
  return judged(bytes, classic, hasNlriField, context)
}

function message(
  withdrawn: readonly NlriRun[] | null,
  announced: UpdateMessage['announced'],
  malformations: readonly Malformation[],
): UpdateMessage {
  return { kind: 'update', withdrawn: withdrawn ?? NO_RUNS, announced, endOfRib: null, malformations }
}

/** Applies the verdict on the attributes (RFC 7606 §3 h, §5.2). */
function judged(bytes: Uint8Array, classic: NlriRun | null, hasNlriField: boolean, context: DecodeContext): UpdateMessage {
  const { multiprotocol } = work
  const verdict = walk.hasOthers || classic !== null || multiprotocol !== null ? verdictOn(bytes, classic !== null, context) : null
  if (verdict !== null && verdict.fatal !== null) throw new DecodeError(verdict.fatal)
  const withdraw = work.flagFault ?? verdict?.withdraw ?? null
  const hasReachable = hasNlriField || work.hasIgnoredReach || multiprotocol !== null
  if (withdraw !== null && !hasReachable && (walk.hasOthers || walk.reachStart >= 0)) {
    // RFC 7606 §5.2: there is no telling whether prefixes have been missed.
    throw new DecodeError({ ...withdraw, reason: `${withdraw.reason}, and no prefixes to withdraw for it` })
  }
  const known = verdict?.malformations ?? NO_MALFORMATIONS
  const malformations = work.malformations === null ? known : [...known, ...work.malformations]
  if (withdraw !== null || verdict === null) {
    work.withdraw(classic)
    work.withdraw(multiprotocol)
    return message(work.withdrawn, NO_ANNOUNCED, malformations)
  }
  return message(work.withdrawn, announcedWith(verdict, classic, multiprotocol), malformations)
}

function announcedWith(verdict: AttributeVerdict, classic: NlriRun | null, multiprotocol: NlriRun | null): UpdateMessage['announced'] {
  const announced: { run: NlriRun; attributes: PathAttributes }[] = []
  if (classic !== null && classic.count > 0 && verdict.classic !== null) announced.push({ run: classic, attributes: verdict.classic })
  if (multiprotocol !== null && multiprotocol.count > 0 && verdict.multiprotocol !== null)
    announced.push({ run: multiprotocol, attributes: verdict.multiprotocol })
  return announced
}

function verdictOn(bytes: Uint8Array, hasClassic: boolean, context: DecodeContext): AttributeVerdict {
  const { key } = walk
  if (hasClassic) key.shape |= SHAPE_CLASSIC
  const cache = context.attributeCache
  const known = cache.find(bytes, key)
  if (known !== undefined) return known
  const nextHop =
    (key.shape & SHAPE_MULTIPROTOCOL) === 0 ? null : bytes.subarray(walk.reachValue + 4, walk.reachValue + 4 + (key.shape & 0xff))
  const verdict = decodeAttributeSet(otherAttributes(bytes, nextHop !== null), { hasClassic, nextHop }, context)
  cache.add(bytes, key, verdict)
  return verdict
}

/** The key ranges as one run of octets, without the next hop that ends them. */
function otherAttributes(bytes: Uint8Array, endsWithNextHop: boolean): Uint8Array {
  const { bounds, count } = walk.key
  const last = endsWithNextHop ? count - 2 : count
  if (last === 2) return bytes.subarray(bounds[0] ?? 0, bounds[1] ?? 0)
  let length = 0
  for (let range = 0; range < last; range += 2) length += (bounds[range + 1] ?? 0) - (bounds[range] ?? 0)
  const joined = new Uint8Array(length)
  let at = 0
  for (let range = 0; range < last; range += 2) {
    const part = bytes.subarray(bounds[range] ?? 0, bounds[range + 1] ?? 0)
    joined.set(part, at)
    at += part.length
  }
  return joined
}

/** The withdrawn routes field. */
function classicRun(bytes: Uint8Array, start: number, end: number, context: DecodeContext): NlriRun {
  const addPath = context.addPathReceive.has('IPv4Unicast')
  if (!scan.scan(bytes, start, end, 'IPv4Unicast', addPath))
    throw new DecodeError(updateError(UPDATE_ERROR.INVALID_NETWORK, `withdrawn routes are malformed: ${hexOf(bytes, start, end)}`))
  return { family: 'IPv4Unicast', addPath, bytes: view(bytes, start, end), count: scan.count }
}

/** Prefixes to announce, without those nobody may use. Its count may be zero then. */
function announcedRun(bytes: Uint8Array, start: number, end: number, family: Family, context: DecodeContext, subcode: number): NlriRun {
  const addPath = context.addPathReceive.has(family)
  if (!scan.scan(bytes, start, end, family, addPath)) {
    const data = subcode === UPDATE_ERROR.OPTIONAL_ATTRIBUTE ? bytes.subarray(walk.reachStart, walk.reachEnd) : undefined
    throw new DecodeError(updateError(subcode, `announced prefixes are malformed: ${hexOf(bytes, start, end)}`, data))
  }
  if (scan.unusable === 0) return { family, addPath, bytes: view(bytes, start, end), count: scan.count }
  const dropped = scan.unusable
  const { run, firstDropped } = withoutUnusable(bytes, start, end, family, addPath)
  const reason = `${dropped === 1 ? 'a prefix' : `${dropped} prefixes`} that cannot be used: multicast, loopback, link-local or reserved`
  work.found({ attributeType: null, action: 'ignorePrefix', reason, hex: hexOf(firstDropped) })
  return run
}

/** MP_UNREACH_NLRI (RFC 4760 §4). Not null: it is the End-of-RIB marker of that family (RFC 4724 §2). */
function readUnreach(bytes: Uint8Array, isAlone: boolean, context: DecodeContext): Family | null {
  const { unreachStart, unreachValue, unreachEnd } = walk
  if (unreachEnd - unreachValue < 3)
    throw new DecodeError(optionalAttributeError('MP_UNREACH_NLRI is too short', bytes, unreachStart, unreachEnd))
  const hasRightFlags = checkFlags(bytes, ATTRIBUTE.MP_UNREACH_NLRI, unreachStart, unreachEnd)
  const family = familyFromCodes(u16(bytes, unreachValue), bytes[unreachValue + 2] ?? 0)
  if (family === null || !context.families.has(family)) return null
  const start = unreachValue + 3
  if (start === unreachEnd) return isAlone && !walk.hasOthers && walk.reachStart < 0 && hasRightFlags ? family : null
  const addPath = context.addPathReceive.has(family)
  if (!scan.scan(bytes, start, unreachEnd, family, addPath))
    throw new DecodeError(optionalAttributeError('withdrawn prefixes in MP_UNREACH_NLRI are malformed', bytes, unreachStart, unreachEnd))
  work.withdraw({ family, addPath, bytes: view(bytes, start, unreachEnd), count: scan.count })
  return null
}

/** MP_REACH_NLRI (RFC 4760 §3, RFC 2545 §3, RFC 8950 §3). Adds its next hop to the key. */
function readReach(bytes: Uint8Array, context: DecodeContext): void {
  const { reachStart, reachValue, reachEnd } = walk
  if (reachEnd - reachValue < 5) throw new DecodeError(optionalAttributeError('MP_REACH_NLRI is too short', bytes, reachStart, reachEnd))
  checkFlags(bytes, ATTRIBUTE.MP_REACH_NLRI, reachStart, reachEnd)
  const family = familyFromCodes(u16(bytes, reachValue), bytes[reachValue + 2] ?? 0)
  if (family === null || !context.families.has(family)) {
    work.hasIgnoredReach = true
    return
  }
  const nextHopLength = bytes[reachValue + 3] ?? 0
  const nextHopEnd = reachValue + 4 + nextHopLength
  const start = nextHopEnd + 1 // the reserved octet between means nothing any more
  if (start > reachEnd)
    throw new DecodeError(optionalAttributeError('the next hop runs past the end of MP_REACH_NLRI', bytes, reachStart, reachEnd))
  if (!isNextHopLength(family, nextHopLength, context))
    throw new DecodeError(
      optionalAttributeError(`a next hop of ${nextHopLength} octets is not possible for ${family}`, bytes, reachStart, reachEnd),
    )
  if (start === reachEnd) return // nothing is announced
  work.multiprotocol = announcedRun(bytes, start, reachEnd, family, context, UPDATE_ERROR.OPTIONAL_ATTRIBUTE)
  walk.key.add(reachValue + 4, nextHopEnd)
  walk.key.shape |= SHAPE_MULTIPROTOCOL | nextHopLength
}

function isNextHopLength(family: Family, length: number, context: DecodeContext): boolean {
  if (length === 16 || length === 32) return family === 'IPv6Unicast' || context.extendedNextHop
  return length === 4 && family === 'IPv4Unicast'
}

/** Both are optional and non-transitive (RFC 4760 §3, §4); if not: treat-as-withdraw (RFC 7606 §3 c). */
function checkFlags(bytes: Uint8Array, type: number, start: number, end: number): boolean {
  const flags = bytes[start] ?? 0
  if ((flags & KIND_BITS) === ATTRIBUTE_FLAG.OPTIONAL) return true
  const reason = `${type === ATTRIBUTE.MP_REACH_NLRI ? 'MP_REACH_NLRI' : 'MP_UNREACH_NLRI'}: flags ${hexOf(bytes, start, start + 1)} conflict with its type`
  work.flagFault ??= updateError(UPDATE_ERROR.ATTRIBUTE_FLAGS, reason, bytes.subarray(start, end))
  work.found({ attributeType: type, action: 'treatAsWithdraw', reason, hex: hexOf(bytes, start, end) })
  return false
}

function optionalAttributeError(reason: string, bytes: Uint8Array, start: number, end: number): MessageError {
  return updateError(UPDATE_ERROR.OPTIONAL_ATTRIBUTE, reason, bytes.subarray(start, end))
}

function endOfRib(family: Family, context: DecodeContext): UpdateMessage {
  const ended = context.families.has(family) ? family : null
  return { kind: 'update', withdrawn: NO_RUNS, announced: NO_ANNOUNCED, endOfRib: ended, malformations: NO_MALFORMATIONS }
}
