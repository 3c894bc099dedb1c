// What the bench (parent) and its tools (feeder, receiver, clients: child processes in namespaces of their own) say to each
// other. Times are milliseconds of the machine's monotonic clock.
import type { Family } from '../src/bgp/family.ts'
import type { Holding } from './received.ts'

/** Where a tool lives and whom it talks to. */
export type Local = { readonly address: string; readonly asn: number; readonly routerId: number; readonly dutAddress: string }

export type TableSource =
  | { readonly kind: 'generated'; readonly prefixes: number; readonly attributeSets: number; readonly seed: number }
  | { readonly kind: 'mrt'; readonly file: string; readonly limit: number | null }

export type ChurnPlan = { readonly turns: number; readonly intervalMs: number; readonly fraction: number }

export type FeederSettings = {
  readonly role: 'feeder'
  readonly local: Local
  readonly family: Family
  readonly table: TableSource
  readonly churn: ChurnPlan | null
}
export type ReceiverSettings = { readonly role: 'receiver'; readonly local: Local; readonly family: Family }
export type ClientsSettings = {
  readonly role: 'clients'
  readonly clients: readonly Local[]
  readonly family: Family
  readonly prefixesEach: number
  readonly attributeSetsEach: number
  readonly seed: number
}
export type ToolSettings = FeederSettings | ReceiverSettings | ClientsSettings

export type Command =
  /** Receiver: capacity of its table, then the states to watch for, in order. */
  | { readonly kind: 'expect'; readonly capacity: number; readonly states: readonly Holding[] }
  | { readonly kind: 'connect' | 'feed' | 'churn' | 'report' }

/** The expected state after the table, and after each turn of the churn. */
export type Prepared = {
  readonly kind: 'prepared'
  readonly prefixes: number
  readonly updates: number
  readonly bytes: number
  readonly states: readonly Holding[]
  /** Prefixes changed by each turn of the churn. */
  readonly changes: readonly number[]
}
export type ToolReport = {
  readonly kind: 'reported'
  readonly holding: Holding
  readonly updates: number
  /** CPU seconds of the tool since it was told to connect. */
  readonly cpuSeconds: number
}
export type ToolEvent =
  | Prepared
  | { readonly kind: 'expecting' | 'established' }
  /** The first octet of the table was about to be written, and all of it is in the kernel. */
  | { readonly kind: 'fed'; readonly firstByteMs: number; readonly sentMs: number }
  | { readonly kind: 'turnStarted'; readonly turn: number; readonly atMs: number }
  | { readonly kind: 'reached'; readonly state: number; readonly atMs: number }
  | ToolReport
  | { readonly kind: 'failed'; readonly reason: string }
