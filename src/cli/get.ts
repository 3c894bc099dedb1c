// `fibula get`: objects of a store, as `kubectl get` shows them. Manifests that are not valid are named on standard error; exit
// status 1 if one of them is of what was asked about, or what was asked for is not there.
import { columnOf, type KindName, kindInfo, type Resource, type Store, type StoreProblem } from '../store/index.ts'
import type { Cli, Environment } from './options.ts'
import { CliError, type Column, formatAge, formatTable, print, type Screen } from './output.ts'
import { NAMESPACE_OPTION, namesOf, storeOption, withStore } from './store-option.ts'

export function addGet(cli: Cli, describe: string, environment: Environment): void {
  cli.command(
    'get <kind> [names..]',
    describe,
    (to) =>
      to
        .positional('kind', { type: 'string', demandOption: true, describe: 'Kind: its name, plural or short name, or KIND/NAME' })
        .positional('names', { type: 'string', array: true, default: [], describe: 'Names; none: all' })
        .options({ ...storeOption(environment), ...NAMESPACE_OPTION })
        .option('selector', { alias: 'l', type: 'string', requiresArg: true, describe: 'Only objects with these labels: KEY=VALUE,...' })
        .example('$0 get bgppeers --store dir:/etc/fibula', 'All peers')
        .example('$0 get ippool pods -o yaml --store dir:/etc/fibula', 'One pool as a manifest'),
    async (args) => {
      const { kind, names } = namesOf(args.kind, args.names)
      const labels = labelsOf(args.selector)
      const { objects, problems } = await withStore(args, async (store) => ({
        objects: await find(store, kind, names, { ...(args.namespace === undefined ? {} : { namespace: args.namespace }), labels }),
        problems: await store.problems(),
      }))
      const [only] = objects
      const isOne = names.length === 1 && only !== undefined
      await print<unknown>(args.output, isOne ? only : listOf(objects), (_, screen) => formatObjects(kind, objects, screen))
      for (const { message } of problems) process.stderr.write(`fibula: ${message}\n`)
      if (problems.some((problem) => isAbout(problem, kind, names))) process.exitCode = 1
    },
  )
}

type Where = { readonly namespace?: string; readonly labels: Readonly<Record<string, string>> }

async function find(store: Store, kind: KindName, names: readonly string[], where: Where): Promise<readonly Resource[]> {
  const all: readonly Resource[] = await store.list({ kind, ...where })
  if (names.length === 0) return all
  return names.map((name) => {
    const [found, another] = all.filter(({ metadata }) => metadata.name === name)
    if (found === undefined) {
      const place = where.namespace === undefined ? '' : ` in namespace ${where.namespace}`
      throw new CliError(`there is no ${kind} ${JSON.stringify(name)}${place}; see them all with: fibula get ${kindInfo(kind).plural}`)
    }
    if (another !== undefined) throw new CliError(`${kind} ${JSON.stringify(name)} is in several namespaces; choose one with -n`, 2)
    return found
  })
}

function labelsOf(selector: string | undefined): Readonly<Record<string, string>> {
  if (selector === undefined) return {}
  return Object.fromEntries(
    selector.split(',').map((part) => {
      const [key = '', value, ...rest] = part.split('=')
      if (key === '' || value === undefined || rest.length > 0)
        throw new CliError(`--selector takes KEY=VALUE,..., not ${JSON.stringify(selector)}`, 2)
      return [key, value]
    }),
  )
}

/** What `kubectl get -o yaml` makes of several objects; `apply` takes it back. */
function listOf(items: readonly Resource[]): { readonly apiVersion: 'v1'; readonly kind: 'List'; readonly items: readonly Resource[] } {
  return { apiVersion: 'v1', kind: 'List', items }
}

export function formatObjects(kind: KindName, objects: readonly Resource[], screen: Screen, nowMs = Date.now()): string {
  if (objects.length === 0) return `no ${kindInfo(kind).plural}\n`
  return formatTable(columnsOf(kind, nowMs), objects, screen)
}

function columnsOf(kind: KindName, nowMs: number): readonly Column<Resource>[] {
  const { columns, scope } = kindInfo(kind)
  const own = columns
    .filter(({ wide = false }) => !wide)
    .map(({ name, path }): Column<Resource> => ({ title: name, cell: (object) => columnOf(object, path) || '-', shrinks: true }))
  const namespace: Column<Resource> = { title: 'namespace', cell: ({ metadata }) => metadata.namespace ?? '-' }
  return [
    ...(scope === 'Namespaced' ? [namespace] : []),
    { title: 'name', cell: ({ metadata }) => metadata.name },
    ...own,
    { title: 'age', cell: ({ metadata }) => ageOf(metadata.creationTimestamp, nowMs), align: 'right' },
  ]
}

function ageOf(created: string | undefined, nowMs: number): string {
  const createdMs = created === undefined ? Number.NaN : Date.parse(created)
  return Number.isNaN(createdMs) ? '-' : formatAge((nowMs - createdMs) / 1000)
}

/** True if the problem is with an object that was asked about, or with a file that may hold one. */
function isAbout({ subject, file }: StoreProblem, kind: KindName, names: readonly string[]): boolean {
  if (subject === file) return true
  const [itsKind, name] = [subject.split('/')[0], subject.split('/').at(-1) ?? '']
  return itsKind === kind && (names.length === 0 || names.includes(name))
}
