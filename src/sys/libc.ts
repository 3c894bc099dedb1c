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
/** struct sock_fprog of linux/filter.h: 16 octets, the second half a pointer. */
const filterProgram = koffi.struct({ length: 'uint16', instructions: 'const void *' })
const SOCK_FPROG_SIZE = 16
const calls = {
  socket: libc.func('int socket(int domain, int type, int protocol)'),
  bind: libc.func('int bind(int fd, const void *addr, uint32 length)'),
  listen: libc.func('int listen(int fd, int backlog)'),
  setsockopt: libc.func('int setsockopt(int fd, int level, int name, const void *value, uint32 length)'),
  getsockname: libc.func('int getsockname(int fd, _Out_ void *addr, _Inout_ uint32 *length)'),
  setns: libc.func('int setns(int fd, int nstype)'),
  flock: libc.func('int flock(int fd, int operation)'),
  ifNameToIndex: libc.func('uint32 if_nametoindex(const char *name)'),
  recv: libc.func('int64 recv(int fd, void *buffer, uint64 length, int flags)'),
  poll: libc.func('int poll(_Inout_ void *fds, uint64 count, int timeoutMs)'),
  attachFilter: libc.func('setsockopt', 'int', ['int', 'int', 'int', koffi.pointer(filterProgram), 'uint32']),
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

const MSG_TRUNC = 0x20
const MSG_DONTWAIT = 0x40
const EINTR = os.constants.errno.EINTR
const EAGAIN = os.constants.errno.EAGAIN

/** recv(2) that never waits: the length of the datagram (more than `buffer.length` if it was cut), or null if none is queued. */
export function receiveNow(fd: number, buffer: Uint8Array): number | null {
  const length = Number(calls.recv(fd, buffer, buffer.length, MSG_DONTWAIT | MSG_TRUNC))
  if (length >= 0) return length
  const errno = koffi.errno()
  if (errno === EAGAIN || errno === EINTR) return null
  throw new SysError('recv', errno)
}

const POLLIN = 1

/** poll(2) of one descriptor: true if it has something to read or an error to tell. Blocks the thread for at most `timeoutMs`. */
export function waitReadable(fd: number, timeoutMs: number): boolean {
  const request = new Uint8Array(8)
  const view = new DataView(request.buffer)
  view.setInt32(0, fd, true)
  view.setInt16(4, POLLIN, true)
  const ready = calls.poll(request, 1, timeoutMs)
  if (ready < 0 && koffi.errno() !== EINTR) throw new SysError('poll', koffi.errno())
  return ready > 0
}

const SOL_SOCKET = 1
const SO_ATTACH_FILTER = 26

/** One instruction of classic BPF (struct sock_filter). */
export type FilterInstruction = { readonly code: number; readonly jt: number; readonly jf: number; readonly k: number }

/** Drops what does not pass a classic BPF program before it takes room in the receive buffer. */
export function attachFilter(fd: number, instructions: readonly FilterInstruction[]): void {
  const bytes = new Uint8Array(instructions.length * 8)
  const view = new DataView(bytes.buffer)
  for (const [index, { code, jt, jf, k }] of instructions.entries()) {
    view.setUint16(index * 8, code, true)
    view.setUint8(index * 8 + 2, jt)
    view.setUint8(index * 8 + 3, jf)
    view.setUint32(index * 8 + 4, k, true)
  }
  const program = { length: instructions.length, instructions: bytes }
  check('setsockopt', calls.attachFilter(fd, SOL_SOCKET, SO_ATTACH_FILTER, program, SOCK_FPROG_SIZE))
}

const LOCK_EX = 2
const LOCK_NB = 4

/**
 * flock(2): takes the exclusive lock of an open file without waiting. False: another open file description has it. The kernel
 * gives it back when the descriptor is closed or its process ends in whatever way, so a lock is never left behind.
 */
export function tryLockFile(fd: number): boolean {
  try {
    check('flock', calls.flock(fd, LOCK_EX | LOCK_NB))
    return true
  } catch (cause) {
    if (cause instanceof SysError && cause.errno === os.constants.errno.EAGAIN) return false
    throw cause
  }
}
