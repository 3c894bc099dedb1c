// A peer in a process of its own, for what needs a whole process inside a namespace: link-local addresses. Its settings are the
// JSON of its first argument; it prints what its observer hears, a JSON value a line, and ends with its standard input.
import { routerId } from '../../../src/bgp/attributes.ts'
import { Peer } from '../../../src/bgp/peer.ts'
import { TcpTransport } from '../../../src/bgp/tcp-transport.ts'
import { systemClock } from '../../../src/lib/clock.ts'
import { silentLog } from '../../../src/lib/log.ts'
import { asn, formatIp, ip } from '../../../src/net/index.ts'
import { settings } from '../../bgp/peer/peer-world.ts'

export type PeerProcessOptions = {
  readonly own: number
  readonly source: string
  readonly remote: string
  readonly device: string
  readonly remoteAsn: number
  readonly password: string | null
  readonly passive: boolean
}

const options: PeerProcessOptions = JSON.parse(process.argv[2] ?? '{}')
const say = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value)}\n`)

const transport = new TcpTransport({ clock: systemClock, log: silentLog })
const peer = new Peer(
  {
    clock: systemClock,
    log: silentLog,
    transport,
    random: Math.random,
    observer: {
      established: ({ remoteRouterId, localAddress }) => say({ up: remoteRouterId, localAddress: formatIp(localAddress) }),
      updateReceived: () => {},
      routeRefreshReceived: () => {},
      ended: ({ reason }) => say({ down: reason }),
      failing: () => {},
      writable: () => {},
    },
  },
  settings('10.0.0.1', {
    address: ip(options.remote),
    interface: options.device,
    sourceAddress: ip(options.source),
    speakerAsn: asn(options.own),
    routerId: routerId(options.own),
    asn: asn(options.remoteAsn),
    password: options.password,
    passive: options.passive,
    ttlSecurity: 1,
    connectRetrySeconds: 1,
  }),
)
const accepted = (connection: Parameters<typeof peer.accept>[0]): void => {
  say({ from: formatIp(connection.remote.address), interface: connection.remote.interface })
  if (!peer.accept(connection)) connection.destroy()
}
const listener = transport.listen([], 179, accepted, [peer.acceptedPeer()])
peer.start()
process.stdin.resume()
process.stdin.on('end', async () => {
  listener[Symbol.dispose]()
  peer.stop({ kind: 'shutdown', message: '' })
  await peer.drained()
  process.exit(0)
})
