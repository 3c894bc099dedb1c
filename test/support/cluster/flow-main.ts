// Program inside a namespace, a pod's or another: exchanges numbered datagrams with every other such program at a steady rate, both ways,
// and holds TCP connections whose every message has to come back. Reports what was sent, what arrived, and what broke.
import dgram from 'node:dgram'
import fs from 'node:fs'
import net from 'node:net'
import { datagramOf, numberOf, type Sent, SteadySender } from '../numbered.ts'

export type FlowPeer = { readonly id: number; readonly address: string }
export type FlowCommand =
  | {
      readonly op: 'start'
      readonly id: number
      readonly local: string
      /** Where datagrams go. */
      readonly peers: readonly FlowPeer[]
      /** Where streams go; the other end listens. */
      readonly streams: readonly FlowPeer[]
      readonly everyMs: number
    }
  | { readonly op: 'begin' } // count from here on
  | { readonly op: 'end' } // send no more
  | { readonly op: 'report' } // any number of times

export type StreamReport = {
  readonly peer: number
  readonly sent: number
  readonly returned: number
  readonly breaks: number
  /** Longest time without an answer. */
  readonly longestStallMs: number
}

export type FlowEvent =
  /** By peer: a datagram of it arrived, and (where there is one) the stream to it is open. */
  | { readonly event: 'heard'; readonly datagrams: readonly number[]; readonly streams: readonly number[] }
  /** Every peer was sent the same numbers. */
  | ({
      readonly event: 'report'
      /** Numbers received since the start, by peer. */
      readonly received: readonly (readonly [number, readonly number[]])[]
      /** Datagrams since `begin`, by peer, that did arrive and found the buffer full, because this program did not get to read. */
      readonly overflowed: readonly (readonly [number, number])[]
      readonly streams: readonly StreamReport[]
    } & Sent)

/** A socket for each peer, so that each has a buffer of its own: a busy machine may keep this program waiting for seconds. */
const UDP_PORT = 5_100
const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024 // the kernel gives what it allows
const TCP_PORT = 5_006
const HEARD_EVERY_MS = 250
const MESSAGE_BYTES = 512

type Stream = {
  readonly peer: FlowPeer
  socket: net.Socket | undefined
  sent: number
  returnedBytes: number
  breaks: number
  open: boolean
  answeredAtMs: number
  longestStallMs: number
}

const NEW_STREAM = { socket: undefined, sent: 0, returnedBytes: 0, breaks: 0, open: false, answeredAtMs: 0, longestStallMs: 0 } as const

const received = new Map<number, number[]>()
const streams: Stream[] = []
const overflowedBefore = new Map<number, number>()
const sender = new SteadySender()
let hearing: NodeJS.Timeout | undefined

function tell(event: FlowEvent): void {
  if (process.connected) process.send?.(event)
}

function start({ id, local, peers, streams: to, everyMs }: Extract<FlowCommand, { op: 'start' }>): void {
  const outgoing = peers.map(({ id: peer, address }) => {
    const numbers: number[] = []
    received.set(peer, numbers)
    const socket = dgram.createSocket({ type: local.includes(':') ? 'udp6' : 'udp4', recvBufferSize: RECEIVE_BUFFER_BYTES })
    socket.on('error', () => {}) // an ICMP answer to an earlier datagram: that one counts as lost
    socket.on('message', (datagram) => numbers.push(numberOf(datagram)))
    socket.bind(UDP_PORT + peer, local)
    return { socket, address }
  })
  const server = net.createServer((client) => {
    client.on('error', () => client.destroy()) // the other end counts it
    client.pipe(client)
  })
  for (const peer of to) streams.push({ peer, ...NEW_STREAM })
  server.listen(TCP_PORT, local, () => {
    for (const stream of streams) open(stream)
    hearing = setInterval(tellHeard, HEARD_EVERY_MS)
    sender.start(everyMs, (number) => {
      const datagram = datagramOf(number)
      for (const { socket, address } of outgoing) socket.send(datagram, UDP_PORT + id, address, () => {}) // what was not sent is missed
      for (const stream of streams) push(stream)
    })
  })
}

function tellHeard(): void {
  const datagrams = [...received].filter(([, numbers]) => numbers.length > 0).map(([peer]) => peer)
  tell({ event: 'heard', datagrams, streams: streams.filter((each) => each.open).map(({ peer }) => peer.id) })
}

/** What the kernel dropped for want of room, by peer: the last column of /proc/net/udp and udp6, in the line of the port. */
function overflows(): ReadonlyMap<number, number> {
  const drops = new Map<number, number>()
  for (const file of ['/proc/net/udp', '/proc/net/udp6'])
    for (const line of fs.readFileSync(file, 'utf8').split('\n').slice(1)) {
      const columns = line.trim().split(/\s+/)
      const peer = Number.parseInt(columns[1]?.split(':')[1] ?? '', 16) - UDP_PORT
      if (received.has(peer)) drops.set(peer, Number(columns.at(-1)))
    }
  return drops
}

function open(stream: Stream): void {
  const socket = net.connect({ host: stream.peer.address, port: TCP_PORT, noDelay: true })
  stream.socket = socket
  socket.on('connect', () => {
    stream.open = true
    stream.answeredAtMs = performance.now()
  })
  socket.on('data', (bytes) => {
    stream.returnedBytes += bytes.length
    stream.answeredAtMs = performance.now()
  })
  socket.on('error', () => {}) // `close` follows
  socket.on('close', () => {
    if (stream.open) stream.breaks++
    stream.open = false
    if (sender.isSending) setTimeout(() => open(stream), 200)
  })
}

function push(stream: Stream): void {
  if (!stream.open || stream.socket === undefined) return
  stream.longestStallMs = Math.max(stream.longestStallMs, performance.now() - stream.answeredAtMs)
  stream.socket.write(Buffer.alloc(MESSAGE_BYTES))
  stream.sent++
}

function perform(command: FlowCommand): void {
  switch (command.op) {
    case 'start':
      start(command)
      return
    case 'begin':
      clearInterval(hearing)
      sender.begin()
      for (const [peer, drops] of overflows()) overflowedBefore.set(peer, drops)
      for (const stream of streams) {
        stream.breaks = 0
        stream.longestStallMs = 0
      }
      return
    case 'end':
      sender.end()
      return
    case 'report':
      tell({
        event: 'report',
        ...sender.sent(),
        received: [...received],
        overflowed: [...overflows()].map(([peer, drops]) => [peer, drops - (overflowedBefore.get(peer) ?? 0)]),
        streams: streams.map(({ peer, sent, returnedBytes, breaks, longestStallMs }) => ({
          peer: peer.id,
          sent,
          returned: Math.floor(returnedBytes / MESSAGE_BYTES),
          breaks,
          longestStallMs: Math.round(longestStallMs),
        })),
      })
      return
    default:
      throw new Error(`unknown command: ${JSON.stringify(command satisfies never)}`)
  }
}

process.on('message', (command) => perform(command as FlowCommand))
process.on('disconnect', () => process.exit(0))
