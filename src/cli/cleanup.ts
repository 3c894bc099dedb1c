// `fibula cleanup`: a node as it was before an agent came. With --stay, as the pods of the chart do it (cleanup.enabled), it goes on
// until it is told to end, tries again what did not work, and answers probes: ready means clean.
import { type CleanupOptions, type CleanupReport, type CleanupStep, cleanUp, defaultStateDir } from '../agent/index.ts'
import { sleep } from '../lib/clock.ts'
import { createLog, silentLog } from '../lib/log.ts'
import type { Cli, Environment } from './options.ts'
import { CliError, formatTable, print } from './output.ts'

const WHAT: Readonly<Record<CleanupStep, string>> = {
  configuration: 'network configuration of the runtime',
  plugin: 'CNI plugin',
  pods: 'links of pods',
  routes: 'kernel routes',
  tunnels: 'tunnel devices',
  rules: 'chains and sets',
  state: 'run and state directory',
}
const AGAIN_AFTER_MS = 10_000

export function addCleanup(cli: Cli, describe: string, environment: Environment): void {
  cli.command(
    'cleanup',
    describe,
    (to) =>
      to
        .option('run-dir', { type: 'string', default: environment.runDir, requiresArg: true, describe: 'That of the agent' })
        .option('state-dir', {
          type: 'string',
          requiresArg: true,
          describe: 'That of the agent [default: /var/lib/fibula, or state in another --run-dir]',
        })
        .option('cni-conf-dir', {
          type: 'string',
          default: '/etc/cni/net.d',
          requiresArg: true,
          describe: 'Where the container runtime reads its network configuration',
        })
        .option('cni-bin-dir', { type: 'string', default: '/opt/cni/bin', requiresArg: true, describe: 'Where its plugins are' })
        .option('keep-pods', {
          type: 'boolean',
          default: false,
          describe: 'Leave running pods their links, the routes to them and the record of their addresses',
        })
        .option('stay', { type: 'boolean', default: false, describe: 'Then wait for a signal, and try again what did not work' })
        .option('metrics-port', {
          type: 'number',
          requiresArg: true,
          describe: 'With --stay: answer /healthz here, and /readyz once the node is clean',
        })
        .example('$0 cleanup', 'after the agent was stopped for good: `fibula bgp drain --stop`'),
    async ({ runDir, cniConfDir, cniBinDir, keepPods, stay, metricsPort, output, ...more }) => {
      if (metricsPort !== undefined && !stay) throw new CliError('--metrics-port is for --stay: without it this ends at once', 2)
      const stateDir = more.stateDir ?? defaultStateDir(runDir)
      const options: CleanupOptions = { runDir, stateDir, confDir: cniConfDir, binDir: cniBinDir, keepPods }
      if (stay) return cleanAndStay(options, metricsPort ?? null)
      const report = await cleanUp(options, silentLog).catch((cause: unknown) => {
        throw new CliError(cause instanceof Error ? cause.message : String(cause), 1, { cause })
      })
      await print(output, report, ({ steps }, screen) =>
        formatTable(
          [
            { title: 'what', cell: ({ step }) => WHAT[step] },
            { title: 'removed', cell: ({ removed }) => String(removed), align: 'right' },
            {
              title: 'left',
              cell: ({ faults }) => (faults.length === 0 ? '' : { text: faults.join('; '), tone: 'bad' }),
              shrinks: true,
            },
          ],
          steps,
          screen,
        ),
      )
      if (!report.isClean) process.exitCode = 1
    },
  )
}

/** Until SIGTERM or SIGINT. */
async function cleanAndStay(options: CleanupOptions, port: number | null): Promise<void> {
  const log = createLog({ level: 'info' })
  const ended = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => ended.abort())
  let why: readonly string[] = ['has not looked yet']
  await using resources = new AsyncDisposableStack()
  if (port !== null) {
    const { serveHttp } = await import('../lib/serve-health.ts')
    resources.use(
      await serveHttp(port, {
        metrics: async () => ({
          contentType: 'text/plain; charset=utf-8',
          text: `# TYPE fibula_cleanup_done gauge\nfibula_cleanup_done ${Number(why.length === 0)}\n`,
        }),
        stuckLoops: () => [],
        notReadyBecause: () => why,
      }),
    )
  }
  while (!ended.signal.aborted) {
    why = await cleanUp(options, log).then(reasons, (cause: unknown) => [cause instanceof Error ? cause.message : String(cause)])
    if (why.length === 0) break
    log.warn('agent.cleanup.incomplete', { why })
    await sleep(AGAIN_AFTER_MS, ended.signal).catch(() => {}) // told to end
  }
  if (!ended.signal.aborted) await new Promise((resolve) => ended.signal.addEventListener('abort', resolve, { once: true }))
}

function reasons({ steps }: CleanupReport): readonly string[] {
  return steps.flatMap(({ step, faults }) => faults.map((fault) => `${WHAT[step]}: ${fault}`))
}
