// Forgetting the connections of an address before another pod gets it: what conntrack remembers would let packets of the old pod's
// peers through to the new one, and translate them as it did. The kernel deletes by connection, not by address, so they are listed
// (it filters by address) and deleted one by one.
import { formatIp, type IpAddress } from '../../net/index.ts'
import { connectionKey, deleteConnection, hasAddress, listConnections, TUPLE_PLACES } from '../../sys/ctnetlink.ts'
import { SysError } from '../../sys/libc.ts'
import { NETLINK_NETFILTER, NetlinkSocket } from '../../sys/netlink-socket.ts'
import { type NetlinkRequest, Rtnetlink } from '../../sys/rtnetlink/index.ts'

/** Errors of a kernel without conntrack or its netlink interface. */
const UNAVAILABLE = new Set(['EPROTONOSUPPORT', 'EOPNOTSUPP', 'EINVAL', 'ENOENT'])

/** Conntrack of the namespace in which the first flush happens. */
export class Conntrack implements Disposable {
  #netlink: Rtnetlink | null = null
  #isAvailable = true

  /** Deletes every connection from or to the addresses, before or after NAT. Returns what could not be done, in words; each once. */
  forget(addresses: readonly IpAddress[]): readonly string[] {
    if (!this.#isAvailable || addresses.length === 0) return []
    try {
      this.#netlink ??= new Rtnetlink(new NetlinkSocket({ protocol: NETLINK_NETFILTER }))
      const netlink = this.#netlink
      return addresses.flatMap((address) => forgetOne(netlink, address))
    } catch (cause) {
      if (!(cause instanceof SysError)) throw cause
      if (!UNAVAILABLE.has(cause.code)) return [`connections of released addresses are left: ${cause.message}`]
      this.#isAvailable = false
      return [`this kernel does not tell of connections (${cause.message}): those of released addresses time out by themselves`]
    }
  }

  [Symbol.dispose](): void {
    this.#netlink?.[Symbol.dispose]()
  }
}

function forgetOne(netlink: Rtnetlink, address: IpAddress): readonly string[] {
  const found = new Map<string, NetlinkRequest>()
  for (const place of TUPLE_PLACES) {
    netlink.ask(listConnections(address, place), (view, _type, _flags, from, to) => {
      if (!hasAddress(view, from, to, address)) return
      const request = deleteConnection(view, from, to)
      found.set(connectionKey(request), request)
    })
  }
  const refusals = netlink.batch([...found.values()]).filter((refusal) => refusal !== null && refusal.code !== 'ENOENT') // ended meanwhile
  return refusals.length === 0 ? [] : [`${refusals.length} connections of ${formatIp(address)} are left: ${refusals[0]?.message ?? ''}`]
}
