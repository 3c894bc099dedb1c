// The plugin's program in the folder where container runtimes look for plugins. A runtime may be executing it at any moment, so it is
// never written over: the new one is complete beside it before it takes its name in one step, and who runs the old one keeps it.
import { randomUUID } from 'node:crypto'
import { chmod, lstat, mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { CONFLIST_FILE } from './conflist.ts'

/** The name by which the configuration calls the plugin (`type` in the CNI specification, section 1). */
export const PLUGIN_FILE = 'fibula'
const MODE = 0o755
/** What an installation that was killed leaves behind. */
const UNFINISHED_PLUGIN = /^\.fibula\.[0-9a-f-]+\.new$/
const UNFINISHED_CONFLIST = /^\.10-fibula\.conflist\.\d+\.new$/

/**
 * Copies the program `source` into `directory`, which is made if missing; resolves to false if it is there already, octet for octet
 * and executable. Rejects with what the system says.
 */
export async function installPlugin(source: string, directory: string): Promise<boolean> {
  const program = await readFile(source)
  await mkdir(directory, { recursive: true })
  await removeMatching(directory, UNFINISHED_PLUGIN)
  const path = join(directory, PLUGIN_FILE)
  if (await isInstalled(path, program)) return false
  const temporary = join(directory, `.${PLUGIN_FILE}.${randomUUID()}.new`)
  try {
    const file = await open(temporary, 'wx', MODE)
    try {
      await file.writeFile(program)
      await file.sync() // a power cut leaves the old one or the new one, not an empty one
    } finally {
      await file.close()
    }
    await chmod(temporary, MODE) // whatever the umask
    await rename(temporary, path)
  } catch (cause) {
    await rm(temporary, { force: true })
    throw cause
  }
  return true
}

/** Removes the program; resolves to false if there was none. */
export async function removePlugin(directory: string): Promise<boolean> {
  return (await removeMatching(directory, UNFINISHED_PLUGIN)) + Number(await removeFile(join(directory, PLUGIN_FILE))) > 0
}

/** Removes the network configuration that `writeConflist` wrote; resolves to false if there was none. */
export async function removeConflist(directory: string): Promise<boolean> {
  return (await removeMatching(directory, UNFINISHED_CONFLIST)) + Number(await removeFile(join(directory, CONFLIST_FILE))) > 0
}

async function isInstalled(path: string, program: Buffer): Promise<boolean> {
  try {
    const { mode, size } = await lstat(path)
    const isProgram = (mode & 0o170_000) === 0o100_000 && (mode & 0o7777) === MODE
    return isProgram && size === program.length && program.equals(await readFile(path))
  } catch {
    return false // unreadable is as good as absent: writing will tell
  }
}

async function removeFile(path: string): Promise<boolean> {
  try {
    await rm(path)
    return true
  } catch (cause) {
    if (isMissing(cause)) return false
    throw cause
  }
}

async function removeMatching(directory: string, pattern: RegExp): Promise<number> {
  const names = await readdir(directory).catch((cause: unknown) => {
    if (isMissing(cause)) return []
    throw cause
  })
  const unfinished = names.filter((name) => pattern.test(name))
  for (const name of unfinished) await rm(join(directory, name), { force: true })
  return unfinished.length
}

function isMissing(cause: unknown): boolean {
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? cause.code : undefined
  return code === 'ENOENT' || code === 'ENOTDIR'
}
