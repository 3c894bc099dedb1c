// The real adapter on the loopback interface; options that need two hosts are tested in test/netns/bgp-transport.
import { once } from 'node:events'
import net from 'node:net'
import { Worker } from 'node:worker_threads'
import { describe, expect, test } from '@jest/globals'
import { TcpTransport } from '../../../src/bgp/tcp-transport.ts'
import { TransportError } from '../../../src/bgp/transport.ts'
import { FakeClock, systemClock } from '../../../src/lib/clock.ts'
import { silentLog } from '../../../src/lib/log.ts'
import { ip } from '../../../src/net/index.ts'
import { End, transportContract, type World } from '../../support/transport-contract.ts'

const later = (delayMs: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, delayMs))

function createWorld(near: string, far: string): World {
  const transport = new TcpTransport({ clock: systemClock, log: silentLog })
  const probe = transport.listen([ip(far)], 0, () => {}) // a port nobody else has
  const { port } = probe
  probe[Symbol.dispose]()
  return {
    near: { transport, address: ip(near) },
    far: { transport, address: ip(far), port },
    foreign: ip(near.includes(':') ? '2001:db8::9' : '192.0.2.9'),
    until: async (condition, what) => {
      const deadlineMs = Date.now() + 60_000
      while (!condition()) {
        if (Date.now() > deadlineMs) throw new Error(`never came: ${what}`)
        await later(2)
      }
    },
    settle: () => later(60),
    [Symbol.asyncDispose]: async () => {},
  }
}

transportContract('TCP over IPv4', () => createWorld('127.0.0.1', '127.0.0.2'))
transportContract('TCP over IPv6', () => createWorld('::1', '::1'))

test('no address means every address of both families', async () => {
  const transport = new TcpTransport({ clock: systemClock, log: silentLog })
  const ends: End[] = []
  using listener = transport.listen([], 0, (connection) => ends.push(new End(connection)))
  const world = createWorld('127.0.0.1', '127.0.0.3')
  transport.dial(
    {
      remote: { address: ip('127.0.0.3'), interface: null, port: listener.port },
      sourceAddress: null,
      password: null,
      hopLimit: { send: 64, receiveAtLeast: null },
      userTimeoutMs: 2_000,
    },
    (connection) => ends.push(new End(connection)),
    () => {},
  )
  await world.until(() => ends.length === 2, 'the connection')
  for (const end of ends) end.connection.destroy()
})

test('an address of another host cannot be listened on, and the error says so', () => {
  const transport = new TcpTransport({ clock: systemClock, log: silentLog })
  const listen = (): unknown => transport.listen([ip('127.0.0.1'), ip('192.0.2.1')], 0, () => {})
  expect(listen).toThrow(TransportError)
  expect(listen).toThrow('cannot listen on 192.0.2.1 port 0: the address is not configured on this host')
})

test('works in a worker thread', async () => {
  const worker = new Worker(new URL('worker.ts', import.meta.url))
  const [said] = await once(worker, 'message')
  expect(said).toBe('from a worker')
  await worker.terminate()
})

describe('closing, with a clock that never reaches its deadline', () => {
  const transport = new TcpTransport({ clock: new FakeClock(), log: silentLog })

  /** A plain server that leaves its sockets half open, and our end of a connection to it. */
  async function connected(onConnection: (socket: net.Socket) => void): Promise<{ readonly near: End; readonly server: net.Server }> {
    const server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, onConnection).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('not listening')
    const near = await new Promise<End>((resolve, reject) =>
      transport.dial(
        {
          remote: { address: ip('127.0.0.1'), interface: null, port: address.port },
          sourceAddress: null,
          password: null,
          hopLimit: { send: 64, receiveAtLeast: null },
          userTimeoutMs: 2_000,
        },
        (connection) => resolve(new End(connection)),
        reject,
      ),
    )
    return { near, server }
  }
  const until = async (condition: () => boolean): Promise<void> => {
    while (!condition()) await later(2)
  }

  test('a paused connection still reads on to the end of the other side', async () => {
    let isWritten = false
    const { near, server } = await connected((socket) => {
      socket.on('end', () => socket.end())
      socket.write('unread', () => {
        isWritten = true
      })
      socket.resume()
    })
    near.connection.pause()
    await until(() => isWritten)
    near.connection.close()
    await until(() => near.closed.length > 0)
    expect(near.closed).toEqual([{ kind: 'closedByUs' }])
    server.close()
  })

  test('the other side closing as well does not cut off what we still have to say', async () => {
    const last = Buffer.alloc(16 * 1024 * 1024, 'x')
    let received = 0
    let socket: net.Socket | null = null
    const { near, server } = await connected((accepted) => {
      socket = accepted
      accepted.on('data', (bytes) => {
        received += bytes.length
      })
    })
    near.connection.write(last)
    near.connection.close()
    await until(() => socket !== null)
    let isSaid = false
    ;(socket as net.Socket | null)?.end(() => {
      isSaid = true
    })
    await until(() => isSaid) // its FIN, while most of ours has not been taken
    ;(socket as net.Socket | null)?.resume()
    await until(() => near.closed.length > 0)
    await until(() => received === last.length)
    server.close()
  })
})
