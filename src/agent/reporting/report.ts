// What a node reports about itself in its NodeNetwork (pure): built from what the agent's parts say, and compared in three measures, so
// that only what matters at once is written at once.
import { isDeepStrictEqual } from 'node:util'
import type { PeerStatus } from '../../bgp/index.ts'
import { formatIp, ipv4 } from '../../net/index.ts'
import { ESTABLISHED, MAX_NODE_PROBLEMS, MAX_NODE_SESSIONS, type NodeNetwork } from '../../store/index.ts'
import type { IpamStatus, Problem } from '../control-api.ts'
import type { Derived, SessionOrigin } from '../derive/index.ts'
import { type ConditionFacts, conditionsOf } from './conditions.ts'

export type NodeStatus = NonNullable<NodeNetwork['status']>
type Session = NodeStatus['peers'][number]

export type ReportFacts = ConditionFacts & {
  readonly version: string
  readonly derived: Pick<Derived, 'speaker' | 'nodeAddresses' | 'origins'>
  /** Blocks this node has claimed, as prefixes. */
  readonly blocks: readonly string[]
  readonly peers: readonly PeerStatus[]
  /** null: no CNI is served, or its pods are not known yet. */
  readonly pods: { readonly attached: number; readonly ipam: IpamStatus } | null
  readonly problems: readonly Problem[]
}

/** `before` and `generation` are those of the stored object; `now` is ISO 8601. */
export function reportOf(facts: ReportFacts, before: NodeStatus | null, generation: number | undefined, now: string): NodeStatus {
  const { version, derived, blocks, peers, pods, problems } = facts
  const { speaker, nodeAddresses, origins } = derived
  const sessions = peers.map((peer) => sessionOf(peer, origins.get(peer.name)))
  return {
    version,
    addresses: [addressOf('IPv4', nodeAddresses.ipv4), addressOf('IPv6', nodeAddresses.ipv6)].flat(),
    asNumber: speaker.asn,
    routerID: formatIp(ipv4(speaker.routerId)),
    blocks: [...blocks].sort(),
    sessions: { configured: sessions.length, established: sessions.filter(isUp).length },
    peers: sessions.sort(compareSessions).slice(0, MAX_NODE_SESSIONS),
    ...(pods === null ? {} : { pods: { attached: pods.attached }, ipam: ipamOf(pods.ipam) }),
    problems: problems
      .map(({ severity, subject, message, reason }) => ({ severity, subject, message, ...(reason === undefined ? {} : { reason }) }))
      .sort(compareProblems)
      .slice(0, MAX_NODE_PROBLEMS),
    conditions: conditionsOf(facts, before?.conditions ?? [], generation, now),
  }
}

/** Nothing that somebody waits for differs: counts, words and what a session that is down is just trying may. */
export function isSameInEssence(a: NodeStatus, b: NodeStatus): boolean {
  return isDeepStrictEqual(essence(a), essence(b))
}

/** Nothing differs but when conditions changed, and what sessions that are down are just trying. */
export function isSame(a: NodeStatus, b: NodeStatus): boolean {
  return isDeepStrictEqual(whole(a), whole(b))
}

function essence({ version, addresses, asNumber, routerID, blocks, sessions, peers, problems, conditions }: NodeStatus): unknown {
  return {
    version,
    addresses,
    asNumber,
    routerID,
    blocks,
    sessions,
    peers: peers.map(({ session, peer, remoteNode, address, asNumber: remoteAsn, state, since, capabilities }) => {
      return { session, peer, remoteNode, address, remoteAsn, state: stateClass(state), since, capabilities }
    }),
    problems: problems.map(({ severity, subject, reason }) => `${severity} ${subject} ${reason ?? ''}`),
    conditions: conditions.map(({ type, status, reason }) => `${type} ${status} ${reason}`),
  }
}

function whole(status: NodeStatus): unknown {
  return {
    ...status,
    peers: status.peers.map((peer) => ({ ...peer, state: stateClass(peer.state) })),
    conditions: status.conditions.map((condition) => ({ ...condition, lastTransitionTime: null })),
  }
}

/** A session that is down goes from Connect to Active and back for as long as it is. */
function stateClass(state: string): string {
  return state === ESTABLISHED || state === 'Idle' ? state : 'trying'
}

function isUp({ state }: Pick<Session, 'state'>): boolean {
  return state === ESTABLISHED
}

function sessionOf(status: PeerStatus, origin: SessionOrigin | undefined): Session {
  const { name, address, interface: device, asn, state, since, lastError, capabilities, prefixes } = status
  return {
    session: name,
    ...(origin === undefined || origin.peer === null ? {} : { peer: origin.peer }),
    ...(origin === undefined || origin.remoteNode === null ? {} : { remoteNode: origin.remoteNode }),
    address: device === null ? address : `${address}%${device}`,
    asNumber: asn,
    state,
    since,
    ...(lastError === null ? {} : { lastError }),
    capabilities,
    prefixes,
  }
}

function compareSessions(a: Session, b: Session): number {
  return Number(isUp(a)) - Number(isUp(b)) || (a.session < b.session ? -1 : 1)
}

function compareProblems(a: NodeStatus['problems'][number], b: NodeStatus['problems'][number]): number {
  const key = ({ severity, subject, message }: typeof a): string => `${severity === 'error' ? 0 : 1} ${subject} ${message}`
  return key(a) < key(b) ? -1 : 1
}

function addressOf(family: 'IPv4' | 'IPv6', own: Derived['nodeAddresses']['ipv4']): NodeStatus['addresses'] {
  if (own === null) return []
  const length = own.prefixLength === null ? '' : `/${own.prefixLength}`
  return [{ address: `${formatIp(own.address)}${length}`, family, ...(own.interface === null ? {} : { interface: own.interface }) }]
}

function ipamOf({ allocations, pools, blocks }: IpamStatus): NonNullable<NodeStatus['ipam']> {
  const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0)
  return {
    allocated: allocations,
    reserved: sum(pools.map(({ reserve }) => reserve)),
    free: sum(blocks.map(({ free }) => free)),
  }
}
