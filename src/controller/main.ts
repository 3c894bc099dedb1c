// Composition root of the controller: builds the parts, joins them, and ends them. Reads signals.
import { readFileSync } from 'node:fs'
import { sleep, systemClock } from '../lib/clock.ts'
import { createLog, type Log } from '../lib/log.ts'
import { serveHttp } from '../lib/serve-health.ts'
import { openStore } from '../store/index.ts'
import { Controller } from './controller.ts'
import type { ControllerMetrics, ControllerMetricsSource } from './metrics.ts'
import type { ControllerOptions } from './options.ts'

/** Runs until SIGTERM or SIGINT (exit status 0). Rejects if it cannot start. */
export async function runController(options: ControllerOptions): Promise<number> {
  const { identity, namespace, logLevel, metricsPort, leakGraceMs, statusIntervalMs } = options
  const version = readVersion()
  const log = createLog({ level: logLevel, fields: { identity } })
  log.info('controller.process.started', { version, store: options.store, namespace, leakGraceMs })
  await using resources = new AsyncDisposableStack()
  const store = resources.use(openStore(options.store, { clock: systemClock, log, waitsForFolder: true }))
  const controller = resources.use(new Controller({ store, log, namespace, identity, leakGraceMs, statusIntervalMs }))
  if (metricsPort !== null) {
    resources.use(
      await serveHttp(metricsPort, {
        metrics: onFirstScrape({ version, identity, view: () => controller.view() }),
        stuckLoops: () => controller.stuckLoops(),
        notReadyBecause: () => controller.notReadyBecause(),
      }),
    )
  }
  controller.start()
  await untilSignal(log)
  await resources.disposeAsync() // gives the Lease back before anything is logged as ended
  log.info('controller.process.ended', { status: 0 })
  return 0
}

/** The metrics library takes megabytes, which nobody pays before somebody scrapes. */
function onFirstScrape(source: ControllerMetricsSource): ControllerMetrics['render'] {
  let loading: Promise<ControllerMetrics> | null = null
  return async () => {
    loading ??= import('./metrics.ts').then(({ createControllerMetrics }) => createControllerMetrics(source))
    return (await loading).render()
  }
}

const FOREVER_MS = 0x7fff_ffff

/** Resolves on SIGTERM or SIGINT, and keeps the process alive until then: none of its timers does. */
async function untilSignal(log: Log): Promise<void> {
  const ending = new AbortController()
  const stop = (signal: NodeJS.Signals): void => {
    log.info('controller.signal.received', { signal })
    ending.abort()
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  try {
    while (!ending.signal.aborted) await sleep(FOREVER_MS, ending.signal).catch(() => {})
  } finally {
    process.off('SIGTERM', stop)
    process.off('SIGINT', stop)
  }
}

function readVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest ? String(manifest.version) : 'unknown'
}
