// This node's own routes and the source of its packets, planned anew whenever the host's addresses change. No I/O: the routes are
// wanted of the forwarding tables.
import { formatIp, IP_FAMILIES, isIpv4 } from '../net/index.ts'
import { type LocalRoutes, NO_LOCAL_ROUTES, planLocal, usableSource } from './plan.ts'
import type { RouteProblem } from './status.ts'
import type { RouteTables } from './tables.ts'
import { TUNNELS } from './tunnel/plan.ts'

export class OwnRoutes {
  readonly #tables: RouteTables
  #local: LocalRoutes = NO_LOCAL_ROUTES
  #isSet = false
  /** Version of the host's links and addresses that they were planned for; -1: plan again. */
  #plannedVersion = -1

  constructor(tables: RouteTables) {
    this.#tables = tables
  }

  /** The whole truth. */
  set(local: LocalRoutes): void {
    this.#local = local
    this.#isSet = true
    this.#plannedVersion = -1
  }

  get preferredSource(): LocalRoutes['preferredSource'] {
    return this.#local.preferredSource
  }

  /** Wants of the tables what follows from the host's addresses as they are. */
  plan(): void {
    const { host, fibs, pods, isHostInDoubt } = this.#tables
    if (!this.#isSet || isHostInDoubt || this.#plannedVersion === host.version) return
    this.#plannedVersion = host.version
    const { addresses } = host
    for (const family of IP_FAMILIES) {
      const source = usableSource(family, this.#local, addresses)
      const outerInterface = family === 6 ? (host.linkNamed(TUNNELS[6].name)?.index ?? null) : null
      fibs[family].setLocal(planLocal(family, this.#local, addresses), source, outerInterface)
      pods.setSource(family, source)
    }
  }

  /** Sources that this host does not have. */
  problems(): readonly RouteProblem[] {
    const { host, isHostInDoubt } = this.#tables
    if (!this.#isSet || isHostInDoubt) return []
    const { ipv4, ipv6 } = this.#local.preferredSource
    return [ipv4, ipv6]
      .filter((address) => address !== null)
      .filter((address) => usableSource(isIpv4(address) ? 4 : 6, this.#local, host.addresses) === null)
      .map((address) => ({
        severity: 'warning',
        subject: `address/${formatIp(address)}`,
        message: 'not a usable address of this host, so routes are installed without a preferred source; correct the node address',
      }))
  }
}
