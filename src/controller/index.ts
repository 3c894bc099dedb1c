// The controller as others see it: what it finds in a cluster, and the way to run one. Loading this module is cheap; what runs is
// loaded when it is run.
import type { ControllerOptions } from './options.ts'

export { CLUSTER_KINDS, CLUSTER_SELECTIONS, type ClusterSnapshot } from './cluster.ts'
export type { ConditionType, Finding, Severity } from './findings/finding.ts'
export { findFindings } from './findings/index.ts'
export type { ControllerOptions } from './options.ts'
export { CONTROLLER_RIGHTS } from './rights.ts'

/** Runs a replica of the controller until it is told to end; resolves with the exit status of the process. Rejects if it cannot start. */
export async function runController(options: ControllerOptions): Promise<number> {
  const main = await import('./main.ts')
  return main.runController(options)
}
