// The experiments of the demo, each with the proof that what it claims to test has really happened: a cut cable that carried
// traffic, an agent that died and whose sessions went down.
import { readFileSync } from 'node:fs'
import { sleep } from '../lib/clock.ts'
import { LabError } from './error.ts'
import { isRunning, signalProcess } from './identity.ts'
import type { Lab } from './lab.ts'
import { runBatch, sentPackets } from './netns.ts'
import { type Link, speakersOf } from './plan.ts'
import { total } from './probe-record.ts'
import { type Flow, flowsBetween, type Prober, type ProbeStream } from './prober.ts'
import { redundantLinks } from './redundancy.ts'
import { realRouter } from './routers/index.ts'
import { readSessions, type SessionReport } from './sessions.ts'
import { type RunningProcess, readProcesses } from './state.ts'
import { waitFor } from './wait.ts'
import { cutLines, wireOf } from './wiring.ts'

/** Probes a second on every flow, each way. */
const PROBES_PER_SECOND = 100
const BEFORE_MS = 1000
/** Longer than the hold time: a router that does not notice a dead link moves its traffic only then. */
const MOVE_DEADLINE_MS = 15_000
const AFTER_CRASH_MS = 3000
const SETTLED_MS = 1000
/** BGP alone is far below this; probes are above. */
const CARRIES_TRAFFIC_PER_SECOND = 20
const SESSIONS_DEADLINE_MS = 60_000
const HOPELESS_AFTER_RESTARTS = 4

export type CutResult = {
  readonly link: string
  readonly between: readonly [string, string]
  /** Packets a second over the link before and after the cut. */
  readonly packetsBefore: number
  readonly packetsAfter: number
  /** Links that carry more than before. */
  readonly movedTo: readonly string[]
  readonly flows: number
  readonly affectedFlows: number
  readonly sent: number
  readonly lost: number
  readonly longestOutageMs: number
  /** Every flow works again. */
  readonly hasMoved: boolean
  /** Nothing was lost when the cable was plugged in again. */
  readonly lostOnMend: number
}

export type CrashResult = {
  readonly speaker: string
  readonly pidBefore: number
  readonly pidAfter: number
  /** From the kill until every session was up again. */
  readonly sessionsBackAfterMs: number
  /** Peers' sessions with the victim, by the peer's own account before and after. */
  readonly proof: readonly { readonly speaker: string; readonly peer: string; readonly before: string; readonly after: string }[]
  readonly flows: number
  readonly sent: number
  readonly lost: number
  readonly longestOutageMs: number
  readonly lossyFlows: readonly { readonly from: string; readonly to: string; readonly family: string; readonly lost: number }[]
}

/** Waits until every session is up; returns the last look, whether or not they are. */
export async function awaitSessions(
  lab: Lab,
  onLook: (sessions: readonly SessionReport[]) => void,
  signal: AbortSignal,
): Promise<readonly SessionReport[]> {
  let last: readonly SessionReport[] = []
  await waitFor(
    async () => {
      last = await readSessions(lab)
      onLook(last)
      refuseIfDying(lab)
      return last.every(({ isEstablished }) => isEstablished) ? true : null
    },
    { deadlineMs: SESSIONS_DEADLINE_MS, everyMs: 300, signal },
  )
  return last
}

/** A process that ends again and again will not get better by waiting. */
function refuseIfDying({ paths }: Lab): void {
  const dying = readProcesses(paths)?.processes.find(({ restarts }) => restarts >= HOPELESS_AFTER_RESTARTS)
  if (dying === undefined) return
  const lastLine = lastLineOf(paths.log(dying.name))
  throw new LabError('FAILED', `${dying.name} keeps ending (${dying.lastExit}): ${lastLine} (see ${paths.log(dying.name)})`)
}

function lastLineOf(file: string): string {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n').at(-1)?.slice(0, 300) ?? ''
  } catch {
    return 'it has written no log'
  }
}

/** Flows that cross the fabric, at most two pods a node. */
export function fabricFlows({ plan, pods }: Lab): readonly Flow[] {
  const some = plan.nodes.flatMap(({ name }) => pods.filter(({ node }) => node === name).slice(0, 2))
  return flowsBetween(some, (from, to) => from.node !== to.node)
}

/** The link that carries the most among those whose loss the fabric can bear; null if there is no such link. */
export async function busiestRedundantLink(
  { plan }: Lab,
  kind: Link['kind'],
  prober: Prober,
  flows: readonly Flow[],
  signal: AbortSignal,
): Promise<Link | null> {
  const candidates = redundantLinks(plan).filter((link) => link.kind === kind)
  const stream = prober.stream(flows, PROBES_PER_SECOND)
  try {
    const rates = await packetRates(plan.wires, candidates, 700, signal)
    return candidates.reduce<Link | null>(
      (best, link) => ((rates.get(link.name) ?? 0) > (best === null ? 0 : (rates.get(best.name) ?? 0)) ? link : best),
      null,
    )
  } finally {
    await stream.stop()
  }
}

/** Cuts a link under traffic, watches the traffic move, and mends the link. */
export async function cutLink(lab: Lab, link: Link, prober: Prober, flows: readonly Flow[], signal: AbortSignal): Promise<CutResult> {
  const { plan } = lab
  const stream = prober.stream(flows, PROBES_PER_SECOND)
  let cutAtMs = 0
  let mendedAtMs = Number.POSITIVE_INFINITY
  let before: ReadonlyMap<string, number> = new Map()
  let after: ReadonlyMap<string, number> = new Map()
  let isCut = false
  try {
    await sleep(300, signal) // the stream has to get going
    before = await packetRates(plan.wires, plan.links, BEFORE_MS, signal)
    cutAtMs = performance.now()
    isCut = true
    await runBatch({ netns: plan.wires, lines: cutLines(link, false) })
    await waitFor(() => (isFlowingSince(stream, cutAtMs) ? true : null), { deadlineMs: MOVE_DEADLINE_MS, everyMs: 100, signal })
    after = await packetRates(plan.wires, plan.links, BEFORE_MS, signal)
    mendedAtMs = performance.now()
    await runBatch({ netns: plan.wires, lines: cutLines(link, true) })
    isCut = false
    await awaitSessions(lab, () => {}, signal)
    await sleep(SETTLED_MS, signal)
  } finally {
    if (isCut) await runBatch({ netns: plan.wires, lines: cutLines(link, true) })
    await stream.stop()
  }
  const cut = total(stream.probes.map(({ record }) => record.summary(SETTLED_MS, cutAtMs, mendedAtMs)))
  const mended = total(stream.probes.map(({ record }) => record.summary(SETTLED_MS, mendedAtMs)))
  const rate = (rates: ReadonlyMap<string, number>, name: string): number => rates.get(name) ?? 0
  const packetsBefore = Math.round(rate(before, link.name))
  if (packetsBefore < CARRIES_TRAFFIC_PER_SECOND)
    throw new LabError('FAILED', `${link.name} carried no traffic, so cutting it would prove nothing`)
  return {
    link: link.name,
    between: [link.ends[0].speaker, link.ends[1].speaker],
    packetsBefore,
    packetsAfter: Math.round(rate(after, link.name)),
    movedTo: plan.links.map(({ name }) => name).filter((name) => rate(after, name) > rate(before, name) + packetsBefore / 5),
    flows: flows.length,
    affectedFlows: cut.affectedFlows,
    sent: cut.sent,
    lost: cut.lost,
    longestOutageMs: cut.longestOutageMs,
    hasMoved: cut.isSettled,
    lostOnMend: mended.lost,
  }
}

/** Half a second's worth of probes, all sent after `sinceMs`, has been answered on every flow. */
function isFlowingSince({ probes }: ProbeStream, sinceMs: number): boolean {
  const nowMs = performance.now()
  return nowMs - 600 >= sinceMs && probes.every(({ record }) => record.isFlowing(nowMs - 600, nowMs - 100))
}

/** Packets a second over each link, both ways, measured over `forMs`. */
async function packetRates(
  wires: string,
  links: readonly Link[],
  forMs: number,
  signal: AbortSignal,
): Promise<ReadonlyMap<string, number>> {
  const [atMs, first] = [performance.now(), await sentPackets(wires)]
  await sleep(forMs, signal)
  const [endMs, last] = [performance.now(), await sentPackets(wires)]
  const count = (counters: ReadonlyMap<string, number>, link: Link): number =>
    (counters.get(wireOf(link, 0)) ?? 0) + (counters.get(wireOf(link, 1)) ?? 0)
  return new Map(links.map((link) => [link.name, ((count(last, link) - count(first, link)) * 1000) / (endMs - atMs)]))
}

/** Waits until the routers no longer call themselves restarting, for as long as their implementation does after every start. */
export async function awaitSettledRouters({ plan, paths }: Lab, onWait: (secondsLeft: number) => void, signal: AbortSignal): Promise<void> {
  const seconds = realRouter(plan.routerKind)?.restartingForSeconds ?? 0
  const routers = new Set(plan.routers.map(({ name }) => name))
  const starts = (readProcesses(paths)?.processes ?? []).filter(({ speaker }) => routers.has(speaker)).map(({ since }) => Date.parse(since))
  const untilMs = Math.max(0, ...starts) + (seconds + 1) * 1000
  for (let leftMs = untilMs - Date.now(); seconds > 0 && leftMs > 0; leftMs = untilMs - Date.now()) {
    onWait(Math.ceil(leftMs / 1000))
    await sleep(Math.min(1000, leftMs), signal)
  }
}

/** Kills the agent of a speaker with SIGKILL under traffic and waits until it is back and all its sessions are. */
export async function crashAgent(lab: Lab, speaker: string, prober: Prober, signal: AbortSignal): Promise<CrashResult> {
  const victim = runningProcess(lab, speaker)
  const before = peersOf(await readSessions(lab), speaker)
  const flows = flowsThrough(lab, speaker)
  const stream = prober.stream(flows, PROBES_PER_SECOND)
  let pidAfter = 0
  let backAfterMs = 0
  let after: readonly SessionReport[] = []
  try {
    await sleep(BEFORE_MS, signal)
    const killedAtMs = performance.now()
    if (!signalProcess(victim, 'SIGKILL'))
      throw new LabError('FAILED', `the agent of ${speaker} had ended before it was killed: see its log`)
    await waitFor(() => (isRunning(victim) ? null : true), { deadlineMs: 5000, everyMs: 5, signal })
    if (isRunning(victim)) throw new LabError('FAILED', `the agent of ${speaker} (pid ${victim.pid}) has survived SIGKILL`)
    after = await awaitReturn(lab, speaker, before, signal)
    backAfterMs = performance.now() - killedAtMs
    await sleep(AFTER_CRASH_MS, signal)
    pidAfter = runningProcess(lab, speaker).pid
  } finally {
    await stream.stop()
  }
  const summaries = stream.probes.map(({ flow, record }) => ({ flow, summary: record.summary(SETTLED_MS) }))
  const sum = total(summaries.map(({ summary }) => summary))
  return {
    speaker,
    pidBefore: victim.pid,
    pidAfter,
    sessionsBackAfterMs: backAfterMs,
    proof: before.map(({ speaker: name, peer, mark }, at) => ({ speaker: name, peer, before: mark ?? '', after: after[at]?.mark ?? '' })),
    flows: flows.length,
    sent: sum.sent,
    lost: sum.lost,
    longestOutageMs: sum.longestOutageMs,
    lossyFlows: summaries
      .filter(({ summary }) => summary.lost > 0)
      .map(({ flow, summary }) => ({ from: flow.from.name, to: flow.to.name, family: flow.family, lost: summary.lost })),
  }
}

/** Sessions with the victim as its peers see them; a peer that is the victim's own process tells nothing. */
function peersOf(sessions: readonly SessionReport[], victim: string): readonly SessionReport[] {
  return sessions.filter(({ remote }) => remote === victim)
}

/** Waits until all sessions are up and every peer has seen its session with the victim go down in between. */
async function awaitReturn(
  lab: Lab,
  victim: string,
  before: readonly SessionReport[],
  signal: AbortSignal,
): Promise<readonly SessionReport[]> {
  let last: readonly SessionReport[] = []
  await waitFor(
    async () => {
      const all = await readSessions(lab)
      last = peersOf(all, victim)
      const isBack = all.every(({ isEstablished }) => isEstablished)
      return isBack && last.every(({ mark }, at) => mark !== null && mark !== before[at]?.mark) ? true : null
    },
    { deadlineMs: SESSIONS_DEADLINE_MS, everyMs: 100, signal },
  )
  return last
}

function runningProcess({ paths }: Lab, speaker: string): { readonly pid: number; readonly startTime: string } {
  const found = readProcesses(paths)?.processes.find((each: RunningProcess) => each.name === speaker)
  if (found?.process == null) throw new LabError('FAILED', `the agent of ${speaker} is not running: see ${paths.log(speaker)}`)
  return found.process
}

/** Traffic that needs the victim: to and from a node's pods, or for a router everything that crosses the fabric. */
function flowsThrough(lab: Lab, victim: string): readonly Flow[] {
  const isNode = speakersOf(lab.plan).some(({ name, role }) => name === victim && role === 'node')
  const flows = fabricFlows(lab)
  return isNode ? flows.filter(({ from, to }) => from.node === victim || to.node === victim) : flows
}

/** A ping between every two pods, both families. */
export async function pingMatrix(lab: Lab, prober: Prober, signal: AbortSignal) {
  const flows = flowsBetween(lab.pods, () => true)
  const probes = await prober.pingAll(flows, 2, 100, signal)
  return probes.map(({ flow, record }) => {
    const { sent, lost, medianRttMs } = record.summary(0)
    return { from: flow.from.name, to: flow.to.name, family: flow.family, sent, lost, rttMs: medianRttMs }
  })
}
