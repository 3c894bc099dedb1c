// Keeps the shared tunnel devices as they should be. Level-triggered, like the syncer beside it: whatever the occasion, it looks at
// what is there and does what is missing. A device that cannot be made is a problem and nothing more: it is tried again slowly.
import type { Clock } from '../../lib/clock.ts'
import type { Log } from '../../lib/log.ts'
import type { Result } from '../../lib/result.ts'
import { IP_FAMILIES, type IpFamily } from '../../net/index.ts'
import { ENCAPSULATION_OCTETS } from '../mtu.ts'
import type { RouteProblem } from '../status.ts'
import type { TunnelBackend, TunnelRefusal } from './backend.ts'
import { planTunnel, TUNNELS, type TunnelNeeds, type TunnelState, type TunnelStep, tunnelFault, type WantedTunnel } from './plan.ts'

/** How often a device is looked at though nothing seems to have changed, and what failed is tried again. */
const LOOK_EVERY_MS = 30_000

export type TunnelsOptions = {
  readonly backend: TunnelBackend
  readonly log: Log
  readonly clock: Clock
  /** MTU of the links towards the fabric. */
  readonly uplinkMtu: () => number
  /** True while a route of ours leaves by that interface. */
  readonly isUsed: (interfaceIndex: number) => boolean
  /** Told which devices are on their way out, so that nobody resolves a next hop through one; before they go. */
  readonly onLeaving: (names: ReadonlySet<string>) => void
}

export class Tunnels implements Disposable {
  readonly #backend: TunnelBackend
  readonly #log: Log
  readonly #clock: Clock
  readonly #options: TunnelsOptions
  readonly #faults = new Map<IpFamily, string>()
  readonly #lastIndexes = new Map<IpFamily, number>()
  #needs: TunnelNeeds | null = null
  #leaving: ReadonlySet<string> = new Set()
  #timer: Disposable | null = null

  /** Leaves the kernel alone until the first `set`: what a predecessor made may be in use. */
  constructor(options: TunnelsOptions) {
    this.#backend = options.backend
    this.#log = options.log
    this.#clock = options.clock
    this.#options = options
  }

  /** The whole truth. A family with null has no tunnel, once no route of ours uses it any more. */
  set(needs: TunnelNeeds): void {
    this.#needs = needs
    this.sync()
  }

  /** Families that have or are to have a tunnel. */
  get needs(): { readonly ipv4: boolean; readonly ipv6: boolean } {
    return { ipv4: this.#needs?.ipv4 != null, ipv6: this.#needs?.ipv6 != null }
  }

  /** A device waits for the last of its routes to go. */
  get isLeaving(): boolean {
    return this.#leaving.size > 0
  }

  /** Links, or the routes over them, may have changed: looks, and does what is missing. */
  sync(): void {
    if (this.#needs === null) return
    const leaving = new Set<string>()
    for (const family of IP_FAMILIES)
      if (this.#syncOne(family, this.#wanted(this.#needs, family)) === 'leaving') leaving.add(TUNNELS[family].name)
    this.#leaving = leaving
    this.#options.onLeaving(leaving)
    this.#timer?.[Symbol.dispose]()
    const isIdle = this.#needs.ipv4 === null && this.#needs.ipv6 === null && this.#faults.size === 0
    this.#timer = isIdle ? null : this.#clock.after(LOOK_EVERY_MS, () => this.sync())
  }

  problems(): readonly RouteProblem[] {
    return IP_FAMILIES.flatMap((family) => {
      const message = this.#faults.get(family)
      return message === undefined ? [] : [{ severity: 'error', subject: `tunnel/${TUNNELS[family].name}`, message }]
    })
  }

  /** Leaves the devices as they are. The backend is the caller's to close. */
  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]()
    this.#needs = null
  }

  #wanted(needs: TunnelNeeds, family: IpFamily): WantedTunnel | null {
    const end = family === 4 ? needs.ipv4 : needs.ipv6
    return end === null ? null : { family, local: end.local, mtu: this.#options.uplinkMtu() - ENCAPSULATION_OCTETS[family] }
  }

  #syncOne(family: IpFamily, wanted: WantedTunnel | null): 'settled' | 'leaving' {
    const found = this.#backend.find(family)
    if (!found.ok) {
      this.#failed(family, `${TUNNELS[family].name} cannot be looked at: ${found.error.text ?? found.error.code}`)
      return 'settled'
    }
    const actual = found.value
    if (actual !== null) this.#lastIndexes.set(family, actual.index)
    const isUsed = wanted === null && actual !== null && this.#options.isUsed(actual.index)
    for (const step of planTunnel(wanted, actual, isUsed, this.#lastIndexes.get(family) ?? null)) {
      const done = this.#perform(family, step, actual)
      if (done.ok) continue
      this.#failed(family, tunnelFault(step, family, done.error.code, done.error.text))
      return 'settled'
    }
    if (this.#faults.delete(family)) this.#log.info('routes.tunnel.recovered', { interface: TUNNELS[family].name })
    return isUsed ? 'leaving' : 'settled'
  }

  /** What cannot be done as a change of the device, or under its old number, is done by making it anew. */
  #perform(family: IpFamily, step: TunnelStep, actual: TunnelState | null): Result<void, TunnelRefusal> {
    let done = this.#backend.perform(family, step)
    if (!done.ok && step.kind === 'create' && step.index !== null) {
      done = this.#backend.perform(family, { ...step, index: null })
    } else if (!done.ok && step.kind === 'relocate' && done.error.code !== 'EEXIST' && actual !== null) {
      this.#backend.perform(family, { kind: 'remove', index: actual.index })
      done = this.#backend.perform(family, { kind: 'create', tunnel: step.tunnel, index: actual.index })
    }
    if (done.ok) this.#log.info('routes.tunnel.changed', { interface: TUNNELS[family].name, change: step.kind })
    return done
  }

  #failed(family: IpFamily, message: string): void {
    if (this.#faults.get(family) === message) return
    this.#faults.set(family, message)
    this.#log.error('routes.tunnel.failed', { interface: TUNNELS[family].name, reason: message })
  }
}
