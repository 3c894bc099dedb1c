// Composition root of the agent: builds the parts, joins them, and ends them. The only place that reads signals.
import { mkdirSync, readFileSync } from 'node:fs'
import { systemClock } from '../lib/clock.ts'
import { createLog, type Log } from '../lib/log.ts'
import { openStore } from '../store/index.ts'
import { Agent } from './agent.ts'
import { controlRoutes } from './answers.ts'
import { Beats } from './beat.ts'
import { serveControl } from './control.ts'
import { serveHttp } from './http.ts'
import type { AgentMetrics, MetricsSource } from './metrics.ts'
import type { AgentOptions } from './options.ts'
import { Readiness } from './readiness.ts'
import { readRestartState } from './restart-state.ts'

const LOOPS = ['main', 'bgp', 'dataplane'] as const

/** Runs until SIGTERM or SIGINT (exit status 0) or until a thread fails (1). Rejects if it cannot start. */
export async function runAgent(options: AgentOptions): Promise<number> {
  const { node, namespace, runDir, logLevel } = options
  const version = readVersion()
  const log = createLog({ level: logLevel, fields: { node } })
  mkdirSync(runDir, { recursive: true, mode: 0o755 })
  const restart = readRestartState(runDir)
  const peersUpBefore = restart !== null && restart.peersUpBefore.length > 0 ? restart.peersUpBefore : null
  log.info('agent.process.started', { version, store: options.store, runDir, peersUpBefore })

  const beats = new Beats(LOOPS, () => systemClock.nowMs())
  const readiness = new Readiness(systemClock, peersUpBefore ?? [])
  const end = Promise.withResolvers<number>()
  const store = openStore(options.store, { clock: systemClock, log })
  let turns = { applied: 0, failed: 0, lastSeconds: 0 }
  const agent = new Agent({
    node,
    namespace,
    runDir,
    version,
    log,
    logLevel,
    store,
    beats,
    readiness,
    peersUpBefore,
    onFatal(thread, error) {
      log.error('agent.thread.failed', { thread, err: error })
      end.resolve(1)
    },
    onTurn(lastSeconds, outcome) {
      turns = { ...turns, [outcome]: turns[outcome] + 1, lastSeconds }
    },
  })
  await using resources = new AsyncDisposableStack()
  resources.use(await serveControl(runDir, controlRoutes(agent), log))
  if (options.metricsPort !== null) {
    const source: MetricsSource = {
      version,
      node,
      peers: () => agent.bgp.ask('peers', null),
      routes: () => agent.dataplane.ask('counts', null),
      loops: () => beats.entries(),
      ready: () => readiness.reasons().length === 0,
      problems: () => agent.problems().length,
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
  const status = await untilEnd(end.promise, log)
  // A stop is a restart as far as anybody can know: peers keep our routes, the kernel keeps its own (decision 11).
  if (status === 0) await agent.stop('silent')
  log.info('agent.process.ended', { status })
  return status
}

/** The metrics library takes twenty megabytes, which nobody pays before somebody scrapes. */
function onFirstScrape(source: MetricsSource): AgentMetrics['render'] {
  let loading: Promise<AgentMetrics> | null = null
  return async () => {
    loading ??= import('./metrics.ts').then(({ createMetrics }) => createMetrics(source))
    return (await loading).render()
  }
}

async function untilEnd(failed: Promise<number>, log: Log): Promise<number> {
  const stopped = Promise.withResolvers<number>()
  const stop = (signal: NodeJS.Signals) => {
    log.info('agent.signal.received', { signal })
    stopped.resolve(0)
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  try {
    return await Promise.race([failed, stopped.promise])
  } finally {
    process.off('SIGTERM', stop)
    process.off('SIGINT', stop)
  }
}

function readVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest ? String(manifest.version) : 'unknown'
}
