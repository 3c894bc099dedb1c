// One agent a state directory: two would give the same addresses to different pods. The kernel frees the lock of a process that ends in
// whatever way, so there is nothing stale to detect.
import { closeSync, ftruncateSync, mkdirSync, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { sleep } from '../lib/clock.ts'
import { type Log, quoteText } from '../lib/log.ts'
import { tryLockFile } from '../sys/libc.ts'

/** In the state directory; holds the process id of whoever has the lock, for people. */
export const LOCK_FILE = '.lock'
/** A predecessor that is ending may still have it. */
const PATIENCE_MS = 10_000
const PAUSE_MS = 100

type Pause = (delayMs: number) => Promise<void>

/**
 * Takes the lock of a state directory, which is made if it is missing. It is held until disposed of, or until the process ends. Rejects if
 * another process keeps it. A directory that cannot be written is logged and not locked: nobody can keep anything there.
 */
export async function lockStateDir(
  stateDir: string,
  {
    log,
    pause = sleep,
  }: { readonly log: Log /** Must keep the process alive, which has nothing else to do yet. */; readonly pause?: Pause },
): Promise<Disposable> {
  const path = join(stateDir, LOCK_FILE)
  let fd: number
  try {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 })
    closeSync(openSync(path, 'a', 0o600)) // makes it, and leaves what is in it
    fd = openSync(path, 'r+')
  } catch (error) {
    log.warn('agent.stateDir.unlocked', { stateDir, err: error })
    return { [Symbol.dispose]() {} }
  }
  try {
    for (let waitedMs = 0; !tryLockFile(fd); waitedMs += PAUSE_MS) {
      if (waitedMs >= PATIENCE_MS) throw new Error(refusal(stateDir, path))
      if (waitedMs === 0) log.info('agent.stateDir.awaited', { stateDir })
      await pause(PAUSE_MS)
    }
    const text = `${process.pid}\n`
    writeSync(fd, text, 0, 'latin1')
    ftruncateSync(fd, text.length)
  } catch (error) {
    closeSync(fd)
    throw error
  }
  return { [Symbol.dispose]: () => closeSync(fd) }
}

function refusal(stateDir: string, path: string): string {
  const owner = readFileSync(path, 'latin1').trim()
  const who = /^\d+$/.test(owner) ? `another agent, process ${owner},` : 'another agent'
  return `${who} uses the state directory ${quoteText(stateDir)}: stop it, or give this one a --state-dir of its own`
}
