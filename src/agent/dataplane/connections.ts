// Connections of pods as conntrack has them, in the terms of policy: listed by address, and cut one by one.
import type { IpAddress } from '../../net/index.ts'
import { connectionKey, deleteConnection, flowOfConnection, listConnections } from '../../sys/ctnetlink.ts'
import { NETLINK_NETFILTER, NetlinkSocket } from '../../sys/netlink-socket.ts'
import { type NetlinkRequest, Rtnetlink } from '../../sys/rtnetlink/index.ts'
import type { Connection } from '../threads.ts'

export class Connections implements Disposable {
  #netlink: Rtnetlink | null = null
  #listed: readonly NetlinkRequest[] = []

  /** Those whose first packet came from one of the addresses or went, after translation, to one. Throws SysError. */
  list(addresses: readonly IpAddress[]): readonly Connection[] {
    const wanted = new Set(addresses)
    const found = new Map<string, { readonly request: NetlinkRequest; readonly flow: Connection['flow'] }>()
    this.#open().ask(listConnections(), (view, _type, _flags, from, to) => {
      const flow = flowOfConnection(view, from, to)
      if (flow === null || !(wanted.has(flow.source) || wanted.has(flow.destination))) return
      const request = deleteConnection(view, from, to)
      found.set(connectionKey(request), { request, flow })
    })
    const all = [...found.values()]
    this.#listed = all.map(({ request }) => request)
    return all.map(({ flow }, id) => ({ id, flow }))
  }

  /** By the ids of the last list. Returns how many there still were; throws SysError. */
  cut(ids: readonly number[]): number {
    const requests = ids.flatMap((id) => this.#listed[id] ?? [])
    this.#listed = []
    const refusals = this.#open().batch(requests)
    return refusals.filter((refusal) => refusal === null).length
  }

  [Symbol.dispose](): void {
    this.#netlink?.[Symbol.dispose]()
  }

  #open(): Rtnetlink {
    this.#netlink ??= new Rtnetlink(new NetlinkSocket({ protocol: NETLINK_NETFILTER }))
    return this.#netlink
  }
}
