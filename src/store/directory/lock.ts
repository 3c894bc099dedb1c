// Mutual exclusion between processes on one folder, by flock(2): the kernel frees the lock of a process that dies in whatever
// way, so there is nothing stale to detect (a lock file with a process id would also be wrong across PID namespaces). The lock
// file holds the last version number handed out; numbers are never used twice.
import { closeSync, fstatSync, ftruncateSync, mkdirSync, openSync, readSync, statSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { sleep } from '../../lib/clock.ts'
import { tryLockFile } from '../../sys/libc.ts'
import { StoreError } from '../port.ts'
import { codeOf, messageOf } from './files.ts'

/** Held while `hold` runs its work. */
export interface Lease {
  /** A version number that was never handed out before, greater than `atLeast`. */
  nextVersion(atLeast: number): number
}

const DEADLINE_MS = 20_000
const LONGEST_PAUSE_MS = 16

export class FolderLock {
  readonly #path: string
  constructor(path: string) {
    this.#path = path
  }

  /** Runs `work` while no other process holds the lock. Rejects UNAVAILABLE if it cannot be had within 20 s. */
  async hold<T>(work: (lease: Lease) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const fd = await this.#acquire(signal)
    try {
      return await work({ nextVersion: (atLeast) => nextVersion(fd, atLeast) })
    } finally {
      closeSync(fd)
    }
  }

  async #acquire(signal: AbortSignal | undefined): Promise<number> {
    const giveUpAtMs = performance.now() + DEADLINE_MS
    for (let attempt = 0; ; attempt++) {
      const fd = this.#tryAcquire()
      if (fd !== null) return fd
      if (performance.now() > giveUpAtMs) {
        throw new StoreError(
          'UNAVAILABLE',
          `another process holds ${this.#path} for over ${DEADLINE_MS / 1000} s; see who with: fuser ${this.#path}`,
        )
      }
      await sleep(Math.random() * Math.min(LONGEST_PAUSE_MS, 2 ** Math.min(attempt, 10)), signal)
    }
  }

  /** A descriptor that has the lock of the file that is at the path now, or null. */
  #tryAcquire(): number | null {
    let fd: number
    try {
      makeFolder(dirname(this.#path))
      fd = openSync(this.#path, 'a+', 0o644) // a: creates without truncating
      closeSync(fd)
      fd = openSync(this.#path, 'r+')
    } catch (cause) {
      throw new StoreError('UNAVAILABLE', `cannot open ${this.#path}: ${messageOf(cause)}`, { cause })
    }
    try {
      if (tryLockFile(fd) && isSameFile(fd, this.#path)) return fd
    } catch (cause) {
      closeSync(fd)
      throw new StoreError('UNAVAILABLE', `cannot lock ${this.#path}: ${messageOf(cause)}`, { cause })
    }
    closeSync(fd)
    return null
  }
}

/** Never the folder it is in: one that was taken away while somebody waited for the lock must not come back empty. */
function makeFolder(path: string): void {
  try {
    mkdirSync(path)
  } catch (cause) {
    if (codeOf(cause) !== 'EEXIST') throw cause
  }
}

/** False if somebody removed or replaced the file between open and lock: a lock on a file nobody finds excludes nobody. */
function isSameFile(fd: number, path: string): boolean {
  const there = statSync(path, { throwIfNoEntry: false })
  const here = fstatSync(fd)
  return there !== undefined && there.ino === here.ino && there.dev === here.dev
}

function readVersion(fd: number): number | null {
  const bytes = Buffer.alloc(32)
  const text = bytes.toString('latin1', 0, readSync(fd, bytes, 0, bytes.length, 0)).trim()
  return /^\d{1,15}$/.test(text) ? Number(text) : null
}

function nextVersion(fd: number, atLeast: number): number {
  const next = Math.max(readVersion(fd) ?? 0, atLeast) + 1
  const text = `${next}\n`
  writeSync(fd, text, 0, 'latin1') // one write of a few octets: killed before or after, never in between
  ftruncateSync(fd, text.length)
  return next
}
