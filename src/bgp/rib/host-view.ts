// What the host told about its network, indexed for the questions next hops raise.
import {
  compareIp,
  containsAddress,
  familyOf,
  type HostNetwork,
  type IpAddress,
  type IpFamily,
  type Ipv6,
  isIpv6,
  isLinkLocalIpv6,
  isUsableUnicast,
  type Prefix,
  PrefixMap,
  prefix,
  type ResolvingRoute,
} from '../../net/index.ts'

/** The routes of the most specific prefix that covers an address: the cheapest ones, all of one metric. */
export type HostMatch = { readonly prefix: Prefix; readonly routes: readonly ResolvingRoute[] }

export class HostView {
  readonly #routes = new PrefixMap<readonly ResolvingRoute[]>()
  readonly #connected = new PrefixMap<readonly number[]>()
  readonly #own = new Set<IpAddress>()
  readonly #addresses: HostNetwork['localAddresses']
  readonly #indexByName = new Map<string, number>()
  readonly #down = new Set<number>()

  constructor(network: HostNetwork) {
    for (const { index, name, up } of network.interfaces) {
      this.#indexByName.set(name, index)
      if (!up) this.#down.add(index)
    }
    this.#addresses = network.localAddresses
    for (const { address } of network.localAddresses) this.#own.add(address)
    for (const route of network.routes) {
      if (this.#down.has(route.interfaceIndex)) continue
      const others = this.#routes.get(route.prefix) ?? []
      const best = others[0]?.metric ?? Number.POSITIVE_INFINITY
      if (route.metric < best) this.#routes.set(route.prefix, [route])
      else if (route.metric === best) this.#routes.set(route.prefix, [...others, route])
      if (route.gateway === null) this.#connect(route.prefix, route.interfaceIndex)
    }
  }

  isOwn(address: IpAddress): boolean {
    return this.#own.has(address)
  }

  isUp(interfaceIndex: number): boolean {
    return !this.#down.has(interfaceIndex)
  }

  interfaceNamed(name: string): number | null {
    return this.#indexByName.get(name) ?? null
  }

  match(address: IpAddress): HostMatch | null {
    const found = this.#routes.lookup(address)
    return found === undefined ? null : { prefix: found.prefix, routes: found.value }
  }

  /** The connected prefix an address is in, and its interface. Link-local prefixes say nothing: every link has them. */
  connectedTo(address: IpAddress): { readonly prefix: Prefix; readonly interfaceIndex: number } | null {
    if (isLinkLocalIpv6(address)) return null
    const found = this.#routes.lookup(address)
    const route = found?.value.find(({ gateway }) => gateway === null)
    return found === undefined || route === undefined ? null : { prefix: found.prefix, interfaceIndex: route.interfaceIndex }
  }

  /** True if a gateway is on the link of its interface, so that the kernel takes it without being told (RTNH_F_ONLINK). */
  isOnLink(gateway: IpAddress, interfaceIndex: number): boolean {
    if (isLinkLocalIpv6(gateway)) return true
    return this.#connected.lookup(gateway, (interfaces) => interfaces.includes(interfaceIndex)) !== undefined
  }

  /** The interface that has `address` as its own. */
  interfaceOf(address: IpAddress): number | null {
    return this.#addresses.find((own) => own.address === address)?.interfaceIndex ?? null
  }

  /** Our address on `interfaceIndex` that others can use as a next hop: the one nearest to `towards`, else the lowest. */
  addressOn(interfaceIndex: number | null, family: IpFamily, towards: IpAddress | null): IpAddress | null {
    const usable = this.#addresses
      .filter((own) => interfaceIndex === null || own.interfaceIndex === interfaceIndex)
      .filter(({ address }) => familyOf(address) === family && isUsableUnicast(address) && !isLinkLocalIpv6(address))
      .sort((a, b) => compareIp(a.address, b.address))
    const sharing = towards === null ? undefined : usable.find((own) => containsAddress(prefix(own.address, own.prefixLength), towards))
    return (sharing ?? usable[0])?.address ?? null
  }

  linkLocalOn(interfaceIndex: number): Ipv6 | null {
    for (const { address, interfaceIndex: index } of this.#addresses)
      if (index === interfaceIndex && isIpv6(address) && isLinkLocalIpv6(address)) return address
    return null
  }

  #connect(at: Prefix, interfaceIndex: number): void {
    this.#connected.set(at, [...(this.#connected.get(at) ?? []), interfaceIndex])
  }
}
