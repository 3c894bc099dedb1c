// Composition root of the agent: builds the parts, joins them, and ends them. The only place that reads signals.
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { sleep, systemClock } from '../lib/clock.ts'
import { createLog, type Log } from '../lib/log.ts'
import { serveHttp } from '../lib/serve-health.ts'
import { openStore } from '../store/index.ts'
import { Agent } from './agent.ts'
import { controlRoutes } from './answers.ts'
import { Beats } from './beat.ts'
import { refuseToBeSecond, serveControl } from './control.ts'
import type { StopRequest } from './control-api.ts'
import { CACHE_FILE, InputCache } from './inputs/cache.ts'
import type { AgentMetrics, MetricsSource } from './metrics.ts'
import type { AgentOptions } from './options.ts'
import { Readiness } from './readiness.ts'
import { readRestartState } from './restart-state.ts'
import { lockStateDir } from './state-lock.ts'

const LOOPS = ['main', 'bgp', 'dataplane'] as const

/** Runs until SIGTERM or SIGINT (exit status 0) or until a thread fails (1). Rejects if it cannot start. */
export async function runAgent(options: AgentOptions): Promise<number> {
  const { node, namespace, runDir, stateDir, logLevel, detections, cni, policy } = options
  const version = readVersion()
  const log = createLog({ level: logLevel, fields: { node } })
  mkdirSync(runDir, { recursive: true, mode: 0o755 })
  await refuseToBeSecond(runDir)
  using _lock = await lockStateDir(stateDir, { log })
  const restart = readRestartState(runDir)
  const peersUpBefore = restart !== null && restart.peersUpBefore.length > 0 ? restart.peersUpBefore : null
  log.info('agent.process.started', { version, store: options.store, runDir, peersUpBefore })

  const beats = new Beats(LOOPS, () => systemClock.nowMs())
  const readiness = new Readiness(systemClock, peersUpBefore ?? [], cni !== null)
  const end = Promise.withResolvers<Ending>()
  const store = openStore(options.store, { clock: systemClock, log, waitsForFolder: true })
  const cache = new InputCache(join(stateDir, CACHE_FILE), { node, namespace, store: options.store }, { clock: systemClock, log })
  let turns = { applied: 0, failed: 0, lastSeconds: 0 }
  const agent = new Agent({
    node,
    namespace,
    runDir,
    version,
    log,
    logLevel,
    store,
    cache,
    detections,
    beats,
    readiness,
    peersUpBefore,
    cni,
    policy,
    stateDir,
    onFatal(thread, error) {
      log.error('agent.thread.failed', { thread, err: error })
      end.resolve({ kind: 'failed' })
    },
    onTurn(lastSeconds, outcome) {
      turns = { ...turns, [outcome]: turns[outcome] + 1, lastSeconds }
    },
  })
  await using resources = new AsyncDisposableStack()
  resources.use(
    await serveControl(
      runDir,
      controlRoutes(agent, (request) => end.resolve({ kind: 'asked', ...request })),
      log,
    ),
  )
  if (options.metricsPort !== null) {
    const source: MetricsSource = {
      version,
      node,
      peers: () => agent.bgp.ask('peers', null),
      routes: () => agent.dataplane.ask('counts', null),
      netfilter: () => agent.dataplane.ask('netfilter', null),
      pods: () => agent.podFigures(),
      writes: () => agent.writeFigures(),
      services: () => agent.services.figures,
      policy: () => agent.policy.sample(),
      loops: () => beats.entries(),
      ready: () => readiness.reasons().length === 0,
      problems: () => agent.problems(),
      turns: () => turns,
    }
    resources.use(
      await serveHttp(options.metricsPort, {
        metrics: onFirstScrape(source),
        stuckLoops: () => beats.stuck(),
        notReadyBecause: () => readiness.reasons(),
      }),
    )
  }
  const ending = await untilEnd(end.promise, log)
  const status = ending.kind === 'failed' ? 1 : 0
  if (ending.kind === 'asked') {
    if (ending.how === 'cease') await drain(agent, ending.drainSeconds, log)
    await agent.stop(ending.how)
  }
  log.info('agent.process.ended', { status })
  return status
}

/** A signal is a restart as far as anybody can know: peers keep our routes, the kernel keeps its own (decision 11). */
const RESTART: Ending = { kind: 'asked', how: 'silent', drainSeconds: 0 }

type Ending = { readonly kind: 'failed' } | ({ readonly kind: 'asked' } & StopRequest)

/** Peers find other ways before the sessions end. A signal cuts the wait short: the goodbye is said all the same. */
async function drain(agent: Agent, seconds: number, log: Log): Promise<void> {
  if (seconds === 0) return
  log.info('agent.drain.begun', { seconds })
  await agent.drain(true)
  const cut = new AbortController()
  await Promise.race([sleep(seconds * 1_000, cut.signal).catch(() => {}), untilSignal(log, cut.signal)])
  cut.abort()
}

/** The metrics library takes twenty megabytes, which nobody pays before somebody scrapes. */
function onFirstScrape(source: MetricsSource): AgentMetrics['render'] {
  let loading: Promise<AgentMetrics> | null = null
  return async () => {
    loading ??= import('./metrics.ts').then(({ createMetrics }) => createMetrics(source))
    return (await loading).render()
  }
}

async function untilEnd(other: Promise<Ending>, log: Log): Promise<Ending> {
  const done = new AbortController()
  try {
    return await Promise.race([other, untilSignal(log, done.signal).then(() => RESTART)])
  } finally {
    done.abort()
  }
}

/** Resolves on SIGTERM or SIGINT; no longer listens once `done` aborts. */
function untilSignal(log: Log, done: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const stop = (signal: NodeJS.Signals): void => {
      log.info('agent.signal.received', { signal })
      resolve()
    }
    process.on('SIGTERM', stop)
    process.on('SIGINT', stop)
    done.addEventListener('abort', () => {
      process.off('SIGTERM', stop)
      process.off('SIGINT', stop)
    })
  })
}

function readVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest ? String(manifest.version) : 'unknown'
}
