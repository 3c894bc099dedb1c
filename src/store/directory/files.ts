// Files read whole and written atomically: a reader sees the old text or the new, also after a power cut.
import { randomBytes } from 'node:crypto'
import { type FileHandle, open, readdir, realpath, rename, stat, unlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { StoreError } from '../port.ts'

const TEMPORARY = /^\.fibula-[0-9a-f]+\.tmp$/

/** What tells one state of a file from another without reading it. */
export type FileSignature = { readonly inode: number; readonly sizeBytes: number; readonly modifiedMs: number; readonly changedMs: number }

/** Of a file that could not be read: no file has it. */
export const NO_SIGNATURE: FileSignature = { inode: 0, sizeBytes: 0, modifiedMs: 0, changedMs: 0 }

export type FileText = { readonly text: string; readonly signature: FileSignature }

/** Names in a directory; empty if there is no such directory. */
export async function listNames(directory: string): Promise<readonly string[]> {
  try {
    return (await readdir(directory)).sort()
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return []
    throw new StoreError('UNAVAILABLE', `cannot read the folder ${directory}: ${messageOf(cause)}`, { cause })
  }
}

/** Throws StoreError UNAVAILABLE if there is no such folder. */
export async function assertFolder(path: string): Promise<void> {
  const found = await stat(path).catch((cause: unknown) => {
    if (codeOf(cause) === 'ENOENT') return null
    throw new StoreError('UNAVAILABLE', `cannot look at ${path}: ${messageOf(cause)}`, { cause })
  })
  if (found === null) throw missingFolder(path)
  if (!found.isDirectory()) throw new StoreError('UNAVAILABLE', `${path} is not a folder; name the folder the manifests are in`)
}

export function missingFolder(path: string): StoreError {
  return new StoreError('UNAVAILABLE', `there is no folder ${path}; make it, or name another with --store dir:PATH`)
}

/** The signature of a regular file, or null if there is none. */
export async function signatureOf(path: string): Promise<FileSignature | null> {
  try {
    const found = await stat(path)
    if (!found.isFile()) return null
    return { inode: found.ino, sizeBytes: found.size, modifiedMs: found.mtimeMs, changedMs: found.ctimeMs }
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return null
    throw cause
  }
}

export function sameSignature(a: FileSignature | null, b: FileSignature | null): boolean {
  if (a === null || b === null) return a === b
  return a.inode === b.inode && a.sizeBytes === b.sizeBytes && a.modifiedMs === b.modifiedMs && a.changedMs === b.changedMs
}

/** The text of a regular file as of one moment; null if there is none. Throws what the system says, or TypeError if not UTF-8. */
export async function readText(path: string, limitBytes: number): Promise<FileText | null> {
  let file: FileHandle
  try {
    file = await open(path, 'r')
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return null
    throw cause
  }
  try {
    const found = await file.stat()
    if (!found.isFile()) return null
    if (found.size > limitBytes) throw new RangeError(`larger than ${limitBytes} octets`)
    const text = new TextDecoder('utf-8', { fatal: true }).decode(await file.readFile())
    return { text, signature: { inode: found.ino, sizeBytes: found.size, modifiedMs: found.mtimeMs, changedMs: found.ctimeMs } }
  } finally {
    await file.close()
  }
}

/** Replaces (or creates) a file through a temporary one; a symbolic link stays and what it points to is replaced. */
export async function writeAtomically(path: string, text: string, mode: number): Promise<void> {
  const target = await realpath(path).catch(() => path)
  const directory = dirname(target)
  const temporary = join(directory, `.fibula-${randomBytes(8).toString('hex')}.tmp`)
  try {
    const kept = await stat(target).catch(() => null)
    const file = await open(temporary, 'wx', kept === null ? mode : kept.mode & 0o777)
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(temporary, target)
    await syncDirectory(directory)
  } catch (cause) {
    await unlink(temporary).catch(() => {}) // it may never have been made, or be renamed already
    throw new StoreError('UNAVAILABLE', `cannot write ${basename(path)}: ${messageOf(cause)}`, { cause })
  }
}

/** Removes a file; absent already is success. */
export async function removeFile(path: string): Promise<void> {
  try {
    await unlink(path)
    await syncDirectory(dirname(path))
  } catch (cause) {
    if (codeOf(cause) !== 'ENOENT') throw new StoreError('UNAVAILABLE', `cannot remove ${basename(path)}: ${messageOf(cause)}`, { cause })
  }
}

/** Removes what writers that were killed left behind. Call it only with the lock held: then no writer is at work. */
export async function removeTemporaries(directory: string, names: readonly string[]): Promise<void> {
  for (const name of names) if (TEMPORARY.test(name)) await removeFile(join(directory, name))
}

/** The `code` of what the system threw, or null. (Not `instanceof`: the error may come from another realm.) */
export function codeOf(cause: unknown): string | null {
  return typeof cause === 'object' && cause !== null && 'code' in cause && typeof cause.code === 'string' ? cause.code : null
}

/** What was thrown, in words. */
export function messageOf(cause: unknown): string {
  return typeof cause === 'object' && cause !== null && 'message' in cause ? String(cause.message) : String(cause)
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}
