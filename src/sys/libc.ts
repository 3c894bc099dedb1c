// The dozen libc calls Node lacks, through koffi: every foreign signature of the project is in this file, because a wrong one
// crashes the process. Linux on 64-bit machines only. Each call either succeeds or throws `SysError` with errno's name.
import os from 'node:os'
import koffi from 'koffi'

export class SysError extends Error {
  /** Name of errno, e.g. `EADDRINUSE`. */
  readonly code: string
  readonly errno: number
  constructor(call: string, errno: number) {
    const code = NAMES.get(errno) ?? `errno ${errno}`
    super(`${call}: ${code}`)
    this.name = 'SysError'
    this.code = code
    this.errno = errno
  }
}

const NAMES = new Map(Object.entries(os.constants.errno).map(([name, value]) => [value, name]))

const libc = koffi.load(null)
const calls = {
  socket: libc.func('int socket(int domain, int type, int protocol)'),
  bind: libc.func('int bind(int fd, const void *addr, uint32 length)'),
  listen: libc.func('int listen(int fd, int backlog)'),
  setsockopt: libc.func('int setsockopt(int fd, int level, int name, const void *value, uint32 length)'),
  getsockopt: libc.func('int getsockopt(int fd, int level, int name, _Out_ void *value, _Inout_ uint32 *length)'),
  getsockname: libc.func('int getsockname(int fd, _Out_ void *addr, _Inout_ uint32 *length)'),
  setns: libc.func('int setns(int fd, int nstype)'),
  ifNameToIndex: libc.func('uint32 if_nametoindex(const char *name)'),
}

function check(call: string, result: number): number {
  if (result < 0) throw new SysError(call, koffi.errno())
  return result
}

/** socket(2); returns the descriptor. */
export function socket(domain: number, type: number, protocol: number): number {
  return check('socket', calls.socket(domain, type, protocol))
}

/** bind(2) to a packed sockaddr. */
export function bind(fd: number, sockaddr: Uint8Array): void {
  check('bind', calls.bind(fd, sockaddr, sockaddr.length))
}

export function listen(fd: number, backlog: number): void {
  check('listen', calls.listen(fd, backlog))
}

export function setSocketOption(fd: number, level: number, name: number, value: Uint8Array | number): void {
  const bytes = typeof value === 'number' ? new Uint8Array(Int32Array.of(value).buffer) : value
  check('setsockopt', calls.setsockopt(fd, level, name, bytes, bytes.length))
}

/** getsockopt(2) into a buffer of `length` octets; returns the part that was filled. */
export function getSocketOption(fd: number, level: number, name: number, length: number): Uint8Array {
  const value = new Uint8Array(length)
  const size = [length]
  check('getsockopt', calls.getsockopt(fd, level, name, value, size))
  return value.subarray(0, size[0])
}

/** getsockname(2): the packed sockaddr. */
export function getSocketName(fd: number): Uint8Array {
  const value = new Uint8Array(128)
  const size = [value.length]
  check('getsockname', calls.getsockname(fd, value, size))
  return value.subarray(0, size[0])
}

/** setns(2) of the calling thread. */
export function setns(fd: number, type: number): void {
  check('setns', calls.setns(fd, type))
}

/** Index of an interface of the current network namespace, or null if there is none of that name. */
export function interfaceIndex(name: string): number | null {
  const index: number = calls.ifNameToIndex(name)
  return index === 0 ? null : index
}
