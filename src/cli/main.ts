// The `fibula` command line. Loads only the module of the command that was asked for, so that it starts fast; the only reader
// of settings in the environment and the only place that turns errors into an exit status: 0 fine, 1 the thing asked about is unhealthy or
// the command failed, 2 wrong usage. A person sees one line with a remedy, never a stack trace.
import yargs from 'yargs'
import { COMMANDS } from './commands.ts'
import { environmentOf, isKubectlPlugin } from './options.ts'
import { CliError, OUTPUT_OPTION } from './output.ts'
import { fibulaVersion } from './version.ts'

/** Commands that have commands. */
const GROUPS: ReadonlySet<string> = new Set(['bgp', 'ipam', 'lab', 'policy'])

async function run(all: readonly string[]): Promise<void> {
  const cut = all.indexOf('--')
  const args = cut < 0 ? all : all.slice(0, cut)
  const trailing = cut < 0 ? [] : all.slice(cut + 1)
  if (cut >= 0 && subcommand(args) !== ' lab exec') throw new CliError('nothing goes behind -- except the command of `fibula lab exec`', 2)
  const cli = yargs([...args])
    .scriptName(isKubectlPlugin(process.env) ? 'kubectl fibula' : 'fibula')
    .usage('$0 <command>\n\nA BGP-routed Kubernetes network: one agent per node, real routes, no overlay.')
    .locale('en')
    .strict()
    .recommendCommands()
    .demandCommand(1, 1, 'say what to do')
    .version(fibulaVersion())
    .help()
    .alias('help', 'h')
    .option(OUTPUT_OPTION)
    .option('context', { type: 'string', requiresArg: true, describe: 'Context of the kubeconfig, for --store kubernetes' })
    .option('kubeconfig', { type: 'string', requiresArg: true, describe: 'The kubeconfig, instead of KUBECONFIG or ~/.kube/config' })
    .middleware(({ kubeconfig }) => {
      if (kubeconfig !== undefined) process.env['KUBECONFIG'] = kubeconfig // where every client of the cluster looks
    })
    .check(refuseRepeated)
    .exitProcess(false)
    .wrap(Math.min(110, process.stdout.columns ?? 110))
    .epilogue('Exit status: 0 fine, 1 unhealthy or failed, 2 wrong usage.')
    .fail((message: string | null, error: Error | undefined) => {
      throw error ?? new CliError(`${message ?? 'wrong usage'} (see \`fibula${subcommand(args)} --help\`)`, 2)
    })
  const environment = environmentOf(process.env, trailing)
  const words = new Set(args)
  for (const [name, { describe, add }] of Object.entries(COMMANDS)) {
    if (words.has(name)) await add(cli, describe ?? '', environment)
    else if (describe !== null) cli.command(name, describe)
  }
  await cli.parseAsync()
}

/** Options that name one thing; yargs would make a list of two. */
const SINGLE = [
  'output',
  'run-dir',
  'node',
  'peer',
  'in',
  'out',
  'family',
  'dir',
  'topology',
  'router',
  'store',
  'namespace',
  'log-level',
  'metrics-port',
  'context',
  'kubeconfig',
]

function refuseRepeated(args: Readonly<Record<string, unknown>>): true {
  const repeated = SINGLE.find((name) => Array.isArray(args[name]))
  if (repeated !== undefined) throw new CliError(`--${repeated} is given more than once; keep one`, 2)
  return true
}

/** The command of these arguments, for the hint where to find help. */
function subcommand(args: readonly string[]): string {
  const [first = '', second = ''] = args.filter((arg) => !arg.startsWith('-'))
  if (!(first in COMMANDS)) return ''
  return GROUPS.has(first) && /^[a-z]+$/.test(second) ? ` ${first} ${second}` : ` ${first}`
}

function report(error: unknown): number {
  const { FIBULA_DEBUG } = process.env
  const message = error instanceof Error ? error.message : String(error)
  // a CliError says all there is to say, and so does the class yargs throws for mistakes of the user; anything else is a fault of ours
  const isExpected = error instanceof CliError || isUsageError(error)
  const hint = isExpected || FIBULA_DEBUG ? '' : ' (FIBULA_DEBUG=1 shows where)'
  process.stderr.write(`fibula: ${oneLine(message)}${hint}\n`)
  if (FIBULA_DEBUG) process.stderr.write(`${error instanceof Error ? error.stack : ''}\n`)
  return error instanceof CliError ? error.exitStatus : isUsageError(error) ? 2 : 1
}

function isUsageError(error: unknown): boolean {
  return error instanceof Error && error.name === 'YError'
}

function oneLine(text: string): string {
  return text.trim().replace(/\s*\n\s*/g, ': ')
}

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0) // the reader (`| head`) has seen enough
  throw error
})

try {
  await run(process.argv.slice(2))
} catch (error) {
  process.exitCode = report(error)
}
