// Program inside a namespace: plain TCP sockets on behalf of a test, driven over the IPC channel. It understands no BGP.
import net from 'node:net'

export type RawCommand =
  | { readonly op: 'listen'; readonly address: string; readonly port: number }
  | { readonly op: 'dial'; readonly id: number; readonly address: string; readonly port: number; readonly from: string | null }
  | { readonly op: 'write'; readonly id: number; readonly hex: string }
  | { readonly op: 'pause' | 'resume' | 'end' | 'reset'; readonly id: number }

export type RawEvent =
  | { readonly event: 'listening' }
  | { readonly event: 'open'; readonly id: number; readonly incoming: boolean; readonly remote: string }
  | { readonly event: 'data'; readonly id: number; readonly hex: string }
  | { readonly event: 'ended'; readonly id: number }
  | { readonly event: 'closed'; readonly id: number; readonly error: string | null }

/** A paused socket takes at most one more chunk out of the kernel, not the 64 KiB that Node would buffer. */
const UNBUFFERED = { highWaterMark: 1 }

const sockets = new Map<number, net.Socket>()
let accepted = -1 // incoming connections count downwards, those the test dials upwards

function tell(event: RawEvent): void {
  if (process.connected) process.send?.(event)
}

function adopt(id: number, socket: net.Socket, incoming: boolean): void {
  sockets.set(id, socket)
  let error: string | null = null
  const opened = (): void => tell({ event: 'open', id, incoming, remote: socket.remoteAddress ?? '' })
  if (incoming) opened()
  else socket.once('connect', opened)
  socket.on('data', (bytes) => tell({ event: 'data', id, hex: bytes.toString('hex') }))
  socket.on('end', () => tell({ event: 'ended', id }))
  socket.on('error', (cause: NodeJS.ErrnoException) => {
    error = cause.code ?? cause.message
  })
  socket.on('close', () => {
    sockets.delete(id)
    tell({ event: 'closed', id, error })
  })
}

function perform(command: RawCommand): void {
  switch (command.op) {
    case 'listen': {
      const server = net.createServer({ allowHalfOpen: true, noDelay: true, ...UNBUFFERED }, (socket) => adopt(accepted--, socket, true))
      server.listen(command.port, command.address, () => tell({ event: 'listening' }))
      return
    }
    case 'dial': {
      const { address, port, from } = command
      const options = {
        host: address,
        port,
        allowHalfOpen: true,
        noDelay: true,
        ...UNBUFFERED,
        ...(from === null ? {} : { localAddress: from }),
      }
      adopt(command.id, net.connect(options), false)
      return
    }
    case 'write':
      sockets.get(command.id)?.write(Buffer.from(command.hex, 'hex'))
      return
    case 'pause':
      sockets.get(command.id)?.pause()
      return
    case 'resume':
      sockets.get(command.id)?.resume()
      return
    case 'end':
      sockets.get(command.id)?.end()
      return
    case 'reset':
      sockets.get(command.id)?.resetAndDestroy()
      return
    default:
      throw new Error(`unknown command: ${JSON.stringify(command satisfies never)}`)
  }
}

process.on('message', (command) => perform(command as RawCommand))
process.on('disconnect', () => process.exit(0))
