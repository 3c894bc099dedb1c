// Rule 44 on the real event loop: a process that did nothing for longer than the hold time (garbage collection, a throttled cgroup, a
// migrated machine) must not take it for the peer's silence.
import { Worker } from 'node:worker_threads'
import { expect, test } from '@jest/globals'
import { Peer } from '../../../src/bgp/peer.ts'
import { TcpTransport } from '../../../src/bgp/tcp-transport.ts'
import { systemClock } from '../../../src/lib/clock.ts'
import { silentLog } from '../../../src/lib/log.ts'
import { ip } from '../../../src/net/index.ts'
import { settings } from '../../bgp/peer/peer-world.ts'
import { until } from '../../support/poll.ts'

const BLOCKED_MS = 5_000

test('[rule 44] a blocked event loop does not expire the hold timer: what waits in the socket is read first', async () => {
  const transport = new TcpTransport({ clock: systemClock, log: silentLog })
  const ends: string[] = []
  let isUp = false
  const observer = {
    established: () => {
      isUp = true
    },
    updateReceived: () => {},
    routeRefreshReceived: () => {},
    ended: ({ reason }: { reason: string }) => void ends.push(reason),
    failing: () => {},
    writable: () => {},
  }
  using peer = new Peer(
    { clock: systemClock, log: silentLog, transport, random: Math.random, observer },
    settings('10.0.0.2', { address: ip('127.0.0.2'), passive: true, holdTimeSeconds: 3, keepaliveTimeSeconds: 1 }),
  )
  using listener = transport.listen([ip('127.0.0.1')], 0, (connection) => {
    if (!peer.accept(connection)) connection.destroy()
  })
  peer.start()
  const worker = new Worker(new URL('talking-worker.ts', import.meta.url), {
    workerData: { port: listener.port, localAddress: '127.0.0.2' },
  })
  try {
    await until('the session is up', () => isUp, { everyMs: 10 })
    // Blocked behind the poll phase, so that timers are looked at before the sockets are.
    await new Promise<void>((resolve) =>
      setImmediate(() => {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, BLOCKED_MS)
        resolve()
      }),
    )
    await new Promise((resolve) => setTimeout(resolve, 500))
    expect([peer.status().state, ends]).toEqual(['Established', []])
    await worker.terminate() // now it is silent indeed
    await until('its end is noticed', () => ends.length > 0)
    expect(ends).toHaveLength(1)
  } finally {
    await worker.terminate()
  }
})
