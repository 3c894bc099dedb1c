// FRR (zebra and bgpd) as a top-of-rack router.
import { HOLD_TIME_SECONDS, KEEPALIVE_SECONDS, type Plan, type Router, sessionsOf } from '../plan.ts'
import type { RealRouter, RouterPaths, RouterProcess, RouterSession } from './router.ts'

const DAEMONS = '/usr/lib/frr'

export const frr: RealRouter = {
  packages: 'frr',
  programs: [`${DAEMONS}/zebra`, `${DAEMONS}/bgpd`, 'vtysh'],
  restartingForSeconds: 120,
  user: 'frr',
  files: (plan, router, { config }) => [
    { path: `${config}/zebra.conf`, text: `hostname ${router.name}\n` },
    { path: `${config}/bgpd.conf`, text: configuration(plan, router) },
  ],
  processes: (router, paths) => [
    zebraProcess(router, paths),
    { name: `${router.name}-bgpd`, argv: daemon('bgpd', paths, []), waitFor: `${paths.run}/zserv.api` },
  ],
  sessionsCommand: (paths) => ['vtysh', '--vty_socket', paths.run, '-d', 'bgpd', '-c', 'show bgp neighbors json'],
  parseSessions,
  lookCommand: (paths) => `vtysh --vty_socket ${paths.run} -c 'show ip bgp'`,
}

/** zebra puts routes into the kernel. */
function zebraProcess(router: Router, paths: RouterPaths): RouterProcess {
  return { name: `${router.name}-zebra`, argv: daemon('zebra', paths, []), waitFor: null }
}

function daemon(name: 'zebra' | 'bgpd', { config, run }: RouterPaths, more: readonly string[]): readonly [string, ...string[]] {
  const sockets = ['--vty_socket', run, '-z', `${run}/zserv.api`, '-i', `${run}/${name}.pid`, '-P', '0']
  return [`${DAEMONS}/${name}`, '-u', 'frr', '-g', 'frr', ...sockets, '-f', `${config}/${name}.conf`, '--log', 'stdout', ...more]
}

function configuration(plan: Plan, router: Router): string {
  const sessions = sessionsOf(plan, router.name)
  const neighbors = sessions.flatMap(({ remoteAddress, remoteAsn, peer }) =>
    [
      `remote-as ${remoteAsn}`,
      `description ${peer}`,
      `timers ${KEEPALIVE_SECONDS} ${HOLD_TIME_SECONDS}`,
      'timers connect 1',
      'advertisement-interval 0',
    ].map((line) => ` neighbor ${remoteAddress} ${line}`),
  )
  const family = (name: 'ipv4' | 'ipv6', loopback: string): readonly string[] => [
    ` address-family ${name} unicast`,
    `  network ${loopback}`,
    '  maximum-paths 16',
    ...sessions.filter((session) => session.family === name).map(({ remoteAddress }) => `  neighbor ${remoteAddress} activate`),
    ' exit-address-family',
  ]
  return `${[
    `hostname ${router.name}`,
    `router bgp ${router.asn}`,
    ` bgp router-id ${router.loopback.ipv4}`,
    ' no bgp ebgp-requires-policy', // RFC 8212: the lab trusts its nodes
    ' no bgp default ipv4-unicast',
    ' no bgp network import-check',
    ' bgp bestpath as-path multipath-relax',
    ...neighbors,
    ...family('ipv4', `${router.loopback.ipv4}/32`),
    ...family('ipv6', `${router.loopback.ipv6}/128`),
  ].join('\n')}\n`
}

/** `show bgp neighbors json`: an object keyed by address. The number of dropped connections is the mark. */
function parseSessions(output: string): readonly RouterSession[] {
  const neighbors: unknown = JSON.parse(output)
  if (typeof neighbors !== 'object' || neighbors === null) return []
  return Object.entries(neighbors).flatMap(([remoteAddress, neighbor]: [string, unknown]) => {
    if (typeof neighbor !== 'object' || neighbor === null || !('bgpState' in neighbor)) return []
    const state = String(neighbor.bgpState)
    const dropped = 'connectionsDropped' in neighbor ? Number(neighbor.connectionsDropped) : 0
    return [{ remoteAddress, isEstablished: state === 'Established', state, mark: `${dropped} dropped` }]
  })
}
