// Tool: one session that takes what the daemon sends and says when it holds exactly the expected table.
import { Endpoint, machineMs } from './endpoint.ts'
import { announceAll, generateTable } from './generate.ts'
import { Framer } from './messages.ts'
import { PrefixTable } from './prefix-table.ts'
import { ReceivedRoutes } from './received.ts'
import { UpdateWriter } from './table.ts'
import { ownCpuSeconds, type Parent } from './tool-parent.ts'
import type { ReceiverSettings } from './tool-protocol.ts'

const WARM_UP_PREFIXES = 50_000

export async function runReceiver({ local, family }: ReceiverSettings, parent: Parent): Promise<void> {
  warmUp(family)
  const { capacity, states } = await parent.next('expect')
  const routes = new ReceivedRoutes(new PrefixTable(family, capacity), local.routerId)
  parent.send({ kind: 'expecting' })

  await parent.next('connect')
  const cpuBefore = ownCpuSeconds()
  let awaited = 0
  let seen = 0
  const onDrained = (): void => {
    if (routes.updates === seen) return
    seen = routes.updates
    // A daemon that coalesces two turns never shows the first of them: reaching a state reaches all before it.
    for (let state = awaited; state < states.length; state++) {
      const expected = states[state]
      if (expected === undefined || !routes.holds(expected)) continue
      const atMs = machineMs()
      for (; awaited <= state; awaited++) parent.send({ kind: 'reached', state: awaited, atMs })
    }
  }
  const onUpdate = (bytes: Uint8Array, start: number, end: number): void => routes.apply(bytes, start, end)
  await Endpoint.establish({ ...local, localAddress: local.address, families: [family], onUpdate, onDrained }, parent.fail)
  parent.send({ kind: 'established' })

  for (;;) {
    await parent.next('report')
    parent.send({ kind: 'reported', holding: routes.holding, updates: routes.updates, cpuSeconds: ownCpuSeconds() - cpuBefore })
  }
}

/** Compiles the counting code before the clock runs, so that every daemon meets the same receiver. */
export function warmUp(family: ReceiverSettings['family']): void {
  const table = generateTable({ family, prefixes: WARM_UP_PREFIXES, attributeSets: 100, firstPrefix: 0, seed: 3, firstAsn: 1 })
  const writer = new UpdateWriter(table, new Uint8Array(family === 'IPv4Unicast' ? 4 : 16))
  announceAll(table, writer)
  for (let run = 0; run < table.runStarts.length; run++) writer.withdraw(run)
  const routes = new ReceivedRoutes(new PrefixTable(family, WARM_UP_PREFIXES), 1)
  const framer = new Framer((_type, bytes, start, end) => routes.apply(bytes, start, end))
  framer.push(writer.finish())
}
