// The agent as others see it: what its control socket answers, and the way to run one. Loading this module is cheap; the
// agent itself is loaded when it is run.
import type { BlockStore } from '../ipam/index.ts'
import type { Log } from '../lib/log.ts'
import type { Store } from '../store/index.ts'
import type { CleanupOptions, CleanupReport } from './cleanup.ts'
import type { AgentOptions } from './options.ts'

export type { CleanupOptions, CleanupReport, CleanupStep } from './cleanup.ts'
export {
  type AgentStatus,
  CONTROL_SOCKET,
  type IpamStatus,
  type KernelRouteStatus,
  type PodPolicyStatus,
  type PodStatus,
  type Problem,
  type StopRequest,
} from './control-api.ts'
export type { Detections } from './derive/addresses.ts'
export { type Detection, parseDetection } from './derive/detection.ts'
export { type AgentOptions, type CniOptions, DEFAULT_CNI_BIN_DIRS, defaultStateDir } from './options.ts'
export { ExplainError, type ExplainQuery, type Explanation, explainPolicy } from './policy/index.ts'
export { AGENT_RIGHTS } from './rights.ts'

/** Runs an agent until it is told to end; resolves with the exit status of the process. Rejects if it cannot start. */
export async function runAgent(options: AgentOptions): Promise<number> {
  const main = await import('./main.ts')
  return main.runAgent(options)
}

/** Takes off this host what agents have put there. Rejects if one still runs with this run directory. */
export async function cleanUp(options: CleanupOptions, log: Log): Promise<CleanupReport> {
  const cleanup = await import('./cleanup.ts')
  return cleanup.cleanUp(options, log)
}

/** The blocks of IPAM in a store. */
export async function blockStoreOf(store: Store): Promise<BlockStore> {
  const { createBlockStore } = await import('../store/index.ts')
  return createBlockStore(store)
}
