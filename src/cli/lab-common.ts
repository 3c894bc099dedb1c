// What the commands of the lab share: options, errors, the table of sessions, hints what to type next.
import { delimiter, dirname, relative, resolve } from 'node:path'
import {
  DEFAULT_LAB_DIR,
  type Lab,
  LabError,
  type LabPaths,
  labPaths,
  ROUTER_KINDS,
  type RouterKind,
  realRouter,
  type SessionReport,
} from '../lab/index.ts'
import type { Environment } from './options.ts'
import { type Cell, CliError, type Column, formatTable, type Screen } from './output.ts'

export function labOptions(environment: Environment) {
  return {
    dir: { type: 'string', default: environment.labDir, requiresArg: true, describe: 'Folder of the lab: manifests, logs, sockets' },
  } as const
}

export function upOptions(environment: Environment) {
  return {
    ...labOptions(environment),
    topology: { type: 'string', requiresArg: true, describe: 'Topology file; lab/two-racks.yaml is the default and the model' },
    router: { choices: ROUTER_KINDS, default: 'fibula' as RouterKind, requiresArg: true, describe: 'What the top-of-rack routers run' },
  } as const
}

/** Errors of the lab, with the exit status of the command line. */
export async function guarded<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof LabError) throw new CliError(error.message, error.code === 'USAGE' ? 2 : 1, { cause: error })
    throw error
  }
}

/** How this program was started, to start it again. */
export function thisProgram(): readonly [string, ...string[]] {
  return [process.execPath, ...process.execArgv, ...process.argv.slice(1, 2)]
}

export function pathsOf(args: { readonly dir: string }): LabPaths {
  return labPaths(resolve(args.dir))
}

export function waitingFor(sessions: readonly SessionReport[]): string {
  return `waiting for BGP: ${sessions.filter(({ isEstablished }) => isEstablished).length} of ${sessions.length} session ends are up`
}

const WHY_NOT = 'why not'
const SESSION_COLUMNS: readonly Column<SessionReport>[] = [
  { title: 'speaker', cell: ({ speaker }) => speaker },
  { title: 'peer', cell: ({ peer }) => peer },
  { title: 'address', cell: ({ remoteAddress }) => remoteAddress },
  { title: 'as', cell: ({ remoteAsn }) => String(remoteAsn), align: 'right' },
  { title: 'link', cell: ({ link: name }) => name },
  { title: 'state', cell: ({ state, isEstablished }): Cell => ({ text: state, tone: isEstablished ? 'good' : 'bad' }) },
  { title: WHY_NOT, cell: ({ isEstablished, lastError }) => (isEstablished ? '' : (lastError ?? '')), shrinks: true },
]

export function formatSessions(sessions: readonly SessionReport[], screen: Screen): string {
  const isAllUp = sessions.every(({ isEstablished }) => isEstablished)
  return formatTable(isAllUp ? SESSION_COLUMNS.filter(({ title }) => title !== WHY_NOT) : SESSION_COLUMNS, sessions, screen)
}

/** What a person may type next. */
export function howToLook({ plan, paths, pods }: Lab): string {
  const [node] = plan.nodes
  const [router] = plan.routers
  const [pod] = pods
  const other = pods.at(-1)
  const real = realRouter(plan.routerKind)
  const spine = plan.links[0]
  if (node === undefined || router === undefined) return ''
  const look =
    real === null
      ? `fibula lab exec ${router.name} -- fibula bgp routes`
      : `fibula lab exec ${router.name} -- ${real.lookCommand({ config: paths.config(router.name), run: paths.run(router.name) })}`
  const hints: readonly (readonly [command: string, why: string])[] = [
    [`fibula bgp peers --node ${node.name}`, 'the sessions of a node'],
    [`fibula bgp routes --node ${node.name}`, 'its paths, and why each won'],
    [`fibula routes --node ${node.name}`, 'what it wants in the kernel against what is there'],
    [look, "the router's side"],
    ...(pod === undefined || other === undefined
      ? []
      : ([[`fibula lab exec ${pod.name} -- ping ${other.name}`, 'without a command: a shell']] as const)),
    [`fibula lab pod add pod-new --node ${node.name}`, 'one more pod, through the CNI plugin'],
    ['fibula lab probe', 'counts losses while you break things elsewhere'],
    ...(spine === undefined ? [] : ([[`fibula lab link ${spine.name} down`, 'cuts a cable; up mends it']] as const)),
    [`vi ${paths.store('cluster')}/peers.yaml`, 'saving a manifest takes effect'],
    ['fibula lab status', 'everything that runs'],
    ['fibula lab down', 'the end'],
  ]
  const lines = hints.map(([command, why]) => [asTyped(command, paths), why] as const)
  const width = Math.max(...lines.map(([command]) => command.length)) + 2
  return `Look around:\n${lines.map(([command, why]) => `  ${command.padEnd(width)}# ${why}\n`).join('')}`
}

/** How this lab's commands are typed here: a program outside the PATH and a lab in another folder have to be named. */
function asTyped(command: string, { dir }: LabPaths): string {
  if (!command.startsWith('fibula')) return command
  return `${dir === DEFAULT_LAB_DIR ? '' : `FIBULA_LAB_DIR=${dir} `}${programName()}${command.slice('fibula'.length)}`
}

function programName(): string {
  const launcher = new URL('../../bin/fibula', import.meta.url).pathname
  const { PATH = '' } = process.env
  if (PATH.split(delimiter).includes(dirname(launcher))) return 'fibula'
  const here = relative(process.cwd(), launcher)
  return here.startsWith('..') ? launcher : here
}
