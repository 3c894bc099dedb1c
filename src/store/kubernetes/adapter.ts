// The store over the Kubernetes API: the same kinds, the same compare-and-swap, decided by the API server. Kinds of Kubernetes
// itself are read pruned, so they are changed by patches that leave alone what we do not read.
import { isDeepStrictEqual } from 'node:util'
import { type Clock, systemClock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import { conditionsOf, stamped } from '../conditions.ts'
import { compareResources } from '../identity.ts'
import { type KindName, kindInfo, type ManifestOf, type Resource, type ResourceOf } from '../kinds/registry.ts'
import {
  type Condition,
  type ConditionedKind,
  type ObjectKey,
  type Selection,
  type Store,
  StoreError,
  type Watch,
  type WatchObserver,
  type WriteOptions,
} from '../port.ts'
import type { StoreProblem } from '../problem.ts'
import { isMapping } from '../validate.ts'
import { hasOwnStatus, parseForWrite, withStatus } from '../write-rules.ts'
import { type ApiConnection, ApiError, ApiServer } from './api-server.ts'
import { Following } from './following.ts'
import { collectionPath, objectPath, selectionRequest } from './paths.ts'
import { receive } from './receive.ts'
import { storeErrorOf } from './trouble.ts'

export type KubernetesStoreOptions = {
  readonly clock?: Clock
  readonly log?: Log
  readonly random?: () => number
  /** A request without a sign of life for so long has failed. Default 30 s. */
  readonly silenceMs?: number
  /** A watch without a sign of life for so long has died unnoticed. Bookmarks come about once a minute. Default 90 s. */
  readonly idleMs?: number
}

const IDLE_MS = 90_000

/** JSON is YAML (Kubernetes API concepts, "Server-Side Apply"). */
const APPLY_PATCH = 'application/apply-patch+yaml'
const MERGE_PATCH = 'application/merge-patch+json'
const PAGE = '500'

export class KubernetesStore implements Store {
  readonly #api: ApiServer
  readonly #clock: Clock
  readonly #idleMs: number
  readonly #random: () => number
  readonly #log: Log | null
  readonly #followings = new Set<Following>()

  constructor(connect: () => Promise<ApiConnection>, options: KubernetesStoreOptions = {}) {
    const { clock = systemClock, log, random = Math.random, silenceMs, idleMs = IDLE_MS } = options
    this.#api = new ApiServer(connect, { random, ...(silenceMs === undefined ? {} : { silenceMs }) })
    this.#idleMs = idleMs
    this.#clock = clock
    this.#random = random
    this.#log = log ?? null
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const following of this.#followings) following[Symbol.dispose]()
    this.#followings.clear()
    this.#api[Symbol.dispose]()
  }

  async get<K extends KindName>(kind: K, key: ObjectKey, signal?: AbortSignal): Promise<ResourceOf<K> | null> {
    try {
      return this.#read<K>(kind, await this.#api.request({ method: 'GET', path: objectPath(kind, key) }, signal))
    } catch (error) {
      if (error instanceof ApiError && error.status === 404) return null
      throw failed(error, signal)
    }
  }

  async list<K extends KindName>(selection: Selection<K>, signal?: AbortSignal): Promise<readonly ResourceOf<K>[]> {
    const { path, query } = selectionRequest(selection)
    const objects: ResourceOf<K>[] = []
    try {
      for (let next: string | null = ''; next !== null; ) {
        const page = await this.#api.request(
          { method: 'GET', path, query: { ...query, limit: PAGE, ...(next === '' ? {} : { continue: next }) } },
          signal,
        )
        const { items, metadata } = isMapping(page) ? page : {}
        for (const raw of Array.isArray(items) ? items : []) objects.push(this.#read<K>(selection.kind, raw))
        const token = isMapping(metadata) ? metadata['continue'] : undefined
        next = typeof token === 'string' && token !== '' ? token : null
      }
    } catch (error) {
      throw failed(error, signal)
    }
    return objects.sort(compareResources)
  }

  async create<K extends KindName>(object: ManifestOf<K>, _options?: WriteOptions, signal?: AbortSignal): Promise<ResourceOf<K>> {
    const wanted = parseForWrite(object)
    const { resourceVersion: _version, uid: _uid, ...metadata } = wanted.metadata
    const body = { ...(hasOwnStatus(wanted.kind) ? withStatus(wanted, undefined) : wanted), metadata }
    return this.#write<K>({ method: 'POST', path: collectionPath(wanted.kind, wanted.metadata.namespace), body }, wanted.kind, signal)
  }

  async update<K extends KindName>(object: ManifestOf<K>, _options?: WriteOptions, signal?: AbortSignal): Promise<ResourceOf<K>> {
    const wanted = parseForWrite(object)
    requireVersion(wanted)
    const path = objectPath(wanted.kind, wanted.metadata)
    if (hasOwnStatus(wanted.kind)) return this.#write<K>({ method: 'PUT', path, body: wanted }, wanted.kind, signal)
    const current = await this.get(wanted.kind, wanted.metadata, signal)
    if (current === null) throw new StoreError('NOT_FOUND', `there is no ${wanted.kind}/${wanted.metadata.name}`)
    const { resourceVersion } = wanted.metadata
    const body = { ...mergePatch(current, wanted), metadata: { ...mergePatch(changeable(current), changeable(wanted)), resourceVersion } }
    return this.#write<K>({ method: 'PATCH', path, body, contentType: MERGE_PATCH }, wanted.kind, signal)
  }

  async updateStatus<K extends KindName>(object: ManifestOf<K>, signal?: AbortSignal): Promise<ResourceOf<K>> {
    const wanted = parseForWrite(object)
    requireVersion(wanted)
    const path = objectPath(wanted.kind, wanted.metadata, 'status')
    if (hasOwnStatus(wanted.kind)) return this.#write<K>({ method: 'PUT', path, body: wanted }, wanted.kind, signal)
    const { resourceVersion } = wanted.metadata
    const body = { metadata: { resourceVersion }, status: 'status' in wanted ? wanted.status : {} }
    return this.#write<K>({ method: 'PATCH', path, body, contentType: MERGE_PATCH }, wanted.kind, signal)
  }

  async applyConditions<K extends ConditionedKind>(
    kind: K,
    key: ObjectKey,
    conditions: readonly Condition[],
    manager: string,
    signal?: AbortSignal,
  ): Promise<ResourceOf<K>> {
    const { apiVersion } = kindInfo(kind)
    let current: unknown
    try {
      current = await this.#api.request({ method: 'GET', path: objectPath(kind, key) }, signal)
    } catch (error) {
      throw failed(error, signal)
    }
    const before = conditionsOf(isMapping(current) ? current['status'] : undefined)
    const status = { conditions: stamped(conditions, before, this.#clock.wallMs()) }
    const body = { apiVersion, kind, metadata: key, status }
    const query = { fieldManager: manager, force: 'true' } // a condition's type has one owner: us
    return this.#write<K>({ method: 'PATCH', path: objectPath(kind, key, 'status'), query, body, contentType: APPLY_PATCH }, kind, signal)
  }

  async delete(kind: KindName, key: ObjectKey & { readonly resourceVersion?: string }, signal?: AbortSignal): Promise<void> {
    const { resourceVersion } = key
    const body = resourceVersion === undefined ? undefined : { kind: 'DeleteOptions', apiVersion: 'v1', preconditions: { resourceVersion } }
    try {
      await this.#api.request({ method: 'DELETE', path: objectPath(kind, key), body }, signal)
    } catch (error) {
      throw failed(error, signal)
    }
    for (const following of this.#followings) following.deleted(kind, key)
  }

  /** What the watches have found; without one nothing is known. */
  async problems(): Promise<readonly StoreProblem[]> {
    return [...this.#followings].flatMap(({ problems }) => problems)
  }

  watch(selections: readonly Selection[], observer: WatchObserver): Watch {
    const deps = { api: this.#api, clock: this.#clock, random: this.#random, idleMs: this.#idleMs }
    const following = new Following(deps, selections, observer, {
      failed: ({ subject, message }) => this.#log?.warn('store.watch.failed', { subject, message }),
      recovered: (subject) => this.#log?.info('store.watch.recovered', { subject }),
    })
    this.#followings.add(following)
    return {
      select: (next) => following.select(next),
      pending: () => following.pending(),
      [Symbol.dispose]: () => {
        this.#followings.delete(following)
        following[Symbol.dispose]()
      },
    }
  }

  async #write<K extends KindName>(
    request: Parameters<ApiServer['request']>[0],
    kind: KindName,
    signal?: AbortSignal,
  ): Promise<ResourceOf<K>> {
    let raw: unknown
    try {
      raw = await this.#api.request(request, signal)
    } catch (error) {
      throw failed(error, signal)
    }
    const object = this.#read<K>(kind, raw)
    for (const following of this.#followings) following.wrote(object as Resource) // a ResourceOf<K> is a Resource
    return object
  }

  #read<K extends KindName>(kind: KindName, raw: unknown): ResourceOf<K> {
    const received = receive(kind, raw)
    if (received.ok) return received.value as ResourceOf<K> // the caller's K is the kind
    const message = received.error.map((fault) => fault.message).join('; ')
    throw new StoreError('INVALID', `the API server has a ${kind} that this version cannot read: ${message}`, { faults: received.error })
  }
}

function failed(error: unknown, signal: AbortSignal | undefined): unknown {
  return signal?.aborted === true ? signal.reason : storeErrorOf(error)
}

function requireVersion({ kind, metadata }: Resource): void {
  if (metadata.resourceVersion !== undefined) return
  const message = `metadata.resourceVersion of ${kind}/${metadata.name} is missing; an update must name the version it is based on`
  throw new StoreError('INVALID', message, { faults: [{ path: ['metadata', 'resourceVersion'], message }] })
}

/** What an update may change of the metadata. */
function changeable({ metadata: { labels, annotations } }: Resource): Readonly<Record<string, unknown>> {
  return { labels, annotations }
}

/** A JSON merge patch (RFC 7396) from one value to another; neither status nor metadata, which travel apart. */
function mergePatch(from: Readonly<Record<string, unknown>>, to: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const patch: Record<string, unknown> = {}
  for (const key of new Set([...Object.keys(from), ...Object.keys(to)])) {
    if (key === 'metadata' || key === 'status' || key === 'apiVersion' || key === 'kind') continue
    const [before, after] = [from[key], to[key]]
    if (isDeepStrictEqual(before, after)) continue
    if (after === undefined) patch[key] = null
    else patch[key] = isMapping(before) && isMapping(after) ? mergePatch(before, after) : after
  }
  return patch
}
