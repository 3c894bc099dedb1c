// `fibula delete`: removes objects by name, or those that manifests name.
import { formatIdentity, type Identity, parseManifests, type Store, StoreError, toIdentity } from '../store/index.ts'
import type { Cli, Environment } from './options.ts'
import { CliError, print } from './output.ts'
import { FILENAME_OPTION, NAMESPACE_OPTION, namesOf, readSources, shortName, storeOption, withStore } from './store-option.ts'

export function addDelete(cli: Cli, describe: string, environment: Environment): void {
  cli.command(
    'delete [kind] [names..]',
    describe,
    (to) =>
      to
        .positional('kind', { type: 'string', describe: 'Kind: its name, plural or short name, or KIND/NAME' })
        .positional('names', { type: 'string', array: true, default: [], describe: 'Names' })
        .options({ ...storeOption(environment), ...NAMESPACE_OPTION, ...FILENAME_OPTION })
        .option('ignore-not-found', { type: 'boolean', default: false, describe: 'An object that is not there is no failure' })
        .example('$0 delete bgppeer tor-a --store dir:/etc/fibula', 'Remove a peer')
        .example('$0 delete -f peers.yaml --store dir:/etc/fibula', 'Remove what the file names'),
    async ({ kind, names, namespace, filename, ignoreNotFound, store, context, output }) => {
      const { targets, faults } = targetsOf({ kind, names, namespace, filename })
      const { deleted, missing } = await withStore({ store, context }, (store) => deleteAll(store, targets))
      await print(output, deleted, (rows) => rows.map((object) => `${object} deleted\n`).join(''))
      const failures = [...faults, ...(ignoreNotFound ? [] : missing)]
      for (const failure of failures) process.stderr.write(`fibula: ${failure}\n`)
      if (failures.length > 0) process.exitCode = 1
    },
  )
}

type Asked = {
  readonly kind: string | undefined
  readonly names: readonly string[]
  readonly namespace: string | undefined
  readonly filename: readonly string[] | undefined
}

function targetsOf({ kind, names, namespace, filename }: Asked): {
  readonly targets: readonly Identity[]
  readonly faults: readonly string[]
} {
  if (filename !== undefined) {
    if (kind !== undefined) throw new CliError('write either KIND NAME or -f FILE, not both', 2)
    const manifests = readSources(filename).flatMap(({ file, text }) => parseManifests(text, file).manifests)
    const targets = manifests.flatMap(({ identity }) => (identity === null ? [] : [identity]))
    // A manifest that is wrong elsewhere still says which object it means.
    const faults = manifests.flatMap(({ identity, result }) =>
      identity === null && !result.ok ? result.error.map(({ message }) => message) : [],
    )
    return { targets, faults }
  }
  if (kind === undefined) throw new CliError('say what to delete: KIND NAME, or -f FILE', 2)
  const named = namesOf(kind, names)
  if (named.names.length === 0) throw new CliError(`say which ${named.kind} to delete: fibula delete ${kind} NAME`, 2)
  return {
    targets: named.names.map((name) => toIdentity(named.kind, { name, ...(namespace === undefined ? {} : { namespace }) })),
    faults: [],
  }
}

async function deleteAll(
  store: Store,
  targets: readonly Identity[],
): Promise<{ readonly deleted: readonly string[]; readonly missing: readonly string[] }> {
  const deleted: string[] = []
  const missing: string[] = []
  for (const { kind, name, namespace } of targets) {
    try {
      await store.delete(kind, { name, ...(namespace === null ? {} : { namespace }) })
      deleted.push(shortName(kind, name))
    } catch (cause) {
      if (!(cause instanceof StoreError) || cause.code !== 'NOT_FOUND') throw cause
      missing.push(`there is no ${formatIdentity({ kind, name, namespace })}; nothing to delete`)
    }
  }
  return { deleted, missing }
}
