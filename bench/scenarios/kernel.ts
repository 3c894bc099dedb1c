// kernel: BGP feed -> daemon -> routes in the kernel, against `ip -batch` and bare netlink writing the same routes. The clock of
// a daemon runs from the first octet fed to N more routes in its namespace; that of a writer is its own run.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { exec } from '../../src/lib/exec.ts'
import { inNetns } from '../../src/sys/netns.ts'
import type { Dut } from '../dut/dut.ts'
import { machineMs } from '../endpoint.ts'
import { generateTable } from '../generate.ts'
import { ToolProcess } from '../tool-process.ts'
import { costSince, establish, type Measurement, pause, SETUP_MS } from './measurement.ts'
import { addStation, type Bed, makeBed, type Station } from './topology.ts'

export type KernelOptions = { readonly prefixes: number; readonly timeoutMs: number }

const POLL_MAX_MS = 100
const POLL_MIN_MS = 3
const DUT_DEVICE = 'peer1'
const FLOOR = fileURLToPath(new URL('../kernel-floor.ts', import.meta.url))

export async function measureKernel(dut: Dut, { prefixes, timeoutMs }: KernelOptions): Promise<Measurement> {
  await using bed = await makeBed()
  const from = await addStation(bed, 1, 'IPv4Unicast')
  const table = { kind: 'generated', prefixes, attributeSets: 1000, seed: 1 } as const
  await using feeder = new ToolProcess(from.namespace, { role: 'feeder', local: from.local, family: 'IPv4Unicast', table, churn: null })
  const { updates } = await feeder.next('prepared', SETUP_MS)
  await bed.startDut(dut, [from.peer], { installRoutes: true })
  return await bed.measure(async () => {
    const atRest = await establish([feeder], bed.dutNamespace)
    const wanted = routesIn(bed) + prefixes
    feeder.command({ kind: 'feed' })
    const { firstByteMs } = await feeder.next('fed', timeoutMs)
    const atMs = await untilRoutes(bed, wanted, firstByteMs, timeoutMs)
    const cost = await costSince(atRest, bed.dutNamespace)
    return { ...cost, seconds: (atMs - firstByteMs) / 1000, details: { ...cost.details, prefixes, updatesIn: updates } }
  })
}

/** `ip -batch` of the same routes: those Fibula writes, with its protocol, metric and preferred source. */
export async function measureIpBatch({ prefixes, timeoutMs }: KernelOptions): Promise<Measurement> {
  return asWriter(prefixes, async (bed, station) => {
    const file = join(bed.directory, 'routes')
    const { nlri } = generateTable({ family: 'IPv4Unicast', prefixes, attributeSets: 1, firstPrefix: 0, seed: 1, firstAsn: 1 })
    const { address, dutAddress } = station.local
    const route = `via ${address} dev ${DUT_DEVICE} proto 179 metric 179 src ${dutAddress}`
    const lines = Array.from(
      { length: prefixes },
      (_, at) => `route add ${nlri[at * 4 + 1]}.${nlri[at * 4 + 2]}.${nlri[at * 4 + 3]}.0/24 ${route}\n`,
    )
    writeFileSync(file, lines.join(''))
    const startMs = machineMs()
    await exec('ip', ['-n', bed.dutNamespace, '-batch', file], { timeoutMs })
    return machineMs() - startMs
  })
}

/** Bare netlink: the kernel's own cost. */
export async function measureKernelFloor({ prefixes, timeoutMs }: KernelOptions): Promise<Measurement> {
  return asWriter(prefixes, async (bed, station) => {
    const command = [
      'netns',
      'exec',
      bed.dutNamespace,
      process.execPath,
      FLOOR,
      String(prefixes),
      station.local.address,
      DUT_DEVICE,
      station.local.dutAddress,
    ]
    const { stdout } = await exec('ip', command, { timeoutMs })
    return Number(stdout)
  })
}

async function asWriter(prefixes: number, write: (bed: Bed, station: Station) => Promise<number>): Promise<Measurement> {
  await using bed = await makeBed()
  const station = await addStation(bed, 1, 'IPv4Unicast')
  const milliseconds = await write(bed, station)
  const written = routesIn(bed)
  if (written < prefixes) throw new Error(`only ${written} of ${prefixes} routes are in the kernel`)
  return { seconds: milliseconds / 1000, cpuSeconds: Number.NaN, peakRssMiB: Number.NaN, details: { prefixes } }
}

/** Looks seldom at first, since counting costs a little, and closely when the end is near. */
async function untilRoutes(bed: Bed, wanted: number, startMs: number, timeoutMs: number): Promise<number> {
  for (;;) {
    const present = routesIn(bed)
    const atMs = machineMs()
    if (present >= wanted) return atMs
    if (atMs > startMs + timeoutMs) throw new Error(`${present} of ${wanted} routes are in the kernel`)
    const expectedMs = ((wanted - present) * (atMs - startMs)) / Math.max(1, present)
    await pause(Math.min(POLL_MAX_MS, Math.max(POLL_MIN_MS, expectedMs / 2)))
  }
}

/** Routes of the main table, counted by the kernel itself: a read does not hold back a writer. */
function routesIn(bed: Bed): number {
  const statistics = inNetns(`/run/netns/${bed.dutNamespace}`, () => readFileSync('/proc/thread-self/net/fib_triestat', 'utf8'))
  return parseRouteCount(statistics)
}

/** The first count of /proc/net/fib_triestat, that of the main table. */
export function parseRouteCount(statistics: string): number {
  return Number(/^\s*Prefixes:\s+(\d+)/m.exec(statistics)?.[1] ?? 0)
}
