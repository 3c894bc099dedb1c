// `fibula bgp routes [PREFIX] [--in PEER | --out PEER | --best]`: the RIBs, with the reason a path won. A prefix shows every
// attribute of its paths.
import type { PathStatus, RouteStatus } from '../bgp/index.ts'
import { parseIp, parsePrefix } from '../net/index.ts'
import { askAgents, itemsOf } from './agents.ts'
import { agentOptions, type Cli, type Environment } from './options.ts'
import { type Cell, CliError, type Column, formatFields, formatTable, paint, print, type Screen, withNodes } from './output.ts'

export function addBgpRoutes(cli: Cli, environment: Environment): void {
  cli.command(
    'routes [prefix]',
    'Loc-RIB, or what a peer sent (--in) or is sent (--out); with the reason a path won',
    (to) =>
      to
        .options(agentOptions(environment))
        .positional('prefix', { type: 'string', describe: 'Only this prefix or the one an address falls in, with every attribute' })
        .option('in', { type: 'string', requiresArg: true, describe: 'Adj-RIB-In: what this peer sent, before import policy' })
        .option('out', { type: 'string', requiresArg: true, describe: 'Adj-RIB-Out: what this peer is sent, after export policy' })
        .option('best', { type: 'boolean', describe: 'Only the best paths' })
        .option('family', { type: 'string', choices: ['4', '6'] as const, requiresArg: true, describe: 'Only IPv4 or only IPv6' })
        .conflicts({ in: ['out', 'best'], out: 'best' })
        .example('$0 bgp routes --best', 'the best path of every prefix, and why it won')
        .example('$0 bgp routes 10.244.3.0/26', 'every path and attribute of one prefix')
        .example('$0 bgp routes --out tor-rack-a', 'what we advertise to a peer'),
    async (args) => {
      if (args.prefix !== undefined && parsePrefix(args.prefix) === null && parseIp(args.prefix) === null) {
        throw new CliError(`not a prefix or address: ${JSON.stringify(args.prefix)}; write it like 10.244.3.0/26 or fd00::1`, 2)
      }
      const query = {
        family: args.family === undefined ? undefined : args.family === '4' ? 'IPv4Unicast' : 'IPv6Unicast',
        prefix: args.prefix,
        in: args.in,
        out: args.out,
        best: args.best === true ? '1' : undefined,
      }
      const routes = itemsOf(await askAgents(args, environment, (client) => client.get<readonly RouteStatus[]>('/v1/bgp/routes', query)))
      await print(args.output, routes, (all, screen) => {
        if (all.length === 0) return args.prefix === undefined ? 'no routes\n' : `no route to ${args.prefix}\n`
        return args.prefix === undefined ? formatRoutes(all, screen) : all.map((route) => formatRoute(route, screen)).join('\n')
      })
      if (args.prefix !== undefined && routes.length === 0) process.exitCode = 1
    },
  )
}

/** A prefix of a RIB, and of whose where several nodes were asked. */
type Route = RouteStatus & { readonly node?: string }

type Row = { readonly node?: string; readonly prefix: string; readonly path: PathStatus }

const COLUMNS: readonly Column<Row>[] = [
  { title: '', cell: ({ path }) => markOf(path) },
  { title: 'prefix', cell: ({ prefix }) => prefix },
  { title: 'next hop', cell: ({ path }) => wayOf(path) ?? '-' },
  { title: 'from', cell: ({ path }) => fromOf(path) },
  { title: 'as path', cell: ({ path }) => (path.asPath === '' ? '-' : path.asPath) },
  { title: 'pref', cell: ({ path }) => numberOf(path.localPref), align: 'right' },
  { title: 'med', cell: ({ path }) => numberOf(path.med), align: 'right' },
  { title: 'why', cell: ({ path }) => path.reason, shrinks: true },
]

/** One line a path; the prefix is written once. `>` best, `=` multipath with the best, `s` stale, `x` unusable. */
export function formatRoutes(routes: readonly Route[], screen: Screen): string {
  const rows = routes.flatMap(({ node, prefix, paths }) =>
    bestFirst(paths).map((path, at): Row => ({ ...(node === undefined ? {} : { node }), prefix: at === 0 ? prefix : '', path })),
  )
  const legend = paint({ text: '> best  = multipath  s stale  x unusable', tone: 'quiet' }, screen)
  return `${formatTable(withNodes(rows, COLUMNS), rows, screen)}${legend}\n`
}

function bestFirst(paths: readonly PathStatus[]): readonly PathStatus[] {
  const rank = ({ best, multipath, usable }: PathStatus): number => (best ? 0 : multipath ? 1 : usable ? 2 : 3)
  return [...paths].sort((a, b) => rank(a) - rank(b))
}

/** A peer, or what we originate a prefix for. */
function fromOf({ peer, sources = [] }: PathStatus): string {
  const [first, ...more] = sources
  if (first === undefined) return peer
  return `${peer}: ${first}${more.length === 0 ? '' : ` and ${more.length} more`}`
}

/** The next hop, and that it is reached through a tunnel. */
function wayOf({ nextHop, encapsulated }: PathStatus): string | null {
  return nextHop !== null && encapsulated ? `${nextHop} (IP-in-IP)` : nextHop
}

function markOf({ best, multipath, usable, stale }: PathStatus): Cell {
  const marks = `${usable ? '' : 'x'}${best ? '>' : multipath ? '=' : ''}${stale ? 's' : ''}`
  return { text: marks, tone: !usable ? 'bad' : stale ? 'warning' : 'good' }
}

function numberOf(value: number | null): string {
  return value === null ? '-' : String(value)
}

function formatRoute({ node, prefix, paths }: Route, screen: Screen): string {
  const head = paint(
    {
      text: `${node === undefined ? '' : `${node}: `}${prefix}  ${paths.length} ${paths.length === 1 ? 'path' : 'paths'}`,
      tone: 'heading',
    },
    screen,
  )
  return `${head}\n${bestFirst(paths)
    .map((path) => `\n${formatPath(path, screen)}`)
    .join('')}`
}

function formatPath(path: PathStatus, screen: Screen): string {
  const verdict: Cell = { text: `${path.reason}${path.stale ? '; stale' : ''}`, tone: path.best || path.multipath ? 'good' : 'quiet' }
  const fields: (readonly [string, Cell])[] = [
    ['From', path.pathId === null ? path.peer : `${path.peer}, path ID ${path.pathId}`],
    ['Verdict', verdict],
    ['Next hop', wayOf(path) ?? 'none'],
    ...(path.sources === undefined || path.sources.length === 0 ? [] : [['For', path.sources.join(', ')] as const]),
    ['AS path', path.asPath === '' ? 'empty' : path.asPath],
    ['Origin', path.origin],
  ]
  if (path.localPref !== null) fields.push(['Local pref', String(path.localPref)])
  if (path.med !== null) fields.push(['MED', String(path.med)])
  if (path.communities.length > 0) fields.push(['Communities', path.communities.join(' ')])
  if (path.largeCommunities.length > 0) fields.push(['Large', path.largeCommunities.join(' ')])
  if (path.extendedCommunities.length > 0) fields.push(['Extended', path.extendedCommunities.join(' ')])
  if (path.originatorId !== null) fields.push(['Originator', path.originatorId])
  if (path.clusterList.length > 0) fields.push(['Cluster list', path.clusterList.join(' ')])
  if (path.onlyToCustomer !== null) fields.push(['OTC', String(path.onlyToCustomer)])
  if (path.atomicAggregate) fields.push(['Aggregate', 'ATOMIC_AGGREGATE'])
  if (path.aggregator !== null) fields.push(['Aggregator', path.aggregator])
  for (const { type, flags, valueHex } of path.unknownAttributes) {
    fields.push(['Unknown', `type ${type}, flags 0x${flags.toString(16).padStart(2, '0')}: ${valueHex}`])
  }
  return formatFields(
    fields.map(([label, value]) => [`  ${label}`, value] as const),
    screen,
  )
}
