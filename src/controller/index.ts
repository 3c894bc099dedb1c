// The controller as others see it: what it finds in a cluster, and the way to run one. Loading this module is cheap; what runs is
// loaded when it is run.
export { CLUSTER_KINDS, CLUSTER_SELECTIONS, type ClusterSnapshot } from './cluster.ts'
export type { ConditionType, Finding, Severity } from './findings/finding.ts'
export { findFindings } from './findings/index.ts'
export type { ControllerOptions } from './options.ts'
export { CONTROLLER_RIGHTS, type Rights } from './rights.ts'
