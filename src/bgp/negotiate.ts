// What we offer in OPEN, and what follows from both OPENs. Pure.
import { err, ok, type Result } from '../lib/result.ts'
import type { Asn, IpAddress } from '../net/index.ts'
import { AFI, FAMILIES, type Family, familyFromCodes, SAFI_UNICAST } from './family.ts'
import { agreedHoldSeconds, agreedKeepaliveSeconds } from './fsm/index.ts'
import { ERROR, OPEN_ERROR } from './iana.ts'
import type { Negotiated, PeerSettings } from './peer-types.ts'
import {
  type Capability,
  checkOpen,
  createDecodeContext,
  type DecodeContext,
  encodeCapability,
  familiesOfOpen,
  type MessageError,
  messageError,
  myAsField,
  type OpenMessage,
} from './wire/index.ts'

type Kind = Capability['kind']
type Of<K extends Kind> = Extract<Capability, { readonly kind: K }>

/** What we call ourselves towards the peer. */
export function localAsnOf({ localAsn, speakerAsn }: Pick<PeerSettings, 'localAsn' | 'speakerAsn'>): Asn {
  return localAsn ?? speakerAsn
}

export function isInternal(settings: Pick<PeerSettings, 'asn' | 'localAsn' | 'speakerAsn'>): boolean {
  return settings.asn === localAsnOf(settings)
}

/** Everything we can do with this peer, in ascending order of code. */
export function offeredCapabilities(settings: PeerSettings): readonly Capability[] {
  const families = FAMILIES.filter((family) => settings.families.includes(family))
  const coded = families.map((family) => ({ afi: AFI[family], safi: SAFI_UNICAST, family }))
  const preserved = (family: Family): boolean => settings.forwardingPreserved.includes(family)
  const { gracefulRestart, addPath, role } = settings
  const offer: Capability[] = [
    ...coded.map(({ afi, safi }): Capability => ({ kind: 'multiprotocol', afi, safi })),
    { kind: 'routeRefresh' },
  ]
  if (settings.extendedNextHop && families.includes('IPv4Unicast')) {
    offer.push({ kind: 'extendedNextHop', entries: [{ afi: AFI.IPv4Unicast, safi: SAFI_UNICAST, nextHopAfi: AFI.IPv6Unicast }] })
  }
  offer.push({ kind: 'extendedMessage' })
  if (role !== null && !isInternal(settings)) offer.push({ kind: 'role', role }) // RFC 9234 §4: never on iBGP
  if (gracefulRestart.enabled) {
    offer.push({
      kind: 'gracefulRestart',
      restarting: settings.restarting,
      notification: gracefulRestart.notification,
      restartTimeSeconds: gracefulRestart.restartTimeSeconds,
      families: coded.map(({ afi, safi, family }) => ({ afi, safi, forwardingPreserved: preserved(family) })),
    })
  }
  offer.push({ kind: 'fourOctetAs', asn: localAsnOf(settings) })
  if (addPath.receive || addPath.send > 0) {
    const { receive } = addPath
    offer.push({ kind: 'addPath', families: coded.map(({ afi, safi }) => ({ afi, safi, send: addPath.send > 0, receive })) })
  }
  offer.push({ kind: 'enhancedRouteRefresh' })
  const staleTimeSeconds = gracefulRestart.longLivedStaleTimeSeconds
  if (gracefulRestart.enabled && staleTimeSeconds > 0) {
    const entries = coded.map(({ afi, safi, family }) => ({ afi, safi, forwardingPreserved: preserved(family), staleTimeSeconds }))
    offer.push({ kind: 'longLivedGracefulRestart', families: entries })
  }
  return offer
}

/** Our OPEN with these capabilities. */
export function openMessage(settings: PeerSettings, capabilities: readonly Capability[]): OpenMessage {
  const { holdTimeSeconds, routerId } = settings
  return { kind: 'open', myAs: myAsField(localAsnOf(settings)), holdTimeSeconds, routerId, capabilities }
}

type BothOpens = { readonly ours: OpenMessage; readonly theirs: OpenMessage; readonly localAddress: IpAddress }

/**
 * The session that both OPENs make. The error is the OPEN error to send: theirs is not acceptable from this peer (RFC 4271 §6.2),
 * or there is no family in common.
 */
export function negotiate(settings: PeerSettings, { ours, theirs, localAddress }: BothOpens): Result<Negotiated, MessageError> {
  const accepted = checkOpen(theirs, {
    localAsn: localAsnOf(settings),
    localRouterId: settings.routerId,
    peerAsn: settings.asn,
    role: isInternal(settings) ? null : settings.role,
  })
  if (!accepted.ok) return accepted
  const { peerType, peerAsn, routerId } = accepted.value
  const ourFamilies = familiesOfOpen(ours).filter((family) => settings.families.includes(family))
  const theirFamilies = familiesOfOpen(theirs)
  const families = ourFamilies.filter((family) => theirFamilies.includes(family))
  if (families.length === 0) return err(nothingInCommon(ours, ourFamilies, theirFamilies))
  const both = (kind: Kind): boolean => lastOf(ours, kind) !== null && lastOf(theirs, kind) !== null
  const holdTimeSeconds = agreedHoldSeconds(ours.holdTimeSeconds, theirs.holdTimeSeconds)
  const gracefulRestart = gracefulRestartOf(ours, theirs, families)
  return ok({
    peerType,
    remoteAsn: peerAsn,
    remoteRouterId: routerId,
    localAddress,
    holdTimeSeconds,
    keepaliveSeconds: agreedKeepaliveSeconds(settings.keepaliveTimeSeconds, holdTimeSeconds),
    families,
    fourOctetAs: both('fourOctetAs'),
    extendedMessage: both('extendedMessage'),
    routeRefresh: both('routeRefresh'),
    enhancedRouteRefresh: both('enhancedRouteRefresh'),
    addPathSend: families.filter((family) => addPathOf(ours, family).send && addPathOf(theirs, family).receive),
    addPathReceive: families.filter((family) => addPathOf(ours, family).receive && addPathOf(theirs, family).send),
    extendedNextHop: families.includes('IPv4Unicast') && hasIpv4OverIpv6(ours) && hasIpv4OverIpv6(theirs),
    role: peerType === 'eBGP' ? settings.role : null,
    gracefulRestart,
    longLived: gracefulRestart === null ? [] : longLivedOf(ours, theirs, families), // RFC 9494 §3.1: not without RFC 4724
    capabilities: { offered: ours.capabilities, received: theirs.capabilities },
  })
}

/** How what the peer sends is read from now on. */
export function decodeContextOf(settings: PeerSettings, negotiated: Negotiated): DecodeContext {
  return createDecodeContext({
    peerType: negotiated.peerType,
    localAsn: localAsnOf(settings),
    peerAsn: negotiated.remoteAsn,
    enforceFirstAs: settings.enforceFirstAs && settings.role !== 'RouteServerClient', // a route server leaves itself out of the path
    fourOctetAs: negotiated.fourOctetAs,
    extendedMessage: negotiated.capabilities.offered.some(({ kind }) => kind === 'extendedMessage'), // who offers it must accept it (RFC 8654 §4)
    families: new Set(negotiated.families),
    addPathReceive: new Set(negotiated.addPathReceive),
    extendedNextHop: negotiated.extendedNextHop,
  })
}

/** The last of its kind: what counts where a capability comes more than once (RFC 4724 §3). */
function lastOf<K extends Kind>(open: OpenMessage, kind: K): Of<K> | null {
  return open.capabilities.findLast((capability): capability is Of<K> => capability.kind === kind) ?? null
}

function addPathOf(open: OpenMessage, family: Family): { readonly send: boolean; readonly receive: boolean } {
  const entry = lastOf(open, 'addPath')?.families.findLast(({ afi, safi }) => familyFromCodes(afi, safi) === family)
  return entry ?? { send: false, receive: false }
}

function hasIpv4OverIpv6(open: OpenMessage): boolean {
  return open.capabilities.some(
    (capability) =>
      capability.kind === 'extendedNextHop' &&
      capability.entries.some(
        ({ afi, safi, nextHopAfi }) => afi === AFI.IPv4Unicast && safi === SAFI_UNICAST && nextHopAfi === AFI.IPv6Unicast,
      ),
  )
}

function gracefulRestartOf(ours: OpenMessage, theirs: OpenMessage, families: readonly Family[]): Negotiated['gracefulRestart'] {
  const mine = lastOf(ours, 'gracefulRestart')
  const peers = lastOf(theirs, 'gracefulRestart')
  if (mine === null || peers === null) return null
  return {
    peerRestarting: peers.restarting,
    restartTimeSeconds: peers.restartTimeSeconds,
    notification: mine.notification && peers.notification, // RFC 8538 §2
    families: families.flatMap((family) => {
      const entry = peers.families.findLast(({ afi, safi }) => familyFromCodes(afi, safi) === family)
      return entry === undefined ? [] : [{ family, forwardingPreserved: entry.forwardingPreserved }]
    }),
  }
}

function longLivedOf(ours: OpenMessage, theirs: OpenMessage, families: readonly Family[]): Negotiated['longLived'] {
  const peers = lastOf(theirs, 'longLivedGracefulRestart')
  if (lastOf(ours, 'longLivedGracefulRestart') === null || peers === null) return []
  return families.flatMap((family) => {
    const entry = peers.families.findLast(({ afi, safi }) => familyFromCodes(afi, safi) === family)
    if (entry === undefined) return []
    return [{ family, forwardingPreserved: entry.forwardingPreserved, staleTimeSeconds: entry.staleTimeSeconds }]
  })
}

/** RFC 5492 §5 leaves it to us what we insist on: one family, for a session that carries none is of no use to anybody. */
function nothingInCommon(ours: OpenMessage, ourFamilies: readonly Family[], theirFamilies: readonly Family[]): MessageError {
  const lacking = ours.capabilities.filter(({ kind }) => kind === 'multiprotocol').map(encodeCapability)
  const data = Uint8Array.from(lacking.flatMap((bytes) => [...bytes]))
  const named = (families: readonly Family[]): string => (families.length === 0 ? 'none we know' : families.join(' and '))
  const reason = `no address family in common: the peer offers ${named(theirFamilies)}, we offer ${named(ourFamilies)}`
  return messageError(ERROR.OPEN, OPEN_ERROR.UNSUPPORTED_CAPABILITY, reason, data)
}
