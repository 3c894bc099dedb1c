// Program inside a namespace, a pod's or another: exchanges numbered datagrams with every other such program at a steady rate, both ways,
// and holds TCP connections whose every message has to come back. Reports what was sent, what arrived, and what broke.
import dgram from 'node:dgram'
import net from 'node:net'

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
  | { readonly op: 'report' }

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
  | {
      readonly event: 'report'
      /** Datagrams sent to each peer since `begin`: numbers from `first` up to and without `next`. */
      readonly first: number
      readonly next: number
      readonly sentAtMs: readonly number[]
      readonly longestPauseMs: number
      /** Numbers received since the start, by peer. */
      readonly received: readonly (readonly [number, readonly number[]])[]
      readonly streams: readonly StreamReport[]
    }

/** A socket for each peer, so that each has a buffer of its own: a busy machine may keep this program waiting for seconds. */
const UDP_PORT = 5_100
const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024 // the kernel gives what it allows
const TCP_PORT = 5_006
const DATAGRAM_BYTES = 64
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
const sentAtMs: number[] = []
const sockets: dgram.Socket[] = []
let next = 0
let first = 0
let counting = false
let longestPauseMs = 0
let timer: NodeJS.Timeout | undefined

function tell(event: FlowEvent): void {
  if (process.connected) process.send?.(event)
}

function start({ id, local, peers, streams: to, everyMs }: Extract<FlowCommand, { op: 'start' }>): void {
  const outgoing = peers.map(({ id: peer, address }) => {
    const numbers: number[] = []
    received.set(peer, numbers)
    const socket = dgram.createSocket({ type: local.includes(':') ? 'udp6' : 'udp4', recvBufferSize: RECEIVE_BUFFER_BYTES })
    socket.on('error', () => {}) // an ICMP answer to an earlier datagram: that one counts as lost
    socket.on('message', (datagram) => numbers.push(datagram.readUInt32BE(0)))
    socket.bind(UDP_PORT + peer, local)
    sockets.push(socket)
    return { socket, address }
  })
  const server = net.createServer((client) => {
    client.on('error', () => client.destroy()) // the other end counts it
    client.pipe(client)
  })
  for (const peer of to) streams.push({ peer, ...NEW_STREAM })
  server.listen(TCP_PORT, local, () => {
    for (const stream of streams) open(stream)
    run((number) => {
      const datagram = Buffer.alloc(DATAGRAM_BYTES)
      datagram.writeUInt32BE(number)
      for (const { socket, address } of outgoing) socket.send(datagram, UDP_PORT + id, address, () => {}) // what was not sent is missed
    }, everyMs)
  })
}

/** Sends number after number; when the event loop was late, it makes up for the missed ones. */
function run(send: (number: number) => void, everyMs: number): void {
  const startedMs = performance.now()
  let lastMs = startedMs
  let toldMs = 0
  timer = setInterval(() => {
    const nowMs = performance.now()
    longestPauseMs = Math.max(longestPauseMs, nowMs - lastMs)
    lastMs = nowMs
    for (const due = Math.floor((nowMs - startedMs) / everyMs); next < due; next++) {
      sentAtMs.push(Date.now())
      send(next)
      for (const stream of streams) push(stream, nowMs)
    }
    if (nowMs - toldMs < 250 || counting) return
    toldMs = nowMs
    const datagrams = [...received].filter(([, numbers]) => numbers.length > 0).map(([peer]) => peer)
    tell({ event: 'heard', datagrams, streams: streams.filter((each) => each.open).map(({ peer }) => peer.id) })
  }, everyMs)
}

/** Opens the stream; one that breaks is counted and opened again. */
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
    if (timer !== undefined) setTimeout(() => open(stream), 200)
  })
}

function push(stream: Stream, nowMs: number): void {
  if (!stream.open || stream.socket === undefined) return
  stream.longestStallMs = Math.max(stream.longestStallMs, nowMs - stream.answeredAtMs)
  stream.socket.write(Buffer.alloc(MESSAGE_BYTES))
  stream.sent++
}

function perform(command: FlowCommand): void {
  switch (command.op) {
    case 'start':
      start(command)
      return
    case 'begin':
      first = next
      counting = true
      longestPauseMs = 0
      for (const stream of streams) {
        stream.breaks = 0
        stream.longestStallMs = 0
      }
      return
    case 'end':
      clearInterval(timer)
      timer = undefined
      return
    case 'report':
      tell({
        event: 'report',
        first,
        next,
        sentAtMs: sentAtMs.slice(first),
        longestPauseMs,
        received: [...received],
        streams: streams.map(({ peer, sent, returnedBytes, breaks, longestStallMs }) => ({
          peer: peer.id,
          sent,
          returned: Math.floor(returnedBytes / MESSAGE_BYTES),
          breaks,
          longestStallMs: Math.round(longestStallMs),
        })),
      })
      for (const each of sockets) each.close()
      return
    default:
      throw new Error(`unknown command: ${JSON.stringify(command satisfies never)}`)
  }
}

process.on('message', (command) => perform(command as FlowCommand))
process.on('disconnect', () => process.exit(0))
