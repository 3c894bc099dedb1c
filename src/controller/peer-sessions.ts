// The sessions of each BGPPeer, from what the agents report (pure).
import { ESTABLISHED, type NodeNetwork } from '../store/index.ts'
import { type ClusterSnapshot, inOrder, livingNetworks } from './cluster.ts'

export type Session = NonNullable<NodeNetwork['status']>['peers'][number]
export type NodeSession = { readonly node: string; readonly session: Session }

export type PeerSessions = {
  /** Those not Established first, then by node and name of the session. */
  readonly sessions: readonly NodeSession[]
  readonly established: number
}

export const NO_SESSIONS: PeerSessions = { sessions: [], established: 0 }

/** Sessions by the name of the BGPPeer; those of the node-to-node mesh under null. */
export function sessionsByPeer(snapshot: ClusterSnapshot): ReadonlyMap<string | null, PeerSessions> {
  const all = inOrder(livingNetworks(snapshot)).flatMap(({ metadata, status }) =>
    (status?.peers ?? []).map((session): NodeSession => ({ node: metadata.name, session })),
  )
  const byPeer = Map.groupBy(all, ({ session }) => session.peer ?? null)
  return new Map([...byPeer].map(([peer, sessions]) => [peer, ordered(sessions)]))
}

/** They come in order of nodes; sorting is stable. */
function ordered(sessions: readonly NodeSession[]): PeerSessions {
  const down = sessions.filter(({ session }) => !isUp(session))
  const up = sessions.filter(({ session }) => isUp(session))
  return { sessions: [...down, ...up], established: up.length }
}

export function isUp({ state }: Session): boolean {
  return state === ESTABLISHED
}

/** `node-1 to 10.0.0.1 (Active: hold timer expired)`. */
export function describeSession({ node, session: { address, state, lastError } }: NodeSession): string {
  return `${node} to ${address} (${state}${lastError === undefined ? '' : `: ${lastError}`})`
}
