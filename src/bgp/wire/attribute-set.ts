// A whole set of path attributes: decoded once for each distinct run of octets, with the verdict of RFC 7606 on it; and encoded
// once for each path and kind of peer. Everything here is off the hot path: `AttributeCache` stands in front of it.
import { AS_TRANS, type IpAddress, type Ipv4, type Ipv6, ipFromBytes, isIpv4, isLinkLocalIpv6, isUsableUnicast } from '../../net/index.ts'
import type { AsPathSegment, NextHop, PathAttributes } from '../attributes.ts'
import type { Family } from '../family.ts'
import { ATTRIBUTE, ATTRIBUTE_FLAG, UPDATE_ERROR } from '../iana.ts'
import { mergeAs4Path } from './as-path.ts'
import type { AttributeFault, Draft } from './attribute.ts'
import { ATTRIBUTE_CODECS } from './attribute-codecs.ts'
import type { AttributeVerdict } from './attribute-verdict.ts'
import type { DecodeContext, EncodeContext } from './context.ts'
import { hexOf, updateError } from './error.ts'
import type { Malformation, MessageError } from './message.ts'
import { copyOf, u16 } from './octets.ts'
import { OctetWriter } from './writer.ts'

/** What a set is judged for. */
export type SetShape = {
  /** Prefixes in the NLRI field. */
  readonly hasClassic: boolean
  /** Next hop octets of an MP_REACH_NLRI that announces something we carry, else null. */
  readonly nextHop: Uint8Array | null
}

const CODEC_BY_TYPE = new Map(ATTRIBUTE_CODECS.map((codec) => [codec.type, codec]))
const KIND_BITS = ATTRIBUTE_FLAG.OPTIONAL | ATTRIBUTE_FLAG.TRANSITIVE

/** More findings in one UPDATE tell people nothing, and a hostile one could hold thousands. */
const MAX_FINDINGS = 32

const NO_MALFORMATIONS: readonly Malformation[] = []

/** Gathers what was wrong; the most severe action decides (RFC 7606 §3 h). */
class Findings {
  malformations: readonly Malformation[] = NO_MALFORMATIONS
  fatal: MessageError | null = null
  withdraw: MessageError | null = null

  add(action: 'treatAsWithdraw' | 'attributeDiscard', type: number | null, fault: AttributeFault, octets: Uint8Array): void {
    const isWithdraw = action === 'treatAsWithdraw' && this.withdraw === null
    if (!isWithdraw && this.malformations.length >= MAX_FINDINGS) return
    const reason = `${type === null ? '' : `${attributeName(type)}: `}${fault.reason}`
    this.malformations = [...this.malformations, { attributeType: type, action, reason, hex: hexOf(octets) }] // 32 at most
    if (isWithdraw) this.withdraw = updateError(fault.subcode, reason, octets)
  }
}

/** The RFC's name of an attribute, or its number. */
export function attributeName(type: number): string {
  if (type === ATTRIBUTE.MP_REACH_NLRI) return 'MP_REACH_NLRI'
  if (type === ATTRIBUTE.MP_UNREACH_NLRI) return 'MP_UNREACH_NLRI'
  return CODEC_BY_TYPE.get(type)?.name ?? `attribute ${type}`
}

/** Judges and decodes the attributes in `octets`, from which MP_REACH_NLRI and MP_UNREACH_NLRI have been taken out. */
export function decodeAttributeSet(octets: Uint8Array, shape: SetShape, context: DecodeContext): AttributeVerdict {
  const draft = emptyDraft()
  const findings = new Findings()
  readAttributes(octets, shape, context, draft, findings)
  const { fatal } = findings
  if (fatal !== null) return { fatal, withdraw: null, malformations: findings.malformations, classic: null, multiprotocol: null }

  const asPath = effectiveAsPath(draft, context)
  const multiprotocol = shape.nextHop === null ? null : decodeNextHop(shape.nextHop)
  const hasReachable = shape.hasClassic || shape.nextHop !== null
  // An attribute that was malformed is not missing as well: one finding each is enough.
  if (hasReachable && findings.withdraw === null) {
    checkMandatory(draft, shape, context, findings)
    checkFirstAs(asPath, context, findings)
    if (shape.hasClassic && draft.nextHop !== null) checkNextHop(draft.nextHop, ATTRIBUTE.NEXT_HOP, findings)
    if (multiprotocol !== null) checkNextHop(multiprotocol.address, ATTRIBUTE.MP_REACH_NLRI, findings)
  }
  const { withdraw, malformations } = findings
  if (withdraw !== null) return { fatal, withdraw, malformations, classic: null, multiprotocol: null }
  const classicHop = draft.nextHop === null ? null : classicNextHop(draft.nextHop)
  return {
    fatal,
    withdraw,
    malformations,
    classic: shape.hasClassic ? finished(draft, asPath, classicHop) : null,
    multiprotocol: multiprotocol === null ? null : finished(draft, asPath, multiprotocol),
  }
}

/** By type: already met in this set. Reused, since decoding is synchronous. */
const seen = new Uint8Array(256)

function readAttributes(octets: Uint8Array, shape: SetShape, context: DecodeContext, draft: Draft, findings: Findings): void {
  seen.fill(0)
  let at = 0
  while (at < octets.length) {
    const flags = octets[at] ?? 0
    const left = octets.length - at
    const header = (flags & ATTRIBUTE_FLAG.EXTENDED_LENGTH) === 0 ? 3 : 4
    const length = header === 3 ? (octets[at + 2] ?? 0) : u16(octets, at + 2)
    if (left < header || left < header + length) {
      // RFC 7606 §4: the rest of the list is lost, the NLRI field is not.
      const reason = left < header ? 'attribute list ends inside an attribute header' : 'attribute runs past the end of the list'
      const fault = { subcode: UPDATE_ERROR.MALFORMED_ATTRIBUTE_LIST, reason }
      findings.add('treatAsWithdraw', left < 2 ? null : (octets[at + 1] ?? 0), fault, octets.subarray(at))
      return
    }
    const type = octets[at + 1] ?? 0
    const attribute = octets.subarray(at, at + header + length)
    if (seen[type] === 1) {
      const fault = { subcode: UPDATE_ERROR.MALFORMED_ATTRIBUTE_LIST, reason: 'a second time: only the first counts' }
      findings.add('attributeDiscard', type, fault, attribute)
    } else {
      seen[type] = 1
      readAttribute(type, attribute, attribute.subarray(header), shape, context, draft, findings)
      if (findings.fatal !== null) return
    }
    at += header + length
  }
}

function readAttribute(
  type: number,
  attribute: Uint8Array,
  value: Uint8Array,
  shape: SetShape,
  context: DecodeContext,
  draft: Draft,
  findings: Findings,
): void {
  const flags = attribute[0] ?? 0
  const codec = CODEC_BY_TYPE.get(type)
  if (codec === undefined) {
    if ((flags & ATTRIBUTE_FLAG.OPTIONAL) === 0)
      findings.fatal = updateError(UPDATE_ERROR.UNRECOGNIZED_WELL_KNOWN, `unknown well-known attribute ${type}`, attribute)
    else if ((flags & ATTRIBUTE_FLAG.TRANSITIVE) !== 0)
      draft.unknown = [
        ...draft.unknown,
        { type, flags: flags & (KIND_BITS | ATTRIBUTE_FLAG.PARTIAL), value: copyOf(value, 0, value.length) },
      ]
    return
  }
  // RFC 4760 §3: without an NLRI field, NEXT_HOP is not looked at.
  if (type === ATTRIBUTE.NEXT_HOP && !shape.hasClassic && shape.nextHop !== null) return
  if (codec.internalOnly === true && context.peerType === 'eBGP') {
    const fault = { subcode: UPDATE_ERROR.OPTIONAL_ATTRIBUTE, reason: 'from an external peer' }
    findings.add('attributeDiscard', type, fault, attribute)
    return
  }
  const fault =
    (flags & KIND_BITS) === codec.flags
      ? codec.decode(value, draft, context, flags & (KIND_BITS | ATTRIBUTE_FLAG.PARTIAL))
      : {
          subcode: UPDATE_ERROR.ATTRIBUTE_FLAGS,
          reason: `flags ${hexOf(attribute, 0, 1)} conflict with its type`,
        }
  if (fault !== null) findings.add(codec.whenMalformed, type, fault, attribute)
}

/** RFC 7606 §3 d; LOCAL_PREF: RFC 4271 §5.1.5. */
function checkMandatory(draft: Draft, shape: SetShape, context: DecodeContext, findings: Findings): void {
  const missing: number[] = []
  if (draft.origin === null) missing.push(ATTRIBUTE.ORIGIN)
  if (draft.asPath === null) missing.push(ATTRIBUTE.AS_PATH)
  if (shape.hasClassic && draft.nextHop === null) missing.push(ATTRIBUTE.NEXT_HOP)
  if (context.peerType === 'iBGP' && draft.localPref === null) missing.push(ATTRIBUTE.LOCAL_PREF)
  for (const type of missing) {
    // RFC 4271 §6.3: the data is the type of the missing attribute.
    const fault = { subcode: UPDATE_ERROR.MISSING_WELL_KNOWN, reason: 'missing' }
    findings.add('treatAsWithdraw', type, fault, Uint8Array.of(type))
  }
}

/** RFC 4271 §6.3, RFC 7606 §7.2. */
function checkFirstAs(asPath: readonly AsPathSegment[], context: DecodeContext, findings: Findings): void {
  if (context.peerType !== 'eBGP' || !context.enforceFirstAs || findings.withdraw !== null) return
  const first = asPath[0]
  if (first?.type === 'sequence' && first.asns[0] === context.peerAsn) return
  const reason = `does not begin with the peer's AS ${context.peerAsn} but with ${first?.asns[0] ?? 'nothing'}`
  findings.add('treatAsWithdraw', ATTRIBUTE.AS_PATH, { subcode: UPDATE_ERROR.MALFORMED_AS_PATH, reason }, new Uint8Array(0))
}

/** Addresses nothing can be forwarded to; whether the next hop is ours or on a shared subnet is not known here (RFC 4271 §6.3). */
function checkNextHop(address: IpAddress, type: number, findings: Findings): void {
  if (isUsableUnicast(address)) return
  const fault = { subcode: UPDATE_ERROR.INVALID_NEXT_HOP, reason: 'next hop is not a usable unicast address' }
  findings.add(
    'treatAsWithdraw',
    type,
    fault,
    isIpv4(address) ? Uint8Array.of(address >>> 24, address >>> 16, address >>> 8, address) : new Uint8Array(0),
  )
}

/**
 * RFC 6793 §4.2.3. AS4_PATH is ignored only if AS4_AGGREGATOR came too, beside an AGGREGATOR that is not AS_TRANS: then some
 * two-octet speaker has aggregated and left both behind.
 */
function effectiveAsPath(draft: Draft, context: DecodeContext): readonly AsPathSegment[] {
  const asPath = draft.asPath ?? []
  if (context.fourOctetAs) return asPath
  const { aggregator, as4Aggregator, as4Path } = draft
  const isStale = aggregator !== null && as4Aggregator !== null && aggregator.asn !== AS_TRANS
  if (aggregator?.asn === AS_TRANS && as4Aggregator !== null) draft.aggregator = as4Aggregator
  return as4Path === null || isStale ? asPath : mergeAs4Path(asPath, as4Path)
}

/** The last one: a peer has few next hops and many attribute sets, which may share it. */
let lastHop: NextHop | null = null

function classicNextHop(address: Ipv4): NextHop {
  if (lastHop === null || lastHop.address !== address) lastHop = { address, linkLocal: null }
  return lastHop
}

/** 4, 16 or 32 octets; the caller has checked that. A second half that is not link-local, or a first that is `::`, does not count. */
function decodeNextHop(octets: Uint8Array): NextHop {
  if (octets.length === 4) return { address: ipFromBytes(4, octets), linkLocal: null }
  const first = ipFromBytes(6, octets) as Ipv6
  if (octets.length === 16) return { address: first, linkLocal: null }
  const second = ipFromBytes(6, octets, 16) as Ipv6
  if (!isLinkLocalIpv6(second)) return { address: first, linkLocal: null }
  return { address: first === 0n ? second : first, linkLocal: second } // BIRD sends `::` where it has no global address
}

/** Shared by all sets: a list that is not there takes no room. */
const NONE: readonly never[] = []

function emptyDraft(): Draft {
  return {
    origin: null,
    asPath: null,
    nextHop: null as Ipv4 | null,
    med: null,
    localPref: null,
    atomicAggregate: false,
    aggregator: null,
    communities: NONE,
    originatorId: null,
    clusterList: NONE,
    extendedCommunities: NONE,
    as4Path: null,
    as4Aggregator: null,
    ipv6ExtendedCommunities: NONE,
    largeCommunities: NONE,
    onlyToCustomer: null,
    unknown: NONE,
  }
}

function finished(draft: Draft, asPath: readonly AsPathSegment[], nextHop: NextHop | null): PathAttributes {
  return {
    origin: draft.origin ?? 'incomplete', // present: checkMandatory has seen to it
    asPath,
    nextHop,
    med: draft.med,
    localPref: draft.localPref,
    atomicAggregate: draft.atomicAggregate,
    aggregator: draft.aggregator,
    communities: draft.communities,
    originatorId: draft.originatorId,
    clusterList: draft.clusterList,
    extendedCommunities: draft.extendedCommunities,
    ipv6ExtendedCommunities: draft.ipv6ExtendedCommunities,
    largeCommunities: draft.largeCommunities,
    onlyToCustomer: draft.onlyToCustomer,
    unknown: draft.unknown.length < 2 ? draft.unknown : draft.unknown.toSorted((a, b) => a.type - b.type),
  }
}

/**
 * All attributes of a path for one kind of peer, in ascending order of type, except MP_REACH_NLRI, which `encodeUpdates` puts
 * before them. NEXT_HOP is among them if `family` is IPv4 and the next hop too. What an external peer must not see is left out.
 */
export function encodePathAttributes(attributes: PathAttributes, family: Family, context: EncodeContext): Uint8Array {
  const out = new OctetWriter()
  const { unknown } = attributes
  let nextUnknown = 0
  const flushUnknown = (below: number): void => {
    for (let each = unknown[nextUnknown]; each !== undefined && each.type < below; each = unknown[++nextUnknown]) {
      // RFC 4271 §5: we pass on what we do not recognize, so it is partial from here on.
      writeAttribute(out, KIND_BITS | ATTRIBUTE_FLAG.PARTIAL, each.type, each.value)
    }
  }
  for (const codec of ATTRIBUTE_CODECS) {
    flushUnknown(codec.type)
    if (codec.internalOnly === true && context.peerType === 'eBGP') continue
    const value = codec.encode(attributes, context, family)
    if (value !== null) writeAttribute(out, codec.flags, codec.type, value)
  }
  flushUnknown(256)
  return out.finish()
}

/** Extended length only when one octet is not enough (RFC 4271 §4.3). */
export function writeAttribute(out: OctetWriter, flags: number, type: number, value: Uint8Array): void {
  if (value.length > 255)
    out
      .u8(flags | ATTRIBUTE_FLAG.EXTENDED_LENGTH)
      .u8(type)
      .u16(value.length)
  else out.u8(flags).u8(type).u8(value.length)
  out.bytes(value)
}
