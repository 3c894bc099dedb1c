// The one way to objects, wherever they are kept: memory, a folder of manifests, or the Kubernetes API. Everything that leaves a
// store has been parsed. Writes are compare-and-swap: an update names the `resourceVersion` it saw and fails with CONFLICT if
// the object has changed since. Watches are level-triggered: a watcher sees every object, the versions of each in order, and its
// last state for certain; states in between may be skipped.
import type { KindName, ManifestOf, Resource, ResourceOf } from './kinds/registry.ts'
import type { StoreProblem } from './problem.ts'
import type { FieldFault } from './validate.ts'

/** `namespace` for namespaced kinds only; `default` when left out. */
export type ObjectKey = { readonly name: string; readonly namespace?: string }

/** Objects of a kind: all, or those in a namespace, of one name, with all of these labels, or on one node. */
export type Selection<K extends KindName = KindName> = {
  readonly kind: K
  readonly namespace?: string
  readonly name?: string
  readonly labels?: Readonly<Record<string, string>>
  /** Pods alone: those on this node. */
  readonly nodeName?: string
  /** An API server that does not serve the kind (its CRD is not installed) has none of it, which is no problem; it is asked again now and then. */
  readonly isOptional?: boolean
}

/** `gone` carries the object as it last was. */
export type Change = { readonly type: 'put'; readonly object: Resource } | { readonly type: 'gone'; readonly object: Resource }

export interface WatchObserver {
  changed(changes: readonly Change[]): void
  /** Once: everything that existed when the watch began has been delivered. */
  synced(): void
  /** All that is wrong with the store's source at present, whenever that changes; first before `synced` if there is anything. */
  problems(problems: readonly StoreProblem[]): void
}

/** A watch that runs; disposing of it ends it. */
export interface Watch extends Disposable {
  /**
   * From now on these selections. What none of them has any more is told as `gone`, what is new is told; what stays is neither told
   * nor asked for anew. Resolves when everything there is of all of them has been told, or the watch has ended.
   */
  select(selections: readonly Selection[]): Promise<void>
  /** Those of the selections of which not everything has been told yet: nobody is heard, or we are refused. */
  pending(): readonly Selection[]
}

/** Kinds whose status has conditions that more than one program writes. */
export type ConditionedKind = 'Node' | 'BGPPeer' | 'IPPool'

/** A condition of a status as its author knows it; the store adds `lastTransitionTime`, when its `status` last changed. */
export type Condition = {
  readonly type: string
  readonly status: 'True' | 'False' | 'Unknown'
  readonly reason: string
  readonly message: string
  readonly observedGeneration?: number
}

export type WriteOptions = {
  /** The manifest as its author wrote it; an adapter that keeps text keeps its comments and order. */
  readonly text?: string
}

export interface Store extends AsyncDisposable {
  /** null: there is none. */
  get<K extends KindName>(kind: K, key: ObjectKey, signal?: AbortSignal): Promise<ResourceOf<K> | null>
  /** In order of namespace and name. */
  list<K extends KindName>(selection: Selection<K>, signal?: AbortSignal): Promise<readonly ResourceOf<K>[]>
  /** ALREADY_EXISTS, INVALID. A status in `object` is not stored for kinds of our own group. */
  create<K extends KindName>(object: ManifestOf<K>, options?: WriteOptions, signal?: AbortSignal): Promise<ResourceOf<K>>
  /** Replaces all but the status, if `metadata.resourceVersion` is still current. NOT_FOUND, CONFLICT, INVALID. */
  update<K extends KindName>(object: ManifestOf<K>, options?: WriteOptions, signal?: AbortSignal): Promise<ResourceOf<K>>
  /** Replaces the status alone, on the same terms. */
  updateStatus<K extends KindName>(object: ManifestOf<K>, signal?: AbortSignal): Promise<ResourceOf<K>>
  /**
   * Makes these the conditions of `manager` in an object's status, by their `type`, whatever version it has: all else in the object
   * stays, whoever writes it at the same time. Conditions that `manager` applied before and leaves out now go. Applying the same
   * again changes nothing. NOT_FOUND, INVALID. (On an API server: server-side apply.)
   */
  applyConditions<K extends ConditionedKind>(
    kind: K,
    key: ObjectKey,
    conditions: readonly Condition[],
    manager: string,
    signal?: AbortSignal,
  ): Promise<ResourceOf<K>>
  /** With `resourceVersion`: only that version, else CONFLICT. NOT_FOUND if there is none. */
  delete(kind: KindName, key: ObjectKey & { readonly resourceVersion?: string }, signal?: AbortSignal): Promise<void>
  /** What is wrong with the source of the objects now, such as manifests that are not valid. */
  problems(signal?: AbortSignal): Promise<readonly StoreProblem[]>
  /** Begins with what there is, then `synced`, then changes, until disposed of. It never ends by itself. */
  watch(selections: readonly Selection[], observer: WatchObserver): Watch
}

export type StoreErrorCode = 'NOT_FOUND' | 'ALREADY_EXISTS' | 'CONFLICT' | 'INVALID' | 'UNAVAILABLE'

/** Why an operation of a store failed; decide by `code`. */
export class StoreError extends Error {
  readonly code: StoreErrorCode
  /** INVALID: what is wrong with which field. */
  readonly faults: readonly FieldFault[]
  constructor(code: StoreErrorCode, message: string, options: { readonly faults?: readonly FieldFault[]; readonly cause?: unknown } = {}) {
    super(message, { cause: options.cause })
    this.name = 'StoreError'
    this.code = code
    this.faults = options.faults ?? []
  }
}
