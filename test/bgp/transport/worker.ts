// The transport inside a worker thread: listens, dials itself, and posts what arrived.
import { parentPort } from 'node:worker_threads'
import { TcpTransport } from '../../../src/bgp/tcp-transport.ts'
import type { Connection, ConnectionHandler } from '../../../src/bgp/transport.ts'
import { systemClock } from '../../../src/lib/clock.ts'
import { silentLog } from '../../../src/lib/log.ts'
import { ip } from '../../../src/net/index.ts'

const transport = new TcpTransport({ clock: systemClock, log: silentLog })
const handler = (received: (text: string) => void): ConnectionHandler => ({
  received: (bytes) => received(Buffer.from(bytes).toString()),
  drained: () => {},
  progressed: () => {},
  closed: () => {},
})
const listener = transport.listen([ip('127.0.0.1')], 0, (connection: Connection) => {
  connection.attach(
    handler((text) => {
      parentPort?.postMessage(text)
      connection.close()
      listener[Symbol.dispose]()
    }),
  )
})
transport.dial(
  {
    remote: { address: ip('127.0.0.1'), interface: null, port: listener.port },
    sourceAddress: ip('127.0.0.1'),
    password: null,
    hopLimit: { send: 64, receiveAtLeast: null },
    userTimeoutMs: 2_000,
  },
  (connection) => {
    connection.attach(handler(() => {}))
    connection.write(Buffer.from('from a worker'))
  },
  ({ message }) => parentPort?.postMessage(message),
)
