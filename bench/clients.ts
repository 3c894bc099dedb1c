// Tool: K iBGP clients of one route reflector, each with its own prefixes; done when each holds everybody else's.
import { ip, ipToBytes } from '../src/net/index.ts'
import { Endpoint, machineMs } from './endpoint.ts'
import { announceAll, generateTable } from './generate.ts'
import { endOfRib, Framer, MESSAGE } from './messages.ts'
import { PrefixTable } from './prefix-table.ts'
import { type Holding, ReceivedRoutes } from './received.ts'
import { warmUp } from './receiver.ts'
import { UpdateWriter } from './table.ts'
import { ownCpuSeconds, type Parent } from './tool-parent.ts'
import type { ClientsSettings, Local } from './tool-protocol.ts'

type Client = { readonly local: Local; readonly octets: Uint8Array; readonly updates: number; readonly own: Holding }

const CONNECT_PACE = 20 // sessions at once: BIRD and FRR lose some of 100 simultaneous connects

export async function runClients(settings: ClientsSettings, parent: Parent): Promise<void> {
  const { family, prefixesEach } = settings
  warmUp(family)
  const clients = settings.clients.map((local, index) => prepare(local, index, settings))
  const prefixes = clients.length * prefixesEach
  const all = clients.reduce((sum, { own }) => (sum + own.fingerprint) | 0, 0)
  const bytes = clients.reduce((sum, { octets }) => sum + octets.length, 0)
  const updates = clients.reduce((sum, client) => sum + client.updates, 0)
  const table = new PrefixTable(family, prefixes)
  parent.send({ kind: 'prepared', prefixes, updates, bytes, states: [{ prefixes, fingerprint: all >>> 0 }], changes: [] })

  await parent.next('connect')
  const cpuBefore = ownCpuSeconds()
  let lacking = clients.length
  const sessions: { readonly endpoint: Endpoint; readonly routes: ReceivedRoutes; readonly octets: Uint8Array }[] = []
  const establish = async ({ local, own, octets }: Client): Promise<void> => {
    const routes = new ReceivedRoutes(table, local.routerId)
    const expected = { prefixes: prefixes - own.prefixes, fingerprint: (all - own.fingerprint) >>> 0 }
    let complete = false
    const onDrained = (): void => {
      if (complete || !routes.holds(expected)) return
      complete = true
      if (--lacking === 0) parent.send({ kind: 'reached', state: 0, atMs: machineMs() })
    }
    const onUpdate = (bytes: Uint8Array, start: number, end: number): void => routes.apply(bytes, start, end)
    const endpoint = await Endpoint.establish(
      { ...local, localAddress: local.address, families: [family], onUpdate, onDrained },
      parent.fail,
    )
    sessions.push({ endpoint, routes, octets })
  }
  for (let from = 0; from < clients.length; from += CONNECT_PACE) await Promise.all(clients.slice(from, from + CONNECT_PACE).map(establish))
  parent.send({ kind: 'established' })

  await parent.next('feed')
  const firstByteMs = machineMs()
  await Promise.all(sessions.map(({ endpoint, octets }) => endpoint.write(octets)))
  parent.send({ kind: 'fed', firstByteMs, sentMs: machineMs() })

  for (;;) {
    await parent.next('report')
    const held = sessions.reduce((sum, { routes }) => sum + routes.holding.prefixes, 0)
    const received = sessions.reduce((sum, { routes }) => sum + routes.updates, 0)
    parent.send({
      kind: 'reported',
      holding: { prefixes: held, fingerprint: 0 },
      updates: received,
      cpuSeconds: ownCpuSeconds() - cpuBefore,
    })
  }
}

function prepare(local: Local, index: number, { family, prefixesEach, attributeSetsEach, seed }: ClientsSettings): Client {
  const firstPrefix = index * prefixesEach
  const table = generateTable({
    family,
    prefixes: prefixesEach,
    attributeSets: attributeSetsEach,
    firstPrefix,
    seed: seed + index,
    firstAsn: null,
  })
  const writer = new UpdateWriter(table, ipToBytes(ip(local.address)))
  announceAll(table, writer)
  const updates = writer.messages
  writer.append(endOfRib(family))
  const octets = writer.finish()
  const routes = new ReceivedRoutes(new PrefixTable(family, prefixesEach), local.routerId)
  new Framer((type, bytes, start, end) => {
    if (type === MESSAGE.update) routes.apply(bytes, start, end)
  }).push(octets)
  return { local, octets, updates, own: routes.holding }
}
