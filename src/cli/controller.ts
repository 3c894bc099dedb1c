// `fibula controller`: the long-running role for the whole cluster. The controller itself is loaded only when it runs.
import { randomUUID } from 'node:crypto'
import { hostname } from 'node:os'
import { type ControllerOptions, runController } from '../controller/index.ts'
import { parseDurationMs } from '../lib/duration.ts'
import type { LogLevel } from '../lib/log.ts'
import type { Cli, Environment } from './options.ts'
import { CliError } from './output.ts'

const LOG_LEVELS: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error']

export function addController(cli: Cli, describe: string, _environment: Environment): void {
  cli.command(
    'controller',
    describe,
    (to) =>
      to
        .option('store', {
          type: 'string',
          demandOption: true,
          requiresArg: true,
          describe: 'Where the objects are: kubernetes, or dir:PATH, a folder of YAML manifests',
        })
        .option('namespace', {
          type: 'string',
          default: 'fibula-system',
          requiresArg: true,
          describe: 'Where the Lease fibula-controller is, by which one replica leads',
        })
        .option('identity', {
          type: 'string',
          requiresArg: true,
          describe: 'Name of this replica in the Lease; no two may share one [default: host name and a random id]',
        })
        .option('metrics-port', {
          type: 'number',
          default: 9180,
          requiresArg: true,
          describe: 'Port of /metrics, /healthz and /readyz; 0: none',
        })
        .option('leak-grace', {
          type: 'string',
          default: '5m',
          requiresArg: true,
          describe: 'Time between the two looks that must find a leaked address before it is released',
        })
        .option('status-interval', {
          type: 'string',
          default: '5s',
          requiresArg: true,
          describe: 'A status is written at most so often; counts alone six times less often',
        })
        .option('log-level', { choices: LOG_LEVELS, default: 'info' as LogLevel, requiresArg: true, describe: 'Least severe lines logged' })
        .example('$0 controller --store kubernetes', 'In a pod; run two replicas, and one leads'),
    async ({ store, namespace, identity, metricsPort, leakGrace, statusInterval, logLevel }) => {
      if (!Number.isInteger(metricsPort) || metricsPort < 0 || metricsPort > 65_535)
        throw new CliError('--metrics-port is 1 to 65535, or 0 for none', 2)
      const options: ControllerOptions = {
        store,
        namespace,
        identity: identity ?? `${hostname()}_${randomUUID()}`,
        logLevel,
        metricsPort: metricsPort === 0 ? null : metricsPort,
        leakGraceMs: durationOf('leak-grace', leakGrace),
        statusIntervalMs: durationOf('status-interval', statusInterval),
      }
      const status = await runController(options).catch((cause: unknown) => {
        throw new CliError(cause instanceof Error ? cause.message : String(cause), 1, { cause }) // why it cannot start
      })
      process.exit(status)
    },
  )
}

function durationOf(option: string, text: string): number {
  const ms = parseDurationMs(text)
  if (ms === null || ms < 1_000)
    throw new CliError(`--${option} is a duration of at least 1s, like 90s or 5m, not ${JSON.stringify(text)}`, 2)
  return ms
}
