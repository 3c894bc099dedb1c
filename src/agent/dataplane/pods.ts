// Pods as the dataplane thread has them: their links (src/cni/wiring) and the routes to them (src/routes), always both. Requests are
// done one after the other, in the order they came, so what is done last is what was asked last.
import type { LinkWiring, PodLink, WiredPod, WiringFault } from '../../cni/index.ts'
import type { Log } from '../../lib/log.ts'
import { err, ok, type Result } from '../../lib/result.ts'
import { cidr, formatIp, formatPrefix, hostPrefix, type IpAddress } from '../../net/index.ts'
import type { PodRoute, RouteSyncer } from '../../routes/index.ts'
import type { Problem } from '../control-api.ts'
import type { AdoptedPods, DataplaneRequests, KnownPods } from '../threads.ts'
import type { Jobs } from './jobs.ts'

type LeavingLink = DataplaneRequests['detachPod']['request']
type Leaving = { readonly link: LeavingLink; readonly resolve: (answer: null) => void; readonly reject: (error: Error) => void }

export type PodsDeps = {
  readonly links: LinkWiring
  readonly syncer: Pick<RouteSyncer, 'setPods' | 'ensurePods' | 'dropPods' | 'status'>
  readonly jobs: Jobs
  readonly log: Log
  /** A link has another MTU now: its `mtu`. */
  readonly onResized: (link: PodLink) => void
}

/** Links removed in one go share one wait of the kernel; more would keep others waiting too long. */
const DETACHED_AT_ONCE = 32

export class DataplanePods {
  readonly #deps: PodsDeps
  /** By host end. `mtu` is that of today. */
  readonly #known = new Map<string, PodLink>()
  /** Addresses behind host ends of pods whose records were lost. */
  readonly #unknown = new Map<string, readonly IpAddress[]>()
  readonly #warnings = new Map<string, readonly string[]>()
  #leaving: Leaving[] = []
  #mtu: number | null = null

  constructor(deps: PodsDeps) {
    this.#deps = deps
  }

  /**
   * The pods there should be, after a start. What is there is looked over. What bears our name and is none of theirs is removed, but not
   * where the records of all pods were lost: then every pod of the node would lose its network for somebody's mistake.
   */
  adopt({ links: pods, isStateNew }: KnownPods): Promise<AdoptedPods> {
    const { links, syncer, jobs } = this.#deps
    return jobs.run(() => {
      for (const pod of pods) this.#known.set(pod.hostInterface, pod)
      const present = new Set(links.list())
      const others = [...present].filter((name) => !this.#known.has(name))
      const unknown = isStateNew ? others.map((hostInterface) => ({ hostInterface, addresses: this.#addressesBehind(hostInterface) })) : []
      for (const { hostInterface, addresses } of unknown) this.#unknown.set(hostInterface, addresses)
      const strays = isStateNew ? [] : others
      this.#removeStrays(strays)
      syncer.setPods([...this.#known.values(), ...unknown].flatMap(routesOf))
      for (const { hostInterface } of pods) if (present.has(hostInterface)) void jobs.run(() => this.#repair(hostInterface))
      const missing = pods.map(({ hostInterface }) => hostInterface).filter((name) => !present.has(name))
      return { strays, missing, unknown }
    })
  }

  attach(link: PodLink): Promise<Result<WiredPod, WiringFault>> {
    return this.#deps.jobs.run(() => this.#attach(link))
  }

  /** Rejects, in words, if the link is still there. */
  detach(link: LeavingLink): Promise<null> {
    return new Promise((resolve, reject) => {
      this.#leaving.push({ link, resolve, reject })
      void this.#deps.jobs.run(() => this.#detachSome())
    })
  }

  /** What is not as it should be, in words. */
  check(link: PodLink): Promise<readonly string[]> {
    return this.#deps.jobs.run(() => {
      const known = this.#known.get(link.hostInterface)
      if (known === undefined) return [`the agent knows of no link ${link.hostInterface}`]
      return [...this.#deps.links.check({ ...link, mtu: known.mtu }), ...routesOf(known).flatMap((route) => this.#routeFault(route))]
    })
  }

  /**
   * Of new pods, in octets. Links that had the one of before follow; a link that was given another keeps it, unless it is more than can
   * be carried now.
   */
  setMtu(mtu: number): void {
    const before = this.#mtu
    if (mtu === before) return
    this.#mtu = mtu
    for (const { hostInterface } of this.#known.values()) void this.#deps.jobs.run(() => this.#follow(hostInterface, before))
  }

  problems(): readonly Problem[] {
    return [...this.#warnings].flatMap(([name, warnings]) =>
      warnings.map((message): Problem => ({ severity: 'warning', subject: `interface/${name}`, message })),
    )
  }

  #removeStrays(strays: readonly string[]): void {
    const { links, log } = this.#deps
    if (strays.length === 0) return
    log.warn('agent.pods.straysRemoved', { interfaces: strays })
    for (const reason of links.detach(strays.map((hostInterface) => ({ hostInterface, addresses: [] })))) {
      log.warn('agent.pods.strayLeft', { reason })
    }
  }

  /** By the routes of a predecessor, which are still there. */
  #addressesBehind(name: string): readonly IpAddress[] {
    const routes = this.#deps.syncer.status().filter(({ nextHops }) => nextHops.some((hop) => hop.interface === name))
    return routes.map(({ prefix }) => cidr(prefix).address)
  }

  #routeFault({ address, interface: name }: PodRoute): readonly string[] {
    const [route] = this.#deps.syncer.status(formatPrefix(hostPrefix(address)))
    const isThere = route?.state === 'inSync' && route.nextHops.some((hop) => hop.interface === name)
    return isThere ? [] : [`no route to ${formatIp(address)} by ${name}: ${route?.detail ?? route?.state ?? 'not wanted'}`]
  }

  #attach(link: PodLink): Result<WiredPod, WiringFault> {
    const { links, syncer, log } = this.#deps
    const wired = links.attach(link)
    if (!wired.ok) return wired
    const routed = syncer.ensurePods(routesOf(link))
    if (!routed.ok) {
      for (const left of links.detach([link])) log.warn('agent.pod.linkLeft', { interface: link.hostInterface, reason: left })
      const { address, message } = routed.error
      return err({ kind: 'failed', message: `no route to ${formatIp(address)}: ${message}` })
    }
    this.#known.set(link.hostInterface, link)
    const { warnings, ...pod } = wired.value
    this.#warn(link.hostInterface, warnings)
    if (this.#mtu !== null && link.mtu > this.#mtu) this.#resize(link, this.#mtu) // it changed while the request was on its way
    return ok(pod)
  }

  /** Routes first: what has no link must not be pointed at. */
  #detachSome(): void {
    const { links, syncer, log } = this.#deps
    const leaving = this.#leaving.splice(0, DETACHED_AT_ONCE)
    if (leaving.length === 0) return // went with those before
    try {
      const complete = leaving.map(({ link }) => this.#completed(link))
      syncer.dropPods(complete.flatMap(routesOf))
      const left = links.detach(complete)
      const present = left.length === 0 ? new Set<string>() : new Set(links.list())
      for (const reason of left) log.warn('agent.pod.detachIncomplete', { reason })
      for (const { link, resolve, reject } of leaving) {
        if (present.has(link.hostInterface)) {
          reject(new Error(`${link.hostInterface} is still there: ${left.join('; ')}`))
          continue
        }
        this.#known.delete(link.hostInterface)
        this.#unknown.delete(link.hostInterface)
        this.#warnings.delete(link.hostInterface)
        resolve(null)
      }
    } catch (error) {
      const reason = error instanceof Error ? error : new Error(String(error))
      for (const { reject } of leaving) reject(reason)
    }
  }

  /** With the addresses we know of, too: a runtime's DEL may come without a record. */
  #completed(link: LeavingLink): LeavingLink {
    const known = this.#known.get(link.hostInterface)?.addresses ?? this.#unknown.get(link.hostInterface) ?? []
    return { ...link, addresses: [...new Set([...link.addresses, ...known])] }
  }

  #repair(name: string): void {
    const link = this.#known.get(name)
    if (link === undefined) return // has gone meanwhile
    this.#warn(name, this.#deps.links.repair(link))
    if (this.#mtu !== null && link.mtu > this.#mtu) this.#resize(link, this.#mtu)
  }

  #follow(name: string, before: number | null): void {
    const link = this.#known.get(name)
    const mtu = this.#mtu
    if (link === undefined || mtu === null || link.mtu === mtu) return
    if (link.mtu === before || link.mtu > mtu) this.#resize(link, mtu)
  }

  #resize(link: PodLink, mtu: number): void {
    const resized = { ...link, mtu }
    this.#known.set(link.hostInterface, resized)
    this.#warn(link.hostInterface, this.#deps.links.setMtu(link, mtu))
    this.#deps.onResized(resized)
  }

  #warn(name: string, warnings: readonly string[]): void {
    if (warnings.length === 0) {
      this.#warnings.delete(name)
      return
    }
    this.#warnings.set(name, warnings)
    this.#deps.log.warn('agent.pod.linkImperfect', { interface: name, warnings })
  }
}

function routesOf({ addresses, hostInterface }: Pick<PodLink, 'addresses' | 'hostInterface'>): readonly PodRoute[] {
  return addresses.map((address) => ({ address, interface: hostInterface }))
}
