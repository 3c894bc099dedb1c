// The five daemons, by name.
import { bird } from './bird.ts'
import type { DaemonDriver } from './daemon.ts'
import { exabgp } from './exabgp.ts'
import { frr } from './frr.ts'
import { gobgp } from './gobgp.ts'
import { openbgpd } from './openbgpd.ts'

export { bird } from './bird.ts'
export * from './daemon.ts'
export { exabgp } from './exabgp.ts'
export { frr } from './frr.ts'
export { gobgp } from './gobgp.ts'
export { openbgpd } from './openbgpd.ts'

export const DAEMONS: readonly DaemonDriver[] = [bird, frr, gobgp, exabgp, openbgpd]
