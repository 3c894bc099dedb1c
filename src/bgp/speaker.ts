// The public face of the speaker: it is told the whole configuration and the host's network, as often as they change, and
// finds out for itself what has to happen; sessions that are not concerned stay up. Runs in one thread, performs no I/O but
// through the transport, and reports through its observer.
import type { Clock } from '../lib/clock.ts'
import type { Log } from '../lib/log.ts'
import type { FibBatch, HostNetwork } from '../net/index.ts'
import type { PeerConfig, SpeakerConfig } from './config.ts'
import { FAMILIES } from './family.ts'
import { deferralOnEndOfRib, deferralOnEstablished, type SelectionDeferral, startDeferral } from './graceful-restart.ts'
import { Listening } from './listening.ts'
import type { Negotiated, PeerSettings, StopReason } from './peer.ts'
import { Peering, type PeeringObserver } from './peering.ts'
import { type PeerId, Rib, type RibConfig, type RoutePage, type RouteQuery } from './rib/index.ts'
import { peerStatus, type SpeakerProblem, speakerProblems } from './speaker-status.ts'
import type { PeerStatus } from './status.ts'
import type { Transport } from './transport.ts'

export interface SpeakerObserver {
  /** What the FIB should hold, as changes. Nothing comes before our own restart, if this is one, is over. */
  bestPathsChanged(batch: FibBatch): void
  /** A session came or went, or its retained routes did. */
  sessionsChanged(): void
  /**
   * Once: every peer that was up before our restart has told its routes, or the wait for that is over (RFC 4724 §4.1), so what
   * is not among the best paths by now may leave the kernel. Selection itself may have begun before: see `deferralOnEstablished`.
   */
  selectionReleased(): void
  problemsChanged(): void
}

export type SpeakerDeps = {
  readonly clock: Clock
  readonly log: Log
  /** In [0, 1). */
  readonly random: () => number
  readonly transport: Transport
  readonly observer: SpeakerObserver
  /**
   * Keys of the peers whose sessions were up when our predecessor ended without a goodbye and left its kernel routes in
   * place; null after a boot or a goodbye. Decides the R and F bits and whether selection is deferred.
   */
  readonly peersUpBefore: readonly string[] | null
}

/** A page of one of the tables of RFC 4271 §3.2; peers by key. */
export type RouteLookup = RouteQuery & ({ readonly table: 'locRib' } | { readonly table: 'adjRibIn' | 'adjRibOut'; readonly peer: string })

/** How many table rows one turn of the event loop works through, so that a KEEPALIVE is never late. */
const ROWS_PER_TURN = 10_000

export class Speaker implements Disposable {
  readonly #deps: SpeakerDeps
  readonly #rib: Rib
  readonly #peerings = new Map<string, Peering>()
  readonly #byId = new Map<PeerId, Peering>()
  readonly #listening: Listening
  #config: SpeakerConfig
  #flush: Disposable | null = null
  #deferral: SelectionDeferral
  #sweepDeferral: SelectionDeferral
  #deferralTimer: Disposable | null = null
  #isReleased = false
  #releaseAnnounced = false
  #isDraining = false
  /** Keys of the peers some of whose routes are dropped for our own AS number. */
  #dropping = ''

  constructor(deps: SpeakerDeps, config: SpeakerConfig) {
    const { clock, log, transport } = deps
    this.#deps = deps
    this.#config = config
    this.#deferral = startDeferral(deps.peersUpBefore ?? [])
    this.#sweepDeferral = this.#deferral
    this.#rib = new Rib(this.#ribConfig(), {
      deliver: (id, chunks) => this.#byId.get(id)?.deliver(chunks) ?? false,
      tableSent: (id, family) => this.#byId.get(id)?.tableSent(family),
      fib: (batch) => deps.observer.bestPathsChanged(batch),
      wake: () => this.#scheduleFlush(),
    })
    this.#listening = new Listening({ clock, log, transport, peerings: this.#peerings, changed: () => deps.observer.problemsChanged() })
    for (const family of FAMILIES) this.#rib.setPaused(family, true)
    if (this.#deferral.waitingFor.size > 0) this.#startDeferralTimer()
    this.#apply()
  }

  /** The whole truth about what this speaker should be and do; callable at any time. */
  configure(config: SpeakerConfig): void {
    this.#config = config
    this.#rib.configure(this.#ribConfig())
    this.#apply()
  }

  /** Links, addresses and foreign routes of the host: next hops are resolved against them. */
  setHostNetwork(network: HostNetwork): void {
    this.#rib.setHostNetwork(network)
  }

  /** Keys of the peers that are up, or whose routes we hold for their return. */
  peersUpOrRetained(): readonly string[] {
    return [...this.#peerings.values()].filter((peering) => peering.isUpOrRetained).map(({ key }) => key)
  }

  peers(): readonly PeerStatus[] {
    return [...this.#peerings.values()]
      .map((peering) => peerStatus(peering, this.#rib, this.#config, this.#deps.clock))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** Throws RangeError for a peer that is not configured. */
  routes(lookup: RouteLookup): RoutePage {
    if (lookup.table === 'locRib') return this.#rib.locRib(lookup)
    const { id } = this.#named(lookup.peer)
    return lookup.table === 'adjRibIn' ? this.#rib.adjRibIn(id, lookup) : this.#rib.adjRibOut(id, lookup)
  }

  problems(): readonly SpeakerProblem[] {
    return speakerProblems([...this.#peerings.values()], this.#rib, this.#listening.error)
  }

  /** Throws RangeError for a peer that is not configured. */
  reset(key: string, soft: boolean): void {
    this.#named(key).reset(soft)
  }

  /**
   * Asks all peers, with sessions and forwarding as they are, to find other ways (RFC 8326 §4): everything is advertised again with
   * GRACEFUL_SHUTDOWN, and LOCAL_PREF 0 to internal peers; so is what comes later, and sessions that come up. To be followed by
   * `stop('cease')` when they have had time for it. False: takes it back.
   */
  drain(isDraining = true): void {
    if (this.#isDraining === isDraining) return
    this.#isDraining = isDraining
    this.#deps.log.info(isDraining ? 'bgp.drain.begun' : 'bgp.drain.takenBack')
    this.#rib.configure(this.#ribConfig())
  }

  /** Ends every session: without a word, so that helpers keep our routes, or with a Cease (decision 11). */
  stop(how: 'silent' | 'cease'): void {
    this.#listening.close()
    for (const { session, negotiated } of this.#peerings.values()) session.stop(goodbye(how, negotiated))
  }

  /** Resolves when the connections `stop` closed have gone down. */
  async drained(): Promise<void> {
    await Promise.all([...this.#peerings.values()].map(({ session }) => session.drained()))
  }

  [Symbol.dispose](): void {
    this.#listening.close()
    for (const peering of this.#peerings.values()) peering[Symbol.dispose]()
    this.#deferralTimer?.[Symbol.dispose]()
    this.#flush?.[Symbol.dispose]()
  }

  #named(key: string): Peering {
    const peering = this.#peerings.get(key)
    if (peering === undefined) throw new RangeError(`no peer named ${JSON.stringify(key)}; see \`fibula bgp peers\``)
    return peering
  }

  /** Makes peers, listener and tables what the configuration says. */
  #apply(): void {
    const wanted = new Map(this.#config.peers.map((peer) => [peer.key, peer]))
    for (const peering of this.#peerings.values()) if (!wanted.has(peering.key)) this.#remove(peering)
    const added: Peering[] = []
    for (const [key, peer] of wanted) {
      const existing = this.#peerings.get(key)
      if (existing === undefined) added.push(this.#add(peer))
      else existing.configure(this.#settings(peer))
    }
    this.#rib.setOriginated(this.#config.originated)
    this.#listening.update(this.#config.listen)
    for (const peering of added) peering.start()
    const stillWanted = ({ waitingFor }: SelectionDeferral): SelectionDeferral => ({
      waitingFor: new Map([...waitingFor].filter(([key]) => wanted.has(key))),
    })
    this.#defer(stillWanted(this.#deferral), stillWanted(this.#sweepDeferral))
    this.#sessionsChanged()
    this.#scheduleFlush()
  }

  #add(peer: PeerConfig): Peering {
    const { clock, log, transport, random } = this.#deps
    const observer: PeeringObserver = {
      established: (peering, negotiated) => this.#onEstablished(peering, negotiated),
      endOfRibReceived: ({ key }, family) =>
        this.#defer(deferralOnEndOfRib(this.#deferral, key, family), deferralOnEndOfRib(this.#sweepDeferral, key, family)),
      ended: () => this.#sessionsChanged(),
      failing: () => this.#deps.observer.problemsChanged(),
    }
    const peering = new Peering({ clock, log, transport, random, rib: this.#rib, observer }, this.#settings(peer))
    this.#peerings.set(peer.key, peering)
    this.#byId.set(peering.id, peering)
    return peering
  }

  #remove(peering: Peering): void {
    this.#deps.log.info('bgp.peer.removed', { peer: peering.key })
    peering.remove({ kind: 'deconfigured' })
    this.#peerings.delete(peering.key)
    this.#byId.delete(peering.id)
  }

  #settings(peer: PeerConfig): PeerSettings {
    const { asn, routerId } = this.#config
    const cameBack = this.#deps.peersUpBefore !== null
    return {
      ...peer,
      speakerAsn: asn,
      routerId,
      restarting: cameBack && !this.#isReleased,
      forwardingPreserved: cameBack && this.#config.installRoutes ? peer.families : [],
    }
  }

  #ribConfig(): RibConfig {
    return { ...this.#config, resolveAll: !this.#config.installRoutes, draining: this.#isDraining }
  }

  #onEstablished(peering: Peering, negotiated: Negotiated): void {
    const { key } = peering
    this.#defer(
      deferralOnEstablished(this.#deferral, key, negotiated),
      deferralOnEstablished(this.#sweepDeferral, key, negotiated, 'sweep'),
    )
    this.#sessionsChanged()
  }

  #sessionsChanged(): void {
    this.#deps.observer.sessionsChanged()
    this.#deps.observer.problemsChanged()
  }

  // our own restart (RFC 4724 §4.1)

  #startDeferralTimer(): void {
    // Peers drop our routes when their restart timer for us ends; we must have spoken before, so we wait a little less long
    // than the shortest restart time we advertise.
    const restartTimes = this.#config.peers
      .filter((peer) => peer.gracefulRestart.enabled)
      .map((peer) => peer.gracefulRestart.restartTimeSeconds)
    const seconds = Math.max(1, 0.75 * Math.min(120, ...restartTimes))
    this.#deferralTimer = this.#deps.clock.after(seconds * 1000, () => {
      this.#deps.log.warn('bgp.selection.deferralExpired', { waitingFor: [...this.#sweepDeferral.waitingFor.keys()], seconds })
      this.#defer({ waitingFor: new Map() }, { waitingFor: new Map() })
    })
  }

  #defer(selection: SelectionDeferral, sweep: SelectionDeferral): void {
    this.#deferral = selection
    this.#sweepDeferral = sweep
    if (sweep.waitingFor.size === 0) {
      this.#deferralTimer?.[Symbol.dispose]()
      this.#deferralTimer = null
      if (this.#isReleased) this.#scheduleFlush()
    }
    if (this.#isReleased || selection.waitingFor.size > 0) return
    this.#isReleased = true
    this.#deps.log.info('bgp.selection.released')
    for (const family of FAMILIES) this.#rib.setPaused(family, false)
    for (const peering of this.#peerings.values()) peering.configure(this.#settings(peering.config)) // no R bit from now on
    this.#scheduleFlush()
  }

  #scheduleFlush(): void {
    this.#flush ??= this.#deps.clock.soon(() => {
      this.#flush = null
      if (this.#rib.flush(ROWS_PER_TURN)) {
        this.#scheduleFlush()
        return
      }
      this.#announceRelease()
      this.#noticeOwnAs()
    })
  }

  /** Peers whose routes are, or are no longer, dropped for our own AS number. */
  #noticeOwnAs(): void {
    const dropping = [...this.#peerings.values()].filter(({ id }) => this.#rib.ownAsRejected(id) !== null).map(({ key }) => key)
    if (dropping.join(' ') === this.#dropping) return
    this.#dropping = dropping.join(' ')
    this.#deps.observer.problemsChanged()
  }

  /** Only when every best path of after the restart has been handed out may what was there before be swept. */
  #announceRelease(): void {
    if (!this.#isReleased || this.#sweepDeferral.waitingFor.size > 0 || this.#releaseAnnounced) return
    this.#releaseAnnounced = true
    this.#deps.observer.selectionReleased()
  }
}

/** RFC 8538 §3.1: with the N bit a plain Cease would be taken for a restart, so a goodbye is a hard reset. */
function goodbye(how: 'silent' | 'cease', negotiated: Negotiated | null): StopReason {
  if (how === 'silent') return { kind: 'silent' }
  return negotiated?.gracefulRestart?.notification === true ? { kind: 'hardReset', message: '' } : { kind: 'shutdown', message: '' }
}
