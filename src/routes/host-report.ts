// What others are told of the host's network: to resolve next hops, to set sysctls, to choose MTUs. Changes that come close together
// are told once (shell).
import type { Clock } from '../lib/clock.ts'
import { type HostNetwork, IP_FAMILIES } from '../net/index.ts'
import { hostNetwork, type PeerOnLink, uplinksOf } from './links.ts'
import type { OwnRoutes } from './own-routes.ts'
import type { SysctlNeeds } from './sysctl/index.ts'
import type { RouteTables } from './tables.ts'
import { TUNNELS } from './tunnel/plan.ts'

const COALESCE_MS = 20

export class HostReport implements Disposable {
  readonly #tables: RouteTables
  readonly #own: OwnRoutes
  readonly #clock: Clock
  readonly #tell: (network: HostNetwork) => void
  #hidden: ReadonlySet<string> = new Set()
  #timer: Disposable | null = null
  #toldVersion = ''

  constructor(tables: RouteTables, own: OwnRoutes, clock: Clock, tell: (network: HostNetwork) => void) {
    this.#tables = tables
    this.#own = own
    this.#clock = clock
    this.#tell = tell
  }

  /** Links, addresses and routes of others, as last seen. */
  network(): HostNetwork {
    return hostNetwork(this.#tables.host, this.#tables.foreignRoutes(), this.#hidden)
  }

  /** Changes whenever links (but pods'), addresses, this node's own, or routes of others do, MTUs included. */
  version(): string {
    const { ipv4, ipv6 } = this.#own.preferredSource
    return `${this.#networkVersion()} ${this.#tables.host.mtuVersion} ${ipv4} ${ipv6}`
  }

  /** What `applySysctls` needs to know of the host. */
  uplinks(peers: readonly PeerOnLink[]): Pick<SysctlNeeds, 'uplinks' | 'tunnels' | 'raDefaultInterfaces'> {
    const { host } = this.#tables
    const { ipv4, ipv6 } = this.#own.preferredSource
    const own = [ipv4, ipv6].filter((address) => address !== null)
    const tunnels = IP_FAMILIES.map((family) => TUNNELS[family].name).filter((name) => host.linkNamed(name) !== undefined)
    return { ...uplinksOf(host, [...this.#tables.foreignRoutes()], peers, own), tunnels }
  }

  /** Interfaces that are about to be removed: the network is shown without them. */
  hide(names: ReadonlySet<string>): void {
    const isSame = names.size === this.#hidden.size && [...names].every((name) => this.#hidden.has(name))
    if (isSame) return
    this.#hidden = names
    this.#tables.host.version++
    this.tellLater()
  }

  /** Tells it soon if it has changed since it was told, and is not in doubt. */
  tellLater(): void {
    if (this.#tables.isHostInDoubt || this.#timer !== null || this.#networkVersion() === this.#toldVersion) return
    this.#timer = this.#clock.after(COALESCE_MS, () => {
      this.#timer = null
      this.#toldVersion = this.#networkVersion()
      this.#tell(this.network())
    })
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]()
  }

  #networkVersion(): string {
    const { host, fibs } = this.#tables
    return `${host.version} ${fibs[4].foreign.version} ${fibs[6].foreign.version}`
  }
}
