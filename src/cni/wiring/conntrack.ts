// Forgetting the connections of an address before another pod gets it: what conntrack remembers would let packets of the old pod's
// peers through to the new one, and translate them as it did. The kernel deletes by connection, not by address, so they are listed
// and deleted one by one.
import type { IpAddress } from '../../net/index.ts'
import {
  addressesOfConnection,
  connectionKey,
  countConnections,
  deleteConnection,
  listConnections,
  listConnectionsFrom,
  readConnectionCount,
} from '../../sys/ctnetlink.ts'
import { SysError } from '../../sys/libc.ts'
import { NETLINK_NETFILTER, NetlinkSocket } from '../../sys/netlink-socket.ts'
import { type NetlinkRequest, Rtnetlink } from '../../sys/rtnetlink/index.ts'

/** A list walks the whole hash table, 10 ms for 256 Ki buckets, and each connection it tells of takes 2 µs more. */
const CONNECTIONS_PER_LIST = 5_000

/** Errors of a kernel without conntrack or its netlink interface. */
const UNAVAILABLE = new Set(['EPROTONOSUPPORT', 'EOPNOTSUPP', 'EINVAL', 'ENOENT'])

/** Conntrack of the namespace in which the first flush happens. */
export class Conntrack implements Disposable {
  readonly #connectionsPerList: number
  #netlink: Rtnetlink | null = null
  #isAvailable = true

  /** `connectionsPerList`: how many connections more in one list cost as much as a list more. */
  constructor({ connectionsPerList = CONNECTIONS_PER_LIST }: { readonly connectionsPerList?: number } = {}) {
    this.#connectionsPerList = connectionsPerList
  }

  /** Deletes every connection from or to the addresses, before or after NAT. Returns what could not be done, in words; each once. */
  forget(addresses: readonly IpAddress[]): readonly string[] {
    if (!this.#isAvailable || addresses.length === 0) return []
    try {
      this.#netlink ??= new Rtnetlink(new NetlinkSocket({ protocol: NETLINK_NETFILTER }))
      return forgetAll(this.#netlink, addresses, this.#connectionsPerList)
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

function forgetAll(netlink: Rtnetlink, addresses: readonly IpAddress[], perList: number): readonly string[] {
  const wanted = new Set(addresses)
  const found = new Map<string, NetlinkRequest>()
  for (const list of listsFor(netlink, addresses, perList)) {
    netlink.ask(list, (view, _type, _flags, from, to) => {
      if (!addressesOfConnection(view, from, to).some((address) => wanted.has(address))) return
      const request = deleteConnection(view, from, to)
      found.set(connectionKey(request), request)
    })
  }
  const refusals = netlink.batch([...found.values()]).filter((refusal) => refusal !== null && refusal.code !== 'ENOENT') // ended meanwhile
  return refusals.length === 0 ? [] : [`${refusals.length} connections of released addresses are left: ${refusals[0]?.message ?? ''}`]
}

/**
 * All connections in one list, or, where there are many, the lists of each address that the kernel filters. What a pod sends or
 * gets belongs to a connection that it began (original source) or that it answers (reply source).
 */
function listsFor(netlink: Rtnetlink, addresses: readonly IpAddress[], perList: number): readonly NetlinkRequest[] {
  let count = 0
  netlink.ask(countConnections(), (view, _type, _flags, from, to) => {
    count = readConnectionCount(view, from, to) ?? count
  })
  if (count === 0) return []
  const filtered = addresses.flatMap((address) => (['original', 'reply'] as const).map((from) => listConnectionsFrom(address, from)))
  return count <= perList * (filtered.length - 1) ? [listConnections()] : filtered
}
