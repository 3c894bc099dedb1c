// The machine-written side of a folder: what is in `state/`, as last read.
import { join } from 'node:path'
import { identityOf, toIdentity } from '../identity.ts'
import type { KindName, Resource } from '../kinds/registry.ts'
import { MAX_MANIFEST_BYTES } from '../manifest.ts'
import { deepFreeze } from '../memory.ts'
import { type ObjectKey, StoreError } from '../port.ts'
import { fileProblem, formatIdentity, type StoreProblem } from '../problem.ts'
import type { Identity } from '../validate.ts'
import {
  assertFolder,
  type FileSignature,
  listNames,
  messageOf,
  NO_SIGNATURE,
  readText,
  removeFile,
  sameSignature,
  signatureOf,
  writeAtomically,
} from './files.ts'
import {
  formatObject,
  formatStatus,
  isStateFileName,
  parseStateFile,
  STATE_FOLDER,
  type StateFile,
  type StatusPart,
  stateFileName,
} from './state-files.ts'

type ReadFile = {
  readonly signature: FileSignature
  /** What `content` was made of; null: it could not be read. */
  readonly text: string | null
  readonly wasYoung: boolean
  readonly content: StateFile
}
type KnownFile = ReadFile & { readonly lastGood: StateFile | null }

const RACY_MS = 1000

export class StateFolder {
  readonly path: string
  readonly #folder: string
  readonly #wallMs: () => number
  readonly #files = new Map<string, KnownFile>()
  readonly #objects = new Map<string, Resource>()
  readonly #parts = new Map<string, StatusPart>()

  constructor(folder: string, wallMs: () => number) {
    this.#folder = folder
    this.path = join(folder, STATE_FOLDER)
    this.#wallMs = wallMs
  }

  /** By `formatIdentity`. */
  get objects(): ReadonlyMap<string, Resource> {
    return this.#objects
  }

  get parts(): ReadonlyMap<string, StatusPart> {
    return this.#parts
  }

  get problems(): readonly StoreProblem[] {
    return [...this.#files.values()].flatMap(({ content }) => (content.type === 'faulty' ? [content.problem] : []))
  }

  /** Reads every file whose times have changed; returns what it touched. Throws as `read` does. */
  async scan(): Promise<readonly Identity[]> {
    const names = new Set([...(await listNames(this.path)).filter(isStateFileName), ...this.#files.keys()])
    const found: (readonly [string, ReadFile | null])[] = []
    for (const name of names) {
      const known = this.#files.get(name)
      const signature = await signatureOf(join(this.path, name))
      if (known === undefined || known.wasYoung || !sameSignature(signature, known.signature))
        found.push([name, await this.#readFile(name)])
    }
    return this.#take(found)
  }

  /**
   * Reads one file, whatever its times say. Throws StoreError UNAVAILABLE, and all stays as it was known, if it is not there because the
   * whole folder is not.
   */
  async read(name: string): Promise<readonly Identity[]> {
    return this.#take([[name, await this.#readFile(name)]])
  }

  /** Reads the one file of an object or its status, and throws UNAVAILABLE if it is not to be trusted. */
  async readFor(kind: KindName, key: ObjectKey): Promise<readonly Identity[]> {
    const name = stateFileName(kind, key)
    const touched = await this.read(name)
    const content = this.#files.get(name)?.content
    if (content?.type === 'faulty') throw new StoreError('UNAVAILABLE', content.problem.message)
    return touched
  }

  async writeObject(object: Resource): Promise<void> {
    await this.#write(stateFileName(object.kind, object.metadata), formatObject(object))
  }

  async writeStatus(part: StatusPart): Promise<void> {
    const { kind, namespace, name } = part.identity
    await this.#write(stateFileName(kind, namespace === null ? { name } : { name, namespace }), formatStatus(part))
  }

  async remove(kind: KindName, key: ObjectKey): Promise<readonly Identity[]> {
    const name = stateFileName(kind, key)
    await removeFile(join(this.path, name))
    await this.read(name)
    return [toIdentity(kind, key)]
  }

  async #write(name: string, text: string): Promise<void> {
    await writeAtomically(join(this.path, name), text, 0o644)
    await this.read(name)
  }

  async #take(found: readonly (readonly [string, ReadFile | null])[]): Promise<readonly Identity[]> {
    if (found.some(([name, read]) => read === null && this.#files.has(name))) await assertFolder(this.#folder)
    return found.flatMap(([name, read]) => this.#replace(name, read))
  }

  #replace(name: string, read: ReadFile | null): readonly Identity[] {
    const before = this.#files.get(name)?.lastGood ?? null
    const after = read === null ? null : read.content.type === 'faulty' ? before : read.content
    if (read === null) this.#files.delete(name)
    else this.#files.set(name, { ...read, lastGood: after })
    if (before !== null) this.#forget(before)
    if (after !== null) this.#learn(after)
    return [before, after]
      .flatMap((file) => (file === null ? [] : [identityOfFile(file)]))
      .flatMap((identity) => (identity === null ? [] : [identity]))
  }

  async #readFile(name: string): Promise<ReadFile | null> {
    try {
      const read = await readText(join(this.path, name), MAX_MANIFEST_BYTES)
      if (read === null) return null
      const { text, signature } = read
      const known = this.#files.get(name)
      return {
        signature,
        wasYoung: this.#wallMs() - signature.changedMs < RACY_MS,
        text,
        content: known?.text === text ? known.content : deepFreeze(parseStateFile(name, text)), // our writes come back as events
      }
    } catch (cause) {
      const problem = fileProblem({ file: `${STATE_FOLDER}/${name}` }, null, `cannot be read: ${messageOf(cause)}`)
      return { signature: NO_SIGNATURE, wasYoung: true, text: null, content: { type: 'faulty', problem } }
    }
  }

  #forget(file: StateFile): void {
    if (file.type === 'object') this.#objects.delete(formatIdentity(identityOf(file.object)))
    else if (file.type === 'status') this.#parts.delete(formatIdentity(file.part.identity))
  }

  #learn(file: StateFile): void {
    if (file.type === 'object') this.#objects.set(formatIdentity(identityOf(file.object)), file.object)
    else if (file.type === 'status') this.#parts.set(formatIdentity(file.part.identity), file.part)
  }
}

function identityOfFile(file: StateFile): Identity | null {
  return file.type === 'object' ? identityOf(file.object) : file.type === 'status' ? file.part.identity : null
}
