// A speaker in a process of its own inside a namespace, without an agent around it. What it is to be is the JSON of its first
// argument; it does what the lines of its standard input say (`drain`, `cease`), prints `ready`, and ends once its sessions have gone.
import { createInterface } from 'node:readline'
import { Speaker, TcpTransport } from '../../../src/bgp/index.ts'
import { systemClock } from '../../../src/lib/clock.ts'
import { createLog } from '../../../src/lib/log.ts'
import { cidr, ip } from '../../../src/net/index.ts'
import { config, originate, peer } from '../../bgp/speaker-world.ts'

export type SpeakerProcessOptions = {
  readonly asn: number
  readonly routerId: number
  readonly address: string
  readonly peers: readonly { readonly address: string; readonly asn: number }[]
  readonly originated: readonly string[]
}

const options: SpeakerProcessOptions = JSON.parse(process.argv[2] ?? '{}')
const log = createLog({ level: 'info', fields: {} })
const peers = options.peers.map(({ address, asn }) =>
  peer(address, asn, { sourceAddress: ip(options.address), connectRetrySeconds: 1, families: ['IPv4Unicast'] }),
)
const speaker = new Speaker(
  {
    clock: systemClock,
    log,
    random: Math.random,
    transport: new TcpTransport({ clock: systemClock, log }),
    peersUpBefore: null,
    observer: { bestPathsChanged: () => {}, sessionsChanged: () => {}, selectionReleased: () => {}, problemsChanged: () => {} },
  },
  config(options.asn, options.routerId, peers, { originated: originate(...options.originated) }),
)
speaker.setHostNetwork({
  routes: [{ prefix: cidr('10.0.0.0/24'), interfaceIndex: 1, gateway: null, metric: 0 }],
  localAddresses: [{ address: ip(options.address), prefixLength: 24, interfaceIndex: 1 }],
  interfaces: [{ index: 1, name: 'eth0', up: true }],
})

async function end(): Promise<void> {
  speaker.stop('cease')
  await speaker.drained()
  process.exit(0)
}

createInterface({ input: process.stdin })
  .on('line', (line) => {
    if (line === 'drain') speaker.drain()
    else if (line === 'cease') void end()
  })
  .on('close', () => void end())
process.stdout.write('ready\n')
