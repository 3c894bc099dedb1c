// `fibula bgp reset PEER [--soft]`: tear the session down so that it starts anew, or only exchange the routes again.
import { askAgent } from './agents.ts'
import { agentOptions, type Cli, type Environment } from './options.ts'
import { print } from './output.ts'

export function addReset(cli: Cli, environment: Environment): void {
  cli.command(
    'reset <peer>',
    'Reset the session with a peer',
    (to) =>
      to
        .options(agentOptions(environment))
        .positional('peer', { type: 'string', demandOption: true, describe: 'Name of the peer, as `fibula bgp peers` shows it' })
        .option('soft', { type: 'boolean', default: false, describe: 'Keep the session; ask for all routes again and send all again' })
        .example('$0 bgp reset tor-rack-a --soft', 'route refresh, no flap'),
    async (args) => {
      const kind = args.soft ? 'soft' : 'hard'
      await askAgent(args, environment, (client) => client.post('/v1/bgp/reset', { peer: args.peer, kind }))
      await print(args.output, { peer: args.peer, kind }, () =>
        kind === 'soft' ? `asked ${args.peer} for its routes again and sent ours again\n` : `session with ${args.peer} was reset\n`,
      )
    },
  )
}
