// How a session is: from what a BGPPeer says, the settings of the node and the Secrets to the configuration of one peer.
import type { Family, GracefulRestartConfig, PeerConfig } from '../../bgp/index.ts'
import { asn, familyOf, type IpAddress, type IpFamily, isLinkLocalIpv6, parseIp } from '../../net/index.ts'
import { type BGPPeer, type Snapshot, secondsOf, secretValue } from '../../store/index.ts'
import type { NodeFacts } from './nodes.ts'
import type { Problems } from './problems.ts'
import { keepaliveFault, keepaliveIsTooLong, keepaliveSeconds, type NodeSettings } from './settings.ts'

export type PeerInput = {
  readonly snapshot: Snapshot
  /** Namespace of the Secrets that hold passwords. */
  readonly namespace: string
  /** Why Secrets cannot be read, by `namespace/name`. */
  readonly secretFaults: ReadonlyMap<string, string>
  readonly own: NodeFacts
  readonly nodes: ReadonlyMap<string, NodeFacts>
  readonly settings: NodeSettings
  readonly problems: Problems
}

export type Spec = BGPPeer['spec']
export type SecretRef = { readonly name: string; readonly key: string }

/** Who is at the other end of a session, before what is said about the session. */
export type Remote = {
  readonly address: IpAddress
  readonly interface: string | null
  readonly port: number
  readonly asn: number
  /** Set: a node of this cluster. */
  readonly node: NodeFacts | null
}

export type Candidate = {
  readonly key: string
  readonly subject: string
  readonly remote: Remote
  readonly spec: Spec | null
  readonly password: SecretRef | null
  /** A BGPPeer says so of this node, not of the other end or of all nodes alike. */
  readonly isMeant: boolean
}

const FAMILY_OF: { readonly [F in IpFamily]: Family } = { 4: 'IPv4Unicast', 6: 'IPv6Unicast' }
/** TTL between nodes of different AS: the fabric may be in between. iBGP is multihop anyway. */
const NODE_HOPS = 255

/** The configuration of one peer. A missing filter or password is a problem and never makes the session more open. */
export function peerConfig(input: PeerInput, { key, subject, remote, spec, password: secret }: Candidate): PeerConfig {
  const { own, settings, problems, snapshot } = input
  const password = secret === null ? null : readPassword(input, subject, secret)
  const localAsn = spec?.localASNumber ?? null
  const isIbgp = (localAsn ?? own.asn) === remote.asn
  const hold = secondsOf(spec?.holdTime ?? settings.holdTime)
  const wantedKeepalive = spec?.keepaliveTime ?? (spec?.holdTime === undefined ? settings.keepaliveTime : null)
  const keepalive = keepaliveIsTooLong(hold, wantedKeepalive) ? null : wantedKeepalive
  if (keepalive !== wantedKeepalive) problems.error(subject, keepaliveFault(hold, wantedKeepalive ?? ''))
  const ttlSecurity = spec?.ttlSecurity ?? null
  const isAmongNodes = remote.node !== null && spec?.peerIP === undefined
  const ebgpMultihop = spec?.ebgpMultihop ?? (isAmongNodes && !isIbgp && ttlSecurity === null ? NODE_HOPS : null)
  const missing = (spec?.filters ?? []).filter((name) => !snapshot.BGPFilter.has(name))
  for (const name of missing) {
    problems.error(
      subject,
      `spec.filters names ${name}, but there is no BGPFilter of that name, so every route of this peer is rejected both ways; create it or take the name out`,
      'FilterNotFound',
    )
  }
  const extendedNextHop = spec?.extendedNextHop ?? false
  const families: readonly Family[] =
    spec?.addressFamilies ?? (extendedNextHop ? ['IPv4Unicast', 'IPv6Unicast'] : [FAMILY_OF[familyOf(remote.address)]])
  const limits = spec?.maxPrefixes
  return {
    key,
    description: spec?.description ?? '',
    address: remote.address,
    interface: remote.interface,
    port: remote.port,
    asn: asn(remote.asn),
    localAsn: localAsn === null ? null : asn(localAsn),
    sourceAddress: sourceAddress(spec, own, remote, isIbgp || ebgpMultihop !== null || (ttlSecurity ?? 1) > 1),
    password: password ?? null,
    families,
    addPath: { receive: spec?.addPath?.receive ?? false, send: spec?.addPath?.send ?? 0 },
    role: spec?.role ?? null,
    maxPrefixes:
      limits === undefined
        ? null
        : {
            ipv4: limits.ipv4 ?? null,
            ipv6: limits.ipv6 ?? null,
            warnAtPercent: limits.warnAtPercent,
            restartAfterSeconds: limits.restartAfter === undefined ? null : secondsOf(limits.restartAfter),
          },
    ttlSecurity,
    ebgpMultihop,
    holdTimeSeconds: hold,
    keepaliveTimeSeconds: keepaliveSeconds(hold, keepalive),
    connectRetrySeconds: secondsOf(spec?.connectRetryTime ?? settings.connectRetryTime),
    sendHoldTimeSeconds: spec?.sendHoldTime === undefined ? null : secondsOf(spec.sendHoldTime),
    passive: spec?.passive ?? false,
    filters: spec?.filters ?? [],
    allowLocalAs: spec?.allowLocalAS ?? 0,
    enforceFirstAs: spec?.enforceFirstAS ?? true,
    nextHopMode: spec?.nextHopMode ?? 'Auto',
    gracefulRestart: gracefulRestart(settings, spec),
    routeReflectorClient: isIbgp && own.clusterId !== null && remote.node?.clusterId !== own.clusterId,
    clusterNode: remote.node !== null,
    // Without its password a session must not come up; the peer stays in the list, where people look for it.
    shutdown: password === undefined ? { message: 'no password' } : (spec?.shutdown ?? null),
    extendedNextHop,
  }
}

/** The password, or undefined after saying what is missing. The value itself goes nowhere else. */
function readPassword(input: PeerInput, subject: string, { name, key }: SecretRef): string | undefined {
  const { snapshot, namespace, secretFaults, problems } = input
  const secret = snapshot.Secret.get(`${namespace}/${name}`)
  const cannotBeRead = secretFaults.get(`${namespace}/${name}`)
  if (secret === undefined) {
    problems.error(
      subject,
      cannotBeRead === undefined
        ? `its password is in Secret ${namespace}/${name}, which does not exist, so the session stays down; create it in namespace ${namespace}, passwords are read from there only`
        : `its password is in Secret ${namespace}/${name}, which cannot be read, so the session stays down; ${cannotBeRead}`,
      cannotBeRead === undefined ? 'SecretNotFound' : 'SecretUnreadable',
    )
    return undefined
  }
  if (cannotBeRead !== undefined)
    problems.warn(
      subject,
      `Secret ${namespace}/${name} cannot be read any more, so the password that was last known stays; ${cannotBeRead}`,
    )
  const value = secretValue(secret, key)
  if (value !== null && value !== '' && Buffer.byteLength(value) <= 80) return value // TCP_MD5SIG_MAXKEYLEN
  const fault =
    value === null
      ? `has no key ${key}`
      : value === ''
        ? `is empty at key ${key}`
        : `is longer than 80 octets at key ${key}, more than TCP MD5 takes`
  problems.error(
    subject,
    `its password is in Secret ${namespace}/${name}, which ${fault}, so the session stays down; put the password there`,
    'SecretInvalid',
  )
  return undefined
}

/** `isFar`: the peer knows us by our node's address, whatever way the session goes. */
function sourceAddress(spec: Spec | null, own: NodeFacts, remote: Remote, isFar: boolean): IpAddress | null {
  const nodeAddress = isLinkLocalIpv6(remote.address) ? null : familyOf(remote.address) === 4 ? own.ipv4 : own.ipv6
  const mode = spec?.sourceAddress ?? 'Auto'
  switch (mode) {
    case 'None':
      return null
    case 'UseNodeIP':
      return nodeAddress
    case 'Auto':
      return isFar || remote.node !== null ? nodeAddress : null
    default:
      return parseIp(mode)
  }
}

function gracefulRestart(settings: NodeSettings, spec: Spec | null): GracefulRestartConfig {
  const merged = { ...settings.gracefulRestart, ...spec?.gracefulRestart }
  return {
    enabled: merged.enabled,
    restartTimeSeconds: secondsOf(merged.restartTime),
    longLivedStaleTimeSeconds: secondsOf(merged.longLivedStaleTime),
    notification: merged.notification,
  }
}
