// BIRD 2, configured as lean as it goes: no logging, no import table, no kernel protocol unless routes are to be installed.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Dut, type DutPeer, type DutSetup, firstLine, RunningDut, startIn } from './dut.ts'

export const bird: Dut = {
  name: 'bird',
  version: () => firstLine('bird', ['--version']),
  start(setup) {
    const config = join(setup.directory, 'bird.conf')
    writeFileSync(config, birdConfig(setup))
    const { child, log } = startIn(setup, 'bird', ['bird', '-f', '-c', config, '-s', join(setup.directory, 'bird.ctl')])
    return Promise.resolve(new RunningDut([child], [log]))
  },
}

export function birdConfig(setup: DutSetup): string {
  const kernel = ['ipv4', 'ipv6'].map((family) => `protocol kernel { persist no; ${family} { import none; export all; }; }`)
  return [
    `router id ${setup.routerId};`,
    'log stderr { warning, error, fatal, bug };',
    'protocol device {}',
    ...(setup.installRoutes ? kernel : []),
    ...setup.peers.map((peer, index) => birdPeer(setup, peer, index)),
    '',
  ].join('\n')
}

function birdPeer(setup: DutSetup, peer: DutPeer, index: number): string {
  const channels = peer.families.map((family) => `${family === 'IPv4Unicast' ? 'ipv4' : 'ipv6'} { import all; export all; };`)
  return `protocol bgp p${index} {
  local ${peer.localAddress} as ${setup.asn};
  neighbor ${peer.address} as ${peer.asn};
  direct; passive yes; hold time 240; error wait time 1, 1; graceful restart off;
  ${setup.reflect ? 'rr client;' : ''}
  ${channels.join(' ')}
}`
}
