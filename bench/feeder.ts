// Tool: one session that sends a table, then perhaps its churn. Everything is encoded before the session comes up.
import { ip, ipToBytes } from '../src/net/index.ts'
import { Endpoint, machineMs } from './endpoint.ts'
import { announceAll, Churn, generateTable } from './generate.ts'
import { endOfRib, Framer, MESSAGE } from './messages.ts'
import { tableFromMrt } from './mrt.ts'
import { PrefixTable } from './prefix-table.ts'
import { type Holding, ReceivedRoutes } from './received.ts'
import { prefixCount, type Table, UpdateWriter } from './table.ts'
import { ownCpuSeconds, type Parent } from './tool-parent.ts'
import type { FeederSettings } from './tool-protocol.ts'

const EXPORTED_TO_NOBODY = 0xffff_ffff // a router id no route bears

export async function runFeeder(settings: FeederSettings, parent: Parent): Promise<void> {
  const { local, family, churn } = settings
  const table = await readTable(settings)
  const nextHop = ipToBytes(ip(local.address))
  const replica = new Replica(table)
  const writer = new UpdateWriter(table, nextHop)
  announceAll(table, writer)
  const updates = writer.messages
  writer.append(endOfRib(family))
  const octets = writer.finish()
  const states = [replica.after(octets)]
  const turns: Uint8Array[] = []
  const changes: number[] = []
  const churning = churn === null ? null : new Churn(table, { fraction: churn.fraction, seed: 7 })
  for (let turn = 0; churning !== null && turn < (churn?.turns ?? 0); turn++) {
    const turnWriter = new UpdateWriter(table, nextHop)
    changes.push(churning.turn(turnWriter))
    turns.push(turnWriter.finish())
    states.push(replica.after(turnWriter.finish()))
  }
  parent.send({ kind: 'prepared', prefixes: prefixCount(table), updates, bytes: octets.length, states, changes })

  await parent.next('connect')
  const cpuBefore = ownCpuSeconds()
  const endpoint = await Endpoint.establish(
    { ...local, localAddress: local.address, families: [family], onUpdate: () => {}, onDrained: () => {} },
    parent.fail,
  )
  parent.send({ kind: 'established' })

  await parent.next('feed')
  const firstByteMs = machineMs()
  await endpoint.write(octets)
  parent.send({ kind: 'fed', firstByteMs, sentMs: machineMs() })

  if (churn !== null) {
    await parent.next('churn')
    await feedTurns(endpoint, turns, churn.intervalMs, (turn, atMs) => parent.send({ kind: 'turnStarted', turn, atMs }))
  }
  await parent.next('report')
  parent.send({ kind: 'reported', holding: { prefixes: 0, fingerprint: 0 }, updates, cpuSeconds: ownCpuSeconds() - cpuBefore })
}

/** Starts one turn each interval, whether or not the last has been taken: that is the load. */
async function feedTurns(
  endpoint: Endpoint,
  turns: readonly Uint8Array[],
  intervalMs: number,
  started: (turn: number, atMs: number) => void,
): Promise<void> {
  const beginMs = machineMs()
  for (const [turn, octets] of turns.entries()) {
    const waitMs = beginMs + turn * intervalMs - machineMs()
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs))
    started(turn, machineMs())
    void endpoint.write(octets)
  }
}

function readTable({ table, family, local }: FeederSettings): Promise<Table> | Table {
  if (table.kind === 'mrt') return tableFromMrt(table.file, { family, firstAsn: local.asn, limit: table.limit })
  const { prefixes, attributeSets, seed } = table
  return generateTable({ family, prefixes, attributeSets, firstPrefix: 0, seed, firstAsn: local.asn })
}

/** Holds what a perfect receiver would hold. */
class Replica {
  readonly #routes: ReceivedRoutes
  readonly #framer: Framer

  constructor(table: Table) {
    this.#routes = new ReceivedRoutes(new PrefixTable(table.family, prefixCount(table)), EXPORTED_TO_NOBODY)
    this.#framer = new Framer((type, bytes, start, end) => {
      if (type === MESSAGE.update) this.#routes.apply(bytes, start, end)
    })
  }

  after(octets: Uint8Array): Holding {
    this.#framer.push(octets)
    return this.#routes.holding
  }
}
