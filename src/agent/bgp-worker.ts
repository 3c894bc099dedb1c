// The bgp thread: the speaker over real TCP. Nothing else runs here, so that a KEEPALIVE is never late for somebody else's
// work. Best paths leave on a port of their own, straight to the dataplane thread.
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { Speaker, type SpeakerConfig, TcpTransport } from '../bgp/index.ts'
import { systemClock } from '../lib/clock.ts'
import { createLog } from '../lib/log.ts'
import type { HostNetwork } from '../net/index.ts'
import { startBeat } from './beat.ts'
import { Channel } from './channel.ts'
import type { BestPaths, BgpRequests, BgpThreadData, FromBgp, HostFacts, ToBgp } from './threads.ts'

if (parentPort === null) throw new Error('bgp-worker runs only as a worker thread')
const { logLevel, node, peersUpBefore, dataplanePort } = workerData as BgpThreadData & { readonly dataplanePort: MessagePort }
const log = createLog({ level: logLevel, fields: { node, thread: 'bgp' } })

/** null until the first configuration arrives; what the host told before then waits. */
let speaker: Speaker | null = null
let network: HostNetwork | null = null
let isReportDue = false
let isDraining = false

const dataplane = new Channel<HostFacts, BestPaths>(dataplanePort, {
  notice(message) {
    network = message.network
    speaker?.setHostNetwork(network)
  },
})

const main = new Channel<ToBgp, FromBgp, BgpRequests>(parentPort, {
  notice(message) {
    switch (message.kind) {
      case 'configure':
        if (speaker === null) speaker = begin(message.config)
        else speaker.configure(message.config)
        return
      case 'logLevel':
        log.setLevel(message.level)
        return
    }
  },
  answers: {
    peers: () => speaker?.peers() ?? [],
    routes: (lookup) => speaker?.routes(lookup) ?? { routes: [], next: null },
    reset({ peer, soft }) {
      speaker?.reset(peer, soft)
      return null
    },
    drain(request) {
      isDraining = request.isDraining
      speaker?.drain(isDraining)
      return null
    },
    stop({ how }) {
      speaker?.stop(how)
      void (speaker?.drained() ?? Promise.resolve()).then(() => main.send({ kind: 'drained' }))
      return null
    },
  },
})

function begin(config: SpeakerConfig): Speaker {
  const transport = new TcpTransport({ clock: systemClock, log })
  const begun = new Speaker(
    {
      clock: systemClock,
      log,
      random: Math.random,
      transport,
      peersUpBefore,
      observer: {
        bestPathsChanged(batch) {
          dataplane.send({ kind: 'fib', batch }, [batch.addresses.buffer, batch.lengths.buffer, batch.nextHopSets.buffer])
        },
        selectionReleased() {
          dataplane.send({ kind: 'selectionReleased' })
          main.send({ kind: 'selectionReleased' })
        },
        sessionsChanged: reportSoon,
        problemsChanged: reportSoon,
      },
    },
    config,
  )
  if (isDraining) begun.drain()
  if (network !== null) begun.setHostNetwork(network)
  return begun
}

/** Sessions and problems change in bursts: one report when the burst is over. */
function reportSoon(): void {
  if (isReportDue) return
  isReportDue = true
  systemClock.soon(() => {
    isReportDue = false
    if (speaker === null) return
    const peers = speaker.peers()
    main.send({
      kind: 'sessionsChanged',
      configured: peers.map(({ name }) => name),
      established: peers.filter(({ state }) => state === 'Established').map(({ name }) => name),
      upOrRetained: speaker.peersUpOrRetained(),
    })
    main.send({ kind: 'problemsChanged', problems: speaker.problems() })
  })
}

startBeat((beat) => main.send(beat))
