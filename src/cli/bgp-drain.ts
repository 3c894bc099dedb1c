// `fibula bgp drain`: peers are asked to find other ways (GRACEFUL_SHUTDOWN, RFC 8326) while sessions and forwarding stay. With
// --stop the agent then says goodbye and ends, as for a reboot (decision 11).
import type { StopRequest } from '../agent/index.ts'
import { askAgent } from './agents.ts'
import { agentOptions, type Cli, type Environment } from './options.ts'
import { CliError, print } from './output.ts'

const DEFAULT_DRAIN_SECONDS = 10

export function addDrain(cli: Cli, environment: Environment): void {
  cli.command(
    'drain',
    'Ask all peers to find other ways than this node, before it goes away',
    (to) =>
      to
        .options(agentOptions(environment))
        .option('undo', { type: 'boolean', default: false, describe: 'Take it back: routes are advertised as before' })
        .option('stop', { type: 'boolean', default: false, describe: 'Then close the sessions (Cease) and end the agent' })
        .option('seconds', {
          type: 'number',
          default: DEFAULT_DRAIN_SECONDS,
          requiresArg: true,
          describe: 'With --stop: how long peers have to find other ways',
        })
        .example('$0 bgp drain --stop', 'before a reboot: nothing is lost, and peers wait for nobody'),
    async (args) => {
      if (args.undo && args.stop) throw new CliError('--undo and --stop exclude each other; choose one', 2)
      if (!(args.seconds >= 0 && args.seconds <= 3600)) throw new CliError('--seconds is 0 to 3600', 2)
      if (args.stop) {
        const request: StopRequest = { how: 'cease', drainSeconds: args.seconds }
        await askAgent(args, environment, (client) => client.post('/v1/stop', request))
        await print(
          args.output,
          request,
          () => `peers are asked to find other ways; the agent says goodbye and ends in ${args.seconds} s\n`,
        )
        return
      }
      const request = { draining: !args.undo }
      await askAgent(args, environment, (client) => client.post('/v1/drain', request))
      await print(args.output, request, () =>
        args.undo
          ? 'routes are advertised as before\n'
          : 'peers are asked to find other ways (GRACEFUL_SHUTDOWN); take it back with --undo\n',
      )
    },
  )
}
