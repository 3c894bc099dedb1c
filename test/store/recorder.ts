// An observer that remembers everything it was told, and lets a test wait for what must come.
import type { Change, Resource, Selection, Store, StoreProblem, Watch, WatchObserver } from '../../src/store/index.ts'
import { keyOfResource } from '../../src/store/index.ts'

export class Recorder implements WatchObserver {
  readonly changes: Change[] = []
  readonly problemLists: (readonly StoreProblem[])[] = []
  /** How many changes had come when `synced` was called; null before. */
  changesBeforeSync: number | null = null
  #wake: () => void = () => {}

  changed(changes: readonly Change[]): void {
    this.changes.push(...changes)
    this.#wake()
  }

  synced(): void {
    if (this.changesBeforeSync !== null) throw new Error('synced twice')
    this.changesBeforeSync = this.changes.length
    this.#wake()
  }

  problems(problems: readonly StoreProblem[]): void {
    this.problemLists.push(problems)
    this.#wake()
  }

  get lastProblems(): readonly StoreProblem[] {
    return this.problemLists.at(-1) ?? []
  }

  /** The objects as the changes leave them, by `Kind/key`. */
  state(): ReadonlyMap<string, Resource> {
    const objects = new Map<string, Resource>()
    for (const { type, object } of this.changes) {
      const key = `${object.kind}/${keyOfResource(object)}`
      if (type === 'put') objects.set(key, object)
      else objects.delete(key)
    }
    return objects
  }

  names(): readonly string[] {
    return [...this.state().keys()].sort()
  }

  /** Resolves as soon as `holds`; the test's own deadline ends a wait in vain. */
  async until(holds: (recorder: Recorder) => boolean): Promise<void> {
    while (!holds(this)) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  untilSynced(): Promise<void> {
    return this.until(({ changesBeforeSync }) => changesBeforeSync !== null)
  }
}

/** Watches until the scope ends, and has the first listing. */
export async function watching(store: Store, selections: readonly Selection[]): Promise<{ readonly recorder: Recorder } & Watch> {
  const recorder = new Recorder()
  const watch = store.watch(selections, recorder)
  await recorder.untilSynced()
  return {
    recorder,
    select: (next) => watch.select(next),
    pending: () => watch.pending(),
    [Symbol.dispose]: () => watch[Symbol.dispose](),
  }
}
