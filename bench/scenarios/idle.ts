// idle: from the start of the daemon to both sessions established, what it then holds, and what it burns while nothing happens.
import type { Dut } from '../dut/dut.ts'
import { machineMs } from '../endpoint.ts'
import { figuresOf } from '../process-figures.ts'
import { ToolProcess } from '../tool-process.ts'
import { type Measurement, pause, SETUP_MS } from './measurement.ts'
import { addStation, makeBed } from './topology.ts'

const CALM_MS = 2_000

/** `seconds`: start to established. `cpuSeconds`: during that. */
export async function measureIdle(dut: Dut, observeMs: number): Promise<Measurement> {
  await using bed = await makeBed()
  const station = await addStation(bed, 1, 'IPv4Unicast')
  await using receiver = new ToolProcess(station.namespace, { role: 'receiver', local: station.local, family: 'IPv4Unicast' })
  receiver.command({ kind: 'expect', capacity: 16, states: [] })
  await receiver.next('expecting', SETUP_MS)
  const startMs = machineMs()
  await bed.startDut(dut, [station.peer])
  return await bed.measure(async () => {
    receiver.command({ kind: 'connect' })
    await receiver.next('established', SETUP_MS)
    const seconds = (machineMs() - startMs) / 1000
    const started = await figuresOf(bed.dutNamespace)
    await pause(CALM_MS)
    const before = await figuresOf(bed.dutNamespace)
    await pause(observeMs)
    const after = await figuresOf(bed.dutNamespace)
    const idleCpuPercent = ((after.cpuSeconds - before.cpuSeconds) / (observeMs / 1000)) * 100
    return {
      seconds,
      cpuSeconds: started.cpuSeconds,
      peakRssMiB: after.peakRssMiB,
      details: { rssAtRestMiB: after.rssMiB, idleCpuPercent, threads: after.threads },
    }
  })
}
