// The network configuration list that makes a container runtime use us, written by the agent after its first sync and left through
// restarts (STATUS tells the runtime when the node is not ready). Atomic, and only when it says something new: runtimes watch the
// folder and reload on every change.
import { mkdir, readFile, rename, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { exec } from '../lib/exec.ts'
import { isObject } from './json.ts'
import { type CniVersion, LATEST_VERSION, parseVersion, SUPPORTED_VERSIONS } from './version.ts'

export const NETWORK_NAME = 'fibula'
export const CONFLIST_FILE = '10-fibula.conflist'

/** Standard plugins that stand behind ours where the host has them. */
const CHAINED = [
  { type: 'portmap', capabilities: { portMappings: true } },
  { type: 'bandwidth', capabilities: { bandwidth: true } },
] as const
export type ChainedPlugin = (typeof CHAINED)[number]['type']

export type ConflistOptions = {
  readonly socketPath: string
  /** Of every plugin in the list: the newest that all of them speak. Default: the newest that we do. */
  readonly cniVersion?: CniVersion
  /** Default: all. */
  readonly chained?: readonly ChainedPlugin[]
}

/** The list as text (pure). */
export function renderConflist({
  socketPath,
  cniVersion = LATEST_VERSION,
  chained = CHAINED.map(({ type }) => type),
}: ConflistOptions): string {
  const cniVersions = SUPPORTED_VERSIONS.filter((version) => SUPPORTED_VERSIONS.indexOf(version) <= SUPPORTED_VERSIONS.indexOf(cniVersion))
  const list = {
    cniVersion,
    cniVersions,
    name: NETWORK_NAME,
    plugins: [
      { type: 'fibula', capabilities: { ips: true, mac: true }, socket: socketPath },
      ...CHAINED.filter(({ type }) => chained.includes(type)),
    ],
  }
  return `${JSON.stringify(list, null, 2)}\n`
}

/**
 * Writes the list as 10-fibula.conflist into `directory`, which is made if missing. Resolves to false if the file says the same already.
 * Rejects with what the system says.
 */
export async function writeConflist(directory: string, text: string): Promise<boolean> {
  const path = join(directory, CONFLIST_FILE)
  const present = await readFile(path, 'utf8').catch(() => null) // unreadable is as good as absent: writing will tell
  if (present === text) return false
  await mkdir(directory, { recursive: true })
  const temporary = join(directory, `.${CONFLIST_FILE}.${process.pid}.new`)
  try {
    await writeFile(temporary, text, { mode: 0o644 })
    await rename(temporary, path)
  } catch (cause) {
    await unlink(temporary).catch(() => {}) // it may never have been made
    throw cause
  }
  return true
}

/**
 * Which of the standard plugins are in the first of `binDirs` that has them, and the newest version that they and we speak: a plugin of
 * the list that is missing, or too old for the list's version, would fail every pod. One that does not run or answer is left out.
 */
export async function findChained(binDirs: readonly string[]): Promise<Required<Pick<ConflistOptions, 'cniVersion' | 'chained'>>> {
  const found = await Promise.all(CHAINED.map(async ({ type }) => ({ type, versions: await versionsOf(type, binDirs) })))
  const usable = found.filter(({ versions }) => versions.length > 0)
  const cniVersion = SUPPORTED_VERSIONS.findLast((version) => usable.every(({ versions }) => versions.includes(version)))
  return { cniVersion: cniVersion ?? LATEST_VERSION, chained: cniVersion === undefined ? [] : usable.map(({ type }) => type) }
}

/** Versions that the plugin claims and we speak; empty: there is no such plugin. */
async function versionsOf(type: string, binDirs: readonly string[]): Promise<readonly CniVersion[]> {
  const env = { CNI_COMMAND: 'VERSION' }
  const input = JSON.stringify({ cniVersion: LATEST_VERSION })
  for (const binDir of binDirs) {
    try {
      const answer: unknown = JSON.parse((await exec(join(binDir, type), [], { env, input, timeoutMs: 5000 })).stdout)
      const claimed: readonly unknown[] = isObject(answer) && Array.isArray(answer['supportedVersions']) ? answer['supportedVersions'] : []
      return claimed.flatMap((each) => (typeof each === 'string' ? (parseVersion(each) ?? []) : []))
    } catch {} // not in this folder, or not a plugin: the next may have it
  }
  return []
}
