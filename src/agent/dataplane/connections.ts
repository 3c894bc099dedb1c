// Connections of pods as conntrack has them, in the terms of policy: listed by address, and cut, or allowed to go on, one by one.

import type { IpAddress } from '../../net/index.ts'
import { CUT_MARK } from '../../policy/index.ts'
import { connectionKey, flowOfConnection, listConnections, markConnection, markOfConnection } from '../../sys/ctnetlink.ts'
import { NETLINK_NETFILTER, NetlinkSocket } from '../../sys/netlink-socket.ts'
import { type NetlinkRequest, Rtnetlink } from '../../sys/rtnetlink/index.ts'
import type { Connection, DataplaneRequests } from '../threads.ts'

type Found = { readonly cut: NetlinkRequest; readonly restore: NetlinkRequest; readonly connection: Omit<Connection, 'id'> }

export class Connections implements Disposable {
  #netlink: Rtnetlink | null = null
  #listed: readonly Found[] = []

  /** Those whose first packet came from one of the addresses or went, after translation, to one. Throws SysError. */
  list(addresses: readonly IpAddress[]): readonly Connection[] {
    const wanted = new Set(addresses)
    const found = new Map<string, Found>()
    this.#open().ask(listConnections(), (view, _type, _flags, from, to) => {
      const flow = flowOfConnection(view, from, to)
      if (flow === null || !(wanted.has(flow.source) || wanted.has(flow.destination))) return
      const [cut, restore] = [true, false].map((isSet) => markConnection(view, from, to, CUT_MARK, isSet))
      if (cut === undefined || restore === undefined) return
      const isCut = (markOfConnection(view, from, to) & CUT_MARK) !== 0
      found.set(connectionKey(cut), { cut, restore, connection: { flow, isCut } })
    })
    this.#listed = [...found.values()]
    return this.#listed.map(({ connection }, id) => ({ id, ...connection }))
  }

  /** By the ids of the last list. Returns how many of those to cut there still were; throws SysError. */
  cut({ cut, restored }: DataplaneRequests['cutConnections']['request']): number {
    const requests = [...cut.flatMap((id) => this.#listed[id]?.cut ?? []), ...restored.flatMap((id) => this.#listed[id]?.restore ?? [])]
    this.#listed = []
    const refusals = this.#open().batch(requests)
    return refusals.slice(0, cut.length).filter((refusal) => refusal === null).length
  }

  [Symbol.dispose](): void {
    this.#netlink?.[Symbol.dispose]()
  }

  #open(): Rtnetlink {
    this.#netlink ??= new Rtnetlink(new NetlinkSocket({ protocol: NETLINK_NETFILTER }))
    return this.#netlink
  }
}
