// GoBGP. Its API listens on the loopback of the namespace only.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Dut, type DutPeer, type DutSetup, firstLine, RunningDut, startIn } from './dut.ts'

export const gobgp: Dut = {
  name: 'gobgp',
  version: () => firstLine('gobgpd', ['--version']),
  start(setup) {
    if (setup.installRoutes) throw new Error('gobgp writes no kernel routes by itself')
    const config = join(setup.directory, 'gobgp.toml')
    writeFileSync(config, gobgpConfig(setup))
    const command = ['gobgpd', '-f', config, '--api-hosts=127.0.0.1:50051', '--pprof-disable', '--log-level=warn']
    const { child, log } = startIn(setup, 'gobgp', command)
    return Promise.resolve(new RunningDut([child], [log]))
  },
}

export function gobgpConfig(setup: DutSetup): string {
  return [
    '[global.config]',
    `as = ${setup.asn}`,
    `router-id = "${setup.routerId}"`,
    `local-address-list = [${setup.peers.map((peer) => `"${peer.localAddress}"`).filter((text, at, all) => all.indexOf(text) === at)}]`,
    ...setup.peers.map((peer) => gobgpPeer(setup, peer)),
    '',
  ].join('\n')
}

function gobgpPeer(setup: DutSetup, peer: DutPeer): string {
  const families = peer.families.map(
    (family) =>
      `[[neighbors.afi-safis]]\n[neighbors.afi-safis.config]\nafi-safi-name = "${family === 'IPv4Unicast' ? 'ipv4' : 'ipv6'}-unicast"`,
  )
  return `[[neighbors]]
[neighbors.config]
neighbor-address = "${peer.address}"
peer-as = ${peer.asn}
[neighbors.transport.config]
passive-mode = true
local-address = "${peer.localAddress}"
[neighbors.timers.config]
hold-time = 240
keepalive-interval = 80
${setup.reflect ? `[neighbors.route-reflector.config]\nroute-reflector-client = true\nroute-reflector-cluster-id = "${setup.routerId}"` : ''}
${families.join('\n')}`
}
