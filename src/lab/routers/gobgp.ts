// GoBGP as a top-of-rack router. GoBGP itself puts no route into the kernel, so FRR's zebra runs beside it and does.
import { HOLD_TIME_SECONDS, KEEPALIVE_SECONDS, type Plan, RESTART_TIME_SECONDS, type Router, type Session, sessionsOf } from '../plan.ts'
import { zebraProcess } from './frr.ts'
import type { RealRouter, RouterPaths, RouterSession } from './router.ts'

export const gobgp: RealRouter = {
  packages: 'gobgpd frr',
  programs: ['gobgpd', 'gobgp', '/usr/lib/frr/zebra'],
  user: 'frr',
  files: (plan, router, paths) => [
    { path: `${paths.config}/zebra.conf`, text: `hostname ${router.name}\n` },
    { path: `${paths.config}/gobgpd.json`, text: `${JSON.stringify(configuration(plan, router, paths), null, 2)}\n` },
  ],
  processes: (router, paths) => [
    zebraProcess(router, paths),
    {
      name: `${router.name}-gobgpd`,
      argv: ['gobgpd', '-f', `${paths.config}/gobgpd.json`, '-t', 'json', '--pprof-disable', '--api-hosts', '127.0.0.1:50051'],
      waitFor: `${paths.run}/zserv.api`,
    },
  ],
  sessionsCommand: () => ['gobgp', '-j', 'neighbor'],
  parseSessions,
  lookCommand: () => 'gobgp global rib',
}

function configuration(plan: Plan, router: Router, { run }: RouterPaths): unknown {
  return {
    global: {
      config: { as: router.asn, 'router-id': router.loopback.ipv4, port: 179 },
      'use-multiple-paths': { config: { enabled: true }, ebgp: { config: { 'maximum-paths': 16 } } },
    },
    zebra: {
      config: {
        enabled: true,
        url: `unix:${run}/zserv.api`,
        version: 6,
        'software-name': 'frr8.1',
        'redistribute-route-type-list': ['connect'],
      },
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

/** `gobgp -j neighbor`. The number of flaps and the time the session came up are the mark. */
function parseSessions(output: string): readonly RouterSession[] {
  const neighbors: unknown = JSON.parse(output)
  if (!Array.isArray(neighbors)) return []
  return neighbors.map((shown: GobgpNeighbor) => {
    const { state, timers } = shown
    const sessionState = state?.session_state ?? 0
    const isEstablished = sessionState === ESTABLISHED
    const address = state?.neighbor_address ?? shown.conf?.neighbor_address ?? ''
    const uptime = timers?.state?.uptime?.seconds ?? 0
    return {
      remoteAddress: address,
      isEstablished,
      state: STATES[sessionState] ?? String(sessionState),
      mark: `${state?.flops ?? 0} flaps, up at ${uptime}`,
    }
  })
}

const STATES = ['Unknown', 'Idle', 'Connect', 'Active', 'OpenSent', 'OpenConfirm', 'Established']

type GobgpNeighbor = {
  readonly conf?: { readonly neighbor_address?: string }
  readonly state?: { readonly neighbor_address?: string; readonly session_state?: number; readonly flops?: number }
  readonly timers?: { readonly state?: { readonly uptime?: { readonly seconds?: number } } }
}
