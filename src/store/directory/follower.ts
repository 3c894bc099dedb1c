// When to look at a folder: what inotify tells, how long people's files take to come to rest, and a timer for what nobody told.
import { mkdirSync } from 'node:fs'
import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import { FolderWatch } from './folder-watch.ts'
import { isStateFileName } from './state-files.ts'
import { SETTLE_MS } from './user-folder.ts'

export type FollowerOptions = {
  readonly path: string
  readonly statePath: string
  readonly clock: Clock
  readonly log: Log
  /** Everything is looked at anew this often, in case an event was lost. */
  readonly rescanMs: number
}

/** Each is only a hint that something may have changed. */
export interface Looks {
  atAll(): void
  atPeoplesFiles(): void
  atStateFile(name: string): void
}

/** Where the kernel does not tell about changes, everything is looked at this often. */
const POLL_MS = 1_000

export class Follower implements Disposable {
  readonly #options: FollowerOptions
  readonly #looks: Looks
  readonly #watches: readonly FolderWatch[]
  #settle: Disposable | null = null
  #rescan: Disposable

  constructor(options: FollowerOptions, looks: Looks) {
    this.#options = options
    this.#looks = looks
    const { path, statePath, log } = options
    try {
      mkdirSync(statePath, { recursive: true })
    } catch {
      // A folder we may only read: then nobody writes state here, or the timer finds it.
    }
    this.#watches = [new FolderWatch(path, () => this.settle()), new FolderWatch(statePath, (name) => this.#stateTouched(name))]
    if (!this.#isTold())
      log.warn('store.folder.notWatched', { path, remedy: `polled every ${POLL_MS} ms; raise fs.inotify.max_user_watches` })
    this.#rescan = this.#rescanLater()
  }

  /** Looks at people's files once they have had time to come to rest. Never later because more of them are touched. */
  settle(): void {
    this.#settle ??= this.#options.clock.after(SETTLE_MS, () => {
      this.#settle = null
      this.#looks.atPeoplesFiles()
    })
  }

  [Symbol.dispose](): void {
    for (const watch of this.#watches) watch[Symbol.dispose]()
    this.#settle?.[Symbol.dispose]()
    this.#rescan[Symbol.dispose]()
  }

  #isTold(): boolean {
    return this.#watches.every(({ isWatching }) => isWatching)
  }

  #stateTouched(name: string | null): void {
    if (name === null) this.#looks.atAll()
    else if (isStateFileName(name)) this.#looks.atStateFile(name)
  }

  #rescanLater(): Disposable {
    const { clock, rescanMs } = this.#options
    return clock.after(this.#isTold() ? rescanMs : Math.min(POLL_MS, rescanMs), () => {
      for (const watch of this.#watches) watch.renew()
      this.#looks.atAll()
      this.#rescan = this.#rescanLater()
    })
  }
}
