// A pod's network namespace while something is done in it: opened once, with a netlink socket that was made inside.
import fs from 'node:fs'
import { err, ok, type Result } from '../../lib/result.ts'
import { SysError } from '../../sys/libc.ts'
import type { HomeNetns } from '../../sys/netns.ts'
import type { Rtnetlink } from '../../sys/rtnetlink/index.ts'
import type { WiringFault } from '../ports.ts'

export class PodNamespace implements Disposable {
  /** Open on the namespace. */
  readonly fd: number
  /** Acts inside, whatever namespace the caller is in. */
  readonly netlink: Rtnetlink
  readonly #home: HomeNetns

  constructor(home: HomeNetns, fd: number, netlink: Rtnetlink) {
    this.#home = home
    this.fd = fd
    this.netlink = netlink
  }

  /** Runs synchronous work with this thread inside: /proc/sys/net is the pod's then. */
  run<T>(work: () => T extends PromiseLike<unknown> ? never : T): T {
    return this.#home.visit(this.fd, work)
  }

  [Symbol.dispose](): void {
    this.netlink[Symbol.dispose]()
    fs.closeSync(this.fd)
  }
}

/** Opens the namespace at a path as CNI_NETNS gives it, which must not be `home`, where the thread is. */
export function openPodNamespace(path: string, home: HomeNetns, openNetlink: () => Rtnetlink): Result<PodNamespace, WiringFault> {
  let fd: number
  try {
    fd = fs.openSync(path, 'r')
  } catch (cause) {
    return err(asNamespaceFault(path, cause))
  }
  try {
    if (home.isSame(fd)) {
      fs.closeSync(fd)
      return err({ kind: 'sameNamespace', message: `${JSON.stringify(path)} is the network namespace of the host itself` })
    }
    return ok(new PodNamespace(home, fd, home.visit(fd, openNetlink)))
  } catch (cause) {
    fs.closeSync(fd)
    return err(asNamespaceFault(path, cause))
  }
}

const GONE = new Set(['ENOENT', 'ENOTDIR', 'ESRCH', 'EINVAL']) // EINVAL: a file that no namespace is mounted on any more

function asNamespaceFault(path: string, cause: unknown): WiringFault {
  const code = cause instanceof SysError ? cause.code : codeOf(cause)
  if (GONE.has(code)) return { kind: 'namespaceGone', message: `there is no network namespace at ${JSON.stringify(path)} (${code})` }
  return { kind: 'failed', message: `cannot enter the network namespace at ${JSON.stringify(path)}: ${messageOf(cause)}` }
}

function codeOf(cause: unknown): string {
  return typeof cause === 'object' && cause !== null && 'code' in cause && typeof cause.code === 'string' ? cause.code : ''
}

/** An error in words. */
export function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
