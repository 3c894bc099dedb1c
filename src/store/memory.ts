// A store in memory: for tests and for programs that need no other. It can be told to fail, and to change behind everybody's
// back, as real ones do.
import { randomUUID } from 'node:crypto'
import { type Clock, systemClock } from '../lib/clock.ts'
import {
  type AppliedConditions,
  conditionsOf,
  sameConditions,
  stamped,
  stillApplied,
  withConditions,
  withoutConditions,
} from './conditions.ts'
import { Feed } from './feed.ts'
import { keyOfResource } from './identity.ts'
import type { KindName, ManifestOf, Resource, ResourceOf } from './kinds/registry.ts'
import type { Condition, ConditionedKind, ObjectKey, Selection, Store, StoreError, Watch, WatchObserver, WriteOptions } from './port.ts'
import type { StoreProblem } from './problem.ts'
import {
  alreadyExists,
  checkVersion,
  created,
  parseForWrite,
  required,
  statusOf,
  updated,
  updatedStatus,
  withStatus,
} from './write-rules.ts'

export class MemoryStore implements Store {
  readonly #clock: Clock
  readonly #feed = new Feed()
  readonly #applied = new Map<string, AppliedConditions>()
  #version = 0
  #failure: StoreError | null = null

  constructor(options: { readonly clock?: Clock } = {}) {
    this.#clock = options.clock ?? systemClock
  }

  /** The next operation fails with this error. */
  failNext(error: StoreError): void {
    this.#failure = error
  }

  /** Shows this list of problems to watchers. */
  setProblems(problems: readonly StoreProblem[]): void {
    this.#feed.setProblems(problems)
  }

  async get<K extends KindName>(kind: K, key: ObjectKey, signal?: AbortSignal): Promise<ResourceOf<K> | null> {
    this.#begin(signal)
    return this.#feed.get(kind, key)
  }

  async list<K extends KindName>(selection: Selection<K>, signal?: AbortSignal): Promise<readonly ResourceOf<K>[]> {
    this.#begin(signal)
    return this.#feed.list(selection)
  }

  async create<K extends KindName>(object: ManifestOf<K>, _options?: WriteOptions, signal?: AbortSignal): Promise<ResourceOf<K>> {
    this.#begin(signal)
    const parsed = parseForWrite(object)
    if (this.#feed.get(parsed.kind, parsed.metadata) !== null) throw alreadyExists(parsed)
    const now = new Date(this.#clock.wallMs()).toISOString()
    return this.#put<K>(created(parsed, { resourceVersion: this.#nextVersion(), uid: randomUUID(), now }))
  }

  async update<K extends KindName>(object: ManifestOf<K>, _options?: WriteOptions, signal?: AbortSignal): Promise<ResourceOf<K>> {
    this.#begin(signal)
    return this.#replace<K>(object, updated)
  }

  async updateStatus<K extends KindName>(object: ManifestOf<K>, signal?: AbortSignal): Promise<ResourceOf<K>> {
    this.#begin(signal)
    const written = this.#replace<K>(object, updatedStatus)
    const id = appliedId(written as Resource) // a ResourceOf<K> is a Resource
    this.#applied.set(id, stillApplied(this.#applied.get(id) ?? {}, statusOf(written as Resource)))
    return written
  }

  async applyConditions<K extends ConditionedKind>(
    kind: K,
    key: ObjectKey,
    conditions: readonly Condition[],
    manager: string,
    signal?: AbortSignal,
  ): Promise<ResourceOf<K>> {
    this.#begin(signal)
    const current = required(this.#feed.get(kind, key), kind, key)
    const id = appliedId(current)
    const applied = this.#applied.get(id) ?? {}
    const before = applied[manager] ?? []
    const status = statusOf(current)
    const next = stamped(conditions, [...before, ...conditionsOf(status)], this.#clock.wallMs())
    if (sameConditions(before, next)) return current as ResourceOf<K> // the caller's K is `kind`
    const wanted = parseForWrite(withStatus(current, withConditions(withoutConditions(status, before), { [manager]: next })))
    this.#applied.set(id, { ...applied, [manager]: next })
    const merged = updatedStatus(current, wanted, String(this.#version + 1))
    if (merged === null) return current as ResourceOf<K>
    this.#nextVersion()
    return this.#put<K>(merged)
  }

  async delete(kind: KindName, key: ObjectKey & { readonly resourceVersion?: string }, signal?: AbortSignal): Promise<void> {
    this.#begin(signal)
    const current = required(this.#feed.get(kind, key), kind, key)
    if (key.resourceVersion !== undefined) checkVersion(current, key.resourceVersion)
    this.#applied.delete(appliedId(current))
    this.#feed.apply([{ type: 'gone', object: current }])
  }

  async problems(signal?: AbortSignal): Promise<readonly StoreProblem[]> {
    this.#begin(signal)
    return this.#feed.problems
  }

  watch(selections: readonly Selection[], observer: WatchObserver): Watch {
    const { begin, watch } = this.#feed.join(selections, observer)
    queueMicrotask(begin) // never before the caller has its handle
    return watch
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  #begin(signal: AbortSignal | undefined): void {
    signal?.throwIfAborted()
    const failure = this.#failure
    this.#failure = null
    if (failure !== null) throw failure
  }

  #replace<K extends KindName>(
    object: unknown,
    merge: (current: Resource, next: Resource, version: string) => Resource | null,
  ): ResourceOf<K> {
    const next = parseForWrite(object)
    const current = required(this.#feed.get(next.kind, next.metadata), next.kind, next.metadata)
    checkVersion(current, next.metadata.resourceVersion)
    const merged = merge(current, next, String(this.#version + 1))
    if (merged === null) return current as ResourceOf<K> // the caller's K is the object's kind
    this.#nextVersion()
    return this.#put<K>(merged)
  }

  #put<K extends KindName>(object: Resource): ResourceOf<K> {
    const frozen = deepFreeze(object)
    this.#feed.apply([{ type: 'put', object: frozen }])
    return frozen as ResourceOf<K> // the caller's K is the object's kind
  }

  #nextVersion(): string {
    this.#version++
    return String(this.#version)
  }
}

/** An object made anew under its old name is another. */
function appliedId(object: Resource): string {
  return `${object.kind} ${keyOfResource(object)} ${object.metadata.uid}`
}

/** Freezes a value through and through, so that a reader cannot change what others share. */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  Object.freeze(value)
  for (const inner of Object.values(value)) deepFreeze(inner)
  return value
}
