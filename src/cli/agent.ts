// `fibula agent`: the long-running role. The agent itself is loaded only when it runs.
import { runAgent } from '../agent/index.ts'
import type { LogLevel } from '../lib/log.ts'
import type { Cli, Environment } from './options.ts'
import { CliError } from './output.ts'

const LOG_LEVELS: readonly LogLevel[] = ['trace', 'debug', 'info', 'warn', 'error']

export function addAgent(cli: Cli, describe: string, environment: Environment): void {
  cli.command(
    'agent',
    describe,
    (to) =>
      to
        .option('node', { type: 'string', demandOption: true, requiresArg: true, describe: 'Name of this node among the Node objects' })
        .option('store', {
          type: 'string',
          demandOption: true,
          requiresArg: true,
          describe: 'Where the objects are: dir:PATH, a folder of YAML manifests',
        })
        .option('run-dir', {
          type: 'string',
          default: environment.runDir,
          requiresArg: true,
          describe: 'Control socket and restart state; must not outlive a reboot',
        })
        .option('metrics-port', {
          type: 'number',
          default: 9179,
          requiresArg: true,
          describe: 'Port of /metrics, /healthz and /readyz; 0: none',
        })
        .option('namespace', {
          type: 'string',
          default: 'fibula-system',
          requiresArg: true,
          describe: 'Where the Secrets of BGP passwords are',
        })
        .option('log-level', {
          choices: LOG_LEVELS,
          default: 'info' as LogLevel,
          requiresArg: true,
          describe: 'Until BGPConfiguration names another',
        })
        .option('cni-socket', {
          type: 'string',
          requiresArg: true,
          describe: 'Reserved for the CNI server, which this version does not have',
        })
        .example('$0 agent --node node-1 --store dir:/etc/fibula', 'BGP and routes from the manifests in /etc/fibula'),
    async ({ node, store, runDir, metricsPort, namespace, logLevel }) => {
      if (!Number.isInteger(metricsPort) || metricsPort < 0 || metricsPort > 65_535)
        throw new CliError('--metrics-port is 1 to 65535, or 0 for none', 2)
      const options = { node, store, runDir, namespace, logLevel, metricsPort: metricsPort === 0 ? null : metricsPort }
      const status = await runAgent(options).catch((cause: unknown) => {
        throw new CliError(cause instanceof Error ? cause.message : String(cause), 1, { cause }) // why it cannot start
      })
      process.exit(status)
    },
  )
}
