// The kernel's side of a lab, performed: namespaces made, wired, asked and removed.
import { existsSync, writeFileSync } from 'node:fs'
import { ExecError, exec } from '../lib/exec.ts'
import { inNetns, settleThreadPool } from '../sys/netns.ts'
import { LabError } from './error.ts'
import { isRunning, processesIn, signalProcess } from './identity.ts'
import type { Plan } from './plan.ts'
import { waitFor } from './wait.ts'
import { deviceBatch, earlySysctls, type IpBatch, insideBatches, namespaceBatch, namespaceSysctls, type Sysctl } from './wiring.ts'

export function netnsPath(netns: string): string {
  return `/run/netns/${netns}`
}

/** Builds all namespaces, cables and addresses of a plan. Throws LabError. */
export async function buildNetwork(plan: Plan): Promise<void> {
  await settleThreadPool()
  await runBatch(namespaceBatch(plan))
  applySysctls(earlySysctls(plan))
  await runBatch(deviceBatch(plan))
  await Promise.all(insideBatches(plan).map(runBatch))
}

/** Makes one more namespace, as a pod needs it. Throws LabError. */
export async function addNamespace(netns: string): Promise<void> {
  await settleThreadPool()
  await runBatch({ netns: null, lines: [`netns add ${netns}`] })
  applySysctls(namespaceSysctls(netns))
}

/** Kills what runs in the namespaces and removes them. What is not there is fine. */
export async function removeNamespaces(namespaces: readonly string[]): Promise<void> {
  const present = namespaces.filter((netns) => existsSync(netnsPath(netns)))
  if (present.length === 0) return
  await killInside(present)
  for (const netns of present)
    await exec('ip', ['netns', 'delete', netns]).catch((cause: unknown) => fail(`cannot remove namespace ${netns}`, cause))
}

async function killInside(namespaces: readonly string[]): Promise<void> {
  const found = processesIn(namespaces.map(netnsPath))
  for (const each of found) signalProcess(each, 'SIGKILL')
  const gone = await waitFor(() => (found.some(isRunning) ? null : true), { deadlineMs: 5000, everyMs: 20 })
  if (gone === null)
    throw new LabError(
      'FAILED',
      `processes ${found.filter(isRunning).map(({ pid }) => pid)} of an earlier lab do not end: see ps -o state,wchan`,
    )
  if (processesIn(namespaces.map(netnsPath)).length > 0) await killInside(namespaces) // what they started meanwhile
}

/** Runs `ip -batch`; an error names the line that failed. */
export async function runBatch({ netns, lines }: IpBatch): Promise<void> {
  if (lines.length === 0) return
  const where = netns === null ? [] : ['-n', netns]
  try {
    await exec('ip', [...where, '-batch', '-'], { input: `${lines.join('\n')}\n` })
  } catch (cause) {
    const stderr = cause instanceof ExecError ? cause.stderr.trim() : ''
    const at = Number(/Command failed -:(\d+)/.exec(stderr)?.[1] ?? 0)
    const line = lines[at - 1]
    throw fail(
      line === undefined
        ? `ip failed in ${netns ?? 'the host'}: ${stderr}`
        : `ip ${line} (in ${netns ?? 'the host'}): ${stderr.split('\n')[0]}`,
      cause,
    )
  }
}

function applySysctls(sysctls: readonly Sysctl[]): void {
  for (const [netns, group] of Map.groupBy(sysctls, (each) => each.netns)) {
    inNetns(netnsPath(netns), () => {
      for (const { path, value } of group) setSysctl(path, value)
    })
  }
}

function setSysctl(path: string, value: string): void {
  try {
    writeFileSync(`/proc/sys/${path}`, value)
  } catch (cause) {
    throw fail(`cannot set ${path.replaceAll('/', '.')} in a namespace of the lab`, cause)
  }
}

export type KernelRoute = { readonly prefix: string; readonly devices: readonly string[]; readonly protocol: string }

/** The main table of a namespace, both families. */
export async function kernelRoutes(netns: string): Promise<readonly KernelRoute[]> {
  const tables = await Promise.all(
    ['-4', '-6'].map(async (family) => JSON.parse((await exec('ip', ['-n', netns, family, '-j', 'route'])).stdout || '[]')),
  )
  return tables.flat().map((route: IpRoute) => {
    const devices =
      route.nexthops?.map(({ dev }) => dev) ?? (route.type === undefined || route.type === 'unicast' ? [route.dev ?? '?'] : [route.type])
    const bits = route.dst.includes(':') ? 128 : 32
    const prefix = route.dst === 'default' || route.dst.includes('/') ? route.dst : `${route.dst}/${bits}`
    return { prefix, devices, protocol: route.protocol ?? '' }
  })
}

type IpRoute = {
  readonly dst: string
  readonly dev?: string
  readonly type?: string
  readonly protocol?: string
  readonly nexthops?: readonly { readonly dev: string }[]
}

/** Packets that have left each device of a namespace so far. */
export async function sentPackets(netns: string): Promise<ReadonlyMap<string, number>> {
  const links: readonly { readonly ifname: string; readonly stats64?: { readonly tx?: { readonly packets?: number } } }[] = JSON.parse(
    (await exec('ip', ['-n', netns, '-j', '-s', 'link'])).stdout,
  )
  return new Map(links.map(({ ifname, stats64 }) => [ifname, stats64?.tx?.packets ?? 0]))
}

function fail(message: string, cause: unknown): LabError {
  const detail = cause instanceof Error ? cause.message : String(cause)
  return new LabError('FAILED', message.includes(detail) ? message : `${message}: ${detail}`, { cause })
}
