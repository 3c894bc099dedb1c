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
  | { readonly event: 'listening' }
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

const UDP_PORT = 5_005
const TCP_PORT = 5_006
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

const received = new Map<number, number[]>()
const streams: Stream[] = []
const sentAtMs: number[] = []
let sockets: readonly dgram.Socket[] = []
let next = 0
let first = 0
let longestPauseMs = 0
let timer: NodeJS.Timeout | undefined

function tell(event: FlowEvent): void {
  if (process.connected) process.send?.(event)
}

function start({ id, local, peers, streams: to, everyMs }: Extract<FlowCommand, { op: 'start' }>): void {
  const socket = dgram.createSocket(local.includes(':') ? 'udp6' : 'udp4')
  sockets = [socket]
  socket.on('error', () => {}) // an ICMP answer to an earlier datagram: that one counts as lost
  socket.on('message', (datagram) => {
    const from = datagram.readUInt32BE(0)
    const numbers = received.get(from)
    if (numbers === undefined) received.set(from, [datagram.readUInt32BE(4)])
    else numbers.push(datagram.readUInt32BE(4))
  })
  const server = net.createServer((client) => {
    client.on('error', () => client.destroy()) // the other end counts it
    client.pipe(client)
  })
  for (const peer of to) {
    const stream: Stream = {
      peer,
      socket: undefined,
      sent: 0,
      returnedBytes: 0,
      breaks: 0,
      open: false,
      answeredAtMs: 0,
      longestStallMs: 0,
    }
    streams.push(stream)
  }
  server.listen(TCP_PORT, local, () => {
    socket.bind(UDP_PORT, local, () => {
      tell({ event: 'listening' })
      for (const stream of streams) open(stream)
      run(socket, id, peers, everyMs)
    })
  })
}

function run(socket: dgram.Socket, id: number, peers: readonly FlowPeer[], everyMs: number): void {
  const startedMs = performance.now()
  let lastMs = startedMs
  let toldMs = 0
  timer = setInterval(() => {
    const nowMs = performance.now()
    longestPauseMs = Math.max(longestPauseMs, nowMs - lastMs)
    lastMs = nowMs
    for (const due = Math.floor((nowMs - startedMs) / everyMs); next < due; next++) {
      sentAtMs.push(Date.now())
      const datagram = Buffer.alloc(64)
      datagram.writeUInt32BE(id, 0)
      datagram.writeUInt32BE(next, 4)
      for (const { address } of peers) socket.send(datagram, UDP_PORT, address, () => {}) // what was not sent will be missed
      for (const stream of streams) push(stream, nowMs)
    }
    if (nowMs - toldMs < 250 || first > 0) return
    toldMs = nowMs
    tell({ event: 'heard', datagrams: [...received.keys()], streams: streams.filter((each) => each.open).map(({ peer }) => peer.id) })
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
