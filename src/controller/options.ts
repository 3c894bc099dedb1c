// What a replica of the controller is told when it is started.
import type { LogLevel } from '../lib/log.ts'

export type ControllerOptions = {
  /** `kubernetes` or `dir:PATH`. */
  readonly store: string
  /** Where the Lease is. */
  readonly namespace: string
  /** Name of this replica in the Lease; no two may share one. */
  readonly identity: string
  readonly logLevel: LogLevel
  /** Port of /metrics, /healthz and /readyz; null: none. */
  readonly metricsPort: number | null
  /** Time between the two looks that must find a leak before it is collected. */
  readonly leakGraceMs: number
  /** Statuses are brought up to date at most so often; counts alone six times less often. */
  readonly statusIntervalMs: number
}
