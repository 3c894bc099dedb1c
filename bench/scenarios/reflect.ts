// reflect: K iBGP clients of one route reflector, each with prefixes of its own; done when each holds everybody else's.
import type { Dut } from '../dut/dut.ts'
import { ToolProcess } from '../tool-process.ts'
import { costSince, establish, type Measurement, SETUP_MS } from './measurement.ts'
import { addClients, makeBed } from './topology.ts'

export type ReflectOptions = { readonly clients: number; readonly prefixesEach: number; readonly timeoutMs: number }

const ATTRIBUTE_SETS_EACH = 4

export async function measureReflect(dut: Dut, { clients, prefixesEach, timeoutMs }: ReflectOptions): Promise<Measurement> {
  await using bed = await makeBed()
  const { namespace, locals, peers } = await addClients(bed, clients)
  await using tool = new ToolProcess(namespace, {
    role: 'clients',
    clients: locals,
    family: 'IPv4Unicast',
    prefixesEach,
    attributeSetsEach: ATTRIBUTE_SETS_EACH,
    seed: 1,
  })
  await tool.next('prepared', SETUP_MS)
  await bed.startDut(dut, peers, { reflect: true })
  const work = async (): Promise<Measurement> => {
    const atRest = await establish([tool], bed.dutNamespace)
    tool.command({ kind: 'feed' })
    const { firstByteMs } = await tool.next('fed', timeoutMs)
    const { atMs } = await tool.next('reached', timeoutMs)
    const cost = await costSince(atRest, bed.dutNamespace)
    const report = await tool.report()
    return {
      ...cost,
      seconds: (atMs - firstByteMs) / 1000,
      details: { ...cost.details, deliveries: report.holding.prefixes, updatesOut: report.updates, toolCpuSeconds: report.cpuSeconds },
    }
  }
  return await bed.measure(() =>
    work().catch(async (error: Error) => {
      const { holding } = await tool.report()
      throw new Error(`${error.message}; ${holding.prefixes} of ${clients * (clients - 1) * prefixesEach} prefixes delivered`, {
        cause: error,
      })
    }),
  )
}
