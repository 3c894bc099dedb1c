// `fibula routes [PREFIX]`: the routes we want in the kernel against those that are there. Exit status 1 when one is missing,
// was refused by the kernel, or is shadowed by a foreign route.
import type { KernelRouteStatus } from '../agent/index.ts'
import { unreachable } from '../lib/result.ts'
import { parseIp, parsePrefix } from '../net/index.ts'
import { askAgents, itemsOf } from './agents.ts'
import { agentOptions, type Cli, type Environment } from './options.ts'
import { type Cell, CliError, type Column, formatTable, print, type Screen, type Tone, withNodes } from './output.ts'

export function addRoutes(cli: Cli, describe: string, environment: Environment): void {
  cli.command(
    'routes [prefix]',
    describe,
    (to) =>
      to
        .options(agentOptions(environment))
        .positional('prefix', { type: 'string', describe: 'Only this prefix, or the one an address falls in' })
        .example('$0 routes', 'exit status 1 when a route is missing, failed or shadowed'),
    async (args) => {
      if (args.prefix !== undefined && parsePrefix(args.prefix) === null && parseIp(args.prefix) === null) {
        throw new CliError(`not a prefix or address: ${JSON.stringify(args.prefix)}; write it like 10.244.3.0/26 or fd00::1`, 2)
      }
      const query = { prefix: args.prefix }
      const routes = itemsOf(await askAgents(args, environment, (client) => client.get<readonly KernelRouteStatus[]>('/v1/routes', query)))
      await print(args.output, routes, (all, screen) => {
        if (all.length === 0) return args.prefix === undefined ? 'no routes of ours\n' : `no route of ours to ${args.prefix}\n`
        return formatKernelRoutes(all, screen)
      })
      if (routes.some(isUnhealthy) || (args.prefix !== undefined && routes.length === 0)) process.exitCode = 1
    },
  )
}

/** A stale route waits for its sweep after a restart and still carries traffic: that is as it should be. */
function isUnhealthy({ state }: KernelRouteStatus): boolean {
  return state === 'missing' || state === 'failed' || state === 'shadowed'
}

/** A route, and on which node where several were asked. */
type NodeRoute = KernelRouteStatus & { readonly node?: string }

const COLUMNS: readonly Column<NodeRoute>[] = [
  { title: 'prefix', cell: ({ prefix }) => prefix },
  { title: 'state', cell: ({ state }) => ({ text: wordsOf(state), tone: toneOf(state) }) },
  { title: 'next hops', cell: nextHopsOf },
  { title: 'detail', cell: ({ detail }) => detail ?? '', shrinks: true },
]

function formatKernelRoutes(routes: readonly NodeRoute[], screen: Screen): string {
  const counts = new Map<KernelRouteStatus['state'], number>()
  for (const { state } of routes) counts.set(state, (counts.get(state) ?? 0) + 1)
  const summary = [...counts].map(([state, count]) => `${count} ${wordsOf(state)}`).join(', ')
  return `${formatTable(withNodes(routes, COLUMNS), routes, screen)}${routes.length} routes: ${summary}\n`
}

function nextHopsOf({ kind, nextHops }: KernelRouteStatus): Cell {
  if (kind === 'blackhole') return { text: 'blackhole', tone: 'quiet' }
  const words = nextHops.map(({ gateway, interface: name, onlink }) =>
    [gateway === null ? null : `via ${gateway}`, name === null ? null : `dev ${name}`, onlink ? 'onlink' : null].filter(Boolean).join(' '),
  )
  return words.join(', ')
}

function wordsOf(state: KernelRouteStatus['state']): string {
  return state === 'inSync' ? 'in sync' : state
}

function toneOf(state: KernelRouteStatus['state']): Tone {
  switch (state) {
    case 'inSync':
      return 'good'
    case 'stale':
      return 'warning'
    case 'missing':
    case 'failed':
    case 'shadowed':
      return 'bad'
    default:
      return unreachable(state)
  }
}
