// The real adapter on the loopback interface; options that need two hosts are tested in test/netns/bgp-transport.
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { expect, test } from '@jest/globals'
import { TcpTransport } from '../../../src/bgp/tcp-transport.ts'
import { TransportError } from '../../../src/bgp/transport.ts'
import { systemClock } from '../../../src/lib/clock.ts'
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
      const deadlineMs = Date.now() + 20_000
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
