// TCP sockets with the options BGP needs and Node cannot set: TCP MD5 signatures (RFC 2385), TTL and least accepted TTL (RFC 5082),
// device, traffic class. Sockets are plain file descriptors, non-blocking and close-on-exec; Node's `net` adopts them. Linux only.
// Everything here throws `SysError`.
import fs from 'node:fs'
import os from 'node:os'
import { familyOf, formatIp, type IpAddress, type IpFamily, ipFromBytes, ipToBytes } from '../net/index.ts'
import { bind, getSocketName, interfaceIndex, listen, SysError, setSocketOption, socket } from './libc.ts'

const AF = { 4: 2, 6: 10 } as const
const SOCK_STREAM_NONBLOCK_CLOEXEC = 1 | 0o4000 | 0o2000000
const IPPROTO_IP = 0
const IPPROTO_TCP = 6
const IPPROTO_IPV6 = 41
const SOL_SOCKET = 1
const SO_REUSEADDR = 2
const SO_BINDTODEVICE = 25
const IP_TOS = 1
const IP_TTL = 2
const IP_MINTTL = 21
const IPV6_UNICAST_HOPS = 16
const IPV6_V6ONLY = 26
const IPV6_TCLASS = 67
const IPV6_MINHOPCOUNT = 73
const TCP_NODELAY = 1
const TCP_USER_TIMEOUT = 18
const TCP_MD5SIG_EXT = 32
const MD5SIG_BYTES = 216
const MD5_FLAG_PREFIX = 1

/** Class selector 6, "network control" (RFC 2474 §4.2.2.2), as octet of the IP header. */
const CS6 = 0xc0
const MAX_MD5_KEY_BYTES = 80

/** A TCP socket of `family`, IPv6 ones for IPv6 only, marked as network control and without Nagle's delay. */
export function openTcpSocket(family: IpFamily): number {
  const fd = socket(AF[family], SOCK_STREAM_NONBLOCK_CLOEXEC, IPPROTO_TCP)
  return orClose(fd, () => {
    setSocketOption(fd, IPPROTO_TCP, TCP_NODELAY, 1)
    if (family === 4) setSocketOption(fd, IPPROTO_IP, IP_TOS, CS6)
    else {
      setSocketOption(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)
      setSocketOption(fd, IPPROTO_IPV6, IPV6_TCLASS, CS6)
    }
  })
}

/** Runs `prepare`; if it throws, the descriptor is closed first. Returns the descriptor. */
export function orClose(fd: number, prepare: () => void): number {
  try {
    prepare()
    return fd
  } catch (cause) {
    fs.closeSync(fd)
    throw cause
  }
}

/** Binds to a local address; `device` gives a link-local one its scope. Port 0: any. */
export function bindTcp(fd: number, address: IpAddress, port: number, device: string | null): void {
  bind(fd, packSockaddr(address, port, device))
}

/** Lets a listener come back while connections of its predecessor still linger. */
export function reuseAddress(fd: number): void {
  setSocketOption(fd, SOL_SOCKET, SO_REUSEADDR, 1)
}

export function listenTcp(fd: number, backlog: number): void {
  listen(fd, backlog)
}

/** Restricts the socket to one interface. Kernels before 5.7 ask for CAP_NET_RAW. */
export function bindToDevice(fd: number, device: string): void {
  setSocketOption(fd, SOL_SOCKET, SO_BINDTODEVICE, Buffer.from(`${device}\0`))
}

/** TTL (IPv6: hop limit) of what is sent, 1..255. */
export function setSendHops(fd: number, family: IpFamily, hops: number): void {
  if (family === 4) setSocketOption(fd, IPPROTO_IP, IP_TTL, hops)
  else setSocketOption(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, hops)
}

/** The least TTL (hop limit) of segments the kernel accepts on this socket (RFC 5082 §3); 0: any. */
export function setLeastReceivedHops(fd: number, family: IpFamily, hops: number): void {
  if (family === 4) setSocketOption(fd, IPPROTO_IP, IP_MINTTL, hops)
  else setSocketOption(fd, IPPROTO_IPV6, IPV6_MINHOPCOUNT, hops)
}

/** How long data may stay unacknowledged, or be refused by a closed window, before the connection fails with ETIMEDOUT. */
export function setUserTimeout(fd: number, timeoutMs: number): void {
  setSocketOption(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, Math.min(timeoutMs, 0x7fff_ffff))
}

/**
 * Sets, replaces or (null) removes the MD5 key for segments to and from `address`. On a listener the kernel then drops unsigned
 * and wrongly signed segments of that address, SYN included. The kernel knows keys by address alone, so a link-local address has
 * one key on all links. Removing a key that is not there succeeds.
 */
export function setMd5Key(fd: number, address: IpAddress, key: string | null): void {
  const secret = Buffer.from(key ?? '', 'utf8')
  if (secret.length > MAX_MD5_KEY_BYTES) throw new SysError('TCP MD5 key over 80 octets', os.constants.errno.EINVAL)
  const option = Buffer.alloc(MD5SIG_BYTES) // struct tcp_md5sig: sockaddr_storage, flags, prefixlen, keylen, ifindex, key[80]
  option.set(packSockaddr(address, 0, null), 0)
  option.writeUInt8(MD5_FLAG_PREFIX, 128)
  option.writeUInt8(familyOf(address) === 4 ? 32 : 128, 129)
  writeNative16(option, secret.length, 130)
  option.set(secret, 136)
  try {
    setSocketOption(fd, IPPROTO_TCP, TCP_MD5SIG_EXT, option)
  } catch (cause) {
    if (!(key === null && cause instanceof SysError && cause.code === 'ENOENT')) throw cause
  }
}

/** The local address and port of a socket. */
export function boundTo(fd: number): { readonly address: IpAddress; readonly port: number } {
  const name = Buffer.from(getSocketName(fd))
  const family: IpFamily = readNative16(name, 0) === AF[4] ? 4 : 6
  return { address: ipFromBytes(family, name, family === 4 ? 4 : 8), port: name.readUInt16BE(2) }
}

/** struct sockaddr_in or sockaddr_in6. Throws ENODEV if there is no such device. */
function packSockaddr(address: IpAddress, port: number, device: string | null): Uint8Array {
  const family = familyOf(address)
  const packed = Buffer.alloc(family === 4 ? 16 : 28)
  writeNative16(packed, AF[family], 0)
  packed.writeUInt16BE(port, 2)
  packed.set(ipToBytes(address), family === 4 ? 4 : 8)
  if (family === 6 && device !== null) writeNative32(packed, scopeOf(device, address), 24)
  return packed
}

function scopeOf(device: string, address: IpAddress): number {
  const index = interfaceIndex(device)
  if (index === null) throw new SysError(`interface ${device} of ${formatIp(address)}`, os.constants.errno.ENODEV)
  return index
}

function writeNative16(to: Buffer, value: number, at: number): void {
  if (os.endianness() === 'LE') to.writeUInt16LE(value, at)
  else to.writeUInt16BE(value, at)
}

function writeNative32(to: Buffer, value: number, at: number): void {
  if (os.endianness() === 'LE') to.writeUInt32LE(value, at)
  else to.writeUInt32BE(value, at)
}

function readNative16(from: Buffer, at: number): number {
  return os.endianness() === 'LE' ? from.readUInt16LE(at) : from.readUInt16BE(at)
}
