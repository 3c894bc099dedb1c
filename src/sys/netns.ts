// Entering a network namespace for the length of one synchronous function. A socket made inside stays in that namespace for
// its life, and so does a child process spawned there; sync fs on /proc/sys/net acts there too. Node's own net, dgram, dns and
// async fs do not: they run on a later tick or on pool threads, which are back in the old namespace, or never left it.
import fs from 'node:fs'
import { setns } from './libc.ts'

const CLONE_NEWNET = 0x4000_0000
/** Network namespace of the calling thread. */
const OWN_NETNS = '/proc/thread-self/ns/net'

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
  using home = new HomeNetns()
  if (typeof namespace === 'number') return home.visit(namespace, work)
  const target = fs.openSync(namespace, 'r')
  try {
    return home.visit(target, work)
  } finally {
    fs.closeSync(target)
  }
}

/** The network namespace in which it was made, kept open for a thread that leaves it and comes back often. */
export class HomeNetns implements Disposable {
  readonly #fd: number
  readonly #identity: string
  #isClosed = false

  constructor() {
    this.#fd = fs.openSync(OWN_NETNS, 'r')
    this.#identity = identityOf(this.#fd)
  }

  /** True for a descriptor that is open on this very namespace. */
  isSame(namespace: number): boolean {
    return identityOf(namespace) === this.#identity
  }

  /** As `inNetns`, for a thread that is at home. */
  visit<T>(namespace: number, work: () => T extends PromiseLike<unknown> ? never : T): T {
    if (this.#isClosed) throw new Error('closed: there would be no way back')
    setns(namespace, CLONE_NEWNET)
    try {
      return work()
    } finally {
      returnTo(this.#fd)
    }
  }

  [Symbol.dispose](): void {
    if (this.#isClosed) return
    this.#isClosed = true
    fs.closeSync(this.#fd)
  }
}

function identityOf(fd: number): string {
  const { dev, ino } = fs.fstatSync(fd)
  return `${dev} ${ino}`
}

function returnTo(home: number): void {
  try {
    setns(home, CLONE_NEWNET)
  } catch {
    process.abort()
  }
}
