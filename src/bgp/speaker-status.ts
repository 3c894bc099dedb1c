// What people are shown of a peering, derived from its parts; holds no state of its own.
import type { Clock } from '../lib/clock.ts'
import { formatIp, ipv4 } from '../net/index.ts'
import type { SpeakerConfig } from './config.ts'
import type { Family } from './family.ts'
import type { Negotiated } from './peer.ts'
import type { Peering } from './peering.ts'
import type { Rib } from './rib/index.ts'
import type { PeerStatus } from './status.ts'
import { capabilityText } from './wire/index.ts'

/** Something an operator should know of; same shape as the agent's problems. */
export type SpeakerProblem = { readonly severity: 'error' | 'warning'; readonly subject: string; readonly message: string }

export function peerStatus(peering: Peering, rib: Rib, config: SpeakerConfig, clock: Clock): PeerStatus {
  const peer = peering.config
  const session = peering.session.status()
  const { negotiated } = session
  const lastError = lastErrorOf(peering)
  const localAsn = peer.localAsn ?? config.asn
  const families = new Set<Family>([...peer.families, ...(negotiated?.families ?? [])])
  return {
    name: peer.key,
    description: peer.description,
    address: formatIp(peer.address),
    interface: peer.interface,
    port: peer.port,
    localAddress: negotiated === null ? null : formatIp(negotiated.localAddress),
    type: localAsn === peer.asn ? 'iBGP' : 'eBGP',
    asn: peer.asn,
    localAsn,
    state: session.state,
    adminShutdown: peer.shutdown !== null,
    since: new Date(session.sinceMs).toISOString(),
    uptimeSeconds: session.state === 'Established' ? Math.max(0, Math.round((clock.wallMs() - session.sinceMs) / 1000)) : null,
    established: session.establishedCount,
    flaps: peering.flaps,
    lastError: lastError.text,
    lastErrorAt: lastError.atMs === null ? null : new Date(lastError.atMs).toISOString(),
    remoteRouterId: negotiated === null ? null : formatIp(ipv4(negotiated.remoteRouterId)),
    holdTimeSeconds: negotiated?.holdTimeSeconds ?? null,
    keepaliveTimeSeconds: negotiated?.keepaliveSeconds ?? null,
    capabilities: {
      offered: (negotiated?.capabilities.offered ?? session.offered).map(capabilityText),
      received: (negotiated?.capabilities.received ?? []).map(capabilityText),
      negotiated: negotiated === null ? [] : negotiatedText(negotiated),
    },
    prefixes: Object.fromEntries([...families].map((family) => [family, rib.counts(peering.id, family)])),
    messages: session.messages,
    malformedUpdates: session.malformedUpdates,
    ownAsRejected: rib.ownAsRejected(peering.id),
    gracefulRestart: peering.gracefulRestart,
    endOfRib: peering.endOfRib,
  }
}

/**
 * The last error and when it was (wall clock). Why a session was lost says more than the attempts that failed before it came
 * back: once it is back only that is shown, and while it is down beside the last attempt.
 */
function lastErrorOf(peering: Peering): { readonly text: string | null; readonly atMs: number | null } {
  const { state, lastError, lastErrorAtMs } = peering.session.status()
  const { lastEnd } = peering
  if (lastEnd === null || lastError === null || lastEnd.reason === lastError) return { text: lastError, atMs: lastErrorAtMs }
  if (state === 'Established') return { text: lastEnd.reason, atMs: lastEnd.atMs }
  return { text: `${lastError} (the session was lost: ${lastEnd.reason})`, atMs: lastErrorAtMs }
}

/** What both sides agreed on, one line a feature. */
function negotiatedText(negotiated: Negotiated): readonly string[] {
  const lines: string[] = negotiated.families.map((family) => `multiprotocol ${family}`)
  const say = (isOn: boolean, text: string) => {
    if (isOn) lines.push(text)
  }
  say(negotiated.fourOctetAs, 'four-octet AS')
  say(negotiated.routeRefresh, 'route refresh')
  say(negotiated.enhancedRouteRefresh, 'enhanced route refresh')
  say(negotiated.extendedMessage, 'extended message')
  say(negotiated.extendedNextHop, 'extended next hop IPv4Unicast via IPv6')
  say(negotiated.addPathSend.length > 0, `add-path send ${negotiated.addPathSend.join(', ')}`)
  say(negotiated.addPathReceive.length > 0, `add-path receive ${negotiated.addPathReceive.join(', ')}`)
  const { gracefulRestart } = negotiated
  if (gracefulRestart !== null) {
    const families = gracefulRestart.families.map(({ family }) => family).join(', ')
    lines.push(`graceful restart ${gracefulRestart.restartTimeSeconds} s${families === '' ? ' (End-of-RIB only)' : ` for ${families}`}`)
    say(gracefulRestart.notification, 'graceful restart on notification')
  }
  for (const { family, staleTimeSeconds } of negotiated.longLived) lines.push(`long-lived graceful restart ${family} ${staleTimeSeconds} s`)
  return lines
}

export function speakerProblems(peerings: readonly Peering[], rib: Rib, listenError: string | null): readonly SpeakerProblem[] {
  const problems: SpeakerProblem[] = []
  if (listenError !== null)
    problems.push({
      severity: 'error',
      subject: 'listener',
      message: `cannot listen for BGP: ${listenError}; stop whatever else listens there, or choose another listenPort`,
    })
  for (const peering of peerings) {
    const { state } = peering.session.status()
    const { text: lastError } = lastErrorOf(peering)
    const subject = `BGPPeer/${peering.key}`
    if (peering.config.shutdown === null && state !== 'Established' && !peering.isAwaited) {
      problems.push({ severity: 'error', subject, message: `session is ${state}${lastError === null ? '' : `: ${lastError}`}` })
    }
    for (const family of peering.familiesNearMaximum) {
      problems.push({
        severity: 'warning',
        subject,
        message: `${family}: received prefixes near maxPrefixes; raise the limit or look at what the peer sends`,
      })
    }
    const ownAs = rib.ownAsRejected(peering.id)
    if (ownAs !== null) problems.push({ severity: 'warning', subject, message: ownAsText(ownAs.example) })
    if (peering.gracefulRestart === 'waiting for peer' || peering.gracefulRestart === 'long-lived stale') {
      problems.push({ severity: 'warning', subject, message: `its routes are kept while it restarts (${peering.gracefulRestart})` })
    }
  }
  return problems
}

/** Without the count, so that it is news only when there is news. */
function ownAsText(example: string): string {
  return (
    `routes to pods are dropped because our own AS number is in their AS path (${example}), and nothing else carries them without a tunnel; ` +
    'give nodes AS numbers of their own (annotation fibula.network/asn), set `allowLocalAS: 1` on this BGPPeer, or as-override on the router'
  )
}
