// Which peers this node has: those its BGPPeers name by address, the cluster nodes they select (and that select us: reverse
// peering), and the node-to-node mesh. One session to one address: what is said more explicitly wins.
import type { Family, GracefulRestartConfig, PeerConfig, RoleName } from '../../bgp/index.ts'
import {
  asn,
  compareIp,
  familyOf,
  formatIp,
  hostPrefix,
  type IpAddress,
  type IpFamily,
  isLinkLocalIpv6,
  type Prefix,
  parseIp,
} from '../../net/index.ts'
import { type BGPPeer, matchesSelector, parsePeerAddress, type Snapshot, secondsOf, secretValue } from '../../store/index.ts'
import type { NodeFacts } from './nodes.ts'
import { inOrder, type Problems } from './problems.ts'
import { keepaliveFault, keepaliveIsTooLong, keepaliveSeconds, type NodeSettings } from './settings.ts'

export type PeerInput = {
  readonly snapshot: Snapshot
  /** Namespace of the Secrets that hold passwords. */
  readonly namespace: string
  readonly own: NodeFacts
  readonly nodes: ReadonlyMap<string, NodeFacts>
  readonly settings: NodeSettings
  readonly problems: Problems
}

export type DerivedPeers = {
  readonly peers: readonly PeerConfig[]
  /** Host routes to peers that are reached by way of a gateway (`reachableBy`). */
  readonly statics: readonly { readonly prefix: Prefix; readonly gateway: IpAddress }[]
  /** Names of the Secrets with the passwords of these peers. */
  readonly secretsWanted: readonly string[]
}

type Spec = BGPPeer['spec']
type SecretRef = { readonly name: string; readonly key: string }

/** Who is at the other end of a session, before what is said about the session. */
type Remote = {
  readonly address: IpAddress
  readonly interface: string | null
  readonly port: number
  readonly asn: number
  /** Set: a node of this cluster. */
  readonly node: NodeFacts | null
}

type Candidate = {
  readonly key: string
  readonly subject: string
  readonly remote: Remote
  readonly spec: Spec | null
  readonly password: SecretRef | null
  /** A BGPPeer says so of this node, not of the other end or of all nodes alike. */
  readonly isMeant: boolean
}

const MESH_LIMIT = 100
const MESH = 'BGPConfiguration/nodeToNodeMesh'
/** TTL between nodes of different AS: the fabric may be in between. iBGP is multihop anyway. */
const NODE_HOPS = 255
/** The role at the other end (RFC 9234 §4.2). */
const MIRROR_ROLE: { readonly [R in RoleName]: RoleName } = {
  Provider: 'Customer',
  Customer: 'Provider',
  RouteServer: 'RouteServerClient',
  RouteServerClient: 'RouteServer',
  Peer: 'Peer',
}
const FAMILY_OF: { readonly [F in IpFamily]: Family } = { 4: 'IPv4Unicast', 6: 'IPv6Unicast' }

/** Peers in order of their keys; equal input gives deeply equal peers, so that nobody is reset for somebody else's change. */
export function derivePeers(input: PeerInput): DerivedPeers {
  const taken = new Map<string, Candidate>()
  for (const candidate of [...byAddress(input), ...bySelector(input), ...inReverse(input), ...mesh(input)]) {
    const at = `${formatIp(candidate.remote.address)}%${candidate.remote.interface ?? ''}`
    const other = taken.get(at)
    if (other === undefined) taken.set(at, candidate)
    // What is meant for this node can contradict itself; what only follows from others gives way without a word.
    else if (candidate.isMeant && candidate.subject !== other.subject) input.problems.error(candidate.subject, twice(candidate, other))
  }
  const candidates = [...taken.values()]
  const peers = candidates.map((candidate) => peerConfig(input, candidate))
  return {
    peers: peers.sort((a, b) => (a.key < b.key ? -1 : 1)),
    statics: candidates.flatMap(staticOf),
    secretsWanted: [...new Set(candidates.flatMap(({ password }) => password?.name ?? []))].sort(),
  }
}

function twice({ remote }: Candidate, winner: Candidate): string {
  return `${winner.subject} already peers with ${formatIp(remote.address)} from this node and wins; two sessions to one address cannot be told apart, so remove one of them`
}

// who

/** Does this BGPPeer speak for this node: by name, by selector, or (with neither) for every node. */
function isLocalTo({ node, nodeSelector }: Spec, { name, labels }: NodeFacts): boolean {
  if (node !== undefined) return node === name
  return nodeSelector === undefined || matchesSelector(nodeSelector, labels)
}

function byAddress({ snapshot, own, nodes, problems }: PeerInput): readonly Candidate[] {
  return inOrder(snapshot.BGPPeer).flatMap(({ metadata, spec }): readonly Candidate[] => {
    const parsed = spec.peerIP === undefined ? null : parsePeerAddress(spec.peerIP)
    if (parsed === null || spec.asNumber === undefined || !isLocalTo(spec, own)) return []
    const subject = `BGPPeer/${metadata.name}`
    if (hasAddress(own, parsed.address)) {
      if (spec.node === own.name)
        problems.error(
          subject,
          `peerIP ${formatIp(parsed.address)} is an address of node ${own.name} itself; name another, or another node`,
        )
      return [] // selected together with its own peers: nothing to do on this one
    }
    const node = [...nodes.values()].find((other) => hasAddress(other, parsed.address)) ?? null
    const port = parsed.port ?? (node !== null && node.asn === spec.asNumber ? node.listenPort : 179)
    const remote = { address: parsed.address, interface: parsed.interface, port, asn: spec.asNumber, node }
    return [{ key: metadata.name, subject, remote, spec, password: passwordOf(spec), isMeant: true }]
  })
}

function bySelector({ snapshot, own, nodes }: PeerInput): readonly Candidate[] {
  return inOrder(snapshot.BGPPeer).flatMap(({ metadata, spec }) => {
    const { peerSelector } = spec
    if (peerSelector === undefined || !isLocalTo(spec, own)) return []
    return others(own, nodes, (node) => matchesSelector(peerSelector, node.labels)).flatMap((node) =>
      sessionsWith(metadata.name, spec, own, node).map((candidate) => ({ ...candidate, isMeant: true })),
    )
  })
}

/** The mirror of other nodes' BGPPeers that mean this node (`reversePeering: Auto`). */
function inReverse({ snapshot, own, nodes }: PeerInput): readonly Candidate[] {
  return inOrder(snapshot.BGPPeer).flatMap(({ metadata, spec }) => {
    if (spec.reversePeering !== 'Auto' || !means(spec, own)) return []
    const mirrored = mirror(spec)
    const named = spec.peerIP === undefined ? null : parsePeerAddress(spec.peerIP)
    const family = named === null ? null : familyOf(named.address)
    return others(own, nodes, (node) => isLocalTo(spec, node))
      .flatMap((node) => sessionsWith(metadata.name, mirrored, own, { ...node, asn: asn(spec.localASNumber ?? node.asn) }))
      .filter(({ remote }) => family === null || familyOf(remote.address) === family)
  })
}

/** Is this node the other end of the BGPPeer: selected, or named by its address, AS number and port. */
function means({ peerIP, asNumber, peerSelector }: Spec, own: NodeFacts): boolean {
  if (peerSelector !== undefined) return matchesSelector(peerSelector, own.labels)
  const parsed = peerIP === undefined ? null : parsePeerAddress(peerIP)
  if (parsed === null || !hasAddress(own, parsed.address)) return false
  return asNumber === own.asn && (parsed.port === null || parsed.port === own.listenPort)
}

/**
 * The same session from its other end: its transport, timers and capabilities. What is the policy of the one side (filters,
 * limits, next hop, loops allowed) is not imposed on the other.
 */
function mirror(spec: Spec): Spec {
  const { role, reachableBy: _gateway, localASNumber: _asn, maxPrefixes: _limits, ...shared } = spec
  return {
    ...shared,
    ...(role === undefined ? {} : { role: MIRROR_ROLE[role] }),
    sourceAddress: 'Auto',
    passive: false,
    filters: [],
    nextHopMode: 'Auto',
    allowLocalAS: 0,
    enforceFirstAS: true,
  }
}

/** Every two nodes that reflect nothing, one session for each IP family both have. */
function mesh({ own, nodes, settings, problems }: PeerInput): readonly Candidate[] {
  if (!own.inMesh) return []
  const members = others(own, nodes, ({ inMesh }) => inMesh)
  if (members.length >= MESH_LIMIT) {
    problems.warn(
      'BGPConfiguration',
      `the node-to-node mesh has ${members.length + 1} nodes, so every node holds ${members.length} sessions; give some nodes the annotation fibula.network/route-reflector-cluster-id, let the others peer with them by a BGPPeer with peerSelector, and disable nodeToNodeMesh`,
    )
  }
  return members.flatMap((node) =>
    sessionsWith('mesh', null, own, node).map((candidate) => ({ ...candidate, password: settings.nodeToNodeMesh.password })),
  )
}

function others(own: NodeFacts, nodes: ReadonlyMap<string, NodeFacts>, wanted: (node: NodeFacts) => boolean): readonly NodeFacts[] {
  return [...nodes.values()].filter((node) => node.name !== own.name && wanted(node))
}

function sessionsWith(name: string, spec: Spec | null, own: NodeFacts, node: NodeFacts): readonly Candidate[] {
  return ([4, 6] as const).flatMap((family): readonly Candidate[] => {
    const address = family === 4 ? node.ipv4 : node.ipv6
    const ownAddress = family === 4 ? own.ipv4 : own.ipv6
    if (address === null || ownAddress === null) return []
    const key = `${name}/${node.name}/ipv${family}`
    const subject = spec === null ? MESH : `BGPPeer/${name}`
    const remote: Remote = { address, interface: null, port: node.listenPort, asn: node.asn, node }
    return [{ key, subject, remote, spec, password: spec === null ? null : passwordOf(spec), isMeant: false }]
  })
}

function hasAddress({ ipv4, ipv6 }: NodeFacts, address: IpAddress): boolean {
  return [ipv4, ipv6].some((own) => own !== null && compareIp(own, address) === 0)
}

function passwordOf(spec: Spec): SecretRef | null {
  return spec.password?.secretKeyRef ?? null
}

// what

function peerConfig(input: PeerInput, { key, subject, remote, spec, password: secret }: Candidate): PeerConfig {
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
function readPassword({ snapshot, namespace, problems }: PeerInput, subject: string, { name, key }: SecretRef): string | undefined {
  const secret = snapshot.Secret.get(`${namespace}/${name}`)
  if (secret === undefined) {
    const elsewhere = [...snapshot.Secret.values()].find(({ metadata }) => metadata.name === name)?.metadata.namespace
    const remedy =
      elsewhere === undefined
        ? `create the Secret in namespace ${namespace}`
        : `there is one in namespace ${elsewhere}, but passwords are read from namespace ${namespace} only`
    problems.error(subject, `its password is in Secret ${namespace}/${name}, which does not exist, so the session stays down; ${remedy}`)
    return undefined
  }
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

function staticOf({ spec, remote }: Candidate): DerivedPeers['statics'] {
  const gateway = spec?.reachableBy === undefined ? null : parseIp(spec.reachableBy)
  return gateway === null ? [] : [{ prefix: hostPrefix(remote.address), gateway }]
}
