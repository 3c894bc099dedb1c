// `fibula status`: one screen: is this node healthy, or with --store the cluster, and if not, why. Exit status 1 if not.
import type { AgentStatus, Problem } from '../agent/index.ts'
import type { PeerStatus } from '../bgp/index.ts'
import { askAgent } from './agents.ts'
import { isDown } from './bgp-peers.ts'
import { agentOptions, type Cli, type Environment } from './options.ts'
import { type Cell, type Column, formatAge, formatFields, formatTable, print, type Screen } from './output.ts'

export function addStatus(cli: Cli, describe: string, environment: Environment): void {
  cli.command(
    'status',
    describe,
    (to) => to.options(agentOptions(environment)).example('$0 status --store kubernetes', 'the whole cluster'),
    async (args) => {
      const { store } = args
      if (store !== undefined && args.node === undefined) {
        const { showClusterStatus } = await import('./status-cluster.ts')
        return showClusterStatus({ ...args, store })
      }
      const [status, peers] = await askAgent(args, environment, (client) =>
        Promise.all([client.get<AgentStatus>('/v1/status'), client.get<readonly PeerStatus[]>('/v1/bgp/peers')]),
      )
      const troubles = troublesOf(status, peers)
      await print(args.output, status, (_, screen) => formatStatus(status, troubles, screen))
      if (troubles.some(({ severity }) => severity === 'error')) process.exitCode = 1
    },
  )
}

/** Everything that keeps the node from being healthy: loops, readiness, sessions, routes, and the problems the agent found. */
function troublesOf(status: AgentStatus, peers: readonly PeerStatus[]): readonly Problem[] {
  const troubles: Problem[] = []
  const add = (subject: string, message: string): void => void troubles.push({ severity: 'error', subject, message })
  if (!status.live) add('agent', 'a loop of the agent is stuck: restart the agent and report its log')
  for (const reason of status.notReadyBecause) add('not ready', reason)
  for (const peer of peers.filter(isDown)) {
    add(`peer/${peer.name}`, `session is ${peer.state}: ${peer.lastError ?? 'no answer from the peer yet'}`)
  }
  if (status.routes.failed > 0) add('routes', `the kernel refused ${status.routes.failed}: see \`fibula routes\``)
  return [...troubles, ...status.problems]
}

const PROBLEM_COLUMNS: readonly Column<Problem>[] = [
  { title: 'severity', cell: ({ severity }) => ({ text: severity, tone: severity === 'error' ? 'bad' : 'warning' }) },
  { title: 'subject', cell: ({ subject }) => subject },
  { title: 'what', cell: ({ message }) => message },
]

export function formatStatus(status: AgentStatus, troubles: readonly Problem[], screen: Screen): string {
  const { sessions, routes } = status
  const uptime = formatAge((Date.now() - Date.parse(status.startedAt)) / 1000)
  const healthy = !troubles.some(({ severity }) => severity === 'error')
  const verdict: Cell = healthy ? { text: 'healthy', tone: 'good' } : { text: 'not healthy', tone: 'bad' }
  const fields: (readonly [string, Cell])[] = [
    ['Node', status.node],
    ['Health', verdict],
    ['Agent', `fibula ${status.version}, pid ${status.pid}, up ${uptime}, ${status.ready ? 'ready' : 'not ready'}`],
    ['BGP', `${status.mode}, AS ${status.asn}, router ID ${status.routerId}`],
    ['Addresses', listOf(status.addresses)],
    ['Sessions', toned(`${sessions.established} of ${sessions.configured} established`, sessions.established === sessions.configured)],
    ['Routes', routes.installRoutes ? routesCell(routes) : 'kept in the RIB only (installRoutes: false)'],
    ['Originates', someOf(status.originated)],
    ...(status.services == null ? [] : [['Services', servicesCell(status.services)] as const]),
    ...(status.pods === null ? [] : [['Pods', podsCell(status.pods)] as const]),
    ...(status.draining ? [['Draining', { text: 'peers are asked to find other ways', tone: 'warning' }] as const] : []),
  ]
  const problems = troubles.length === 0 ? '' : `\n${formatTable(PROBLEM_COLUMNS, troubles, screen)}`
  return `${formatFields(fields, screen)}${problems}`
}

function routesCell({ desired, inKernel, failed }: AgentStatus['routes']): Cell {
  return toned(`${inKernel} of ${desired} in the kernel${failed > 0 ? `, ${failed} failed` : ''}`, failed === 0 && inKernel >= desired)
}

function podsCell({ attached, ready, notReadyBecause }: NonNullable<AgentStatus['pods']>): Cell {
  if (ready) return { text: `${attached} attached`, tone: 'good' }
  return { text: `${attached} attached, no room for more: ${notReadyBecause ?? 'not known why'}`, tone: 'bad' }
}

function servicesCell({ services, advertised, yielding, standing, isListed }: NonNullable<AgentStatus['services']>): Cell {
  const counts = `${advertised} prefixes advertised for ${services} services${yielding > 0 ? `, ${yielding} until others can take over` : ''}`
  if (!isListed) return { text: `${advertised} prefixes of before the restart; services are not listed yet`, tone: 'warning' }
  switch (standing) {
    case 'in':
      return { text: counts, tone: yielding > 0 ? 'warning' : 'good' }
    case 'cordoned':
      return { text: `${counts}; the node is cordoned`, tone: 'warning' }
    case 'excluded':
      return { text: 'none advertised: the node has the label node.kubernetes.io/exclude-from-external-load-balancers', tone: 'warning' }
  }
}

function toned(text: string, isGood: boolean): Cell {
  return { text, tone: isGood ? 'good' : 'bad' }
}

/** A screen is no place for thousands. */
const SHOWN = 12

function someOf(values: readonly string[]): string {
  return values.length <= SHOWN ? listOf(values) : `${listOf(values.slice(0, SHOWN))} and ${values.length - SHOWN} more`
}

function listOf(values: readonly string[]): string {
  return values.length === 0 ? 'none' : values.join(', ')
}
