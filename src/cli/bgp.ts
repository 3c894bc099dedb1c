// `fibula bgp peers|routes|reset`.
import { addPeers } from './bgp-peers.ts'
import { addReset } from './bgp-reset.ts'
import { addBgpRoutes } from './bgp-routes.ts'
import type { Cli, Environment } from './options.ts'

export function addBgp(cli: Cli, describe: string, environment: Environment): void {
  cli.command('bgp', describe, (bgp: Cli) => {
    addPeers(bgp, environment)
    addBgpRoutes(bgp, environment)
    addReset(bgp, environment)
    return bgp.demandCommand(1, 'say what to look at: peers, routes or reset')
  })
}
