// `fibula ipam show|check|release`.
import { checkIpam, release } from './ipam-check.ts'
import { showIpam } from './ipam-show.ts'
import { agentOptions, type Cli, type Environment } from './options.ts'
import { storeOption } from './store-option.ts'

export function addIpam(cli: Cli, describe: string, environment: Environment): void {
  cli.command('ipam', describe, (ipam: Cli) => {
    ipam.command(
      'show [what]',
      'Pools, blocks and addresses: of the cluster with --store, else of one node',
      (to) =>
        to
          .options({ ...agentOptions(environment), store: { ...storeOption(environment).store, demandOption: false } })
          .positional('what', { type: 'string', describe: 'Only this: a pool, node, block or address; without --store also a pod' })
          .example('$0 ipam show', 'the node whose agent answers here')
          .example('$0 ipam show 10.244.1.7 --store dir:/etc/fibula', 'who has this address'),
      (args) => showIpam(args, environment),
    )
    ipam.command(
      'check',
      'Addresses without a living owner; exit status 1 if there are any',
      (to) =>
        to
          .options({ ...agentOptions(environment), ...storeOption(environment) })
          .option('seconds', { type: 'number', default: 5, requiresArg: true, describe: 'Time between the two looks' })
          .example('$0 ipam check --store dir:/etc/fibula', 'looks twice, changes nothing'),
      (args) => checkIpam(args, environment),
    )
    ipam.command(
      'release [address]',
      'Free an address whose owner is gone, or all of a node that is gone',
      (to) =>
        to
          .options({ ...agentOptions(environment), ...storeOption(environment) })
          .positional('address', { type: 'string', describe: 'The address, as `fibula ipam check` shows it' })
          .option('gone-node', {
            type: 'string',
            requiresArg: true,
            describe: 'All blocks, reserves and addresses of this node, which has no Node object any more',
          })
          .option('force', {
            type: 'boolean',
            default: false,
            describe: 'Even if its owner may be alive: two pods may end up with one address',
          }),
      (args) => release(args, environment),
    )
    return ipam.demandCommand(1, 'say what to do: show, check or release')
  })
}
