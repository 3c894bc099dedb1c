// Program inside a namespace: one end of a TCP connection whose every octet is checked.
//   listen ADDRESS PORT            sends back what it gets
//   keep ADDRESS PORT              a little all the time; a line a quarter of a second: {"echoed":OCTETS}, or {"broken":"CODE"} once
//   pour ADDRESS PORT OCTETS       as much as it can; {"poured":OCTETS} when all of it has come back
import net from 'node:net'

const [mode = '', address = '', port = '', octets = '0'] = process.argv.slice(2)
/** Octet at a place in the stream; the period is no divisor of any segment's length. */
const PATTERN = Buffer.from(Array.from({ length: 251 }, (_, at) => (at * 7) & 0xff))
const CHUNK = 16 * 1024

function tell(line: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${JSON.stringify(line)}\n`)
}

function chunkAt(place: number, length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, at) => PATTERN[(place + at) % PATTERN.length] ?? 0))
}

function dial(onConnected: (socket: net.Socket) => void, onProgress: (echoed: number) => void): void {
  const socket = net.connect({ host: address, port: Number(port) })
  let echoed = 0
  socket.setNoDelay(true)
  socket.on('connect', () => onConnected(socket))
  socket.on('data', (data) => {
    if (!data.equals(chunkAt(echoed, data.length))) broken(`wrong octets after ${echoed}`)
    echoed += data.length
    onProgress(echoed)
  })
  socket.on('error', (cause: NodeJS.ErrnoException) => broken(cause.code ?? cause.message))
  socket.on('close', () => broken('closed'))
}

function broken(why: string): never {
  tell({ broken: why })
  process.exit(1)
}

if (mode === 'listen') {
  net.createServer((socket) => socket.on('error', () => {}).pipe(socket)).listen(Number(port), address, () => tell({ listening: port }))
} else if (mode === 'keep') {
  let sent = 0
  let echoed = 0
  dial(
    (socket) => {
      setInterval(() => {
        if (sent - echoed > CHUNK) return // it stalls: what is under way is enough
        socket.write(chunkAt(sent, 100))
        sent += 100
      }, 20)
      setInterval(() => tell({ echoed }), 250)
    },
    (now) => {
      echoed = now
    },
  )
} else if (mode === 'pour') {
  const total = Number(octets)
  let sent = 0
  dial(
    (socket) => {
      const more = (): void => {
        while (sent < total) {
          const length = Math.min(CHUNK, total - sent)
          const isRoomLeft = socket.write(chunkAt(sent, length))
          sent += length
          if (!isRoomLeft) return
        }
      }
      socket.on('drain', more)
      more()
    },
    (echoed) => {
      if (echoed < total) return
      tell({ poured: echoed })
      process.exit(0)
    },
  )
} else throw new Error(`unknown mode ${mode}`)
