// Which process a pid means: pids are reused, a pid with its start time is not. Nothing is killed on a pid alone.

import { readdirSync, readFileSync, statSync } from 'node:fs'
import { codeOf } from './error.ts'

export type ProcessIdentity = { readonly pid: number /** Clock ticks since boot (proc(5), field 22). */; readonly startTime: string }

/** The identity of a running process, or null if there is none with this pid (a zombie runs no more). */
export function identityOf(pid: number): ProcessIdentity | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ') // field 3 is the first after the name, which may hold anything
    const startTime = fields[19]
    return startTime === undefined || fields[0] === 'Z' ? null : { pid, startTime }
  } catch {
    return null
  }
}

export function isRunning(identity: ProcessIdentity): boolean {
  return identityOf(identity.pid)?.startTime === identity.startTime
}

/** Sends a signal to the process that was meant, never to another that has its pid now. False if it runs no more. */
export function signalProcess(identity: ProcessIdentity, signal: NodeJS.Signals): boolean {
  if (!isRunning(identity)) return false
  try {
    process.kill(identity.pid, signal)
    return true
  } catch (error) {
    if (codeOf(error) === 'ESRCH') return false
    throw error
  }
}

/** Every process that lives in one of these network namespaces, this one excepted. */
export function processesIn(netnsPaths: readonly string[]): readonly ProcessIdentity[] {
  const wanted = new Set(netnsPaths.flatMap((path) => inodeOf(path) ?? []))
  if (wanted.size === 0) return []
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
  return pids.flatMap((pid) => {
    const inode = inodeOf(`/proc/${pid}/ns/net`)
    const identity = inode !== null && wanted.has(inode) ? identityOf(Number(pid)) : null
    return identity === null ? [] : [identity]
  })
}

function inodeOf(path: string): string | null {
  try {
    const { dev, ino } = statSync(path)
    return `${dev}:${ino}`
  } catch {
    return null
  }
}
