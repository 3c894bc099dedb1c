// The manifests that people write: every *.yaml, *.yml and *.json directly in the folder. Reads what changed, leaves alone what
// an editor may still be writing, and keeps the last good state of what is wrong.
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import type { Resource } from '../kinds/registry.ts'
import { MAX_MANIFEST_BYTES, parseManifests } from '../manifest.ts'
import { fileProblem, type StoreProblem } from '../problem.ts'
import { assertFolder, type FileSignature, listNames, messageOf, NO_SIGNATURE, readText, sameSignature, signatureOf } from './files.ts'
import { type Claim, mergeUserFiles, type UserFile, type UserObject } from './merge.ts'

type KnownFile = { readonly signature: FileSignature; readonly wasYoung: boolean; readonly text: string | null; readonly content: UserFile }

/** A file touched less than this ago may still be in the middle of being written. */
export const SETTLE_MS = 100
/** ... but one that never comes to rest is read anyway. */
const LONGEST_UNSETTLED_MS = 2000
/** Two changes within this leave no trace in a file's times on some kernels, so a file read so soon is read again. */
const RACY_MS = 1000

export class UserFolder {
  readonly #path: string
  readonly #wallMs: () => number
  readonly #patienceMs: number
  #files = new Map<string, KnownFile>()
  readonly #unsettledSinceMs = new Map<string, number>()
  #objects: ReadonlyMap<string, UserObject> = new Map()
  #claims: ReadonlyMap<string, Claim> = new Map()
  #problems: readonly StoreProblem[] = []

  /** A file that has not come to rest for `patienceMs` is read all the same. */
  constructor(path: string, wallMs: () => number, patienceMs: number = LONGEST_UNSETTLED_MS) {
    this.#path = path
    this.#wallMs = wallMs
    this.#patienceMs = patienceMs
  }

  /** By `formatIdentity`. */
  get objects(): ReadonlyMap<string, UserObject> {
    return this.#objects
  }

  get claims(): ReadonlyMap<string, Claim> {
    return this.#claims
  }

  get problems(): readonly StoreProblem[] {
    return this.#problems
  }

  get names(): ReadonlySet<string> {
    return new Set(this.#files.keys())
  }

  /** The text of a file as last read, or null if it could not be read. */
  textOf(file: string): string | null {
    return this.#files.get(file)?.text ?? null
  }

  pathOf(file: string): string {
    return join(this.#path, file)
  }

  /**
   * Reads what has changed. With `onlySettled`, a file touched a moment ago keeps its known content; the result says whether one
   * was passed over so, and another scan is due. Throws StoreError UNAVAILABLE, and all stays as it was known, if there is no such folder,
   * or no longer.
   */
  async scan(onlySettled: boolean): Promise<{ readonly again: boolean }> {
    const names = new Set([...(await listNames(this.#path)).filter(isManifestName), ...this.#files.keys()])
    const files = new Map<string, KnownFile>()
    let again = false
    for (const name of names) {
      const known = this.#files.get(name)
      const seen = await this.#look(name, known, onlySettled)
      again ||= seen.unsettled
      if (seen.file !== undefined) files.set(name, seen.file)
    }
    const isSame = files.size === this.#files.size && [...files].every(([name, file]) => this.#files.get(name)?.content === file.content)
    await assertFolder(this.#path) // last: it may have gone in the middle of this
    this.#files = files
    if (!isSame) this.#merge()
    return { again }
  }

  #merge(): void {
    const contents = new Map([...this.#files].map(([name, { content }]) => [name, content]))
    const merged = mergeUserFiles(contents, this.#objects)
    this.#objects = merged.objects
    this.#claims = merged.claims
    this.#problems = merged.problems
  }

  async #look(
    name: string,
    known: KnownFile | undefined,
    onlySettled: boolean,
  ): Promise<{ readonly file: KnownFile | undefined; readonly unsettled: boolean }> {
    try {
      const signature = await signatureOf(this.pathOf(name))
      if (signature === null) return onlySettled && known !== undefined ? this.#missed(name, known) : this.#absent(name)
      if (known !== undefined && !known.wasYoung && sameSignature(signature, known.signature)) return this.#same(name, known)
      if (onlySettled && this.#isUnsettled(name, signature, known)) return { file: known, unsettled: true }
      this.#unsettledSinceMs.delete(name)
      const read = await readText(this.pathOf(name), MAX_MANIFEST_BYTES)
      if (read === null) return this.#absent(name)
      const wasYoung = this.#ageMs(read.signature) < RACY_MS
      const content: UserFile = known?.text === read.text ? known.content : { readable: true, text: parseManifests(read.text, name) }
      return { file: { signature: read.signature, wasYoung, text: read.text, content }, unsettled: false }
    } catch (cause) {
      const problem = fileProblem({ file: name }, null, `cannot be read: ${messageOf(cause)}`)
      const content: UserFile =
        known !== undefined && !known.content.readable && known.content.problem.message === problem.message
          ? known.content
          : { readable: false, problem }
      return { file: { signature: NO_SIGNATURE, wasYoung: true, text: null, content }, unsettled: false }
    }
  }

  #same(name: string, known: KnownFile): { readonly file: KnownFile; readonly unsettled: false } {
    this.#unsettledSinceMs.delete(name) // it may have been missed: a folder that is moved away and back touches no file
    return { file: known, unsettled: false }
  }

  #absent(name: string): { readonly file: undefined; readonly unsettled: false } {
    this.#unsettledSinceMs.delete(name)
    return { file: undefined, unsettled: false }
  }

  /** An editor that saves by renaming takes the old file away before it puts the new one there. */
  #missed(name: string, known: KnownFile): { readonly file: KnownFile | undefined; readonly unsettled: boolean } {
    const nowMs = this.#wallMs()
    const sinceMs = this.#unsettledSinceMs.get(name) ?? nowMs
    this.#unsettledSinceMs.set(name, sinceMs)
    return nowMs - sinceMs < SETTLE_MS ? { file: known, unsettled: true } : this.#absent(name)
  }

  #isUnsettled(name: string, signature: FileSignature, known: KnownFile | undefined): boolean {
    if (known !== undefined && sameSignature(signature, known.signature)) return false // read before; young is not changed
    if (Math.abs(this.#ageMs(signature)) >= SETTLE_MS) return false // far in the future: the clock was set back
    const nowMs = this.#wallMs()
    const sinceMs = this.#unsettledSinceMs.get(name) ?? nowMs
    this.#unsettledSinceMs.set(name, sinceMs)
    return nowMs - sinceMs < this.#patienceMs
  }

  #ageMs({ changedMs }: FileSignature): number {
    return this.#wallMs() - changedMs
  }
}

/** Hidden files are editors' own. */
function isManifestName(name: string): boolean {
  return /\.(ya?ml|json)$/.test(name) && !name.startsWith('.')
}

/** A version for an object that has none of its own: the same content has the same version. */
export function contentVersion(object: Resource): string {
  const { resourceVersion: _, ...metadata } = object.metadata
  return createHash('sha256')
    .update(canonicalJson({ ...object, metadata }))
    .digest('hex')
    .slice(0, 16)
}

function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)))
      : inner,
  )
}
