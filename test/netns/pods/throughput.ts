// How fast a TCP connection between two namespaces carries data: the whole of it, from the first octet written to the last read.
import net from 'node:net'
import { ip } from '../../../src/net/index.ts'
import { inNetns } from '../../../src/sys/netns.ts'
import { bindTcp, listenTcp, openTcpSocket, orClose, reuseAddress } from '../../../src/sys/tcp-socket.ts'

const PORT = 5_001
const CHUNK = Buffer.alloc(64 * 1024)
const TIMEOUT_MS = 30_000

/** Megabits a second of `megabytes` sent by IPv4 from one namespace to an address in another. */
export async function throughput(
  from: string,
  to: { readonly netns: string; readonly address: string },
  megabytes: number,
): Promise<number> {
  const octets = megabytes * 1_000_000
  const received = Promise.withResolvers<number>()
  const server = net.createServer((socket) => {
    let left = octets
    socket.on('error', received.reject)
    socket.on('data', (part: Buffer) => {
      left -= part.length
      if (left <= 0) received.resolve(performance.now())
    })
  })
  const listening = inNetns(to.netns, () => {
    const fd = openTcpSocket(4)
    return orClose(fd, () => {
      reuseAddress(fd)
      bindTcp(fd, ip(to.address), PORT, null)
      listenTcp(fd, 1)
    })
  })
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen({ fd: listening }, resolve))
  const adopted = { fd: inNetns(from, () => openTcpSocket(4)), manualStart: true } // missing in the types: see src/bgp/tcp-transport.ts
  const socket = new net.Socket(adopted)
  const timeout = setTimeout(() => received.reject(new Error(`${megabytes} MB not within ${TIMEOUT_MS} ms`)), TIMEOUT_MS)
  try {
    socket.once('error', received.reject)
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject)
      socket.connect({ host: to.address, port: PORT }, resolve)
    })
    const startMs = performance.now()
    let left = octets
    const pour = (): void => {
      while (left > 0) {
        const part = CHUNK.subarray(0, Math.min(left, CHUNK.length))
        left -= part.length
        if (!socket.write(part)) return
      }
    }
    socket.on('drain', pour)
    pour()
    return (octets * 8) / 1_000 / ((await received.promise) - startMs)
  } finally {
    clearTimeout(timeout)
    socket.destroy()
    server.close()
  }
}
