// All objects of a store at one moment, by kind: what pure code derives everything else from.
import { keyOfResource } from './identity.ts'
import { KIND_NAMES, type KindName, type Resource, type ResourceOf } from './kinds/registry.ts'
import type { Change } from './port.ts'

/** Keys are `name`, or `namespace/name` for namespaced kinds. */
export type Snapshot = { readonly [K in KindName]: ReadonlyMap<string, ResourceOf<K>> }

/** Follows a stream of changes. `snapshot` shows its maps live: take what you need before the next change. */
export class SnapshotBuilder {
  readonly #kinds: { readonly [K in KindName]: Map<string, Resource> }

  constructor(objects: readonly Resource[] = []) {
    const empty = KIND_NAMES.map((kind) => [kind, new Map<string, Resource>()] as const)
    this.#kinds = Object.fromEntries(empty) as { [K in KindName]: Map<string, Resource> } // KIND_NAMES are all of KindName
    this.apply(objects.map((object) => ({ type: 'put', object })))
  }

  get snapshot(): Snapshot {
    return this.#kinds as Snapshot // `apply` files each object under its own kind
  }

  get(kind: KindName, key: string): Resource | undefined {
    return this.#kinds[kind].get(key)
  }

  all(kind: KindName): Resource[] {
    return [...this.#kinds[kind].values()]
  }

  apply(changes: readonly Change[]): void {
    for (const { type, object } of changes) {
      const table = this.#kinds[object.kind]
      if (type === 'put') table.set(keyOfResource(object), object)
      else table.delete(keyOfResource(object))
    }
  }
}
