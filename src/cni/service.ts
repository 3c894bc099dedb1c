// Answers the runtime: what ADD, DEL, CHECK, STATUS, GC and VERSION mean, in terms of the ports.
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import type { CniCode } from './error.ts'
import type { Journal } from './journal.ts'
import type { EndpointGate, PodAddresses, PodSource, PodWiring } from './ports.ts'
import type { Command } from './protocol.ts'

/** Why the node cannot give a pod a network, in words; `impairsRunningPods`: those that run have trouble too (code 51, else 50). */
export type CniUnreadiness = { readonly reason: string; readonly impairsRunningPods: boolean }

/** Told of every answer: for metrics. */
export interface CniObserver {
  /** `code` is null for success. */
  requestEnded(ended: { readonly command: Command | null; readonly code: CniCode | null; readonly durationMs: number }): void
  /** The attachments of the journal have changed: host routes and advertised borrowed addresses may follow. */
  attachmentsChanged(): void
}

export type CniServiceDeps = {
  readonly addresses: PodAddresses
  readonly wiring: PodWiring
  readonly pods: PodSource
  readonly gate: EndpointGate
  readonly journal: Journal
  readonly clock: Clock
  readonly log: Log
  /** null: ready. Asked on every STATUS, after `addresses.notReadyBecause`. */
  readonly unreadiness: () => CniUnreadiness | null
  readonly observer?: CniObserver
  readonly limits?: Partial<CniLimits>
}

export type CniLimits = {
  /** Of one request, its waiting included (default 60 s). */
  readonly requestDeadlineMs: number
  /** ADDs, DELs and CHECKs at work at once (default 64). */
  readonly maxRunning: number
}
