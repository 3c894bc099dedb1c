// The demo: brings a lab up and shows, in order, sessions, routes, pings, cut cables and killed agents. Collects everything that
// is not as it should be; what it cannot go on without ends it early.
import { cidr, comparePrefix } from '../net/index.ts'
import { openStore } from '../store/index.ts'
import {
  awaitSessions,
  awaitSettledRouters,
  busiestRedundantLink,
  type CrashResult,
  type CutResult,
  crashAgent,
  cutLink,
  fabricFlows,
  pingMatrix,
} from './experiments.ts'
import { bringUp, type Lab, type Progress, release, takeDown, type UpOptions } from './lab.ts'
import { CLUSTER_FOLDER } from './manifests.ts'
import { kernelRoutes } from './netns.ts'
import type { LabPaths } from './paths.ts'
import { speakersOf } from './plan.ts'
import { Prober } from './prober.ts'
import type { SessionReport } from './sessions.ts'
import { crashFailures, cutFailures, type PingCell, pingFailures, sessionFailures } from './verdict.ts'

/** Where every speaker sends the traffic for a prefix: names of devices, `blackhole` where the block lives, empty without a route. */
export type RouteRow = { readonly prefix: string; readonly owner: string; readonly via: Readonly<Record<string, readonly string[]>> }

export type DemoEvent =
  | { readonly kind: 'progress'; readonly text: string }
  | { readonly kind: 'sessions'; readonly sessions: readonly SessionReport[]; readonly afterMs: number }
  | { readonly kind: 'routes'; readonly routes: readonly RouteRow[]; readonly speakers: readonly string[] }
  | { readonly kind: 'pings'; readonly pings: readonly PingCell[]; readonly pods: readonly string[] }
  | { readonly kind: 'cut'; readonly cut: CutResult }
  | { readonly kind: 'crash'; readonly crash: CrashResult }

export type DemoReport = {
  /** Empty: everything is as it should be. One sentence each. */
  readonly failures: readonly string[]
  readonly sessions: readonly SessionReport[]
  readonly routes: readonly RouteRow[]
  readonly pings: readonly PingCell[]
  readonly cuts: readonly CutResult[]
  readonly crashes: readonly CrashResult[]
}

export type DemoOptions = UpOptions & {
  /** Leave the lab up at the end. */
  readonly keep: boolean
}

/** Runs the demo. Throws LabError where the lab itself fails; a lab that works badly is a report with failures. */
export async function runDemo(options: DemoOptions, observe: (event: DemoEvent) => void, signal: AbortSignal): Promise<DemoReport> {
  const progress: Progress = (text) => observe({ kind: 'progress', text })
  try {
    const lab = await bringUp(options, progress)
    const report = await demonstrate(lab, observe, progress, signal)
    release(lab)
    return report
  } finally {
    if (!options.keep) await takeDown(options.paths, progress)
  }
}

async function demonstrate(lab: Lab, observe: (event: DemoEvent) => void, progress: Progress, signal: AbortSignal): Promise<DemoReport> {
  const startedMs = performance.now()
  const sessions = await awaitSessions(
    lab,
    (seen) =>
      progress(`waiting for BGP: ${seen.filter(({ isEstablished }) => isEstablished).length} of ${seen.length} session ends are up`),
    signal,
  )
  observe({ kind: 'sessions', sessions, afterMs: performance.now() - startedMs })
  const missing = sessions.flatMap(sessionFailures)
  const report = {
    failures: missing,
    sessions,
    routes: [] as readonly RouteRow[],
    pings: [] as readonly PingCell[],
    cuts: [] as CutResult[],
    crashes: [] as CrashResult[],
  }
  if (missing.length > 0) return report

  await using prober = await Prober.open(lab.pods)
  progress('pinging between all pods')
  const pings = await awaitPings(lab, prober, signal)
  const routes = await readRoutes(lab)
  observe({ kind: 'routes', routes, speakers: speakersOf(lab.plan).map(({ name }) => name) })
  observe({ kind: 'pings', pings, pods: lab.pods.map(({ name }) => name) })
  const failures = pings.flatMap(pingFailures)
  if (failures.length > 0) return { ...report, routes, pings, failures }

  const cuts: CutResult[] = []
  for (const kind of ['spine', 'rack'] as const) {
    progress(`looking for the busiest ${kind} link that may fail`)
    const link = await busiestRedundantLink(lab, kind, prober, fabricFlows(lab), signal)
    if (link === null) continue
    progress(`cutting ${link.name} under traffic, and mending it`)
    const cut = await cutLink(lab, link, prober, fabricFlows(lab), signal)
    cuts.push(cut)
    observe({ kind: 'cut', cut })
  }

  const crashes: CrashResult[] = []
  await awaitSettledRouters(
    lab,
    (left) =>
      progress(
        `${lab.plan.routerKind} sets the R bit for two minutes after its start, and nobody would wait for its routes: ${left} s left`,
      ),
    signal,
  )
  for (const victim of victims(lab)) {
    progress(`killing the agent of ${victim} with SIGKILL under traffic`)
    const crash = await crashAgent(lab, victim, prober, signal)
    crashes.push(crash)
    observe({ kind: 'crash', crash })
  }
  return { failures: [...cuts.flatMap(cutFailures), ...crashes.flatMap(crashFailures)], sessions, routes, pings, cuts, crashes }
}

/** The first node; and where routers are Fibula too, the first router. */
function victims({ plan }: Lab): readonly string[] {
  const router = plan.routerKind === 'fibula' ? plan.routers.slice(0, 1) : []
  return [...plan.nodes.slice(0, 1), ...router].map(({ name }) => name)
}

/** Sessions are up before the last route has arrived everywhere: tries again until every ping comes back, or the deadline. */
async function awaitPings(lab: Lab, prober: Prober, signal: AbortSignal): Promise<readonly PingCell[]> {
  const untilMs = performance.now() + 20_000
  for (;;) {
    const pings = await pingMatrix(lab, prober, signal)
    if (pings.every(({ lost }) => lost === 0) || performance.now() > untilMs) return pings
  }
}

/** Routes to the blocks, as the kernels have them. */
async function readRoutes({ plan, paths }: Lab): Promise<readonly RouteRow[]> {
  const blocks = await claimedBlocks(paths)
  const tables = await Promise.all(speakersOf(plan).map(async ({ name, netns }) => [name, await kernelRoutes(netns)] as const))
  return blocks.map(({ prefix, owner }) => ({
    prefix,
    owner,
    via: Object.fromEntries(
      tables.map(([name, routes]) => [name, routes.filter((route) => route.prefix === prefix).flatMap(({ devices }) => devices)]),
    ),
  }))
}

/** The blocks that nodes have claimed, by node. */
async function claimedBlocks(paths: LabPaths): Promise<readonly { readonly prefix: string; readonly owner: string }[]> {
  await using store = openStore(`dir:${paths.store(CLUSTER_FOLDER)}`)
  const blocks = await store.list({ kind: 'IPAMBlock' })
  return blocks
    .flatMap(({ spec }) => (spec.node === undefined || spec.state !== 'Confirmed' ? [] : [{ prefix: spec.cidr, owner: spec.node }]))
    .sort((a, b) => a.owner.localeCompare(b.owner) || comparePrefix(cidr(a.prefix), cidr(b.prefix)))
}
