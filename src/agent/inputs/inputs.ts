// What the agent goes by: the objects of the store, followed; and while the store has not been heard since the start, those last known
// (decision 18). One switches to the other at once and as a whole, when everything has been listed.
import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import {
  type Change,
  type Resource,
  type Selection,
  type Snapshot,
  SnapshotBuilder,
  type Store,
  type StoreProblem,
} from '../../store/index.ts'
import { isDerivedFrom, type WantedSecret } from '../derive/index.ts'
import type { CachedInputs, InputCache } from './cache.ts'
import { contentOf } from './content.ts'
import { NamedSecrets } from './secrets.ts'

export type InputsDeps = {
  readonly node: string
  readonly store: Pick<Store, 'watch'>
  readonly selections: readonly Selection[]
  readonly clock: Clock
  readonly log: Log
  readonly cache: Pick<InputCache, 'read' | 'changed'>
  /** What is derived from the objects may be another now. */
  readonly changed: () => void
  /** What the store says, as it comes; `told` has it by then. */
  readonly heard: (changes: readonly Change[]) => void
  /** Everything has been listed; from now on `known` is of the store. */
  readonly listed: () => void
  readonly problems: (problems: readonly StoreProblem[]) => void
}

export type KnownObjects =
  | { readonly source: 'store'; readonly snapshot: Snapshot }
  /** `writtenAt`: ISO 8601. */
  | { readonly source: 'cache'; readonly snapshot: Snapshot; readonly writtenAt: string }

/** The store said that it cannot be heard: no longer than this is waited. */
const AFTER_TROUBLE_MS = 2_000
/** The store says nothing at all: a large one may take its time, one that is frozen never ends. */
const AFTER_SILENCE_MS = 10_000

export class Inputs implements Disposable {
  readonly #deps: InputsDeps
  readonly #objects = new SnapshotBuilder()
  readonly #watch: Disposable
  readonly #secrets: NamedSecrets
  #silence: Disposable | null
  #trouble: Disposable | null = null
  #known: KnownObjects | null = null
  /** Secrets of the cache that the store has not told of yet, by key. */
  readonly #carried = new Map<string, Resource>()
  #cached: CachedInputs | null | undefined = undefined

  constructor(deps: InputsDeps) {
    const { store, clock, selections } = deps
    this.#deps = deps
    this.#secrets = new NamedSecrets({
      store,
      clock,
      changed: (changes) => this.#apply(changes),
      settled: deps.changed,
      absent: (key) => this.#forgetCarried(key),
    })
    this.#silence = clock.after(AFTER_SILENCE_MS, () => this.#fallBack())
    this.#watch = store.watch(selections, {
      changed: (changes) => {
        this.#apply(changes)
        deps.heard(changes)
      },
      synced: () => this.#synced(),
      problems: (problems) => {
        deps.problems(problems)
        if (problems.length > 0 && this.#known === null) this.#trouble ??= clock.after(AFTER_TROUBLE_MS, () => this.#fallBack())
      },
    })
  }

  /** null: nothing yet, neither from the store nor from before. */
  get known(): KnownObjects | null {
    return this.#known
  }

  /** What the store has told so far, live. */
  get told(): Snapshot {
    return this.#objects.snapshot
  }

  /** Why Secrets cannot be read, in words, by key. That the store is away is no matter of a Secret that is known. */
  get secretFaults(): ReadonlyMap<string, string> {
    const known = this.#known?.snapshot.Secret
    const faults = [...this.#secrets.faults].flatMap(([key, { message, isOfStore }]) =>
      isOfStore && known?.has(key) === true ? [] : [[key, message] as const],
    )
    return new Map(faults)
  }

  /**
   * The Secrets that are needed. False: what the store has of them is not known yet but will be in seconds, and `changed` is called then;
   * to act on less would end sessions that only wait for their password.
   */
  want(secrets: readonly WantedSecret[]): boolean {
    const isSettled = this.#secrets.want(secrets)
    const wanted = new Set(secrets.map(({ namespace, name }) => `${namespace}/${name}`))
    for (const key of this.#carried.keys()) if (!wanted.has(key)) this.#forgetCarried(key)
    if (this.#known?.source === 'cache') return true
    return isSettled && !this.#carryOver([...wanted])
  }

  /** What is known is being acted on: it is what a start without the store goes by. */
  actedOn(secrets: readonly WantedSecret[]): void {
    const { cache, node } = this.#deps
    if (this.#known?.source === 'store') cache.changed(() => contentOf(this.told, node, secrets))
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]()
    this.#secrets[Symbol.dispose]()
    this.#silence?.[Symbol.dispose]()
    this.#trouble?.[Symbol.dispose]()
  }

  #apply(changes: readonly Change[]): void {
    const isRelevant = changes.some((change) => isDerivedFrom(this.told, change))
    this.#objects.apply(changes)
    for (const { object } of changes) {
      if (object.kind === 'Secret') this.#carried.delete(keyOf(object))
    }
    if (isRelevant && this.#known?.source === 'store') this.#deps.changed()
  }

  #synced(): void {
    this.#silence?.[Symbol.dispose]()
    this.#trouble?.[Symbol.dispose]()
    const inUse = this.#known?.snapshot.Secret.keys() ?? []
    this.#known = { source: 'store', snapshot: this.told }
    this.#carryOver([...inUse])
    if (this.#cached !== undefined) this.#read()
    this.#deps.listed()
    this.#deps.changed()
  }

  /** Secrets that the store cannot be asked about keep the sessions that they are for. True if there was any: a turn follows. */
  #carryOver(keys: readonly string[]): boolean {
    const unheard = new Set(keys.filter((key) => !this.told.Secret.has(key) && !this.#secrets.isListed(key)))
    if (unheard.size === 0) return false
    const found = (this.#read()?.objects ?? []).filter((object) => object.kind === 'Secret' && unheard.has(keyOf(object)))
    if (found.length === 0) return false
    for (const object of found) this.#carried.set(keyOf(object), object)
    this.#objects.apply(found.map((object) => ({ type: 'put', object })))
    this.#deps.changed()
    return true
  }

  #forgetCarried(key: string): void {
    const object = this.#carried.get(key)
    if (object !== undefined) this.#apply([{ type: 'gone', object }])
  }

  #fallBack(): void {
    const cached = this.#known === null ? this.#read() : null
    if (cached === null) return
    this.#deps.log.warn('agent.inputs.cacheUsed', { writtenAt: cached.writtenAt, objects: cached.objects.length })
    const { snapshot } = new SnapshotBuilder(cached.objects)
    this.#known = { source: 'cache', snapshot, writtenAt: cached.writtenAt }
    this.#deps.changed()
  }

  /** Of the file, once: everything while the store has not been heard, and only Secrets after that. */
  #read(): CachedInputs | null {
    if (this.#cached === undefined) this.#cached = this.#deps.cache.read()
    if (this.#cached !== null && this.#known?.source === 'store')
      this.#cached = { ...this.#cached, objects: this.#cached.objects.filter(({ kind }) => kind === 'Secret') }
    return this.#cached
  }
}

function keyOf({ metadata }: Resource): string {
  return `${metadata.namespace ?? 'default'}/${metadata.name}`
}
