// What really went over the wire: tcpdump on an interface of a namespace, read back as TCP packets and BGP messages. The decoder
// here is deliberately not the one under test: it knows framing, OPEN and NOTIFICATION, and shares no code with `src/`.
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { exec } from '../../src/lib/exec.ts'
import type { Netns } from './netns.ts'
import { NetnsProcess } from './netns-process.ts'
import { until } from './poll.ts'

export type TcpPacket = {
  /** Milliseconds since the Unix epoch, with microseconds behind the point. */
  readonly atMs: number
  /** `10.0.0.1:179`, `fd00::1:179` in hexadecimal words without compression for IPv6. */
  readonly from: string
  readonly to: string
  readonly syn: boolean
  readonly fin: boolean
  readonly rst: boolean
  readonly sequence: number
  readonly timeToLive: number
  readonly window: number
  /** The segment carries a TCP MD5 signature (option 19, RFC 2385). */
  readonly signed: boolean
  readonly payload: Buffer
}

export type CapabilitySeen = { readonly code: number; readonly value: Buffer }
export type OpenSeen = {
  readonly version: number
  readonly myAs: number
  readonly holdTimeSeconds: number
  readonly routerId: string
  readonly capabilities: readonly CapabilitySeen[]
}
export type MessageSeen = {
  readonly atMs: number
  readonly from: string
  readonly to: string
  /** Type octet: 1 OPEN, 2 UPDATE, 3 NOTIFICATION, 4 KEEPALIVE, 5 ROUTE-REFRESH. */
  readonly type: number
  /** Without the 19 octets of the header. */
  readonly body: Buffer
}

/** Graceful restart capability as it was on the wire (RFC 4724 §3, RFC 8538 §2). */
export type GracefulRestartSeen = {
  readonly restarting: boolean
  readonly notification: boolean
  readonly restartTimeSeconds: number
  readonly families: readonly { readonly afi: number; readonly safi: number; readonly forwardingPreserved: boolean }[]
}

const TCP_PROTOCOL = 6
const MD5_OPTION = 19

/** A running capture. Disposing ends tcpdump and removes its file. */
export class Capture implements AsyncDisposable {
  readonly #folder = fs.mkdtempSync(path.join(os.tmpdir(), 'fib-capture-'))
  readonly #process: NetnsProcess

  private constructor(net: Netns, node: string, networkInterface: string, filter: string) {
    fs.chmodSync(this.#folder, 0o755)
    const args = ['-i', networkInterface, '-n', '-U', '--immediate-mode', '-Z', 'root', '-w', this.#file, filter]
    this.#process = new NetnsProcess(net, node, 'tcpdump', args, path.join(this.#folder, 'log'))
  }

  /** Starts tcpdump and resolves once it listens. `filter` is its expression, by default all of BGP. */
  static async start(net: Netns, node: string, networkInterface: string, filter = 'tcp port 179'): Promise<Capture> {
    const capture = new Capture(net, node, networkInterface, filter)
    try {
      await until('tcpdump listens', () => {
        capture.#process.assertRunning()
        return capture.#process.log().includes('listening on')
      })
      return capture
    } catch (cause) {
      await capture[Symbol.asyncDispose]()
      throw cause
    }
  }

  /** Every TCP packet so far. */
  packets(): readonly TcpPacket[] {
    return fs.existsSync(this.#file) ? parsePcap(fs.readFileSync(this.#file)) : []
  }

  /** Every whole BGP message so far, in the order in which they were completed. */
  messages(): readonly MessageSeen[] {
    return bgpMessages(this.packets())
  }

  /** The OPEN messages an address sent. */
  opensFrom(address: string): readonly (OpenSeen & { readonly atMs: number })[] {
    return this.messages()
      .filter((each) => each.type === 1 && addressIn(each.from) === address)
      .map((each) => ({ atMs: each.atMs, ...decodeOpen(each.body) }))
  }

  /** Fields of the packets that a display filter selects, as tshark sees them: one line a packet, tabs between the fields. */
  async tshark(filter: string, fields: readonly string[]): Promise<readonly string[]> {
    const args = ['-r', this.#file, '-Y', filter, '-T', 'fields', ...fields.flatMap((field) => ['-e', field])]
    return (await exec('tshark', args)).stdout.split('\n').filter((line) => line !== '')
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process.end('SIGTERM')
    fs.rmSync(this.#folder, { recursive: true, force: true })
  }

  get #file(): string {
    return path.join(this.#folder, 'packets.pcap')
  }
}

/** The address of `ADDRESS:PORT`. */
export function addressIn(endpoint: string): string {
  return endpoint.slice(0, endpoint.lastIndexOf(':'))
}

/** Classic pcap in host byte order with Ethernet frames, which is what tcpdump writes. A last record that is cut off is left out. */
export function parsePcap(file: Buffer): readonly TcpPacket[] {
  if (file.length < 24) return []
  if (file.readUInt32LE(0) !== 0xa1b2_c3d4 || file.readUInt32LE(20) !== 1) throw new Error('not a little-endian Ethernet pcap file')
  const packets: TcpPacket[] = []
  for (let at = 24; at + 16 <= file.length; ) {
    const length = file.readUInt32LE(at + 8)
    if (at + 16 + length > file.length) break
    const atMs = file.readUInt32LE(at) * 1_000 + file.readUInt32LE(at + 4) / 1_000
    const packet = parseFrame(file.subarray(at + 16, at + 16 + length), atMs)
    if (packet !== null) packets.push(packet)
    at += 16 + length
  }
  return packets
}

function parseFrame(frame: Buffer, atMs: number): TcpPacket | null {
  const etherType = frame.readUInt16BE(12)
  const ip = frame.subarray(14)
  if (etherType === 0x0800) {
    if (ip[9] !== TCP_PROTOCOL) return null
    const header = (ip.readUInt8(0) & 0x0f) * 4
    const addresses = [12, 16].map((offset) => ip.subarray(offset, offset + 4).join('.'))
    return parseTcp(ip.subarray(header, ip.readUInt16BE(2)), addresses, ip.readUInt8(8), atMs)
  }
  if (etherType === 0x86dd) {
    if (ip[6] !== TCP_PROTOCOL) return null
    const addresses = [8, 24].map((offset) => formatIpv6(ip.subarray(offset, offset + 16)))
    return parseTcp(ip.subarray(40, 40 + ip.readUInt16BE(4)), addresses, ip.readUInt8(7), atMs)
  }
  return null
}

function formatIpv6(octets: Buffer): string {
  return Array.from({ length: 8 }, (_, word) => octets.readUInt16BE(2 * word).toString(16)).join(':')
}

function parseTcp(tcp: Buffer, [source = '', destination = '']: readonly string[], timeToLive: number, atMs: number): TcpPacket {
  const header = (tcp.readUInt8(12) >> 4) * 4
  const flags = tcp.readUInt8(13)
  return {
    atMs,
    from: `${source}:${tcp.readUInt16BE(0)}`,
    to: `${destination}:${tcp.readUInt16BE(2)}`,
    fin: (flags & 0x01) !== 0,
    syn: (flags & 0x02) !== 0,
    rst: (flags & 0x04) !== 0,
    sequence: tcp.readUInt32BE(4),
    timeToLive,
    window: tcp.readUInt16BE(14),
    signed: hasOption(tcp.subarray(20, header), MD5_OPTION),
    payload: tcp.subarray(header),
  }
}

function hasOption(options: Buffer, wanted: number): boolean {
  for (let at = 0; at < options.length; ) {
    const kind = options[at] ?? 0
    if (kind === wanted) return true
    if (kind === 0) return false
    at += kind === 1 ? 1 : Math.max(2, options[at + 1] ?? 2)
  }
  return false
}

type Stream = { readonly from: string; readonly to: string; next: number; buffer: Buffer; readonly waiting: Map<number, Buffer> }

/** Follows each direction of each connection (from its SYN on), in sequence order, and cuts it at the BGP headers. */
export function bgpMessages(packets: readonly TcpPacket[]): readonly MessageSeen[] {
  const streams = new Map<string, Stream>()
  const messages: MessageSeen[] = []
  for (const packet of packets) {
    const key = `${packet.from} ${packet.to}`
    if (packet.syn) {
      const next = (packet.sequence + 1) >>> 0
      streams.set(key, { from: packet.from, to: packet.to, next, buffer: Buffer.alloc(0), waiting: new Map() })
      continue
    }
    const stream = streams.get(key)
    if (stream === undefined || packet.payload.length === 0) continue
    stream.waiting.set(packet.sequence, packet.payload)
    joinInOrder(stream)
    for (let cut = cutMessage(stream, packet.atMs); cut !== null; cut = cutMessage(stream, packet.atMs)) messages.push(cut)
  }
  return messages
}

function joinInOrder(stream: Stream): void {
  for (let progressed = true; progressed; ) {
    progressed = false
    for (const [sequence, payload] of stream.waiting) {
      const already = (stream.next - sequence) | 0 // octets of this segment that we have; negative: a gap before it
      if (already < 0) continue
      stream.waiting.delete(sequence)
      if (already >= payload.length) continue
      stream.buffer = Buffer.concat([stream.buffer, payload.subarray(already)])
      stream.next = (stream.next + payload.length - already) >>> 0
      progressed = true
    }
  }
}

function cutMessage(stream: Stream, atMs: number): MessageSeen | null {
  const { buffer, from, to } = stream
  if (buffer.length < 19) return null
  const length = buffer.readUInt16BE(16)
  if (length < 19 || buffer.length < length) return null
  stream.buffer = buffer.subarray(length)
  return { atMs, from, to, type: buffer.readUInt8(18), body: Buffer.from(buffer.subarray(19, length)) }
}

/** OPEN without its header (RFC 4271 §4.2), with both forms of optional parameters (RFC 5492, RFC 9072). */
export function decodeOpen(body: Buffer): OpenSeen {
  const isExtended = body[9] === 255 && body[10] === 255
  const parameters = isExtended ? body.subarray(13, 13 + body.readUInt16BE(11)) : body.subarray(10, 10 + body.readUInt8(9))
  const lengthOctets = isExtended ? 2 : 1
  const capabilities: CapabilitySeen[] = []
  for (let at = 0; at < parameters.length; ) {
    const length = parameters.readUIntBE(at + 1, lengthOctets)
    const value = parameters.subarray(at + 1 + lengthOctets, at + 1 + lengthOctets + length)
    if (parameters[at] === 2) capabilities.push(...decodeCapabilities(value))
    at += 1 + lengthOctets + length
  }
  return {
    version: body.readUInt8(0),
    myAs: body.readUInt16BE(1),
    holdTimeSeconds: body.readUInt16BE(3),
    routerId: body.subarray(5, 9).join('.'),
    capabilities,
  }
}

function decodeCapabilities(octets: Buffer): readonly CapabilitySeen[] {
  const capabilities: CapabilitySeen[] = []
  for (let at = 0; at + 2 <= octets.length; ) {
    const length = octets.readUInt8(at + 1)
    capabilities.push({ code: octets.readUInt8(at), value: octets.subarray(at + 2, at + 2 + length) })
    at += 2 + length
  }
  return capabilities
}

/** The graceful restart capability of an OPEN, or null if it has none. */
export function gracefulRestartOf(open: OpenSeen): GracefulRestartSeen | null {
  const value = open.capabilities.findLast((each) => each.code === 64)?.value
  if (value === undefined || value.length < 2) return null
  const head = value.readUInt16BE(0)
  const families = Array.from({ length: Math.floor((value.length - 2) / 4) }, (_, at) => {
    const offset = 2 + 4 * at
    return {
      afi: value.readUInt16BE(offset),
      safi: value.readUInt8(offset + 2),
      forwardingPreserved: (value.readUInt8(offset + 3) & 0x80) !== 0,
    }
  })
  return { restarting: (head & 0x8000) !== 0, notification: (head & 0x4000) !== 0, restartTimeSeconds: head & 0x0fff, families }
}
