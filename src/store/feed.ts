// The part all adapters share: the objects as this process last saw them, and the watchers that follow them.
import { isDeepStrictEqual } from 'node:util'
import { compareResources, keyOf, keyOfResource } from './identity.ts'
import { KIND_NAMES, type KindName, kindInfo, type Resource, type ResourceOf } from './kinds/registry.ts'
import type { Change, ObjectKey, Selection, Watch, WatchObserver } from './port.ts'
import type { StoreProblem } from './problem.ts'
import { SnapshotBuilder } from './snapshot.ts'

type Watcher = {
  selections: readonly Selection[]
  readonly observer: WatchObserver
  synced: boolean
  /** Problems, as it knows them. */
  told: readonly StoreProblem[]
  readonly waiting: (() => void)[]
}

/** A watcher as its adapter holds it: it gets nothing but `tellWaiting` before `begin`, which delivers all there is, then `synced`. */
export type Membership = { readonly watch: Watch; readonly begin: () => void }

export class Feed {
  readonly #objects = new SnapshotBuilder()
  readonly #watchers = new Set<Watcher>()
  #problems: readonly StoreProblem[] = []

  get<K extends KindName>(kind: K, key: ObjectKey): ResourceOf<K> | null {
    return (this.#objects.get(kind, keyOf(kind, key)) as ResourceOf<K> | undefined) ?? null // the table of `kind` holds that kind
  }

  list<K extends KindName>(selection: Selection<K>): readonly ResourceOf<K>[] {
    return this.#objects
      .all(selection.kind)
      .filter((object) => selects(selection, object))
      .sort(compareResources) as unknown as readonly ResourceOf<K>[] // the table of one kind
  }

  get problems(): readonly StoreProblem[] {
    return this.#problems
  }

  get watched(): boolean {
    return this.#watchers.size > 0
  }

  /** Takes in what changed and tells the watchers, in the order given. Objects equal to those known are not changes. */
  apply(changes: readonly Change[]): void {
    const news: { readonly change: Change; readonly before: Resource | undefined }[] = []
    for (const change of changes) {
      const before = this.#objects.get(change.object.kind, keyOfResource(change.object))
      const isNew = change.type === 'gone' ? before !== undefined : !isDeepStrictEqual(before, change.object)
      if (!isNew) continue
      this.#objects.apply([change])
      news.push({ change, before })
    }
    if (news.length === 0) return
    for (const watcher of this.#watchers) {
      if (!watcher.synced) continue
      const seen = news.flatMap(({ change, before }) => seenBy(watcher.selections, change, before))
      if (seen.length > 0) watcher.observer.changed(seen)
    }
  }

  setProblems(problems: readonly StoreProblem[]): void {
    if (isDeepStrictEqual(problems, this.#problems)) return
    this.#problems = problems
    for (const watcher of this.#watchers) if (watcher.synced) tell(watcher, problems)
  }

  /** What keeps watchers from their first listing is for those who wait for it, too. */
  tellWaiting(): void {
    for (const watcher of this.#watchers) if (!watcher.synced) tell(watcher, this.#problems)
  }

  /** Adds a watcher; `onLeave` is called when it ends. */
  join(selections: readonly Selection[], observer: WatchObserver, onLeave: () => void = () => {}): Membership {
    const watcher: Watcher = { selections, observer, synced: false, told: [], waiting: [] }
    this.#watchers.add(watcher)
    const begin = (): void => {
      if (watcher.synced || !this.#watchers.has(watcher)) return
      watcher.synced = true
      const wanted = this.#selected(watcher.selections)
      if (wanted.length > 0) observer.changed(wanted.map((object) => ({ type: 'put', object })))
      tell(watcher, this.#problems)
      observer.synced()
      for (const resolve of watcher.waiting.splice(0)) resolve()
    }
    const select = (next: readonly Selection[]): Promise<void> => {
      const before = watcher.selections
      watcher.selections = next
      if (!this.#watchers.has(watcher)) return Promise.resolve()
      if (!watcher.synced) return new Promise((resolve) => watcher.waiting.push(resolve))
      const isNew = (object: Resource): boolean => !before.some((selection) => selects(selection, object))
      const isLost = (object: Resource): boolean => !next.some((selection) => selects(selection, object))
      const gone = this.#selected(before).filter(isLost)
      const changes: readonly Change[] = [
        ...gone.map((object) => ({ type: 'gone', object }) as const),
        ...this.#selected(next)
          .filter(isNew)
          .map((object) => ({ type: 'put', object }) as const),
      ]
      if (changes.length > 0) observer.changed(changes)
      return Promise.resolve()
    }
    const leave = (): void => {
      this.#watchers.delete(watcher)
      for (const resolve of watcher.waiting.splice(0)) resolve()
      onLeave()
    }
    return { begin, watch: { select, pending: () => (watcher.synced ? [] : watcher.selections), [Symbol.dispose]: leave } }
  }

  #selected(selections: readonly Selection[]): readonly Resource[] {
    const kinds = KIND_NAMES.filter((kind) => selections.some((selection) => selection.kind === kind))
    const objects = kinds.flatMap((kind) => this.#objects.all(kind))
    return objects.filter((object) => selections.some((selection) => selects(selection, object)))
  }
}

function tell(watcher: Watcher, problems: readonly StoreProblem[]): void {
  if (isDeepStrictEqual(watcher.told, problems)) return
  watcher.told = problems
  watcher.observer.problems(problems)
}

function seenBy(selections: readonly Selection[], change: Change, before: Resource | undefined): readonly Change[] {
  const selected = (object: Resource): boolean => selections.some((selection) => selects(selection, object))
  if (change.type === 'put' && selected(change.object)) return [change]
  return before !== undefined && selected(before) ? [{ type: 'gone', object: before }] : []
}

/** True if the object is of the kind, namespace, name and node asked for, and has the labels. */
export function selects({ kind, namespace, name, labels = {}, nodeName }: Selection, object: Resource): boolean {
  const { metadata } = object
  if (kind !== object.kind || (name !== undefined && name !== metadata.name)) return false
  if (nodeName !== undefined && object.kind === 'Pod' && object.spec.nodeName !== nodeName) return false
  if (namespace !== undefined && kindInfo(kind).scope === 'Namespaced' && namespace !== metadata.namespace) return false
  return Object.entries(labels).every(([key, value]) => metadata.labels[key] === value)
}
