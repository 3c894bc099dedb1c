// `fibula status` of a cluster: what its agents report about their nodes, the pools, and everything that is wrong, on one screen. Read
// from the store alone, so it needs no agent to answer. Exit status 1 if something is an error.
import { CLUSTER_SELECTIONS, type ClusterSnapshot, type Finding, findFindings } from '../controller/index.ts'
import { type NodeNetwork, type Resource, SnapshotBuilder, type Store } from '../store/index.ts'
import { type Addresses, readAddresses } from './ipam-census.ts'
import { clusterReport, formatPools } from './ipam-show.ts'
import { type Cell, type Column, formatFields, formatTable, type OutputFormat, print, type Screen } from './output.ts'
import { withStore } from './store-option.ts'

type NodeRow = {
  readonly node: string
  readonly version: string | null
  readonly ready: boolean
  /** Why not; null: it is, or no agent reports. */
  readonly notReadyBecause: string | null
  readonly asn: number | null
  readonly addresses: readonly string[]
  readonly sessions: { readonly configured: number; readonly established: number } | null
  /** null: no CNI is served there. */
  readonly pods: number | null
}

export type ClusterStatus = {
  readonly healthy: boolean
  readonly nodes: readonly NodeRow[]
  readonly pools: ReturnType<typeof clusterReport>['pools']
  readonly findings: readonly Pick<Finding, 'severity' | 'subject' | 'reason' | 'message'>[]
}

export async function showClusterStatus(args: {
  readonly output: OutputFormat
  readonly store: string
  readonly context?: string | undefined
}): Promise<void> {
  const status = await withStore(args, async (store) => clusterStatus(await snapshotOf(store), await readAddresses(store)))
  await print(args.output, status, formatClusterStatus)
  if (!status.healthy) process.exitCode = 1
}

async function snapshotOf(store: Store): Promise<ClusterSnapshot> {
  const lists = await Promise.all(CLUSTER_SELECTIONS.map((selection): Promise<readonly Resource[]> => store.list(selection)))
  return new SnapshotBuilder(lists.flat()).snapshot
}

function clusterStatus(snapshot: ClusterSnapshot, addresses: Addresses): ClusterStatus {
  const findings = findFindings(snapshot).map(({ severity, subject, reason, message }) => ({ severity, subject, reason, message }))
  const names = new Set([...snapshot.Node.keys(), ...(snapshot.Node.size === 0 ? snapshot.NodeNetwork.keys() : [])])
  return {
    healthy: !findings.some(({ severity }) => severity === 'error'),
    nodes: [...names].sort().map((name) => nodeRow(name, snapshot.NodeNetwork.get(name)?.status)),
    pools: clusterReport(addresses, null).pools,
    findings,
  }
}

function nodeRow(node: string, status: NodeNetwork['status']): NodeRow {
  if (status === undefined)
    return { node, version: null, ready: false, notReadyBecause: null, asn: null, addresses: [], sessions: null, pods: null }
  const ready = status.conditions.find(({ type }) => type === 'Ready')
  return {
    node,
    version: status.version ?? null,
    ready: ready?.status === 'True',
    notReadyBecause: ready?.status === 'True' ? null : (ready?.message ?? 'its agent has not said yet'),
    asn: status.asNumber ?? null,
    addresses: status.addresses.map(({ address }) => address),
    sessions: status.sessions === undefined ? null : { configured: status.sessions.configured, established: status.sessions.established },
    pods: status.pods?.attached ?? null,
  }
}

const NODE_COLUMNS: readonly Column<NodeRow>[] = [
  { title: 'node', cell: ({ node }) => node },
  { title: 'agent', cell: agentCell },
  { title: 'as', cell: ({ asn }) => String(asn ?? '-'), align: 'right' },
  { title: 'addresses', cell: ({ addresses }) => addresses.join(', ') || '-' },
  { title: 'sessions', cell: sessionsCell, align: 'right' },
  { title: 'pods', cell: ({ pods }) => String(pods ?? '-'), align: 'right' },
]

function agentCell({ version, ready }: NodeRow): Cell {
  if (version === null) return { text: 'does not report', tone: 'bad' }
  return ready ? { text: `${version}, ready`, tone: 'good' } : { text: `${version}, not ready`, tone: 'bad' }
}

function sessionsCell({ sessions }: NodeRow): Cell {
  if (sessions === null) return '-'
  const { configured, established } = sessions
  return { text: `${established}/${configured}`, tone: established === configured ? 'good' : 'bad' }
}

const FINDING_COLUMNS: readonly Column<ClusterStatus['findings'][number]>[] = [
  { title: 'severity', cell: ({ severity }) => ({ text: severity, tone: severity === 'error' ? 'bad' : 'warning' }) },
  { title: 'subject', cell: ({ subject }) => subject },
  { title: 'what', cell: ({ message }) => message },
]

/** Above this many nodes only those are listed that are not well. */
const MOST_NODES = 50

function formatClusterStatus({ healthy, nodes, pools, findings }: ClusterStatus, screen: Screen): string {
  const ready = nodes.filter((node) => node.ready).length
  const [configured, established] = nodes.reduce(
    ([all, up], { sessions }) => [all + (sessions?.configured ?? 0), up + (sessions?.established ?? 0)],
    [0, 0],
  )
  const head = formatFields(
    [
      ['Health', healthy ? { text: 'healthy', tone: 'good' } : { text: 'not healthy', tone: 'bad' }],
      ['Nodes', { text: `${ready} of ${nodes.length} ready`, tone: ready === nodes.length ? 'good' : 'bad' }],
      ['Sessions', { text: `${established} of ${configured} established`, tone: established === configured ? 'good' : 'bad' }],
      ['Pods', String(nodes.reduce((sum, { pods }) => sum + (pods ?? 0), 0))],
    ],
    screen,
  )
  const shown = nodes.length <= MOST_NODES ? nodes : nodes.filter((node) => !isWell(node))
  const left = nodes.length - shown.length
  return [
    head,
    ...(shown.length === 0 ? [] : [formatTable(NODE_COLUMNS, shown, screen)]),
    ...(left === 0 ? [] : [`${left} more nodes are well\n`]),
    ...(pools.length === 0 ? [] : [formatPools(pools, screen)]),
    ...(findings.length === 0 ? [] : [formatTable(FINDING_COLUMNS, findings, screen)]),
  ].join('\n')
}

function isWell({ ready, sessions }: NodeRow): boolean {
  return ready && (sessions === null || sessions.established === sessions.configured)
}
