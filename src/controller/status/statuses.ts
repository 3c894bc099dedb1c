// The status that each object should have (pure): BGPPeers from the sessions that the agents report, IPPools from the blocks,
// conditions from the findings. What others wrote into a status stays.
import {
  type BGPConfiguration,
  type BGPPeer,
  type IPPool,
  LARGE_CLUSTER,
  MAX_LARGE_PEER_SESSIONS,
  MAX_PEER_SESSIONS,
  MAX_POOL_NODES,
  type ResourceOf,
} from '../../store/index.ts'
import { type ClusterSnapshot, inOrder } from '../cluster.ts'
import type { Finding } from '../findings/finding.ts'
import type { Survey } from '../findings/index.ts'
import { isUp, NO_SESSIONS, type NodeSession } from '../peer-sessions.ts'
import { formatUsage } from '../pool-usage.ts'
import { conditionFrom, mergeConditions, type StoredCondition, type WantedCondition } from './conditions.ts'

/** Kinds whose status the controller writes. */
export const STATUS_KINDS = ['BGPPeer', 'IPPool', 'BGPConfiguration'] as const
export type StatusKind = (typeof STATUS_KINDS)[number]
export type StatusObject = { readonly [K in StatusKind]: ResourceOf<K> }[StatusKind]

/** Every object with the status it should have; `now` is for conditions that change (ISO 8601). */
export function wantedStatuses(snapshot: ClusterSnapshot, survey: Survey, now: string): readonly StatusObject[] {
  const bySubject = Map.groupBy(survey.findings, ({ subject }) => subject)
  const findingsOf = ({ kind, metadata }: StatusObject): readonly Finding[] => bySubject.get(`${kind}/${metadata.name}`) ?? []
  return [
    ...inOrder(snapshot.BGPPeer).map((peer) => peerStatus(peer, survey, findingsOf(peer), now)),
    ...inOrder(snapshot.IPPool).map((pool) => poolStatus(pool, survey, findingsOf(pool), now)),
    ...inOrder(snapshot.BGPConfiguration).map((settings) => settingsStatus(settings, findingsOf(settings), now)),
  ]
}

function peerStatus(peer: BGPPeer, { nodes, sessions: byPeer }: Survey, findings: readonly Finding[], now: string): BGPPeer {
  const { metadata, spec, status } = peer
  const { sessions, established } = byPeer.get(metadata.name) ?? NO_SESSIONS
  const accepted = conditionFrom('Accepted', findings, { reason: 'Accepted', message: 'nothing speaks against it' })
  return {
    ...peer,
    status: {
      ...status,
      nodes: nodes.chosenBy(spec).size,
      configured: sessions.length,
      established,
      sessions: listed(sessions, nodes.names.length),
      conditions: conditions(peer, status?.conditions, [accepted, establishedCondition(peer, sessions.length, established, findings)], now),
    },
  }
}

/** What a BGPPeer lists of its sessions: the more nodes there are, the less, because each of them is sent every status. */
function listed(sessions: readonly NodeSession[], nodes: number): NonNullable<BGPPeer['status']>['sessions'] {
  if (nodes <= LARGE_CLUSTER) return sessions.slice(0, MAX_PEER_SESSIONS).map(sessionStatus)
  const down = sessions.filter(({ session }) => !isUp(session)).slice(0, MAX_LARGE_PEER_SESSIONS)
  return down.map(sessionStatus).map(({ capabilities: _capabilities, prefixes: _prefixes, ...brief }) => brief)
}

function sessionStatus({ node, session }: NodeSession): NonNullable<BGPPeer['status']>['sessions'][number] {
  const { address, asNumber, state, since, lastError, capabilities, prefixes } = session
  return {
    node,
    address,
    ...(asNumber === undefined ? {} : { asNumber }),
    state,
    since,
    ...(lastError === undefined ? {} : { lastError }),
    capabilities,
    prefixes,
  }
}

function establishedCondition({ spec }: BGPPeer, configured: number, established: number, findings: readonly Finding[]): WantedCondition {
  const type = 'Established'
  if (spec.shutdown !== undefined)
    return { type, status: 'False', reason: 'Shutdown', message: 'kept down by spec.shutdown; remove it to let the sessions come up' }
  if (configured === 0) {
    const message = 'no agent has a session of it: its nodes have not reported yet, none is meant, or another BGPPeer wins'
    return { type, status: 'Unknown', reason: 'NoSessions', message }
  }
  return conditionFrom(type, findings, {
    reason: 'AllEstablished',
    message: established === 1 ? 'its one session is established' : `all of its ${established} sessions are established`,
  })
}

function poolStatus(pool: IPPool, { usages }: Survey, findings: readonly Finding[], now: string): IPPool {
  const { metadata, spec, status } = pool
  const usage = usages.get(metadata.name)
  if (usage === undefined) throw new Error(`no usage was counted for IPPool/${metadata.name}`)
  const { capacity, allocated, reserved, blocks, nodes } = usage
  const accepted = conditionFrom('Accepted', findings, { reason: 'Accepted', message: 'nothing speaks against it' })
  const healthy = conditionFrom('Healthy', findings, {
    reason: spec.disabled ? 'Disabled' : 'AddressesLeft',
    message: spec.disabled
      ? 'it is disabled and gives no new addresses'
      : `${formatUsage(usage)} of its addresses are in use or claimed ahead`,
  })
  return {
    ...pool,
    status: {
      ...status,
      capacity,
      allocated,
      reserved,
      usage: formatUsage(usage),
      blocks,
      nodeCount: nodes.length,
      nodes: nodes.slice(0, MAX_POOL_NODES),
      conditions: conditions(pool, status?.conditions, [accepted, healthy], now),
    },
  }
}

function settingsStatus(settings: BGPConfiguration, findings: readonly Finding[], now: string): BGPConfiguration {
  const { metadata, status } = settings
  const accepted = conditionFrom('Accepted', findings, { reason: 'Accepted', message: 'nothing speaks against it' })
  const healthy = conditionFrom('Healthy', findings, { reason: 'Healthy', message: 'the nodes fit together' })
  const wanted = metadata.name === 'default' ? [accepted, healthy] : [accepted]
  return { ...settings, status: { ...status, conditions: conditions(settings, status?.conditions, wanted, now) } }
}

function conditions(
  { metadata }: StatusObject,
  before: readonly StoredCondition[] | undefined,
  wanted: readonly WantedCondition[],
  now: string,
): readonly StoredCondition[] {
  return mergeConditions(before ?? [], wanted, metadata.generation, now)
}

/** What a person waits to see: conditions, and which sessions are up. Counts and words may come later. */
export function essence(object: StatusObject): unknown {
  const said = (object.status?.conditions ?? []).map(({ type, status, reason, observedGeneration }) => [
    type,
    status,
    reason,
    observedGeneration,
  ])
  if (object.kind !== 'BGPPeer') return said
  const { nodes, configured, established, sessions = [] } = object.status ?? {}
  return [said, nodes, configured, established, sessions.map(({ node, address, state, since }) => [node, address, state, since])]
}
