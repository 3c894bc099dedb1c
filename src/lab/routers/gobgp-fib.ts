// Kernel routes for a GoBGP router. GoBGP installs none by itself and leaves that to zebra, but the gobgpd of Debian 12 (3.10)
// panics on what the zebra of Debian 12 (8.4) sends (osrg/gobgp issue 2681). So the lab follows the best paths instead: whenever
// `gobgp monitor` or `ip monitor link` speaks, and every few seconds, the routes in the kernel are made those of the table. As
// zebra would, it passes over next hops behind a dead cable. Runs in the router's namespace.
import { spawn } from 'node:child_process'
import { sleep } from '../../lib/clock.ts'
import { Coalescer } from '../../lib/coalesce.ts'
import { diff } from '../../lib/diff.ts'
import { exec } from '../../lib/exec.ts'
import { containsAddress, ip, type Prefix, prefix } from '../../net/index.ts'

const FAMILIES = ['ipv4', 'ipv6'] as const
const READ_BACK_EVERY_MS = 3000
const RETRY_MS = 1000

type Routes = ReadonlyMap<string, readonly string[]>

/**
 * Next hops by prefix, from `gobgp -j global rib`: of the best path through a usable next hop, and of those that are as good.
 * Own prefixes have none.
 */
export function wantedRoutes(rib: unknown, isUsable: (nextHop: string) => boolean): Routes {
  if (typeof rib !== 'object' || rib === null) return new Map()
  return new Map(
    Object.entries(rib).flatMap(([prefix, paths]: [string, readonly GobgpPath[]]) => {
      const usable = paths.filter((path) => nextHopOf(path).every(isUsable))
      const best = usable.find((path) => path.best === true) ?? usable[0] // the others come best first
      if (best === undefined) return []
      const equal = usable.filter((path) => lengthOf(path) === lengthOf(best)).flatMap(nextHopOf)
      const nextHops = [...new Set(equal)].sort()
      return nextHops.length === 0 ? [] : [[prefix, nextHops] as const]
    }),
  )
}

type GobgpPath = {
  readonly best?: boolean
  readonly attrs: readonly {
    readonly type: number
    readonly nexthop?: string
    readonly as_paths?: readonly { readonly asns: readonly number[] }[]
  }[]
}

function lengthOf({ attrs }: GobgpPath): number {
  return attrs.find(({ type }) => type === 2)?.as_paths?.reduce((sum, { asns }) => sum + asns.length, 0) ?? 0
}

function nextHopOf({ attrs }: GobgpPath): readonly string[] {
  const nextHop = attrs.find(({ type }) => type === 3)?.nexthop ?? attrs.find(({ type }) => type === 14)?.nexthop
  return nextHop === undefined || nextHop === '0.0.0.0' || nextHop === '::' ? [] : [nextHop]
}

/** Keeps the kernel's routes those of GoBGP until this process is killed. */
export async function followGobgp(): Promise<never> {
  const turn = new Coalescer(async () => {
    for (const family of FAMILIES) await syncFamily(family).catch((error: unknown) => process.stderr.write(`${String(error)}\n`)) // and tried again soon
  })
  const changed = (): void => void turn.request()
  for (const family of FAMILIES) void monitor(['gobgp', 'monitor', 'global', 'rib', '-a', family], changed)
  void monitor(['ip', 'monitor', 'link'], changed)
  for (;;) {
    await turn.request()
    await sleep(READ_BACK_EVERY_MS)
  }
}

async function monitor([program, ...args]: readonly [string, ...string[]], onChange: () => void): Promise<never> {
  for (;;) {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'] })
    child.stdout.on('data', onChange)
    await new Promise((resolve) => child.once('close', resolve).once('error', resolve))
    await sleep(RETRY_MS)
  }
}

async function syncFamily(family: 'ipv4' | 'ipv6'): Promise<void> {
  const rib: unknown = JSON.parse((await exec('gobgp', ['-j', 'global', 'rib', '-a', family], { timeoutMs: 5000 })).stdout)
  const dead = deadNetworks(JSON.parse((await exec('ip', ['-j', 'address'])).stdout))
  const wanted = wantedRoutes(rib, (nextHop) => !dead.some((network) => containsAddress(network, ip(nextHop))))
  const { upserts, deletes } = diff(wanted, await kernelRoutes(family), (a, b) => a.join() === b.join())
  const lines = [
    ...[...upserts].map(
      ([prefix, nextHops]) => `route replace ${prefix} proto bgp ${nextHops.map((nextHop) => `nexthop via ${nextHop}`).join(' ')}`,
    ),
    ...deletes.map((prefix) => `route del ${prefix} proto bgp`),
  ]
  if (lines.length > 0) await exec('ip', [flagOf(family), '-force', '-batch', '-'], { input: `${lines.join('\n')}\n` })
}

type IpInterface = {
  readonly flags: readonly string[]
  readonly addr_info: readonly { readonly local?: string; readonly prefixlen?: number }[]
}

/** Networks behind interfaces without carrier, from `ip -j address`. */
export function deadNetworks(interfaces: readonly IpInterface[]): readonly Prefix[] {
  return interfaces
    .filter(({ flags }) => !flags.includes('LOWER_UP'))
    .flatMap(({ addr_info }) =>
      addr_info.flatMap(({ local, prefixlen }) => (local === undefined || prefixlen === undefined ? [] : [prefix(ip(local), prefixlen)])),
    )
}

async function kernelRoutes(family: 'ipv4' | 'ipv6'): Promise<Routes> {
  const { stdout } = await exec('ip', [flagOf(family), '-j', 'route', 'show', 'proto', 'bgp'])
  const routes: readonly {
    readonly dst: string
    readonly gateway?: string
    readonly nexthops?: readonly { readonly gateway?: string }[]
  }[] = JSON.parse(stdout || '[]')
  return new Map(
    routes.map(({ dst, gateway, nexthops }) => {
      const prefix = dst.includes('/') ? dst : `${dst}/${family === 'ipv4' ? 32 : 128}`
      return [prefix, (nexthops ?? [{ gateway: gateway ?? '' }]).map((each) => each.gateway ?? '').sort()]
    }),
  )
}

function flagOf(family: 'ipv4' | 'ipv6'): string {
  return family === 'ipv4' ? '-4' : '-6'
}
