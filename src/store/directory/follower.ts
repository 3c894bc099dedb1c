// When to look at a folder: what inotify tells, how long people's files take to come to rest, and a timer for what nobody told.
import { existsSync, mkdirSync } from 'node:fs'
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
    this.#makeStateFolder()
    this.#watches = [new FolderWatch(path, () => this.settle()), new FolderWatch(statePath, (name) => this.#stateTouched(name))]
    if (!existsSync(path)) log.warn('store.folder.missing', { path, remedy: `make it: it is looked for every ${POLL_MS} ms` })
    else if (!this.#isTold())
      log.warn('store.folder.notWatched', { path, remedy: `polled every ${POLL_MS} ms; raise fs.inotify.max_user_watches` })
    this.#rescan = this.#rescanLater()
  }

  /** Looks at people's files once they have had time to come to rest. Never later because more of them are touched. */
  settle(): void {
    this.#settle ??= this.#options.clock.after(SETTLE_MS, () => {
      this.#settle = null
      this.#noticeLoss()
      this.#looks.atPeoplesFiles()
    })
  }

  [Symbol.dispose](): void {
    for (const watch of this.#watches) watch[Symbol.dispose]()
    this.#settle?.[Symbol.dispose]()
    this.#rescan[Symbol.dispose]()
  }

  /** Nobody tells of a folder that was taken away: from then on it is looked for. */
  #noticeLoss(): void {
    const wasTold = this.#isTold()
    for (const watch of this.#watches) watch.renew()
    if (!wasTold || this.#isTold()) return
    this.#rescan[Symbol.dispose]()
    this.#rescan = this.#rescanLater()
  }

  /** Never the folder itself: one that was taken away must not come back empty. */
  #makeStateFolder(): void {
    try {
      mkdirSync(this.#options.statePath)
    } catch {
      // It is there; or its folder is not, or we may only read: then nobody writes state here, or the timer finds it.
    }
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
      this.#makeStateFolder()
      for (const watch of this.#watches) watch.renew()
      this.#looks.atAll()
      this.#rescan = this.#rescanLater()
    })
  }
}
