// Which pod is behind which interface of this host, and what route that comes to (decision 13). Pure.
import { familyOf, type IpAddress, type IpFamily } from '../net/index.ts'
import type { HostLinks } from './links.ts'
import { BLACKHOLE, type RouteBody, unicast } from './route.ts'

/** A pod's address and the host end of its link, by name: the interface may be made, renamed or lost at any time. */
export type PodRoute = { readonly address: IpAddress; readonly interface: string }

/** Why the kernel has no route to a pod, in words. */
export type PodRouteFault = { readonly address: IpAddress; readonly message: string }

const NO_ADDRESSES: ReadonlySet<IpAddress> = new Set()

export class PodRoutes {
  readonly #interfaceOf = new Map<IpAddress, string>()
  readonly #addressesOn = new Map<string, Set<IpAddress>>()

  /** The whole truth; returns the addresses for which something changed. */
  replaceAll(pods: readonly PodRoute[]): readonly IpAddress[] {
    const wanted = new Map(pods.map(({ address, interface: name }) => [address, name]))
    const changed = [...wanted].filter(([address, name]) => this.#interfaceOf.get(address) !== name).map(([address]) => address)
    const gone = [...this.#interfaceOf.keys()].filter((address) => !wanted.has(address))
    for (const address of gone) this.set(address, null)
    for (const address of changed) this.set(address, wanted.get(address) ?? null)
    return [...gone, ...changed]
  }

  /** null: no such pod any more. */
  set(address: IpAddress, name: string | null): void {
    const before = this.#interfaceOf.get(address)
    if (before !== undefined) {
      const others = this.#addressesOn.get(before)
      others?.delete(address)
      if (others?.size === 0) this.#addressesOn.delete(before)
    }
    if (name === null) {
      this.#interfaceOf.delete(address)
      return
    }
    this.#interfaceOf.set(address, name)
    const on = this.#addressesOn.get(name)
    if (on === undefined) this.#addressesOn.set(name, new Set([address]))
    else on.add(address)
  }

  interfaceOf(address: IpAddress): string | null {
    return this.#interfaceOf.get(address) ?? null
  }

  /** Addresses behind an interface. */
  on(name: string): Iterable<IpAddress> {
    return this.#addressesOn.get(name) ?? NO_ADDRESSES
  }

  *addresses(family: IpFamily): Generator<IpAddress> {
    for (const address of this.#interfaceOf.keys()) if (familyOf(address) === family) yield address
  }
}

/**
 * The route to a pod. While its interface is gone or down it is a blackhole: a borrowed address would else be sent back to the
 * owner of its block, who sends it here.
 */
export function podBody(name: string, host: HostLinks, source: IpAddress | null): RouteBody {
  const link = host.linkNamed(name)
  if (link === undefined || !link.isUp) return BLACKHOLE
  return unicast([{ gateway: null, interfaceIndex: link.index, onlink: false }], source)
}
