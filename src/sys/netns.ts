// Entering a network namespace for the length of one synchronous function. A socket made inside stays in that namespace for
// its life, and so does a child process spawned there; sync fs on /proc/sys/net acts there too. Node's own net, dgram, dns and
// async fs do not: they run on a later tick or on pool threads, which are back in the old namespace, or never left it.
import fs from 'node:fs'
import { setns } from './libc.ts'

const CLONE_NEWNET = 0x4000_0000
/** Network namespace of the calling thread. */
export const OWN_NETNS = '/proc/thread-self/ns/net'

/**
 * Makes the event loop's pool threads start now. They keep the namespace they are born in for ever, so a program that calls
 * `inNetns` awaits this once before.
 */
export async function settleThreadPool(): Promise<void> {
  await fs.promises.stat('/')
}

/**
 * Runs `work` with the calling thread in the network namespace at a path (`/run/netns/NAME`, `/proc/PID/ns/net`), or of a
 * descriptor open on one (which stays open), and returns its result. Throws what `work` throws, `SysError` if the namespace cannot
 * be entered, and ends the process if there is no way back, because everything it did from then on would happen in the wrong
 * network.
 */
export function inNetns<T>(namespace: string | number, work: () => T extends PromiseLike<unknown> ? never : T): T {
  const home = fs.openSync(OWN_NETNS, 'r')
  try {
    if (typeof namespace === 'number') setns(namespace, CLONE_NEWNET)
    else enter(namespace)
    try {
      return work()
    } finally {
      returnTo(home)
    }
  } finally {
    fs.closeSync(home)
  }
}

function enter(path: string): void {
  const target = fs.openSync(path, 'r')
  try {
    setns(target, CLONE_NEWNET)
  } finally {
    fs.closeSync(target)
  }
}

function returnTo(home: number): void {
  try {
    setns(home, CLONE_NEWNET)
  } catch {
    process.abort()
  }
}
