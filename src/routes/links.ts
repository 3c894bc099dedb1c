// What the host's own links, addresses and routes come to for those who resolve next hops: state kept by events, checked by
// dumps, and handed on as one HostNetwork value. Pure.
import { containsAddress, type HostNetwork, type IpAddress, isIpv4, prefix, type ResolvingRoute } from '../net/index.ts'
import type { HostAddress, HostLink } from './backend.ts'
import { type KernelRoute, RTPROT_RA } from './route.ts'

export class HostLinks {
  /** Counts changes. */
  version = 0
  #links = new Map<number, HostLink>()
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

  /** Name of an interface, or `interface N` once it is gone. */
  nameOf(index: number): string {
    return this.#links.get(index)?.name ?? `interface ${index}`
  }

  /** Takes in a whole dump. */
  replaceAll(links: readonly HostLink[], addresses: readonly HostAddress[]): void {
    const before = [this.#links, this.#addresses]
    this.#links = new Map(links.map((link) => [link.index, link]))
    this.#addresses = new Map(addresses.map((address) => [keyOf(address), address]))
    if (JSON.stringify(before.map(listed)) !== JSON.stringify([this.#links, this.#addresses].map(listed))) this.version++
  }

  setLink(link: HostLink): void {
    const before = this.#links.get(link.index)
    this.#links.set(link.index, link)
    if (before?.name !== link.name || before.isUp !== link.isUp || before.isRunning !== link.isRunning) this.version++
  }

  removeLink(index: number): void {
    if (this.#links.delete(index)) this.version++
    for (const [key, { interfaceIndex }] of this.#addresses) if (interfaceIndex === index) this.#addresses.delete(key)
  }

  setAddress(address: HostAddress): void {
    const before = this.#addresses.get(keyOf(address))
    this.#addresses.set(keyOf(address), address)
    if (before?.isUsable !== address.isUsable) this.version++
  }

  removeAddress(address: HostAddress): void {
    if (this.#addresses.delete(keyOf(address))) this.version++
  }
}

function keyOf({ address, prefixLength, interfaceIndex }: HostAddress): string {
  return `${typeof address} ${address}/${prefixLength}%${interfaceIndex}`
}

function listed(map: ReadonlyMap<string | number, HostLink | HostAddress>): unknown {
  return [...map.entries()].map(([key, value]) => [key, 'isUsable' in value ? value.isUsable : value]).sort()
}

/** The value for next-hop resolution. Our own routes are not in it, so that no next hop is resolved through what it resolved. */
export function hostNetwork(host: HostLinks, foreign: Iterable<KernelRoute>): HostNetwork {
  const routes: ResolvingRoute[] = []
  for (const { prefix, body, metric, tos } of foreign) {
    if (tos !== 0 || body.kind !== 'unicast') continue
    for (const { gateway, interfaceIndex } of body.nextHops) routes.push({ prefix, interfaceIndex, gateway, metric })
  }
  return {
    routes,
    localAddresses: host.addresses.map(({ address, prefixLength, interfaceIndex }) => ({ address, prefixLength, interfaceIndex })),
    interfaces: host.links.map(({ index, name, isRunning }) => ({ index, name, up: isRunning })),
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
 * Interfaces towards the fabric (those of default routes and of peers' links), and those whose IPv6 default route came by router
 * advertisement.
 */
export function uplinksOf(
  host: HostLinks,
  foreign: readonly KernelRoute[],
  peers: readonly PeerOnLink[],
): { readonly uplinks: readonly string[]; readonly raDefaultInterfaces: readonly string[] } {
  const defaults = foreign.filter(({ prefix: to }) => to.length === 0)
  const learned = defaults.filter(({ protocol, prefix: to }) => protocol === RTPROT_RA && !isIpv4(to.address))
  const onLink = host.addresses.filter((own) => peers.some((peer) => peer.interface === null && isOnLink(own, peer.address)))
  const named = (indexes: readonly number[]): readonly string[] => indexes.flatMap((index) => host.link(index)?.name ?? [])
  const byPeer = peers.flatMap((peer) => peer.interface ?? [])
  const uplinks = [...named([...defaults.flatMap(interfacesOf), ...onLink.map((own) => own.interfaceIndex)]), ...byPeer]
  return { uplinks: [...new Set(uplinks)].sort(), raDefaultInterfaces: [...new Set(named(learned.flatMap(interfacesOf)))].sort() }
}

function interfacesOf({ body }: KernelRoute): readonly number[] {
  return body.kind === 'unicast' ? body.nextHops.map((hop) => hop.interfaceIndex) : []
}

/** True if `address` is on the link that one of the host's own addresses is on, and not that address itself. */
function isOnLink(own: HostAddress, address: IpAddress): boolean {
  return own.address !== address && containsAddress(prefix(own.address, own.prefixLength), address)
}
