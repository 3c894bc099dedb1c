// Program inside a namespace: sends numbered datagrams at a steady rate and notes the number of every datagram it receives. When
// the event loop was late it makes up for the missed ones, and reports the longest pause, so that a test knows what was watched.
import dgram from 'node:dgram'

export type ProbeCommand =
  | { readonly op: 'start'; readonly local: string; readonly remote: string; readonly port: number; readonly everyMs: number }
  | { readonly op: 'begin' } // count from the next number on
  | { readonly op: 'end' } // send no more
  | { readonly op: 'report' }

export type ProbeEvent =
  | { readonly event: 'ready' }
  | { readonly event: 'receiving' }
  | {
      readonly event: 'report'
      /** Numbers sent since `begin`: from `first` up to and without `next`. */
      readonly first: number
      readonly next: number
      /** Wall-clock milliseconds when each of them was sent. */
      readonly sentAtMs: readonly number[]
      readonly longestPauseMs: number
      readonly sendErrors: Readonly<Record<string, number>>
      /** Every number received, in order of arrival. */
      readonly received: readonly number[]
    }

const received: number[] = []
const sentAtMs: number[] = []
const sendErrors: Record<string, number> = {}
let next = 0
let first = 0
let longestPauseMs = 0
let timer: NodeJS.Timeout | undefined
let socket: dgram.Socket | undefined

function tell(event: ProbeEvent): void {
  if (process.connected) process.send?.(event)
}

function start({ local, remote, port, everyMs }: Extract<ProbeCommand, { op: 'start' }>): void {
  const opened = dgram.createSocket(local.includes(':') ? 'udp6' : 'udp4')
  socket = opened
  opened.on('error', () => {}) // an ICMP answer to an earlier datagram: that one counts as lost
  opened.on('message', (datagram) => {
    if (received.length === 0) tell({ event: 'receiving' })
    received.push(datagram.readUInt32BE(0))
  })
  opened.bind(port, local, () => {
    tell({ event: 'ready' })
    const startedMs = performance.now()
    let lastMs = startedMs
    const origin = next
    timer = setInterval(() => {
      const nowMs = performance.now()
      longestPauseMs = Math.max(longestPauseMs, nowMs - lastMs)
      lastMs = nowMs
      for (const due = origin + Math.floor((nowMs - startedMs) / everyMs); next < due; ) sendOne(opened, remote, port)
    }, everyMs)
  })
}

function sendOne(from: dgram.Socket, remote: string, port: number): void {
  const datagram = Buffer.alloc(64)
  datagram.writeUInt32BE(next++)
  sentAtMs.push(Date.now())
  from.send(datagram, port, remote, (cause) => {
    if (cause === null) return
    const code = (cause as NodeJS.ErrnoException).code ?? cause.message
    sendErrors[code] = (sendErrors[code] ?? 0) + 1
  })
}

function perform(command: ProbeCommand): void {
  switch (command.op) {
    case 'start':
      start(command)
      return
    case 'begin':
      first = next
      longestPauseMs = 0
      return
    case 'end':
      clearInterval(timer)
      return
    case 'report':
      tell({ event: 'report', first, next, sentAtMs: sentAtMs.slice(first), longestPauseMs, sendErrors, received })
      socket?.close()
      return
    default:
      throw new Error(`unknown command: ${JSON.stringify(command satisfies never)}`)
  }
}

process.on('message', (command) => perform(command as ProbeCommand))
process.on('disconnect', () => process.exit(0))
