// FRR: bgpd alone, and zebra beside it when routes are to be installed. Not part of the default run; ask with `--dut frr`.
import { chownSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { exec } from '../../src/lib/exec.ts'
import { type Dut, type DutPeer, type DutSetup, firstLine, RunningDut, startIn } from './dut.ts'

const DAEMONS = '/usr/lib/frr'

export const frr: Dut = {
  name: 'frr',
  version: () => firstLine(join(DAEMONS, 'bgpd'), ['--version']),
  async start(setup) {
    const [user, group] = await Promise.all([idOf('-u'), idOf('-g')])
    const run = join(setup.directory, 'frr')
    mkdirSync(run, { mode: 0o755 })
    chownSync(setup.directory, user, group)
    chownSync(run, user, group)
    writeFileSync(join(setup.directory, 'bgpd.conf'), frrConfig(setup))
    writeFileSync(join(setup.directory, 'zebra.conf'), '')
    const common = ['-u', 'frr', '-g', 'frr', '--vty_socket', run, '-P', '0']
    const socket = join(run, 'zserv.api')
    const started: ReturnType<typeof startIn>[] = []
    if (setup.installRoutes) {
      started.push(
        startIn(setup, 'zebra', [
          join(DAEMONS, 'zebra'),
          ...common,
          '-f',
          join(setup.directory, 'zebra.conf'),
          '-z',
          socket,
          '-i',
          join(run, 'zebra.pid'),
        ]),
      )
      await untilExists(socket)
    }
    const alone = setup.installRoutes ? ['-z', socket] : ['-n', '-Z', '-S']
    const config = ['-f', join(setup.directory, 'bgpd.conf'), '-i', join(run, 'bgpd.pid'), '-p', '179']
    started.push(startIn(setup, 'bgpd', [join(DAEMONS, 'bgpd'), ...common, ...config, ...alone]))
    return new RunningDut(
      started.map(({ child }) => child),
      started.map(({ log }) => log),
    )
  },
}

export function frrConfig(setup: DutSetup): string {
  const families = ['IPv4Unicast', 'IPv6Unicast'] as const
  const activate = families.flatMap((family) => [
    ` address-family ${family === 'IPv4Unicast' ? 'ipv4' : 'ipv6'} unicast`,
    ...setup.peers
      .filter((peer) => peer.families.includes(family))
      .flatMap((peer) => [
        `  neighbor ${peer.address} activate`,
        ...(setup.reflect ? [`  neighbor ${peer.address} route-reflector-client`] : []),
      ]),
    ' exit-address-family',
  ])
  return [
    `router bgp ${setup.asn}`,
    ` bgp router-id ${setup.routerId}`,
    ' no bgp ebgp-requires-policy',
    ' no bgp default ipv4-unicast',
    ' no bgp network import-check',
    ...setup.peers.flatMap((peer) => frrPeer(peer)),
    ...activate,
    '',
  ].join('\n')
}

function frrPeer({ address, asn }: DutPeer): readonly string[] {
  return [
    ` neighbor ${address} remote-as ${asn}`,
    ` neighbor ${address} passive`,
    ` neighbor ${address} timers 80 240`,
    ` neighbor ${address} advertisement-interval 0`,
  ]
}

async function idOf(option: '-u' | '-g'): Promise<number> {
  const { stdout } = await exec('id', [option, 'frr'])
  return Number(stdout)
}

async function untilExists(path: string): Promise<void> {
  for (let attempt = 0; attempt < 100 && !existsSync(path); attempt++) await new Promise((resolve) => setTimeout(resolve, 50))
}
