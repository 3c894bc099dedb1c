// The order of work on one folder within a process: scans and writes one after the other, so that no watcher sees time run backwards;
// writes also with the folder's lock held, because other processes write, too.

import { join } from 'node:path'
import { assertFolder, listNames, removeTemporaries } from './files.ts'
import { FolderLock, type Lease } from './lock.ts'

export class FolderTurns {
  readonly #path: string
  readonly #statePath: string
  readonly #lock: FolderLock
  #work: Promise<unknown> = Promise.resolve()
  #writes: Promise<unknown> = Promise.resolve()
  #hasSwept = false

  constructor(path: string, statePath: string) {
    this.#path = path
    this.#statePath = statePath
    this.#lock = new FolderLock(join(statePath, '.lock'))
  }

  /** Runs `work` after all work before it. */
  serially<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#work.then(work)
    this.#work = turn.catch(() => {}) // whoever asked for it has the outcome
    return turn
  }

  /** Runs `work` with the folder's lock held, after all writes before it. Throws StoreError UNAVAILABLE if the lock is not to be had. */
  locked<T>(signal: AbortSignal | undefined, work: (lease: Lease) => Promise<T>): Promise<T> {
    const turn = this.#writes.then(async () => {
      signal?.throwIfAborted()
      await assertFolder(this.#path)
      return this.#lock.hold((lease) => this.serially(() => this.#sweep().then(() => work(lease))), signal)
    })
    this.#writes = turn.catch(() => {}) // whoever asked for it has the outcome
    return turn
  }

  /** Resolves when all that was asked for is over. */
  async over(): Promise<void> {
    await this.#writes
    await this.#work
  }

  async #sweep(): Promise<void> {
    if (this.#hasSwept) return
    this.#hasSwept = true
    for (const folder of [this.#path, this.#statePath]) await removeTemporaries(folder, await listNames(folder))
  }
}
