// What the command line tells the agent. Parsed once, frozen, handed on in slices.
import type { LogLevel } from '../lib/log.ts'

export type AgentOptions = {
  /** Name of this node among the Node objects. */
  readonly node: string
  /** `dir:PATH`. */
  readonly store: string
  /** Control socket and restart state; cleared by a reboot. */
  readonly runDir: string
  /** Where the Secrets of passwords are. */
  readonly namespace: string
  /** Port of /metrics, /healthz and /readyz; null: none. */
  readonly metricsPort: number | null
  /** Until the configuration names another. */
  readonly logLevel: LogLevel
}
