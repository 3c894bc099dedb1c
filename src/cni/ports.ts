// What the CNI service needs of the rest of the agent, and the values that pass. The agent joins them: IPAM lives in the main
// thread, links and routes in the dataplane thread.
import type { AssignFault, Assignment, AssignRequest } from '../ipam/index.ts'
import type { Labels } from '../lib/label-selector.ts'
import type { Result } from '../lib/result.ts'
import type { IpAddress, Mac } from '../net/index.ts'

/** One interface of one container: what ADD makes and DEL removes. The key is `containerId` and `ifName`. */
export type AttachmentKey = { readonly containerId: string; readonly ifName: string }

/** A pod's link as the dataplane makes it (decision 13). Plain, so that it crosses threads. */
export type PodLink = AttachmentKey & {
  /** Path of the pod's network namespace, as CNI_NETNS gave it. */
  readonly netns: string
  /** `fib` and 11 hex digits of a hash of the key. */
  readonly hostInterface: string
  readonly addresses: readonly IpAddress[]
  /** Of the link itself. */
  readonly mtu: number
  /** As the runtime asked (runtimeConfig.mac), or null: the kernel's choice. */
  readonly mac: Mac | null
}

/** What there is after a link was made. */
export type WiredPod = {
  readonly mac: Mac
  readonly hostMac: Mac
  /** Interface index of the host end: where routes to the pod's addresses go. */
  readonly hostIndex: number
}

export type WiringFault = {
  /** `namespaceGone`: CNI_NETNS is not there; `interfaceExists`: its name is taken in the namespace; `failed`: the kernel refused. */
  readonly kind: 'namespaceGone' | 'sameNamespace' | 'interfaceExists' | 'failed'
  readonly message: string
}

/** Links and routes of pods (src/cni/wiring, in the dataplane thread). All methods are idempotent. */
export interface PodWiring {
  /** Makes link, addresses, routes inside and host routes outside; what failed half-way has been undone. */
  attach(link: PodLink, signal?: AbortSignal): Promise<Result<WiredPod, WiringFault>>
  /** Removes all of it; a namespace or link that is gone already is fine. Resolves when the host end is gone. */
  detach(link: Pick<PodLink, 'hostInterface' | 'netns' | 'ifName' | 'addresses'>, signal?: AbortSignal): Promise<void>
  /** What is not as `attach` left it, in words; empty: all is well. Changes nothing. */
  check(link: PodLink, signal?: AbortSignal): Promise<readonly string[]>
  /** MTU for a new pod: of the uplink, less what encapsulation takes. */
  mtu(): number
}

/** Addresses for pods (src/ipam). */
export interface PodAddresses {
  assign(request: AssignRequest, signal?: AbortSignal): Promise<Result<readonly Assignment[], AssignFault>>
  release(handle: string, signal?: AbortSignal): Promise<void>
  notReadyBecause(): string | null
}

/** What the cluster says about a pod; null: no such object, or nobody to ask. */
export interface PodSource {
  lookUp(
    /** `uid` tells the pod from its namesake of before, which a watch that lags may still show. */
    pod: { readonly namespace: string; readonly name: string; readonly uid?: string | null },
    signal?: AbortSignal,
  ): Promise<{ readonly annotations: Labels; readonly namespaceLabels: Labels | null } | null>
}

/** Decision 16: a pod's traffic is denied until `admit` has resolved. */
export interface EndpointGate {
  admit(link: PodLink, pod: Attachment['pod'], signal?: AbortSignal): Promise<void>
  dismiss(link: Pick<PodLink, 'hostInterface' | 'addresses'>): Promise<void>
}

/** A record of the state directory: all that is needed to finish, repeat or undo. Survives a restart of the agent. */
export type Attachment = {
  /** Name of the CNI network (`name` of the configuration). */
  readonly network: string
  readonly link: PodLink
  readonly pod: { readonly namespace: string; readonly name: string; readonly uid: string | null } | null
  readonly assignments: readonly Assignment[]
  /** `assigned`: addresses taken, link perhaps half made. `attached`: ADD has answered. `released`: DEL has answered, the store may not know yet. */
  readonly state: 'assigned' | 'attached' | 'released'
  /** When ADD took its addresses, by this node's clock, ISO 8601: for people. null: not known. */
  readonly since: string | null
}
