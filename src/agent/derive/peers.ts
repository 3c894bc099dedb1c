// Which peers this node has: those its BGPPeers name by address, the cluster nodes they select (and that select us: reverse
// peering), and the node-to-node mesh. One session to one address: what is said more explicitly wins.
import type { PeerConfig, RoleName } from '../../bgp/index.ts'
import { asn, compareIp, familyOf, formatIp, hostPrefix, IP_FAMILIES, type IpAddress, type Prefix, parseIp } from '../../net/index.ts'
import { matchesSelector, parsePeerAddress } from '../../store/index.ts'
import type { NodeFacts } from './nodes.ts'
import { type Candidate, type PeerInput, peerConfig, type Remote, type SecretRef, type Spec } from './peer-config.ts'
import { inOrder } from './problems.ts'

export type DerivedPeers = {
  readonly peers: readonly PeerConfig[]
  /** Host routes to peers that are reached by way of a gateway (`reachableBy`). */
  readonly statics: readonly { readonly prefix: Prefix; readonly gateway: IpAddress }[]
  /** What each session follows from, by the key of its peer. */
  readonly origins: ReadonlyMap<string, SessionOrigin>
  /** The Secrets with the passwords of these peers, in order of their names. */
  readonly secretsWanted: readonly { readonly name: string; readonly keys: readonly string[] }[]
}

export type SessionOrigin = {
  /** The BGPPeer; null: the node-to-node mesh. */
  readonly peer: string | null
  /** The node of the cluster at the other end, if it is one. */
  readonly remoteNode: string | null
}

const MESH_LIMIT = 100
const MESH = 'BGPConfiguration/nodeToNodeMesh'
/** The role at the other end (RFC 9234 §4.2). */
const MIRROR_ROLE: { readonly [R in RoleName]: RoleName } = {
  Provider: 'Customer',
  Customer: 'Provider',
  RouteServer: 'RouteServerClient',
  RouteServerClient: 'RouteServer',
  Peer: 'Peer',
}

/** Peers in order of their keys; equal input gives deeply equal peers, so that nobody is reset for somebody else's change. */
export function derivePeers(input: PeerInput): DerivedPeers {
  const taken = new Map<string, Candidate>()
  for (const candidate of [...byAddress(input), ...bySelector(input), ...inReverse(input), ...mesh(input)]) {
    const at = `${formatIp(candidate.remote.address)}%${candidate.remote.interface ?? ''}`
    const other = taken.get(at)
    if (other === undefined) taken.set(at, candidate)
    // What is meant for this node can contradict itself; what only follows from others gives way without a word.
    else if (candidate.isMeant && candidate.subject !== other.subject) {
      input.problems.error(candidate.subject, twice(candidate, other), 'DuplicatePeer')
    }
  }
  const candidates = [...taken.values()]
  const peers = candidates.map((candidate) => peerConfig(input, candidate))
  return {
    peers: peers.sort((a, b) => (a.key < b.key ? -1 : 1)),
    statics: candidates.flatMap(staticOf),
    origins: new Map(candidates.map(({ key, subject, spec, remote }) => [key, originOf(subject, spec, remote)])),
    secretsWanted: secretsOf(candidates),
  }
}

function originOf(subject: string, spec: Spec | null, { node }: Remote): SessionOrigin {
  return { peer: spec === null ? null : subject.slice('BGPPeer/'.length), remoteNode: node?.name ?? null }
}

function secretsOf(candidates: readonly Candidate[]): DerivedPeers['secretsWanted'] {
  const keys = new Map<string, Set<string>>()
  for (const { password } of candidates) {
    if (password !== null) keys.set(password.name, (keys.get(password.name) ?? new Set()).add(password.key))
  }
  return [...keys].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, wanted]) => ({ name, keys: [...wanted].sort() }))
}

function twice({ remote }: Candidate, winner: Candidate): string {
  return `${winner.subject} already peers with ${formatIp(remote.address)} from this node and wins; two sessions to one address cannot be told apart, so remove one of them`
}

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
  return IP_FAMILIES.flatMap((family): readonly Candidate[] => {
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

function staticOf({ spec, remote }: Candidate): DerivedPeers['statics'] {
  const gateway = spec?.reachableBy === undefined ? null : parseIp(spec.reachableBy)
  return gateway === null ? [] : [{ prefix: hostPrefix(remote.address), gateway }]
}
