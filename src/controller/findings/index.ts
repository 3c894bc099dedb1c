// All that is wrong in the cluster that no admission could see (pure): conditions of the objects, and the list of `fibula status`.
import { type ClusterSnapshot, NodeIndex } from '../cluster.ts'
import { type PeerSessions, sessionsByPeer } from '../peer-sessions.ts'
import { type PoolUsage, poolUsages } from '../pool-usage.ts'
import { compareFindings, type Finding } from './finding.ts'
import { nodeFindings, reportedFindings } from './nodes.ts'
import { peerFindings } from './peers.ts'
import { poolFindings } from './pools.ts'
import { settingsFindings } from './settings.ts'

/** Everything that follows from one look at the cluster. */
export type Survey = {
  readonly nodes: NodeIndex
  readonly usages: ReadonlyMap<string, PoolUsage>
  readonly sessions: ReadonlyMap<string | null, PeerSessions>
  readonly findings: readonly Finding[]
}

export function surveyCluster(snapshot: ClusterSnapshot): Survey {
  const nodes = new NodeIndex(snapshot.Node)
  const { usages, strays } = poolUsages(snapshot)
  const sessions = sessionsByPeer(snapshot)
  const own = [
    ...poolFindings({ snapshot, nodes, usages, strays }),
    ...peerFindings({ snapshot, nodes, sessions }),
    ...settingsFindings(snapshot, nodes),
    ...nodeFindings(snapshot),
  ]
  const findings = [...own, ...reportedFindings(snapshot, own)].sort(compareFindings)
  return { nodes, usages, sessions, findings }
}

/** What is wrong in the cluster, errors first. */
export function findFindings(snapshot: ClusterSnapshot): readonly Finding[] {
  return surveyCluster(snapshot).findings
}
