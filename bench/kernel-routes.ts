// Routes into the kernel, from the columns the RIB hands over to the last acknowledgement, against `ip -batch` and against the
// cost of the same system calls alone, in the same run. Runs itself in a network namespace of its own; prints JSON.
//   sudo scripts/node bench/kernel-routes.ts [--routes 100000] [--rounds 3]
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { systemClock } from '../src/lib/clock.ts'
import { exec } from '../src/lib/exec.ts'
import { silentLog } from '../src/lib/log.ts'
import { type FibBatch, formatIp, type IpFamily, ip, ipFromBytes } from '../src/net/index.ts'
import { NetlinkRouteBackend, NO_LOCAL_ROUTES, RouteSyncer } from '../src/routes/index.ts'
import { spread } from './statistics.ts'

const INSIDE = 'FIBULA_BENCH_INSIDE'
const NEXT_HOPS = { 4: ['10.0.0.2', '10.0.0.3'], 6: ['fd00::2', 'fd00::3'] } as const
const SOURCE = { 4: '10.0.0.1', 6: 'fd00::1' } as const
const LENGTH = { 4: 24, 6: 48 } as const

type Figures = Readonly<Record<string, readonly number[]>>

/** `count` routes to consecutive prefixes through next hop set `set`; 0 withdraws them. */
function batchOf(family: IpFamily, count: number, set: number, interfaceIndex: number): FibBatch {
  const octets = family === 4 ? 4 : 16
  const addresses = new Uint8Array(count * octets)
  const view = new DataView(addresses.buffer)
  for (let n = 0; n < count; n++) {
    if (family === 4) view.setUint32(n * 4, 0x1400_0000 + n * 256)
    else view.setBigUint64(n * 16, 0x2001_0000_0000_0000n + (BigInt(n) << 16n))
  }
  const newSets = NEXT_HOPS[family].map((gateway, at) => ({
    id: at + 1,
    nextHops: [{ gateway: ip(gateway), interfaceIndex, onlink: false }],
  }))
  return {
    family,
    count,
    addresses,
    lengths: new Uint8Array(count).fill(LENGTH[family]),
    nextHopSets: new Uint32Array(count).fill(set),
    newSets: set === 0 ? [] : newSets,
  }
}

function ipLines(verb: 'add' | 'del', batch: FibBatch): string {
  const { family, count, addresses, lengths } = batch
  const rest = verb === 'add' ? ` via ${NEXT_HOPS[family][0]} dev eth0 src ${SOURCE[family]} metric 179 proto 179` : ' metric 179 proto 179'
  const octets = family === 4 ? 4 : 16
  return Array.from(
    { length: count },
    (_, n) => `route ${verb} ${formatIp(ipFromBytes(family, addresses, n * octets))}/${lengths[n]}${rest}\n`,
  ).join('')
}

/** CPU of this process, which the shared machine's other work cannot stretch. */
function cpuOf(work: () => void): number {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1000
}

async function timed(work: () => unknown): Promise<number> {
  const start = performance.now()
  await work()
  return performance.now() - start
}

async function measure(family: IpFamily, routes: number, rounds: number, interfaceIndex: number): Promise<Figures> {
  const add = batchOf(family, routes, 1, interfaceIndex)
  const [change, withdraw] = [batchOf(family, routes, 2, interfaceIndex), batchOf(family, routes, 0, interfaceIndex)]
  const ipFamily = family === 4 ? '-4' : '-6'
  const figures: Record<string, number[]> = {}
  const note = (name: string, ms: number): void => {
    figures[name] = [...(figures[name] ?? []), ms]
  }
  for (let round = 0; round < rounds; round++) {
    using backend = new NetlinkRouteBackend()
    using syncer = new RouteSyncer({ backend, log: silentLog, clock: systemClock })
    syncer.setLocal({ ...NO_LOCAL_ROUTES, preferredSource: { ipv4: ip(SOURCE[4]), ipv6: ip(SOURCE[6]) } })
    note(
      'addMs',
      await timed(() =>
        note(
          'addCpuMs',
          cpuOf(() => syncer.applyBatch(add)),
        ),
      ),
    )
    note(
      'changeMs',
      await timed(() =>
        note(
          'changeCpuMs',
          cpuOf(() => syncer.applyBatch(change)),
        ),
      ),
    )
    note('readBackMs', await timed(() => syncer.resync()))
    const { inKernel, failed } = syncer.counts()
    if (inKernel !== routes || failed !== 0) throw new Error(`${inKernel} routes in the kernel, ${failed} failed, ${routes} wanted`)
    note('removeMs', await timed(() => syncer.applyBatch(withdraw)))
    const [added, removed] = [ipLines('add', add), ipLines('del', add)]
    note('ipAddMs', await timed(() => exec('ip', [ipFamily, '-batch', '-'], { input: added })))
    note('ipListMs', await timed(() => exec('ip', [ipFamily, 'route', 'show', 'proto', '179'])))
    note('ipRemoveMs', await timed(() => exec('ip', [ipFamily, '-batch', '-'], { input: removed })))
  }
  return figures
}

function report(figures: Figures, routes: number): unknown {
  const median = (name: string): number => spread(figures[name] ?? []).median
  return {
    milliseconds: Object.fromEntries(Object.entries(figures).map(([name, sample]) => [name, spread(sample.map(Math.round))])),
    routesPerSecond: { add: Math.round((routes / median('addMs')) * 1000), change: Math.round((routes / median('changeMs')) * 1000) },
    ratioToIpBatch: {
      add: round(median('addMs') / median('ipAddMs')),
      remove: round(median('removeMs') / median('ipRemoveMs')),
      readBack: round(median('readBackMs') / median('ipListMs')),
    },
  }
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000
}

const { values } = parseArgs({ options: { routes: { type: 'string', default: '100000' }, rounds: { type: 'string', default: '3' } } })

if (process.env[INSIDE] === undefined) {
  const again = ['--net', process.execPath, fileURLToPath(import.meta.url), ...process.argv.slice(2)]
  const { status } = spawnSync('unshare', again, { stdio: 'inherit', env: { ...process.env, [INSIDE]: '1' } })
  process.exitCode = status ?? 1
} else {
  const setUp = ['link add eth0 type veth peer name eth1', 'link set eth0 up', 'link set eth1 up', 'address add 10.0.0.1/24 dev eth0']
  await exec('ip', ['-batch', '-'], { input: [...setUp, 'address add fd00::1/64 dev eth0 nodad'].join('\n') })
  const [routes, rounds] = [Number(values.routes), Number(values.rounds)]
  using backend = new NetlinkRouteBackend()
  const index = backend.listLinks().links.find(({ name }) => name === 'eth0')?.index ?? 0
  const results: Record<string, unknown> = {}
  for (const family of [4, 6] as const) results[`ipv${family}`] = report(await measure(family, routes, rounds, index), routes)
  console.log(JSON.stringify({ benchmark: 'kernel-routes', routes, rounds, ...results }, null, 2))
}
