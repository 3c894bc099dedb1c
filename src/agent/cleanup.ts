// Takes a node back to what it was before an agent came: what the runtime starts pods with, links of pods, routes, tunnels, rules, state.
// Every part bears our mark, nothing else is touched, and doing it again finds nothing to do. In the order of a tear-down: first
// nothing new can come, then what packets take, then what remembers.
//
// Left as they are: kernel settings (forwarding and the like), which others may rely on by now, and objects in the store.
import { readdir, rm, rmdir } from 'node:fs/promises'
import { join } from 'node:path'
import { PodLinks, removeConflist, removePlugin } from '../cni/index.ts'
import { sleep, systemClock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import { Netfilter, type NetfilterTools, ProcessTools, type Ruleset } from '../netfilter/index.ts'
import { NetlinkRouteBackend, NetlinkTunnelBackend, sweepRoutes } from '../routes/index.ts'
import { settleThreadPool } from '../sys/netns.ts'
import { refuseToBeSecond } from './control.ts'

export type CleanupOptions = {
  readonly runDir: string
  readonly stateDir: string
  /** Where the runtime reads its network configuration, and where its plugins are. */
  readonly confDir: string
  readonly binDir: string
  /** Pods that run keep their links with the routes to them, and their records in the state directory. */
  readonly keepPods: boolean
}

export type CleanupStep = 'configuration' | 'plugin' | 'pods' | 'routes' | 'tunnels' | 'rules' | 'state'

export type CleanupReport = {
  /** In the order they were done. */
  readonly steps: readonly {
    readonly step: CleanupStep
    /** How many things were removed; 0: there were none. */
    readonly removed: number
    /** What could not be removed, in words. */
    readonly faults: readonly string[]
  }[]
  readonly isClean: boolean
}

type Outcome = { readonly removed: number; readonly faults: readonly string[] }
const NOTHING: Ruleset = { sets: [], families: { 4: { chains: [], hooks: [] }, 6: { chains: [], hooks: [] } } }
/** With nft a set may be in use for a moment after the rule that used it is gone. */
const SETS_WITHIN_MS = 10_000
const SETS_EVERY_MS = 200

/** Rejects if an agent still runs with this run directory; everything else that goes wrong is in the report. */
export async function cleanUp(options: CleanupOptions, log: Log): Promise<CleanupReport> {
  const { runDir, stateDir, confDir, binDir, keepPods } = options
  await refuseToBeSecond(runDir)
  const parts: readonly (readonly [CleanupStep, () => Promise<Outcome> | Outcome])[] = [
    ['configuration', async () => counted(await removeConflist(confDir))],
    ['plugin', async () => counted(await removePlugin(binDir))],
    ['pods', () => (keepPods ? counted(false) : removePodLinks())],
    ['routes', () => removeRoutes(keepPods)],
    ['tunnels', removeTunnels],
    ['rules', () => removeRules(log)],
    ['state', async () => sum([await empty(runDir), keepPods ? counted(false) : await empty(stateDir)])],
  ]
  const steps: { step: CleanupStep; removed: number; faults: readonly string[] }[] = []
  for (const [step, work] of parts) {
    const { removed, faults } = await Promise.resolve()
      .then(work)
      .catch((cause: unknown) => ({ removed: 0, faults: [cause instanceof Error ? cause.message : String(cause)] }))
    log.info('agent.cleanup.stepDone', { step, removed, faults })
    steps.push({ step, removed, faults })
  }
  return { steps, isClean: steps.every(({ faults }) => faults.length === 0) }
}

async function removePodLinks(): Promise<Outcome> {
  await settleThreadPool()
  using links = new PodLinks()
  const names = links.list()
  if (names.length === 0) return counted(false)
  const faults = links.detach(names.map((hostInterface) => ({ hostInterface, addresses: [] })))
  return { removed: names.length - links.list().length, faults }
}

function removeRoutes(keepPods: boolean): Outcome {
  using backend = new NetlinkRouteBackend()
  return sweepRoutes(backend, { keepPods })
}

function removeTunnels(): Outcome {
  using backend = new NetlinkTunnelBackend()
  return sum(
    ([4, 6] as const).map((family) => {
      const found = backend.find(family)
      if (!found.ok) return { removed: 0, faults: [inWords(found.error)] }
      if (found.value === null) return counted(false)
      const done = backend.perform(family, { kind: 'remove', index: found.value.index })
      return done.ok ? counted(true) : { removed: 0, faults: [inWords(done.error)] }
    }),
  )
}

/** Asks for no rules at all: what is there of ours, in either variant, is what a former process left. */
async function removeRules(log: Log): Promise<Outcome> {
  const tools = new ProcessTools()
  const before = await oursIn(tools)
  if (before.length === 0) return counted(false)
  await using netfilter = new Netfilter({ clients: ['cleanup'], log, clock: systemClock, tools })
  const outcome = await netfilter.client('cleanup').apply(NOTHING)
  const untilMs = systemClock.nowMs() + SETS_WITHIN_MS
  let after = await oursIn(tools)
  for (; after.length > 0 && outcome.ok && systemClock.nowMs() < untilMs; after = await oursIn(tools)) {
    await sleep(SETS_EVERY_MS)
    await netfilter.resync()
  }
  const refused = outcome.ok ? [] : outcome.problems.map(({ message }) => message)
  return { removed: before.length - after.length, faults: [...refused, ...after.map((name) => `${name} is still there`)] }
}

/** Chains and sets that bear our mark, wherever they are. What cannot be looked at, because its tools or its kernel part are missing, holds none. */
async function oursIn(tools: NetfilterTools): Promise<readonly string[]> {
  const found: string[] = []
  const look = async (read: () => Promise<string>, pattern: RegExp, nameOf: (name: string) => string): Promise<void> => {
    const text = await read().catch(() => '')
    for (const [, name = ''] of text.matchAll(pattern)) found.push(nameOf(name))
  }
  for (const family of await tools.families()) {
    for (const variant of ['nft', 'legacy'] as const)
      await look(
        () => tools.saveRules(variant, family),
        /^:(fib\S*)/gm,
        (name) => `chain ${name} (${variant}, IPv${family})`,
      )
  }
  await look(
    () => tools.saveSets(),
    /^create (fib\S*)/gm,
    (name) => `set ${name}`,
  )
  return found
}

/** Empties a folder, and removes it unless it is a mount point. */
async function empty(folder: string): Promise<Outcome> {
  const names = await readdir(folder).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') return null
    throw cause
  })
  if (names === null) return counted(false)
  for (const name of names) await rm(join(folder, name), { recursive: true, force: true })
  const isGone = await rmdir(folder).then(
    () => true,
    () => false, // where a volume is mounted, the folder itself cannot go
  )
  return { removed: names.length + Number(isGone), faults: [] }
}

function inWords({ code, text }: { readonly code: string; readonly text: string | null }): string {
  return `a tunnel stays: ${text ?? code}`
}

function counted(didRemove: boolean): Outcome {
  return { removed: Number(didRemove), faults: [] }
}

function sum(outcomes: readonly Outcome[]): Outcome {
  return {
    removed: outcomes.reduce((total, { removed }) => total + removed, 0),
    faults: outcomes.flatMap(({ faults }) => faults),
  }
}
