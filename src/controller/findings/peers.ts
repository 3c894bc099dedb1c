// What is wrong with the peers: nobody is meant, a filter is missing, two of them mean one address, sessions that are down (pure).
import { formatIp } from '../../net/index.ts'
import { type BGPPeer, parsePeerAddress } from '../../store/index.ts'
import { type ClusterSnapshot, inOrder, type NodeIndex, someOf } from '../cluster.ts'
import { describeSession, isUp, type PeerSessions } from '../peer-sessions.ts'
import { type Finding, SELECTS_NO_NODE } from './finding.ts'

export type PeerInput = {
  readonly snapshot: ClusterSnapshot
  readonly nodes: NodeIndex
  readonly sessions: ReadonlyMap<string | null, PeerSessions>
}

export function peerFindings({ snapshot, nodes, sessions }: PeerInput): readonly Finding[] {
  const peers = inOrder(snapshot.BGPPeer)
  return [
    ...peers.flatMap((peer) => choiceFindings(peer, nodes)),
    ...peers.flatMap((peer) => filterFindings(peer, snapshot)),
    ...duplicates(peers, nodes),
    ...peers.flatMap((peer) => sessionFindings(peer, sessions.get(peer.metadata.name))),
    ...meshFindings(sessions.get(null)),
  ]
}

function choiceFindings({ metadata, spec }: BGPPeer, nodes: NodeIndex): readonly Finding[] {
  if (nodes.names.length === 0) return []
  const subject = `BGPPeer/${metadata.name}`
  const found = (message: string): readonly Finding[] => [
    { severity: 'warning', subject, reason: SELECTS_NO_NODE, message, condition: 'Accepted' },
  ]
  if (nodes.chosenBy(spec).size === 0) {
    return spec.node === undefined
      ? found('its nodeSelector matches no node, so nobody peers; label nodes (kubectl label node), or change the selector')
      : found(`there is no node ${spec.node}, so nobody peers; name a node of kubectl get nodes, or remove the BGPPeer`)
  }
  if (spec.peerSelector !== undefined && nodes.chosenBy({ nodeSelector: spec.peerSelector }).size === 0)
    return found(
      'its peerSelector matches no node, so there is nobody to peer with; label nodes (kubectl label node), or change the selector',
    )
  return []
}

function filterFindings({ metadata, spec }: BGPPeer, { BGPFilter }: ClusterSnapshot): readonly Finding[] {
  const missing = [...new Set(spec.filters)].filter((name) => !BGPFilter.has(name))
  return missing.map((name) => ({
    severity: 'error',
    subject: `BGPPeer/${metadata.name}`,
    reason: 'FilterNotFound',
    message: `there is no BGPFilter/${name}, so all routes from and to this peer are rejected; create it, or remove its name from filters`,
    condition: 'Accepted',
  }))
}

/** Of two BGPPeers with one address on one node the first by name wins: every agent decides so alike. */
function duplicates(peers: readonly BGPPeer[], nodes: NodeIndex): readonly Finding[] {
  const byAddress = new Map<string, BGPPeer[]>()
  for (const peer of peers) {
    const parsed = peer.spec.peerIP === undefined ? null : parsePeerAddress(peer.spec.peerIP)
    if (parsed === null) continue
    const key = `${formatIp(parsed.address)}${parsed.interface === null ? '' : `%${parsed.interface}`}`
    const sharing = byAddress.get(key)
    if (sharing === undefined) byAddress.set(key, [peer])
    else sharing.push(peer)
  }
  return [...byAddress].flatMap(([address, sharing]) => (sharing.length < 2 ? [] : contested(address, sharing, nodes)))
}

function contested(address: string, sharing: readonly BGPPeer[], nodes: NodeIndex): readonly Finding[] {
  const winners = new Map<string, string>()
  return sharing.flatMap(({ metadata, spec }) => {
    const lost = new Map<string, string[]>()
    for (const node of nodes.chosenBy(spec)) {
      const winner = winners.get(node)
      if (winner === undefined) winners.set(node, metadata.name)
      else getOrAdd(lost, winner).push(node)
    }
    return [...lost].map(
      ([winner, common]): Finding => ({
        severity: 'error',
        subject: `BGPPeer/${metadata.name}`,
        reason: 'DuplicatePeer',
        message: `BGPPeer/${winner} already peers with ${address} from ${someOf(common)} and wins there; two sessions to one address cannot be told apart, so remove one of them, or let their nodeSelectors exclude each other`,
        condition: 'Accepted',
      }),
    )
  })
}

function sessionFindings({ metadata, spec }: BGPPeer, found: PeerSessions | undefined): readonly Finding[] {
  if (found === undefined || found.established === found.sessions.length || spec.shutdown !== undefined) return []
  const subject = `BGPPeer/${metadata.name}`
  const down = found.sessions.filter(({ session }) => !isUp(session))
  const words = `${someOf(down.map(describeSession))}; see fibula bgp peers on the node`
  if (found.established === 0) {
    const message = `no session is established: ${words}`
    return [{ severity: 'error', subject, reason: 'NoneEstablished', message, condition: 'Established' }]
  }
  const message = `${down.length} of ${found.sessions.length} sessions are not established: ${words}`
  return [{ severity: 'warning', subject, reason: 'SomeNotEstablished', message, condition: 'Established' }]
}

function meshFindings(found: PeerSessions | undefined): readonly Finding[] {
  if (found === undefined || found.established === found.sessions.length) return []
  const down = found.sessions.filter(({ session }) => !isUp(session))
  return [
    {
      severity: found.established === 0 ? 'error' : 'warning',
      subject: 'BGPConfiguration/nodeToNodeMesh',
      reason: found.established === 0 ? 'NoneEstablished' : 'SomeNotEstablished',
      message: `${down.length} of ${found.sessions.length} sessions of the node-to-node mesh are not established: ${someOf(down.map(describeSession))}; see fibula bgp peers on the node`,
      condition: null,
    },
  ]
}

function getOrAdd(map: Map<string, string[]>, key: string): string[] {
  const found = map.get(key) ?? []
  map.set(key, found)
  return found
}
