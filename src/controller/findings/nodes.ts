// What is wrong with the nodes as their agents report them: no agent, not ready, no address, one router ID twice; and what the agents
// found wrong themselves, once for all nodes that say it (pure).
import { NODE_ANNOTATION, type NodeNetwork } from '../../store/index.ts'
import { type ClusterSnapshot, inOrder, livingNetworks, someOf } from '../cluster.ts'
import { type Finding, MOST_BY_NAME } from './finding.ts'

export function nodeFindings(snapshot: ClusterSnapshot): readonly Finding[] {
  const networks = livingNetworks(snapshot)
  return [...silentNodes(snapshot), ...unreadyNodes(networks), ...withoutAddress(networks), ...duplicateRouterIds(snapshot, networks)]
}

type Networks = ReadonlyMap<string, NodeNetwork>

/** While no agent has ever reported there is nothing to compare with: Fibula may just be about to be installed. */
function silentNodes({ Node, NodeNetwork: networks }: ClusterSnapshot): readonly Finding[] {
  if (networks.size === 0) return []
  const silent = [...Node.keys()].filter((name) => networks.get(name)?.status === undefined).sort()
  const message = (who: string): string =>
    `${who} no agent that reports; is the DaemonSet fibula-agent kept from running there (taints, nodeSelector, image)?`
  return perNode(silent, {
    severity: 'warning',
    reason: 'NoAgent',
    one: () => message('this node has'),
    many: (names) => message(`${names.length} nodes (${someOf(names)}) have`),
  })
}

/** Conditions of an agent's report that are findings while they are False: see src/agent/reporting. */
const REPORTED_CONDITIONS = [
  { type: 'Ready', severity: 'warning', reason: 'NotReady', one: 'its agent is not ready', many: 'agents are not ready' },
  { type: 'IPAMReady', severity: 'error', reason: 'NoPodNetwork', one: 'no pod gets a network there', many: 'nodes give no pod a network' },
] as const

function unreadyNodes(networks: Networks): readonly Finding[] {
  const inOrderOfNames = inOrder(networks)
  return REPORTED_CONDITIONS.flatMap(({ type, severity, reason, one, many }) => {
    const messages = new Map(
      inOrderOfNames.flatMap(({ metadata: { name }, status }) => {
        const condition = status?.conditions.find((each) => each.type === type && each.status === 'False')
        return condition === undefined ? [] : [[name, condition.message] as const]
      }),
    )
    return perNode([...messages.keys()], {
      severity,
      reason,
      one: (name) => `${one}: ${messages.get(name) ?? ''}`,
      many: (names) => `${names.length} ${many} (${someOf(names)}); the first: ${messages.get(names[0] ?? '') ?? ''}`,
    })
  })
}

function withoutAddress(networks: Networks): readonly Finding[] {
  const names = inOrder(networks).flatMap(({ metadata, status }) =>
    status !== undefined && status.addresses.length === 0 ? [metadata.name] : [],
  )
  const remedy = `set the annotation ${NODE_ANNOTATION.ipv4Address} or ${NODE_ANNOTATION.ipv6Address} of the Node, or look why it has no InternalIP`
  return perNode(names, {
    severity: 'error',
    reason: 'NoAddress',
    one: () => `its agent found no address to peer from, so nobody can reach its pods; ${remedy}`,
    many: (all) => `${all.length} nodes (${someOf(all)}) have no address to peer from, so nobody can reach their pods; ${remedy}`,
  })
}

const DUPLICATE_ID = 'DuplicateRouterID'

/** Two speakers with one BGP Identifier cannot peer in one AS (RFC 6286 §2.1), and routes of one look like a loop to the other (RFC 4456 §8). */
function duplicateRouterIds({ BGPConfiguration }: ClusterSnapshot, networks: Networks): readonly Finding[] {
  const byId = Map.groupBy(inOrder(networks), ({ status }) => status?.routerID)
  return [...byId].flatMap(([routerId, sharing]): readonly Finding[] => {
    const names = sharing.map(({ metadata }) => metadata.name)
    const [, second] = names
    if (routerId === undefined || second === undefined) return []
    const hasDefault = BGPConfiguration.has('default')
    return [
      {
        severity: 'error',
        subject: hasDefault ? 'BGPConfiguration/default' : `Node/${second}`,
        reason: DUPLICATE_ID,
        message: `${someOf(names)} have one router ID, ${routerId}, so they cannot peer with each other and drop each other's reflected routes; set the annotation ${NODE_ANNOTATION.routerId} of their Nodes`,
        condition: hasDefault ? 'Healthy' : null,
      },
    ]
  })
}

type Trouble = {
  readonly severity: Finding['severity']
  readonly reason: string
  readonly one: (name: string) => string
  readonly many: (names: readonly string[]) => string
}

function perNode(names: readonly string[], { severity, reason, one, many }: Trouble): readonly Finding[] {
  if (names.length > MOST_BY_NAME) return [{ severity, subject: 'Node', reason, message: many(names), condition: null }]
  return names.map((name) => ({ severity, subject: `Node/${name}`, reason, message: one(name), condition: null }))
}

/** Reason of what an agent reports without one. */
const REPORTED = 'ReportedByNodes'
const STATUS_KINDS = ['BGPPeer', 'IPPool', 'BGPConfiguration'] as const

/** What the agents report, unless `known` has it already: of an object for the same reason, of nodes for the same reason at all. */
export function reportedFindings(snapshot: ClusterSnapshot, known: readonly Finding[]): readonly Finding[] {
  const nameOf = ({ subject, reason }: Pick<Finding, 'subject' | 'reason'>): string =>
    `${subject.startsWith('Node/') ? 'Node' : subject} ${reason}`
  // Two nodes with one router ID are a finding about the settings of all, see above.
  const taken = new Set(known.flatMap((finding) => [nameOf(finding), ...(finding.reason === DUPLICATE_ID ? [`Node ${DUPLICATE_ID}`] : [])]))
  const reports = new Map<string, { readonly finding: Finding; readonly nodes: string[] }>()
  for (const { metadata, status } of inOrder(livingNetworks(snapshot))) {
    for (const { severity, subject, reason = REPORTED, message } of status?.problems ?? []) {
      if (taken.has(nameOf({ subject, reason }))) continue
      const key = JSON.stringify([severity, subject, reason, message])
      const condition = severity === 'error' && hasStatus(snapshot, subject) ? 'Accepted' : null
      const report = reports.get(key) ?? { finding: { severity, subject, reason, message, condition }, nodes: [] }
      report.nodes.push(metadata.name)
      reports.set(key, report)
    }
  }
  return [...reports.values()].map(({ finding, nodes }) => ({ ...finding, message: `on ${someOf(nodes)}: ${finding.message}` }))
}

function hasStatus(snapshot: ClusterSnapshot, subject: string): boolean {
  const [kind, name = ''] = subject.split('/')
  const known = STATUS_KINDS.find((each) => each === kind)
  return known !== undefined && snapshot[known].has(name)
}
