// A synchronous netlink socket of our own (decision 4), for rtnetlink if not told otherwise: made by libc, then written and read
// with plain `fs`. The kernel queues its answers before a write returns, so reading them does not wait; the write itself may, on
// the kernel's routing lock, which is why the owner lives in a thread of its own. A socket belongs for life to the network
// namespace it was made in.
import fs from 'node:fs'
import { attachFilter, bind, getSocketName, receiveNow, SysError, setSocketOption, socket } from './libc.ts'
import {
  eachMessage,
  type MessageVisitor,
  type NetlinkAnswer,
  NLM_F_DUMP_INTR,
  NLMSG_DONE,
  NLMSG_ERROR,
  readAnswer,
} from './netlink-message.ts'

const AF_NETLINK = 16
const SOCK_RAW = 3
const SOCK_CLOEXEC = 0o2_000_000
const NETLINK_ROUTE = 0
/** Netfilter's protocol (linux/netlink.h): conntrack. */
export const NETLINK_NETFILTER = 12
const SOL_SOCKET = 1
const SO_RCVBUF = 8
const SO_RCVTIMEO = 20
const SO_RCVBUFFORCE = 33
const SOL_NETLINK = 270
const NETLINK_CAP_ACK = 10
const NETLINK_EXT_ACK = 11
const NETLINK_GET_STRICT_CHK = 12
/** Longer than any datagram the kernel builds: dumps come in pieces of at most 32 KiB. */
export const DATAGRAM_BYTES = 128 * 1024

/** The kernel refused a request: errno's name as `code`, and the kernel's own words where it gave some. */
export class NetlinkError extends SysError {
  readonly kernelText: string | null
  constructor(request: string, { errno, text }: NetlinkAnswer) {
    super(request, errno)
    this.name = 'NetlinkError'
    this.kernelText = text
    if (text !== null) this.message += ` (${text})`
  }
}

export type NetlinkSocketOptions = {
  /** NETLINK_ROUTE when absent. */
  readonly protocol?: number
  /** RTMGRP_* bits to subscribe to. */
  readonly groups?: number
  /** Asked of the kernel past its limit where we have CAP_NET_ADMIN. null: the kernel's choice (net.core.rmem_default) will do. */
  readonly receiveBufferBytes?: number | null
  /** How long a lost answer may keep us waiting before the call throws EAGAIN. */
  readonly timeoutMs?: number
  /** Notifications of changes made through this socket's port are dropped in the kernel. */
  readonly ignorePort?: number
  /** Room for one datagram of 128 KiB, to share among sockets of one thread that come and go; never used by two at once. */
  readonly scratch?: Uint8Array<ArrayBuffer>
}

export class NetlinkSocket implements Disposable {
  readonly fd: number
  readonly #bytes: Uint8Array<ArrayBuffer>
  readonly #view: DataView
  #sequence = 0
  #isClosed = false

  constructor({
    protocol = NETLINK_ROUTE,
    groups = 0,
    receiveBufferBytes = 8 * 1024 * 1024,
    timeoutMs = 10_000,
    ignorePort,
    scratch = new Uint8Array(DATAGRAM_BYTES),
  }: NetlinkSocketOptions = {}) {
    this.#bytes = scratch
    this.#view = new DataView(scratch.buffer, scratch.byteOffset, scratch.byteLength)
    this.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol)
    try {
      if (ignorePort !== undefined) dropChangesOf(this.fd, ignorePort)
      if (receiveBufferBytes !== null) growReceiveBuffer(this.fd, receiveBufferBytes)
      setSocketOption(this.fd, SOL_SOCKET, SO_RCVTIMEO, timeval(timeoutMs))
      for (const option of [NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK]) setWhereKnown(this.fd, option)
      if (groups !== 0) bind(this.fd, addressOf(groups)) // else the first request does
    } catch (cause) {
      fs.closeSync(this.fd)
      throw cause
    }
  }

  /** Our address, which we have from now on: the kernel names it in notifications of changes we made. */
  bindPort(): number {
    bind(this.fd, addressOf(0))
    const name = getSocketName(this.fd)
    return new DataView(name.buffer, name.byteOffset).getUint32(4, true)
  }

  /** Reserves `count` consecutive sequence numbers (modulo 2^32) and returns the first. */
  reserveSequences(count: number): number {
    const first = (this.#sequence + 1) >>> 0
    this.#sequence = (this.#sequence + count) >>> 0
    return first
  }

  /**
   * Sends `count` requests in one datagram, numbered from `firstSequence` on, of which only the last asks for an acknowledgement,
   * and hands every refusal to `onRefused` with the index of its request. `lost`: answers were dropped for want of room, so which
   * requests failed is not fully known. Throws if the datagram cannot be sent or no answer comes.
   */
  request(
    bytes: Uint8Array,
    firstSequence: number,
    count: number,
    onRefused: (index: number, answer: NetlinkAnswer) => void,
  ): 'answered' | 'lost' {
    fs.writeSync(this.fd, bytes)
    for (let isAnswered = false; !isAnswered; ) {
      const length = this.#receive()
      if (length === null) return 'lost'
      eachMessage(this.#view, length, (view, type, flags, from, to, sequence) => {
        const index = (sequence - firstSequence) >>> 0
        if (type !== NLMSG_ERROR || index >= count) return // an answer to a request that was given up
        const answer = readAnswer(view, type, flags, from, to)
        if (answer.errno !== 0) onRefused(index, answer)
        if (index === count - 1) isAnswered = true
      })
    }
    return 'answered'
  }

  /**
   * Sends one dump request and hands every message of the answer to `visit`. `interrupted`: what is being dumped changed
   * meanwhile, so the answer may be inconsistent. Throws NetlinkError if the kernel refuses, SysError ENOBUFS if parts were lost.
   */
  dump(request: string, bytes: Uint8Array, sequence: number, visit: MessageVisitor): 'consistent' | 'interrupted' {
    fs.writeSync(this.fd, bytes)
    let isInterrupted = false
    let end: NetlinkAnswer | undefined
    while (end === undefined) {
      const length = this.#receive()
      if (length === null) throw new SysError(request, ENOBUFS)
      eachMessage(this.#view, length, (view, type, flags, from, to, answered) => {
        if (answered !== sequence) return
        if ((flags & NLM_F_DUMP_INTR) !== 0) isInterrupted = true
        if (type === NLMSG_DONE || type === NLMSG_ERROR) end = readAnswer(view, type, flags, from, to)
        else visit(view, type, flags, from, to)
      })
    }
    if (end.errno !== 0) throw new NetlinkError(request, end)
    return isInterrupted ? 'interrupted' : 'consistent'
  }

  /** Hands every queued notification to `visit` without waiting. `lost`: some were dropped for want of room, so look afresh. */
  drain(visit: MessageVisitor): 'complete' | 'lost' {
    let outcome: 'complete' | 'lost' = 'complete'
    for (;;) {
      try {
        const length = receiveNow(this.fd, this.#bytes)
        if (length === null) return outcome
        if (length > this.#bytes.length) outcome = 'lost'
        else eachMessage(this.#view, length, visit)
      } catch (cause) {
        if (!isNoBuffers(cause)) throw cause
        outcome = 'lost'
      }
    }
  }

  [Symbol.dispose](): void {
    if (this.#isClosed) return
    this.#isClosed = true
    fs.closeSync(this.fd)
  }

  /** Length of the next datagram, or null if the kernel had to drop some; then nothing of that answer is left in the queue. */
  #receive(): number | null {
    try {
      return receiveNow(this.fd, this.#bytes) ?? fs.readSync(this.fd, this.#bytes, 0, this.#bytes.length, null)
    } catch (cause) {
      if (!isNoBuffers(cause)) throw cause
      this.drain(() => {})
      return null
    }
  }
}

const ENOBUFS = 105

function isNoBuffers(cause: unknown): boolean {
  return typeof cause === 'object' && cause !== null && 'code' in cause && cause.code === 'ENOBUFS'
}

/** struct sockaddr_nl; the kernel chooses the port. */
function addressOf(groups: number): Uint8Array {
  const address = new DataView(new ArrayBuffer(12))
  address.setUint16(0, AF_NETLINK, true)
  address.setUint32(8, groups, true)
  return new Uint8Array(address.buffer)
}

function setWhereKnown(fd: number, option: number): void {
  try {
    setSocketOption(fd, SOL_NETLINK, option, 1)
  } catch (cause) {
    if (!(cause instanceof SysError) || cause.code !== 'ENOPROTOOPT') throw cause // an older kernel: plainer answers
  }
}

function growReceiveBuffer(fd: number, bytes: number): void {
  try {
    setSocketOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, bytes)
  } catch (cause) {
    if (!(cause instanceof SysError) || cause.code !== 'EPERM') throw cause
    setSocketOption(fd, SOL_SOCKET, SO_RCVBUF, bytes) // as much as net.core.rmem_max allows
  }
}

function timeval(milliseconds: number): Uint8Array {
  const value = new DataView(new ArrayBuffer(16))
  value.setBigInt64(0, BigInt(Math.floor(milliseconds / 1000)), true)
  value.setBigInt64(8, BigInt((milliseconds % 1000) * 1000), true)
  return new Uint8Array(value.buffer)
}

/** Passes a notification unless nlmsg_pid, at octet 12, is `port`. Classic BPF loads words in network order. */
function dropChangesOf(fd: number, port: number): void {
  const swapped = new DataView(new ArrayBuffer(4))
  swapped.setUint32(0, port, true)
  const load = { code: 0x20, jt: 0, jf: 0, k: 12 }
  const isOurs = { code: 0x15, jt: 0, jf: 1, k: swapped.getUint32(0, false) }
  const drop = { code: 0x06, jt: 0, jf: 0, k: 0 }
  const pass = { code: 0x06, jt: 0, jf: 0, k: 0xffff_ffff }
  attachFilter(fd, [load, isOurs, drop, pass])
}
