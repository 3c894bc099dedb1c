// Changes to a forwarding table as columns, so that a hundred thousand of them cross a thread boundary by transfer instead
// of being cloned one object at a time. Produced by the RIB, consumed by the route planner.
import type { IpAddress, IpFamily } from './ip.ts'

/** `onlink`: the gateway need not be covered by a connected prefix (RTNH_F_ONLINK). An IPv4 prefix may have an IPv6 gateway (RFC 8950). */
export type FibNextHop = { readonly gateway: IpAddress; readonly interfaceIndex: number; readonly onlink: boolean }

export type FibBatch = {
  readonly family: IpFamily
  readonly count: number
  /** 4 or 16 octets a prefix, network order, host bits zero. */
  readonly addresses: Uint8Array<ArrayBuffer>
  readonly lengths: Uint8Array<ArrayBuffer>
  /** Id of the next hop set of each prefix; 0: no route any more. */
  readonly nextHopSets: Uint32Array<ArrayBuffer>
  /** Sets first used in this batch. An id keeps its meaning for the life of the sender; one that no prefix has any more never comes again. Next hops are sorted and distinct. */
  readonly newSets: readonly { readonly id: number; readonly nextHops: readonly FibNextHop[] }[]
}
