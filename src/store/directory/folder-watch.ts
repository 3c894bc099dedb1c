// Tells when something in a directory may have changed. inotify is only a hint: events may be lost, so the owner also looks
// from time to time, and asks this to look after its own watch then.
import { type FSWatcher, statSync, watch } from 'node:fs'

export class FolderWatch implements Disposable {
  readonly #path: string
  readonly #touched: (name: string | null) => void
  #watcher: FSWatcher | null = null
  #inode: number | null = null

  /** `touched` gets the name of what changed, or null if that is not known. */
  constructor(path: string, touched: (name: string | null) => void) {
    this.#path = path
    this.#touched = touched
    this.#start()
  }

  get isWatching(): boolean {
    return this.#watcher !== null
  }

  /** Watches the directory that is at the path now, if it is not the one watched already. Where there was none and is none, nobody is told. */
  renew(): void {
    const before = this.#inode
    if (this.#watcher !== null && inodeOf(this.#path) === before) return
    this[Symbol.dispose]()
    this.#start()
    if (before !== null || this.#inode !== null) this.#touched(null)
  }

  #start(): void {
    this.#inode = inodeOf(this.#path)
    if (this.#inode === null) return
    try {
      const watcher = watch(this.#path, (_event, name) => this.#touched(name))
      watcher.on('error', () => this[Symbol.dispose]())
      this.#watcher = watcher
    } catch {
      // Out of inotify watches, most likely: looking from time to time has to do, more often then.
    }
  }

  [Symbol.dispose](): void {
    this.#watcher?.close()
    this.#watcher = null
    this.#inode = null
  }
}

function inodeOf(path: string): number | null {
  return statSync(path, { throwIfNoEntry: false })?.ino ?? null
}
