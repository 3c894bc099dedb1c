// What the command line tells the agent. Parsed once, frozen, handed on in slices.
import { join } from 'node:path'
import type { LogLevel } from '../lib/log.ts'
import type { PolicySettings } from '../policy/index.ts'
import type { Detections } from './derive/addresses.ts'

export type AgentOptions = {
  /** Name of this node among the Node objects. */
  readonly node: string
  /** `kubernetes`, or `dir:PATH`. */
  readonly store: string
  /** Control socket and restart state; cleared by a reboot. */
  readonly runDir: string
  /** What outlives a reboot: the objects last known (decision 18), and where CNI is served its pods. No two agents share one. */
  readonly stateDir: string
  /** How this node's addresses are found where no annotation names them. */
  readonly detections: Detections
  /** Where the Secrets of passwords are. */
  readonly namespace: string
  /** Port of /metrics, /healthz and /readyz; null: none. */
  readonly metricsPort: number | null
  /** Until the configuration names another. */
  readonly logLevel: LogLevel
  /** Pods are served; null: no CNI, and no address is ever claimed. */
  readonly cni: CniOptions | null
  /** NetworkPolicy and ClusterNetworkPolicy are enforced for the pods served; null: that is somebody else's. */
  readonly policy: PolicyOptions | null
}

export type PolicyOptions = Pick<PolicySettings, 'ownNodeEgress' | 'missingPods'> & {
  /** Established connections that a change forbids are cut (decision 15). */
  readonly cutsConnections: boolean
}

export type CniOptions = {
  /** Unix socket the CNI plugin talks to. */
  readonly socket: string
  /** The pods there are and their addresses; outlives a reboot. No two agents share one. */
  readonly stateDir: string
  /** Where the runtime reads its network configuration; null: somebody else writes that. */
  readonly confDir: string | null
  /** Where the runtime's plugins are: those found there are chained behind ours. */
  readonly binDirs: readonly string[]
}

/** Where plugins usually are: upstream's folder, and Debian's. */
export const DEFAULT_CNI_BIN_DIRS: readonly string[] = ['/opt/cni/bin', '/usr/lib/cni']

export const DEFAULT_RUN_DIR = '/run/fibula'
const DEFAULT_STATE_DIR = '/var/lib/fibula'

/** An agent with a run directory of its own (the lab, a test) keeps its state there too: what two agents shared they would spoil. */
export function defaultStateDir(runDir: string): string {
  return runDir === DEFAULT_RUN_DIR ? DEFAULT_STATE_DIR : join(runDir, 'state')
}
