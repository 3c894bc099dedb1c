// Whether an OPEN is acceptable from the peer it came from (RFC 4271 §6.2; RFC 6286; RFC 6793; RFC 7607; RFC 9234). Pure: the
// session state machine acts on the answer.
import { err, ok, type Result } from '../../lib/result.ts'
import { AS_TRANS, type Asn, asn, formatIp, ipv4 } from '../../net/index.ts'
import { type RouterId, routerId } from '../attributes.ts'
import { FAMILIES, type Family, familyFromCodes } from '../family.ts'
import { CAPABILITY, OPEN_ERROR } from '../iana.ts'
import { capabilityCode, encodeCapability } from './capability.ts'
import { openError } from './error.ts'
import type { Capability, MessageError, OpenMessage, RoleName } from './message.ts'
import { OctetWriter } from './writer.ts'

/** What we know about the peer before its OPEN. */
export type ExpectedOpen = {
  readonly localAsn: number
  readonly localRouterId: number
  /** The peer's configured AS, or null if any will do. */
  readonly peerAsn: number | null
  /** Our role towards the peer (RFC 9234), or null. */
  readonly role?: RoleName | null
  /** A peer that sends no role of its own is refused as well (RFC 9234 §4.2). */
  readonly strictRole?: boolean
  /** Capabilities without which we will not have the session (RFC 5492 §5); normally none. */
  readonly required?: readonly Capability[]
}

/** What the OPEN says, once accepted. */
export type AcceptedOpen = {
  readonly peerAsn: Asn
  readonly routerId: RouterId
  readonly peerType: 'eBGP' | 'iBGP'
  /** The peer's offer; the session uses the smaller of both, 0 meaning none (RFC 4271 §4.2). */
  readonly holdTimeSeconds: number
  readonly fourOctetAs: boolean
  readonly role: RoleName | null
}

/** RFC 9234 §4.2: which role of the peer fits ours. */
const COUNTERPART: { readonly [R in RoleName]: RoleName } = {
  Provider: 'Customer',
  Customer: 'Provider',
  RouteServer: 'RouteServerClient',
  RouteServerClient: 'RouteServer',
  Peer: 'Peer',
}

/** The NOTIFICATION to send is the error; its reason names both sides' view. */
export function checkOpen(open: OpenMessage, expected: ExpectedOpen): Result<AcceptedOpen, MessageError> {
  const peerAsn = asnOfOpen(open)
  if (peerAsn === 0 || open.myAs === 0) return refuse(OPEN_ERROR.BAD_PEER_AS, 'peer says it is AS 0, which is reserved (RFC 7607)')
  if (peerAsn === AS_TRANS) return refuse(OPEN_ERROR.BAD_PEER_AS, 'peer says it is AS 23456 (AS_TRANS), which is nobody (RFC 6793)')
  if (expected.peerAsn !== null && peerAsn !== expected.peerAsn)
    return refuse(OPEN_ERROR.BAD_PEER_AS, `peer says it is AS ${peerAsn}, we are configured for AS ${expected.peerAsn}`)
  if (open.routerId === 0) return refuse(OPEN_ERROR.BAD_BGP_IDENTIFIER, 'peer says its BGP Identifier is 0.0.0.0')
  const peerType = peerAsn === expected.localAsn ? 'iBGP' : 'eBGP'
  if (peerType === 'iBGP' && open.routerId === expected.localRouterId) {
    const shown = formatIp(ipv4(open.routerId))
    return refuse(OPEN_ERROR.BAD_BGP_IDENTIFIER, `peer has our own BGP Identifier ${shown}: one of both must change`)
  }
  if (open.holdTimeSeconds === 1 || open.holdTimeSeconds === 2)
    return refuse(OPEN_ERROR.UNACCEPTABLE_HOLD_TIME, `peer offers a hold time of ${open.holdTimeSeconds} s; it must be 0 or at least 3 s`)
  const role = checkRole(open, expected)
  if (!role.ok) return role
  const missing = (expected.required ?? []).filter((wanted) => !open.capabilities.some((has) => isSame(has, wanted)))
  if (missing.length > 0) {
    const data = new OctetWriter()
    for (const capability of missing) data.bytes(encodeCapability(capability))
    const codes = missing.map(capabilityCode).join(', ')
    return refuse(OPEN_ERROR.UNSUPPORTED_CAPABILITY, `peer lacks a capability that is required: ${codes}`, data.finish())
  }
  return ok({
    peerAsn: asn(peerAsn),
    routerId: routerId(open.routerId),
    peerType,
    holdTimeSeconds: open.holdTimeSeconds,
    fourOctetAs: open.capabilities.some((capability) => capability.kind === 'fourOctetAs'),
    role: role.value,
  })
}

/** The peer's AS: the four-octet one if it sent that capability, else the old field (RFC 6793 §3, §4.1). 0 is possible. */
export function asnOfOpen(open: OpenMessage): number {
  return open.capabilities.findLast((capability) => capability.kind === 'fourOctetAs')?.asn ?? open.myAs
}

/** What to put in the two-octet My Autonomous System field (RFC 6793 §9). */
export function myAsField(localAsn: number): number {
  return localAsn > 0xffff ? AS_TRANS : localAsn
}

/** Families an OPEN offers; one without any multiprotocol capability offers IPv4 unicast (RFC 4760 §8). */
export function familiesOfOpen(open: OpenMessage): readonly Family[] {
  const offered = open.capabilities.filter((capability) => capability.kind === 'multiprotocol')
  if (offered.length === 0) return ['IPv4Unicast']
  return FAMILIES.filter((family) => offered.some(({ afi, safi }) => familyFromCodes(afi, safi) === family))
}

function checkRole(open: OpenMessage, expected: ExpectedOpen): Result<RoleName | null, MessageError> {
  if (expected.localAsn === asnOfOpen(open)) return ok(null) // roles are for eBGP only (RFC 9234 §4)
  const roles = open.capabilities.filter((capability) => capability.kind === 'role').map(({ role }) => role)
  const peerRole = roles[0] ?? null
  if (roles.some((role) => role !== peerRole)) return refuse(OPEN_ERROR.ROLE_MISMATCH, `peer claims several roles: ${roles.join(', ')}`)
  const ours = expected.role ?? null
  if (ours === null) return ok(peerRole)
  const unassigned = open.capabilities.find(
    (capability) => capability.kind === 'unknown' && capability.code === CAPABILITY.ROLE && capability.value.length === 1,
  )
  if (unassigned !== undefined) return refuse(OPEN_ERROR.ROLE_MISMATCH, `peer claims a role nobody has defined; we are ${ours}`)
  if (peerRole === null) {
    if (expected.strictRole === true) return refuse(OPEN_ERROR.ROLE_MISMATCH, `peer sends no role; we are ${ours} and insist on one`)
    return ok(null)
  }
  if (peerRole !== COUNTERPART[ours])
    return refuse(OPEN_ERROR.ROLE_MISMATCH, `peer says it is ${peerRole}, we are ${ours} and expect it to be ${COUNTERPART[ours]}`)
  return ok(peerRole)
}

function isSame(a: Capability, b: Capability): boolean {
  if (a.kind === 'multiprotocol' && b.kind === 'multiprotocol') return a.afi === b.afi && a.safi === b.safi
  return capabilityCode(a) === capabilityCode(b)
}

function refuse(subcode: number, reason: string, data?: Uint8Array): { readonly ok: false; readonly error: MessageError } {
  return err(openError(subcode, reason, data))
}
