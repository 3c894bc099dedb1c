import type { RouterKind } from '../plan.ts'
import { bird } from './bird.ts'
import { frr } from './frr.ts'
import { gobgp } from './gobgp.ts'
import type { RealRouter } from './router.ts'

export { followGobgp } from './gobgp-fib.ts'
export type { ProcessSpec, RealRouter, RouterPaths, RouterSession } from './router.ts'

/** The real daemons; a Fibula router is just another agent. */
export const REAL_ROUTERS: Readonly<Record<Exclude<RouterKind, 'fibula'>, RealRouter>> = { bird, frr, gobgp }

export function realRouter(kind: RouterKind): RealRouter | null {
  return kind === 'fibula' ? null : REAL_ROUTERS[kind]
}
