// GoBGP as a top-of-rack router, with a process of ours beside it that puts its best paths into the kernel (see gobgp-fib.ts).
import { HOLD_TIME_SECONDS, KEEPALIVE_SECONDS, type Plan, RESTART_TIME_SECONDS, type Router, type Session, sessionsOf } from '../plan.ts'
import type { RealRouter, RouterSession } from './router.ts'

export const gobgp: RealRouter = {
  packages: 'gobgpd',
  programs: ['gobgpd', 'gobgp'],
  restartingForSeconds: 0,
  user: null,
  files: (plan, router, { config }) => [
    { path: `${config}/gobgpd.json`, text: `${JSON.stringify(configuration(plan, router), null, 2)}\n` },
  ],
  processes: (router, { config }, program) => [
    {
      name: `${router.name}-gobgpd`,
      argv: ['gobgpd', '-f', `${config}/gobgpd.json`, '-t', 'json', '--pprof-disable', '--api-hosts', '127.0.0.1:50051'],
      waitFor: null,
    },
    { name: `${router.name}-loopback`, argv: ['sh', '-c', announceLoopback(router)], waitFor: null },
    { name: `${router.name}-fib`, argv: [...program, 'lab-gobgp-fib'], waitFor: null },
  ],
  sessionsCommand: () => ['gobgp', '-j', 'neighbor'],
  parseSessions,
  lookCommand: () => 'gobgp global rib',
}

/** GoBGP has no configuration for prefixes of its own: they are added while it runs, and again should it have restarted. */
function announceLoopback({ loopback }: Router): string {
  const add = (family: string, prefix: string): string => `gobgp global rib add -a ${family} ${prefix} origin igp >/dev/null 2>&1`
  return `while :; do ${add('ipv4', `${loopback.ipv4}/32`)} && ${add('ipv6', `${loopback.ipv6}/128`)}; sleep 5; done`
}

function configuration(plan: Plan, router: Router): unknown {
  return {
    global: {
      config: { as: router.asn, 'router-id': router.loopback.ipv4, port: 179 },
      'use-multiple-paths': { config: { enabled: true }, ebgp: { config: { 'maximum-paths': 16 } } },
    },
    neighbors: sessionsOf(plan, router.name).map(neighbor),
  }
}

function neighbor({ remoteAddress, remoteAsn, localAddress, family }: Session): unknown {
  return {
    config: { 'neighbor-address': remoteAddress, 'peer-as': remoteAsn },
    timers: {
      config: {
        'connect-retry': 1,
        'hold-time': HOLD_TIME_SECONDS,
        'keepalive-interval': KEEPALIVE_SECONDS,
        'idle-hold-time-after-reset': 1,
      },
    },
    transport: { config: { 'local-address': localAddress } },
    'graceful-restart': { config: { enabled: true, 'restart-time': RESTART_TIME_SECONDS } },
    'afi-safis': [{ config: { 'afi-safi-name': `${family}-unicast` }, 'mp-graceful-restart': { config: { enabled: true } } }],
  }
}

const ESTABLISHED = 6
const STATES = ['Unknown', 'Idle', 'Connect', 'Active', 'OpenSent', 'OpenConfirm', 'Established']

/** `gobgp -j neighbor`. The number of flaps and the time the session came up are the mark. */
function parseSessions(output: string): readonly RouterSession[] {
  const neighbors: unknown = JSON.parse(output)
  if (!Array.isArray(neighbors)) return []
  return neighbors.map(({ conf, state, timers }: GobgpNeighbor) => {
    const number = state?.session_state ?? 0
    return {
      remoteAddress: state?.neighbor_address ?? conf?.neighbor_address ?? '',
      isEstablished: number === ESTABLISHED,
      state: STATES[number] ?? String(number),
      mark: `${state?.flops ?? 0} flaps, up since ${new Date((timers?.state?.uptime?.seconds ?? 0) * 1000).toISOString()}`,
    }
  })
}

type GobgpNeighbor = {
  readonly conf?: { readonly neighbor_address?: string }
  readonly state?: { readonly neighbor_address?: string; readonly session_state?: number; readonly flops?: number }
  readonly timers?: { readonly state?: { readonly uptime?: { readonly seconds?: number } } }
}
