// What others do to the host's network, taken into the tables. Where the kernel tells less than it does, this is the place that knows.
// No I/O.
import type { Log } from '../lib/log.ts'
import { IP_FAMILIES, isIpv4 } from '../net/index.ts'
import type { HostAddress, HostLink, KernelListener, RouteChangeKind, RouteView } from './backend.ts'
import { isLostWith } from './links.ts'
import type { RouteTables } from './tables.ts'

export class KernelEvents implements KernelListener {
  readonly #tables: RouteTables
  readonly #log: Log

  constructor(tables: RouteTables, log: Log) {
    this.#tables = tables
    this.#log = log
  }

  routeChanged(view: RouteView, change: RouteChangeKind): void {
    if (!this.#tables.isOfPodLink(view)) this.#tables.fibs[view.family].routeChanged(view, change)
  }

  /**
   * IPv4 routes whose last link goes down are dropped by the kernel without a word (fib_sync_down_dev); IPv6 ones are told one
   * by one, unless a sysctl forbids it.
   */
  linkChanged(link: HostLink): void {
    const { host, fibs, pods } = this.#tables
    const before = host.link(link.index)
    host.setLink(link)
    const wasUp = before?.isUp ?? false
    if (before === undefined || before.name !== link.name || wasUp !== link.isUp) {
      if (before !== undefined) pods.linkChanged(before.name)
      pods.linkChanged(link.name)
    }
    if (link.isRunning && !(before?.isRunning ?? false)) this.#tables.hope()
    if (!wasUp || link.isUp) return
    fibs[4].foreign.forget((route) => isLostWith(route, link.index, (index) => host.link(index)?.isUp ?? false))
    for (const family of IP_FAMILIES) fibs[family].interfaceLost(link.index)
  }

  linkRemoved(index: number): void {
    const { host, fibs, pods } = this.#tables
    for (const family of IP_FAMILIES) fibs[family].interfaceLost(index)
    const name = host.nameOf(index)
    host.removeLink(index)
    pods.linkChanged(name)
    fibs[4].foreign.forget((route) => route.body.kind === 'unicast' && route.body.nextHops.some((hop) => hop.interfaceIndex === index))
  }

  addressChanged(address: HostAddress): void {
    this.#tables.host.setAddress(address)
    if (address.isUsable) this.#tables.hope()
  }

  /** With an address go the IPv4 routes that prefer it as source, and with the last one of a link every route over it. */
  addressRemoved(own: HostAddress): void {
    this.#tables.host.removeAddress(own)
    if (isIpv4(own.address)) this.#tables.fibs[4].isInDoubt = true
  }

  eventsLost(): void {
    this.#log.warn('routes.events.lost')
    this.#tables.distrust()
  }
}
