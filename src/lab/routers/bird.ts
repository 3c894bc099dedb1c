// BIRD 2 as a top-of-rack router.
import {
  FAMILIES,
  HOLD_TIME_SECONDS,
  KEEPALIVE_SECONDS,
  type Plan,
  RESTART_TIME_SECONDS,
  type Router,
  type Session,
  sessionsOf,
} from '../plan.ts'
import type { RealRouter, RouterPaths, RouterSession } from './router.ts'

export const bird: RealRouter = {
  packages: 'bird2',
  programs: ['bird', 'birdc'],
  restartingForSeconds: 0,
  user: null,
  files: (plan, router, { config }) => [{ path: `${config}/bird.conf`, text: configuration(plan, router) }],
  processes: (router, { config, run }) => [
    {
      name: router.name,
      argv: ['bird', '-f', '-c', `${config}/bird.conf`, '-s', `${run}/bird.ctl`, '-P', `${run}/bird.pid`],
      waitFor: null,
    },
  ],
  sessionsCommand: (paths) => ['birdc', '-s', control(paths), 'show', 'protocols', 'all'],
  parseSessions,
  lookCommand: (paths) => `birdc -s ${control(paths)} show route`,
}

function control({ run }: RouterPaths): string {
  return `${run}/bird.ctl`
}

function configuration(plan: Plan, router: Router): string {
  const kernel = FAMILIES.map(
    (family) =>
      `protocol kernel { persist; merge paths on limit 16; ${family} { import none; export filter { if source != RTS_BGP then reject; krt_prefsrc = ${router.loopback[family]}; accept; }; }; }`,
  )
  return `${[
    'log stderr all;',
    'timeformat protocol iso long ms;',
    `router id ${router.loopback.ipv4};`,
    'protocol device { scan time 2; }',
    'protocol direct loopbacks { ipv4; ipv6; interface "lo"; }',
    ...kernel,
    `template bgp fabric {
  local as ${router.asn};
  hold time ${HOLD_TIME_SECONDS}; keepalive time ${KEEPALIVE_SECONDS};
  connect delay time 1; connect retry time 1; error wait time 1,2; error forget time 5;
  graceful restart on; graceful restart time ${RESTART_TIME_SECONDS};
}`,
    ...sessionsOf(plan, router.name).map(protocol),
  ].join('\n')}\n`
}

function protocol({ peer, remoteAddress, remoteAsn, family }: Session): string {
  const exported = 'export where source = RTS_BGP || proto = "loopbacks"'
  return `protocol bgp '${peer}' from fabric { neighbor ${remoteAddress} as ${remoteAsn}; ${family} { import all; ${exported}; }; }`
}

/** `show protocols all`: a line for each protocol, then its details indented. The time of the last change is the mark. */
function parseSessions(output: string): readonly RouterSession[] {
  const sections = output.split(/\n(?=\S)/)
  return sections.flatMap((section) => {
    const head = /^\S+\s+BGP\s+\S+\s+\S+\s+(\S+ \S+)/.exec(section)
    const address = /^\s+Neighbor address:\s+(\S+)/m.exec(section)?.[1]
    const state = /^\s+BGP state:\s+(\S+)/m.exec(section)?.[1]
    if (head === null || address === undefined || state === undefined) return []
    return [{ remoteAddress: address, isEstablished: state === 'Established', state, mark: head[1] ?? '' }]
  })
}
