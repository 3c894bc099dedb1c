// `fibula apply`: creates objects or replaces them by what the manifests say. Documents stand alone: one that is not valid does
// not keep the others from being applied, but the exit status is 1.
import { isDeepStrictEqual } from 'node:util'
import { formatIdentity, type Manifest, parseManifests, type Resource, type Store, StoreError, sourceOf } from '../store/index.ts'
import type { Cli, Environment } from './options.ts'
import { CliError, print } from './output.ts'
import { FILENAME_OPTION, readSources, type Source, shortName, storeOption, withStore } from './store-option.ts'

type Outcome = { readonly object: string; readonly result: 'created' | 'configured' | 'unchanged' }

const MOST_ATTEMPTS = 8

export function addApply(cli: Cli, describe: string, environment: Environment): void {
  cli.command(
    'apply',
    describe,
    (to) =>
      to
        .options({ ...storeOption(environment), ...FILENAME_OPTION })
        .demandOption('filename', 'say what to apply: -f FILE, or -f - for standard input')
        .option('dry-run', { type: 'boolean', default: false, describe: 'Say what would happen and change nothing' })
        .example('$0 apply -f peers.yaml --store dir:/etc/fibula', 'Create or replace what the file says'),
    async ({ store, context, filename = [], dryRun, output }) => {
      const sources = readSources(filename)
      const { outcomes, faults } = await withStore({ store, context }, (store) => applyAll(store, sources, dryRun))
      const suffix = dryRun ? ' (dry run)' : ''
      await print(output, outcomes, (rows) => rows.map(({ object, result }) => `${object} ${result}${suffix}\n`).join(''))
      for (const fault of faults) process.stderr.write(`fibula: ${fault}\n`)
      if (outcomes.length === 0 && faults.length === 0) throw new CliError(`${filename.join(', ')}: no manifests in there`)
      if (faults.length > 0) process.exitCode = 1
    },
  )
}

async function applyAll(
  store: Store,
  sources: readonly Source[],
  dryRun: boolean,
): Promise<{ readonly outcomes: readonly Outcome[]; readonly faults: readonly string[] }> {
  const outcomes: Outcome[] = []
  const faults: string[] = []
  for (const { file, text } of sources) {
    for (const manifest of parseManifests(text, file).manifests) {
      if (!manifest.result.ok) {
        faults.push(...manifest.result.error.map(({ message }) => message))
        continue
      }
      const object = manifest.result.value
      try {
        outcomes.push({
          object: shortName(object.kind, object.metadata.name),
          result: await applyOne(store, object, manifest, text, dryRun),
        })
      } catch (cause) {
        if (!(cause instanceof StoreError)) throw cause
        faults.push(`${file}: ${nameOf(manifest)}${cause.message}`)
      }
    }
  }
  return { outcomes, faults }
}

function nameOf({ identity }: Manifest): string {
  return identity === null ? '' : `${formatIdentity(identity)}: `
}

/** Retries when somebody else changed the object in between: the manifest is the whole truth, whatever was there. */
async function applyOne(store: Store, object: Resource, manifest: Manifest, text: string, dryRun: boolean): Promise<Outcome['result']> {
  const source = sourceOf(text, manifest)
  const options = source === null ? {} : { text: source }
  for (let attempt = 1; ; attempt++) {
    const current: Resource | null = await store.get(object.kind, object.metadata)
    if (dryRun) return current === null ? 'created' : isSame(current, object) ? 'unchanged' : 'configured'
    try {
      if (current === null) {
        await store.create(object, options)
        return 'created'
      }
      const { resourceVersion } = current.metadata
      const wanted = {
        ...object,
        metadata: { ...object.metadata, ...(resourceVersion === undefined ? {} : { resourceVersion }) },
      } as Resource
      const written: Resource = await store.update(wanted, options)
      return written.metadata.resourceVersion === resourceVersion ? 'unchanged' : 'configured'
    } catch (cause) {
      const isRace =
        cause instanceof StoreError && (cause.code === 'CONFLICT' || cause.code === 'ALREADY_EXISTS' || cause.code === 'NOT_FOUND')
      if (!isRace || attempt === MOST_ATTEMPTS) throw cause
    }
  }
}

function isSame(current: Resource, wanted: Resource): boolean {
  const bare = ({ metadata, ...rest }: Resource): unknown => {
    const { name, namespace, labels, annotations } = metadata
    return { ...rest, status: undefined, metadata: { name, namespace, labels, annotations } }
  }
  return isDeepStrictEqual(bare(current), bare(wanted))
}
