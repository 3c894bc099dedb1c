// What the host's own links, addresses and routes come to for those who resolve next hops: state kept by events, checked by
// dumps, and handed on as one HostNetwork value. Pure.
import { containsAddress, type HostNetwork, type IpAddress, isIpv4, prefix, type ResolvingRoute } from '../net/index.ts'
import type { HostAddress, HostLink } from './backend.ts'
import { type KernelRoute, RTPROT_RA } from './route.ts'

/** Host ends of pods' links (decision 13): they come and go by the hundred, and no next hop is ever behind one. */
export function isPodInterface(name: string): boolean {
  return /^fib[0-9a-f]{11}$/.test(name)
}

export class HostLinks {
  /** Counts changes of anything but pods' interfaces and MTUs. */
  version = 0
  /** Counts changes of MTUs, of anything but pods' interfaces. */
  mtuVersion = 0
  #links = new Map<number, HostLink>()
  #indexes = new Map<string, number>()
  #addresses = new Map<string, HostAddress>()

  get links(): readonly HostLink[] {
    return [...this.#links.values()]
  }

  get addresses(): readonly HostAddress[] {
    return [...this.#addresses.values()]
  }

  link(index: number): HostLink | undefined {
    return this.#links.get(index)
  }

  linkNamed(name: string): HostLink | undefined {
    const index = this.#indexes.get(name)
    return index === undefined ? undefined : this.#links.get(index)
  }

  isPod(index: number): boolean {
    const link = this.#links.get(index)
    return link !== undefined && isPodInterface(link.name)
  }

  /** Name of an interface, or `interface N` once it is gone. */
  nameOf(index: number): string {
    return this.#links.get(index)?.name ?? `interface ${index}`
  }

  /** Takes in a whole dump. */
  replaceAll(links: readonly HostLink[], addresses: readonly HostAddress[]): void {
    const before = this.#listed()
    this.#links = new Map(links.map((link) => [link.index, link]))
    this.#indexes = new Map(links.map(({ name, index }) => [name, index]))
    this.#addresses = new Map(addresses.map((address) => [keyOf(address), address]))
    const after = this.#listed()
    if (before.network !== after.network) this.version++
    if (before.mtus !== after.mtus) this.mtuVersion++
  }

  setLink(link: HostLink): void {
    const before = this.#links.get(link.index)
    this.#links.set(link.index, link)
    if (before !== undefined && before.name !== link.name && this.#indexes.get(before.name) === link.index)
      this.#indexes.delete(before.name)
    this.#indexes.set(link.name, link.index)
    if (isPodInterface(link.name) && (before === undefined || isPodInterface(before.name))) return
    if (before?.name !== link.name || before.isUp !== link.isUp || before.isRunning !== link.isRunning) this.version++
    if (before?.mtu !== link.mtu) this.mtuVersion++
  }

  removeLink(index: number): void {
    const before = this.#links.get(index)
    this.#links.delete(index)
    if (before !== undefined && this.#indexes.get(before.name) === index) this.#indexes.delete(before.name)
    if (before !== undefined && !isPodInterface(before.name)) this.version++
    for (const [key, { interfaceIndex }] of this.#addresses) if (interfaceIndex === index) this.#addresses.delete(key)
  }

  setAddress(address: HostAddress): void {
    const before = this.#addresses.get(keyOf(address))
    this.#addresses.set(keyOf(address), address)
    if (before?.isUsable !== address.isUsable && !this.isPod(address.interfaceIndex)) this.version++
  }

  removeAddress(address: HostAddress): void {
    if (this.#addresses.delete(keyOf(address)) && !this.isPod(address.interfaceIndex)) this.version++
  }

  /** What the two versions count changes of, as text. */
  #listed(): { readonly network: string; readonly mtus: string } {
    const links = this.links.filter(({ name }) => !isPodInterface(name)).sort((a, b) => a.index - b.index)
    const addresses = this.addresses.filter(({ interfaceIndex }) => !this.isPod(interfaceIndex))
    return {
      network: JSON.stringify([
        links.map(({ index, name, isUp, isRunning }) => [index, name, isUp, isRunning]),
        addresses.map((own) => [keyOf(own), own.isUsable]).sort(),
      ]),
      mtus: JSON.stringify(links.map(({ index, mtu }) => [index, mtu])),
    }
  }
}

function keyOf({ address, prefixLength, interfaceIndex }: HostAddress): string {
  return `${typeof address} ${address}/${prefixLength}%${interfaceIndex}`
}

const NONE_HIDDEN: ReadonlySet<string> = new Set()

/** The value for next-hop resolution, without pods' interfaces and the `hidden` ones. Our own routes are not in it, so that no next hop is resolved through what it resolved. */
export function hostNetwork(host: HostLinks, foreign: Iterable<KernelRoute>, hidden: ReadonlySet<string> = NONE_HIDDEN): HostNetwork {
  const routes: ResolvingRoute[] = []
  for (const { prefix, body, metric, tos } of foreign) {
    if (tos !== 0 || body.kind !== 'unicast') continue
    for (const { gateway, interfaceIndex } of body.nextHops) routes.push({ prefix, interfaceIndex, gateway, metric })
  }
  return {
    routes,
    localAddresses: host.addresses
      .filter(({ interfaceIndex }) => !host.isPod(interfaceIndex))
      .map(({ address, prefixLength, interfaceIndex }) => ({ address, prefixLength, interfaceIndex })),
    interfaces: host.links
      .filter(({ name }) => !isPodInterface(name) && !hidden.has(name))
      .map(({ index, name, isRunning }) => ({ index, name, up: isRunning })),
  }
}

/** True if the kernel drops an IPv4 route without telling when the link `index` goes down. */
export function isLostWith(route: KernelRoute, index: number, isUp: (index: number) => boolean): boolean {
  if (route.body.kind !== 'unicast') return false
  const hops = route.body.nextHops
  return hops.some((hop) => hop.interfaceIndex === index) && hops.every((hop) => !isUp(hop.interfaceIndex))
}

/** A BGP peer: its address, and the interface it is named by if that is link-local. */
export type PeerOnLink = { readonly address: IpAddress; readonly interface: string | null }

/**
 * Interfaces towards the fabric (those of default routes, of peers' links, and of this node's own addresses), and those whose IPv6
 * default route came by router advertisement. What they are called and what they are made of (bond, team, VLAN) does not matter.
 */
export function uplinksOf(
  host: HostLinks,
  foreign: readonly KernelRoute[],
  peers: readonly PeerOnLink[],
  nodeAddresses: readonly IpAddress[] = [],
): { readonly uplinks: readonly string[]; readonly raDefaultInterfaces: readonly string[] } {
  const defaults = foreign.filter(({ prefix: to }) => to.length === 0)
  const learned = defaults.filter(({ protocol, prefix: to }) => protocol === RTPROT_RA && !isIpv4(to.address))
  const onLink = host.addresses.filter(
    (own) => nodeAddresses.includes(own.address) || peers.some((peer) => peer.interface === null && isOnLink(own, peer.address)),
  )
  const named = (indexes: readonly number[]): readonly string[] => indexes.flatMap((index) => host.link(index)?.name ?? [])
  const byPeer = peers.flatMap((peer) => peer.interface ?? [])
  const uplinks = [...named([...defaults.flatMap(interfacesOf), ...onLink.map((own) => own.interfaceIndex)]), ...byPeer]
  const isNone = (name: string): boolean => name === 'lo' || name.startsWith('fib') // a loopback; our own devices
  return {
    uplinks: [...new Set(uplinks)].filter((name) => !isNone(name)).sort(),
    raDefaultInterfaces: [...new Set(named(learned.flatMap(interfacesOf)))].sort(),
  }
}

function interfacesOf({ body }: KernelRoute): readonly number[] {
  return body.kind === 'unicast' ? body.nextHops.map((hop) => hop.interfaceIndex) : []
}

/** True if `address` is on the link that one of the host's own addresses is on, and not that address itself. */
function isOnLink(own: HostAddress, address: IpAddress): boolean {
  return own.address !== address && containsAddress(prefix(own.address, own.prefixLength), address)
}
