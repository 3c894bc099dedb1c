// What an object in a folder is for everybody else: the manifest as people wrote it, with the status that machines wrote, and a version
// that changes with either.
import { withConditions } from '../conditions.ts'
import type { KindName, Resource } from '../kinds/registry.ts'
import { deepFreeze } from '../memory.ts'
import { parseResource } from '../validate.ts'
import { hasOwnStatus, statusOf, withStatus } from '../write-rules.ts'
import { isStateKind } from './state-files.ts'
import type { StateFolder } from './state-folder.ts'
import { contentVersion, type UserFolder } from './user-folder.ts'

export class VisibleObjects {
  readonly #user: UserFolder
  readonly #state: StateFolder
  readonly #versions = new WeakMap<Resource, string>()

  constructor(user: UserFolder, state: StateFolder) {
    this.#user = user
    this.#state = state
  }

  /** As the folders were last read. `id` is that of `formatIdentity`; null: there is none. */
  get(id: string, kind: KindName): Resource | null {
    if (isStateKind(kind)) return this.#state.objects.get(id) ?? null
    const object = this.#user.objects.get(id)?.object
    if (object === undefined) return null
    const part = this.#state.parts.get(id)
    const status = part?.status ?? (hasOwnStatus(kind) ? undefined : statusOf(object))
    const resourceVersion = `${this.#contentVersion(object)}${part === undefined ? '' : `.${part.version}`}`
    const metadata = { ...object.metadata, resourceVersion }
    const whole = withStatus({ ...object, metadata } as Resource, withConditions(status, part?.applied ?? {})) // only metadata differs
    if (part === undefined || Object.keys(part.applied).length === 0) return deepFreeze(whole)
    const parsed = parseResource(whole) // conditions are pruned to what their kind reads of them
    return deepFreeze(parsed.ok ? parsed.value : whole)
  }

  #contentVersion(object: Resource): string {
    const known = this.#versions.get(object) ?? contentVersion(object)
    this.#versions.set(object, known)
    return known
  }
}
