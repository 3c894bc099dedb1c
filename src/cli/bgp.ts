// `fibula bgp peers|routes|reset|drain`.
import { addDrain } from './bgp-drain.ts'
import { addPeers } from './bgp-peers.ts'
import { addReset } from './bgp-reset.ts'
import { addBgpRoutes } from './bgp-routes.ts'
import type { Cli, Environment } from './options.ts'

export function addBgp(cli: Cli, describe: string, environment: Environment): void {
  cli.command('bgp', describe, (bgp: Cli) => {
    addPeers(bgp, environment)
    addBgpRoutes(bgp, environment)
    addReset(bgp, environment)
    addDrain(bgp, environment)
    return bgp.demandCommand(1, 'say what to do: peers, routes, reset or drain')
  })
}
