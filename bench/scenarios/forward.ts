// forward and churn: eBGP feeder -> daemon -> eBGP receiver. The clock of forward runs from the first octet written to the
// moment the receiver holds exactly the fed table; that of churn, for each turn, from its start to the state it leads to.
import type { Family } from '../../src/bgp/family.ts'
import type { Dut } from '../dut/dut.ts'
import { ToolProcess } from '../tool-process.ts'
import type { ChurnPlan, TableSource } from '../tool-protocol.ts'
import { costSince, establish, type Measurement, SETUP_MS } from './measurement.ts'
import { addStation, makeBed } from './topology.ts'

export type ForwardOptions = { readonly family: Family; readonly table: TableSource; readonly timeoutMs: number }

export async function measureForward(dut: Dut, options: ForwardOptions): Promise<Measurement> {
  return inForwardBed(dut, options, null, ({ tableMeasurement }) => Promise.resolve(tableMeasurement))
}

export async function measureChurn(dut: Dut, options: ForwardOptions, churn: ChurnPlan): Promise<Measurement> {
  return inForwardBed(dut, options, churn, async ({ feeder, receiver, dutNamespace, changes, tableMeasurement, measureCost }) => {
    feeder.command({ kind: 'churn' })
    const lagsMs: number[] = []
    for (let turn = 0; turn < churn.turns; turn++) {
      const { atMs } = await feeder.next('turnStarted', options.timeoutMs)
      const reached = await receiver.next('reached', options.timeoutMs)
      lagsMs.push(reached.atMs - atMs)
    }
    const cost = await measureCost(dutNamespace)
    const mean = lagsMs.reduce((sum, lag) => sum + lag, 0) / lagsMs.length
    const prefixesPerTurn = changes.reduce((sum, count) => sum + count, 0) / changes.length
    return {
      ...cost,
      seconds: mean / 1000,
      details: {
        ...cost.details,
        tableSeconds: tableMeasurement.seconds,
        worstLagSeconds: Math.max(...lagsMs) / 1000,
        prefixesPerTurn: Math.round(prefixesPerTurn),
        turns: churn.turns,
      },
    }
  })
}

type ForwardBed = {
  readonly feeder: ToolProcess
  readonly receiver: ToolProcess
  readonly dutNamespace: string
  readonly changes: readonly number[]
  readonly tableMeasurement: Measurement
  readonly measureCost: (dutNamespace: string) => ReturnType<typeof costSince>
}

/** Builds the bed, lets the table converge, then does the rest. */
async function inForwardBed(
  dut: Dut,
  { family, table, timeoutMs }: ForwardOptions,
  churn: ChurnPlan | null,
  rest: (bed: ForwardBed) => Promise<Measurement>,
): Promise<Measurement> {
  await using bed = await makeBed()
  const from = await addStation(bed, 1, family)
  const to = await addStation(bed, 2, family)
  await using feeder = new ToolProcess(from.namespace, { role: 'feeder', local: from.local, family, table, churn })
  await using receiver = new ToolProcess(to.namespace, { role: 'receiver', local: to.local, family })
  const prepared = await feeder.next('prepared', SETUP_MS)
  receiver.command({ kind: 'expect', capacity: prepared.prefixes, states: prepared.states })
  await receiver.next('expecting', SETUP_MS)
  await bed.startDut(dut, [from.peer, to.peer])
  const work = async (): Promise<Measurement> => {
    const atRest = await establish([feeder, receiver], bed.dutNamespace)
    feeder.command({ kind: 'feed' })
    const { firstByteMs, sentMs } = await feeder.next('fed', timeoutMs)
    const { atMs } = await receiver.next('reached', timeoutMs)
    const cost = await costSince(atRest, bed.dutNamespace)
    const [sent, received] = await Promise.all([churn === null ? feeder.report() : null, receiver.report()])
    const toolCpu = (sent?.cpuSeconds ?? 0) + received.cpuSeconds
    const tableMeasurement = {
      ...cost,
      seconds: (atMs - firstByteMs) / 1000,
      details: {
        ...cost.details,
        prefixes: prepared.prefixes,
        updatesIn: prepared.updates,
        sentSeconds: (sentMs - firstByteMs) / 1000,
        updatesOut: received.updates,
        toolCpuSeconds: toolCpu,
      },
    }
    const measureCost = (namespace: string): ReturnType<typeof costSince> =>
      costSince({ ...atRest, cpuSeconds: atRest.cpuSeconds + cost.cpuSeconds }, namespace)
    return await rest({ feeder, receiver, dutNamespace: bed.dutNamespace, changes: prepared.changes, tableMeasurement, measureCost })
  }
  return await bed.measure(() =>
    work().catch(async (error: Error) => {
      const { holding } = await receiver.report()
      throw new Error(`${error.message}; the receiver holds ${holding.prefixes} of ${prepared.prefixes} prefixes`, { cause: error })
    }),
  )
}
