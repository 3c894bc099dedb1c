// The forwarding tables of both families and the links and addresses they depend on, and how far what is known of the kernel can be
// relied on. No I/O.
import { IP_FAMILIES, type IpFamily } from '../net/index.ts'
import type { RouteView } from './backend.ts'
import { Fib } from './fib.ts'
import { HostLinks } from './links.ts'
import { PodRoutes } from './pods.ts'
import type { KernelRoute } from './route.ts'

export class RouteTables {
  readonly fibs: Readonly<Record<IpFamily, Fib>>
  readonly host = new HostLinks()
  readonly pods: PodRoutes
  /** Links and addresses may be others than we know. */
  isHostInDoubt = true

  /** `random` in [0, 1) spreads retries. */
  constructor(random: () => number) {
    this.fibs = { 4: new Fib(4, random), 6: new Fib(6, random) }
    this.pods = new PodRoutes(this.host, this.fibs)
  }

  /** Something in the kernel may not be as we think. */
  get isInDoubt(): boolean {
    return this.isHostInDoubt || IP_FAMILIES.some((family) => this.fibs[family].isInDoubt)
  }

  /** Of some table so little is known that nothing may be written there. */
  get isBlind(): boolean {
    return IP_FAMILIES.some((family) => this.fibs[family].isBlind)
  }

  /** Everything is to be read again. */
  doubt(): void {
    this.isHostInDoubt = true
    for (const family of IP_FAMILIES) this.fibs[family].isInDoubt = true
  }

  /** Everything is to be read again, before anything is written. */
  distrust(): void {
    this.doubt()
    for (const family of IP_FAMILIES) this.fibs[family].isBlind = true
  }

  /** What the kernel refused it may accept now. */
  hope(): void {
    for (const family of IP_FAMILIES) this.fibs[family].isHopeful = true
  }

  *foreignRoutes(): Generator<KernelRoute> {
    for (const family of IP_FAMILIES) yield* this.fibs[family].foreign.all()
  }

  /** The link-local prefix of a pod's link is nothing to us: it would be told to everybody whenever a pod comes or goes. */
  isOfPodLink({ family, body, address }: RouteView): boolean {
    const isLinkLocal = family === 6 && address[0] === 0xfe && ((address[1] ?? 0) & 0xc0) === 0x80
    return isLinkLocal && body.kind === 'unicast' && body.nextHops.every((hop) => this.host.isPod(hop.interfaceIndex))
  }
}
