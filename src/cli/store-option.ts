// What the commands over objects share: which store, which kind, and where manifests come from.
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { findKind, KIND_NAMES, type KindName, kindInfo, openStore, type Store, StoreError } from '../store/index.ts'
import type { Environment } from './options.ts'
import { CliError } from './output.ts'

/** `--store`, which must be given unless the environment names one. */
export function storeOption({ store }: Environment) {
  return {
    store: {
      type: 'string',
      demandOption: true,
      requiresArg: true,
      describe: 'Where the objects are: dir:PATH, a folder of manifests, or kubernetes',
      ...(store === null ? {} : { default: store }),
    },
  } as const
}

/** Object namespace, as in kubectl. */
export const NAMESPACE_OPTION = {
  namespace: { alias: 'n', type: 'string', requiresArg: true, describe: 'Namespace of the objects' },
} as const

/** `-f`, which may be given several times; `-` is standard input (which yargs takes for no argument of an array option). */
export const FILENAME_OPTION = {
  filename: {
    alias: 'f',
    type: 'string',
    nargs: 1,
    coerce: (given: string | readonly string[] | undefined): readonly string[] | undefined =>
      given === undefined ? undefined : [given].flat(),
    describe: 'File or folder with manifests, once or more often; - for standard input',
  },
} as const

/** Runs `work` on the store and closes it. What a store reports becomes one line for the user. */
export async function withStore<T>(
  { store: text, context }: { readonly store: string; readonly context?: string | undefined },
  work: (store: Store) => Promise<T>,
): Promise<T> {
  try {
    await using store = openStore(text, { context: context ?? null })
    return await work(store)
  } catch (cause) {
    if (!(cause instanceof StoreError)) throw cause
    throw new CliError(
      cause.message,
      cause.code === 'INVALID' && text !== '' && text !== 'kubernetes' && !text.startsWith('dir:') ? 2 : 1,
      { cause },
    )
  }
}

/** The kind a person names in any of its forms. */
export function kindOf(text: string): KindName {
  const kind = findKind(text)
  if (kind !== null) return kind
  throw new CliError(`there is no kind ${JSON.stringify(text.slice(0, 60))}; the kinds are ${KIND_NAMES.join(', ')}`, 2)
}

/** `KIND NAME…` or `KIND/NAME…`. */
export function namesOf(kindText: string, names: readonly string[]): { readonly kind: KindName; readonly names: readonly string[] } {
  const [kind = '', ...rest] = kindText.split('/')
  if (rest.length === 0) return { kind: kindOf(kind), names }
  const [name = ''] = rest
  if (rest.length > 1 || name === '' || names.length > 0)
    throw new CliError(`write KIND NAME or KIND/NAME, not ${JSON.stringify([kindText, ...names].join(' '))}`, 2)
  return { kind: kindOf(kind), names: [name] }
}

/** `bgppeer/tor-a`, as kubectl prints it. */
export function shortName(kind: KindName, name: string): string {
  return `${kindInfo(kind).singular}/${name}`
}

export type Source = { readonly file: string; readonly text: string }

/** The texts behind `-f`: files, folders of manifests, and `-` for standard input. */
export function readSources(paths: readonly string[]): readonly Source[] {
  return paths.flatMap((path) => (path === '-' ? [{ file: 'standard input', text: readStandardInput() }] : readPath(path)))
}

function readPath(path: string): readonly Source[] {
  try {
    if (!statSync(path).isDirectory()) return [{ file: path, text: readFileSync(path, 'utf8') }]
    const names = readdirSync(path).filter((name) => /\.(ya?ml|json)$/.test(name) && !name.startsWith('.'))
    if (names.length === 0) throw new CliError(`${path} holds no *.yaml, *.yml or *.json; name a file with manifests`)
    return names.sort().map((name) => ({ file: join(path, name), text: readFileSync(join(path, name), 'utf8') }))
  } catch (cause) {
    if (cause instanceof CliError) throw cause
    throw new CliError(`cannot read ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, 1, { cause })
  }
}

function readStandardInput(): string {
  if (process.stdin.isTTY === true) process.stderr.write('reading manifests from the terminal; end with Ctrl-D\n')
  return readFileSync(0, 'utf8')
}
