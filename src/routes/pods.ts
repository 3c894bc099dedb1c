// Which pod is behind which interface of this host, and the route that comes to (decision 13). No I/O: the routes are wanted of the
// forwarding tables.
import { familyOf, hostPrefix, IP_FAMILIES, type IpAddress, type IpFamily } from '../net/index.ts'
import type { Fib } from './fib.ts'
import type { HostLinks } from './links.ts'
import { BLACKHOLE, type RouteBody, unicast } from './route.ts'
import { routeStatuses } from './status.ts'

/** A pod's address and the host end of its link, by name: the interface may be made, renamed or lost at any time. */
export type PodRoute = { readonly address: IpAddress; readonly interface: string }

/** Why the kernel has no route to a pod, in words. */
export type PodRouteFault = { readonly address: IpAddress; readonly message: string }

export class PodRoutes {
  readonly #host: HostLinks
  readonly #fibs: Readonly<Record<IpFamily, Fib>>
  readonly #interfaceOf = new Map<IpAddress, string>()
  readonly #addressesOn = new Map<string, Set<IpAddress>>()
  readonly #sources: Record<IpFamily, IpAddress | null> = { 4: null, 6: null }
  #isHostKnown = false

  constructor(host: HostLinks, fibs: Readonly<Record<IpFamily, Fib>>) {
    this.#host = host
    this.#fibs = fibs
  }

  /** The whole truth. */
  replaceAll(pods: readonly PodRoute[]): void {
    const wanted = new Map(pods.map(({ address, interface: name }) => [address, name]))
    const gone = [...this.#interfaceOf.keys()].filter((address) => !wanted.has(address))
    for (const address of gone) this.place(address, null)
    for (const [address, name] of wanted) if (this.#interfaceOf.get(address) !== name) this.place(address, name)
    for (const family of IP_FAMILIES) this.#fibs[family].podsAreKnown()
  }

  /** Says which interface a pod is behind; null: no such pod any more. */
  place(address: IpAddress, name: string | null): void {
    const before = this.#interfaceOf.get(address)
    if (before !== undefined) {
      const others = this.#addressesOn.get(before)
      others?.delete(address)
      if (others?.size === 0) this.#addressesOn.delete(before)
      this.#interfaceOf.delete(address)
    }
    if (name !== null) {
      this.#interfaceOf.set(address, name)
      const on = this.#addressesOn.get(name)
      if (on === undefined) this.#addressesOn.set(name, new Set([address]))
      else on.add(address)
    }
    this.#plan(address)
  }

  interfaceOf(address: IpAddress): string | null {
    return this.#interfaceOf.get(address) ?? null
  }

  /** All links are known now, perhaps others than before. */
  linksRead(): void {
    this.#isHostKnown = true
    for (const address of this.#interfaceOf.keys()) this.#plan(address)
  }

  /** A link of that name has come, gone, or changed its state. */
  linkChanged(name: string): void {
    for (const address of this.#addressesOn.get(name) ?? []) this.#plan(address)
  }

  /** The source address to prefer on packets to pods; null: the kernel's choice. */
  setSource(family: IpFamily, source: IpAddress | null): void {
    if (this.#sources[family] === source) return
    this.#sources[family] = source
    for (const address of this.#interfaceOf.keys()) if (familyOf(address) === family) this.#plan(address)
  }

  /** Why there can be no route to this pod, in words; null: there can. */
  linkFault({ interface: name }: PodRoute): string | null {
    const link = this.#host.linkNamed(name)
    if (link === undefined) return `there is no interface ${name}`
    return link.isUp ? null : `interface ${name} is down`
  }

  /** Why packets do not take the route to this pod, in words; null: they do. */
  routeFault(pod: PodRoute): string | null {
    const fib = this.#fibs[familyOf(pod.address)]
    const [route] = routeStatuses(fib, (index) => this.#host.nameOf(index), hostPrefix(pod.address))
    if (route?.status.state === 'inSync') return this.linkFault(pod)
    return route?.status.detail ?? 'the route is not wanted'
  }

  #plan(address: IpAddress): void {
    if (!this.#isHostKnown) return
    const family = familyOf(address)
    const name = this.#interfaceOf.get(address)
    this.#fibs[family].setPod(address, name === undefined ? null : this.#bodyFor(name, this.#sources[family]))
  }

  /**
   * While its interface is gone or down, the route to a pod is a blackhole: a borrowed address would else be sent back to the owner
   * of its block, who sends it here.
   */
  #bodyFor(name: string, source: IpAddress | null): RouteBody {
    const link = this.#host.linkNamed(name)
    if (link === undefined || !link.isUp) return BLACKHOLE
    return unicast([{ gateway: null, interfaceIndex: link.index, onlink: false }], source)
  }
}
