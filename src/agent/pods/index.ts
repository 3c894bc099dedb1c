// Pods of this node, main thread: IPAM, journal and CNI, joined. Loaded only where CNI is served; what it is joined of comes in
// `PodHost`, so that tests join it to fakes.
import type { AttachmentKey, EndpointGate, PodSource, PodWiring } from '../../cni/index.ts'
import type { BlockStore, IpamConfig } from '../../ipam/index.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import type { IpAddress, Prefix } from '../../net/index.ts'
import type { Endpoint } from '../../policy/index.ts'
import type { IpamStatus, PodStatus, Problem } from '../control-api.ts'
import type { CniOptions } from '../options.ts'
import type { AdoptedPods, KnownPods } from '../threads.ts'

/** What lets pods through when their policy is in force. */
export interface PodGate extends EndpointGate {
  /** Once, before any other call: the pods of before, and the addresses behind interfaces of those whose records were lost. */
  adopt(endpoints: readonly Endpoint[], lost: ReadonlyMap<string, readonly IpAddress[]>): void
}

/** No policy here: everybody is let through at once. */
export const OPEN_GATE: PodGate = { adopt: () => {}, admit: () => Promise.resolve(), dismiss: () => Promise.resolve() }

export type PodHost = {
  readonly node: string
  readonly log: Log
  readonly clock: Clock
  /** In [0, 1). */
  readonly random: () => number
  readonly cni: CniOptions
  readonly blocks: BlockStore
  readonly podSource: PodSource
  readonly wiring: PodWiring
  readonly gate: PodGate
  adopt(known: KnownPods): Promise<AdoptedPods>
  /** Why the rest of the agent cannot yet carry a pod's traffic, in words; null: it can. */
  unreadiness(): string | null
  /** `addresses`, `problems` or readiness may be others now. */
  changed(): void
}

export interface Pods extends AsyncDisposable {
  configure(config: IpamConfig): void
  /** What a watch says of a block; `version` null: it is gone. */
  blockChanged(shown: { readonly block: Prefix; readonly version: string | null }): void
  /** The link of a pod has another MTU now. */
  resized(pod: AttachmentKey, mtu: number): void
  /** The rest of the agent may be ready now. */
  lookAgain(): void
  /** Of the pods that are attached. */
  addresses(): readonly IpAddress[]
  /** How many pods' interfaces there are. */
  attached(): number
  /** In words; null: a pod can have a network. */
  notReadyBecause(): string | null
  problems(): readonly Problem[]
  pods(): readonly PodStatus[]
  ipam(): IpamStatus
  figures(): CniFigures
}

/** CNI requests since the start, by command and outcome. */
export type CniFigures = {
  /** `code` of the CNI error; null: success. */
  readonly requests: readonly { readonly command: string; readonly code: number | null; readonly count: number }[]
  /** Durations by command: how many requests took at most `seconds`, for each of `DURATION_BUCKETS`, their sum and number. */
  readonly durations: readonly {
    readonly command: string
    readonly counts: readonly number[]
    readonly sumSeconds: number
    readonly count: number
  }[]
}
