// Program inside a namespace: sends numbered datagrams at a steady rate and notes the number of every datagram it receives. It reports
// the longest pause, so that a test knows what was watched.
import dgram from 'node:dgram'
import { datagramOf, numberOf, type Sent, SteadySender } from './numbered.ts'

export type ProbeCommand =
  | { readonly op: 'start'; readonly local: string; readonly remote: string; readonly port: number; readonly everyMs: number }
  | { readonly op: 'begin' } // count from the next number on
  | { readonly op: 'progress' } // tell how many have been sent
  | { readonly op: 'end' } // send no more
  | { readonly op: 'report' } // once everybody has ended

export type ProbeEvent =
  | { readonly event: 'ready' }
  | { readonly event: 'receiving' }
  | { readonly event: 'progress'; readonly next: number }
  | { readonly event: 'ended' }
  | ({
      readonly event: 'report'
      readonly sendErrors: Readonly<Record<string, number>>
      /** Every number received, in order of arrival. */
      readonly received: readonly number[]
    } & Sent)

/** A datagram takes microseconds from end to end here. */
const UNDER_WAY_MS = 300
/** As much as the kernel gives: who was kept waiting for seconds has lost nothing of what arrived meanwhile. */
const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024

const received: number[] = []
const sendErrors: Record<string, number> = {}
const sender = new SteadySender()
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
    received.push(numberOf(datagram))
  })
  opened.bind(port, local, () => {
    opened.setRecvBufferSize(RECEIVE_BUFFER_BYTES)
    tell({ event: 'ready' })
    sender.start(everyMs, (number) => sendOne(opened, number, remote, port))
  })
}

function sendOne(from: dgram.Socket, number: number, remote: string, port: number): void {
  from.send(datagramOf(number), port, remote, (cause) => {
    if (cause === null) return
    const code = (cause as NodeJS.ErrnoException).code ?? cause.message
    sendErrors[code] = (sendErrors[code] ?? 0) + 1
  })
}

/** Tells what was counted once nothing has come for a while, by a look at the socket and not by the clock alone: this process may have been kept waiting. */
async function report(): Promise<void> {
  for (let before = -1; before !== received.length; ) {
    before = received.length
    await new Promise((resolve) => setTimeout(resolve, UNDER_WAY_MS))
    await new Promise((resolve) => setImmediate(resolve)) // behind the poll phase, in which sockets are read
  }
  tell({ event: 'report', ...sender.sent(), sendErrors, received })
  socket?.close()
}

function perform(command: ProbeCommand): void {
  switch (command.op) {
    case 'start':
      start(command)
      return
    case 'begin':
      sender.begin()
      return
    case 'progress':
      tell({ event: 'progress', next: sender.sent().next })
      return
    case 'end':
      sender.end()
      tell({ event: 'ended' })
      return
    case 'report':
      void report()
      return
    default:
      throw new Error(`unknown command: ${JSON.stringify(command satisfies never)}`)
  }
}

process.on('message', (command) => perform(command as ProbeCommand))
process.on('disconnect', () => process.exit(0))
