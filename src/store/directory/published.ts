// The files of a folder as everybody else sees them: reads them, and tells the feed what has become of each object.
import type { Feed } from '../feed.ts'
import { identityOf } from '../identity.ts'
import type { KindName, Resource } from '../kinds/registry.ts'
import type { Change, ObjectKey } from '../port.ts'
import { formatIdentity, type StoreProblem } from '../problem.ts'
import type { Identity } from '../validate.ts'
import { stateFileName, toKey } from './state-files.ts'
import type { StateFolder } from './state-folder.ts'
import type { UserFolder } from './user-folder.ts'
import { VisibleObjects } from './visible.ts'

export type PublishedParts = { readonly path: string; readonly feed: Feed; readonly user: UserFolder; readonly state: StateFolder }

export class PublishedObjects {
  readonly #parts: PublishedParts
  readonly #visible: VisibleObjects
  #folderProblem: StoreProblem | null = null

  constructor(parts: PublishedParts) {
    this.#parts = parts
    this.#visible = new VisibleObjects(parts.user, parts.state)
  }

  /** People's files. The result says whether one was left for later, as that of `UserFolder.scan`. */
  async readUser(onlySettled: boolean): Promise<{ readonly again: boolean }> {
    const { user } = this.#parts
    const before = user.objects
    const result = await user.scan(onlySettled)
    const after = user.objects
    if (before !== after) this.publish([...before.values(), ...after.values()].map(({ object }) => identityOf(object)))
    this.#publishProblems()
    return result
  }

  /** All that machines wrote. */
  async readState(): Promise<void> {
    this.publish(await this.#parts.state.scan())
  }

  /** One file of what machines wrote. */
  async readStateFile(name: string): Promise<void> {
    this.publish(await this.#parts.state.read(name))
  }

  /** What machines wrote of one object. */
  async readStateOf(kind: KindName, key: ObjectKey): Promise<void> {
    await this.readStateFile(stateFileName(kind, key))
  }

  /** As `readStateOf`, for a write: throws StoreError UNAVAILABLE if the file is not to be trusted. */
  async currentOf(kind: KindName, key: ObjectKey): Promise<Resource | null> {
    const { state, feed } = this.#parts
    this.publish(await state.readFor(kind, key))
    return feed.get(kind, key)
  }

  async remove(kind: KindName, key: ObjectKey): Promise<void> {
    this.publish(await this.#parts.state.remove(kind, key))
  }

  /** Tells the watchers how these objects are now. */
  publish(touched: readonly Identity[]): void {
    const { feed } = this.#parts
    const byId = new Map(touched.map((identity) => [formatIdentity(identity), identity]))
    const changes = [...byId].flatMap(([id, identity]): Change[] => {
      const before: Resource | null = feed.get(identity.kind, toKey(identity))
      const after = this.#visible.get(id, identity.kind)
      if (after !== null) return [{ type: 'put', object: after }]
      return before === null ? [] : [{ type: 'gone', object: before }]
    })
    feed.apply(changes.sort((a, b) => versionOf(a.object) - versionOf(b.object)))
    this.#publishProblems()
  }

  /** What is wrong with the folder itself; null: nothing. */
  setFolderProblem(message: string | null): void {
    const { path } = this.#parts
    this.#folderProblem =
      message === null ? null : { severity: 'error', subject: path, message, file: null, document: null, line: null, field: null }
    this.#publishProblems()
  }

  #publishProblems(): void {
    const { feed, user, state } = this.#parts
    feed.setProblems([...(this.#folderProblem === null ? [] : [this.#folderProblem]), ...user.problems, ...state.problems])
  }
}

/** The version of a machine-written object as a number; 0: it has none. */
export function versionOf({ metadata }: Resource): number {
  const version = Number(metadata.resourceVersion)
  return Number.isSafeInteger(version) ? version : 0
}
