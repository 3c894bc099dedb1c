// What we accept from a peer (RFC 4271 §9.1.1): loop checks, roles, GRACEFUL_SHUTDOWN, filters, and the default policy that
// keeps a host from learning what is none of its business. Paths that are refused stay in the Adj-RIB-In.
import type { Asn, Prefix } from '../../net/index.ts'
import { type PathAttributes, type RouterId, WELL_KNOWN_COMMUNITY } from '../attributes.ts'
import { type Family, ipFamilyOf } from '../family.ts'
import type { Filter } from '../filter.ts'
import type { RoleName } from '../wire/index.ts'
import { countInAsPath } from './attribute-edit.ts'
import type { Judgement, PolicyCase } from './outcome-cache.ts'
import { FilterProgram } from './policy.ts'
import { PrefixSet } from './prefix-words.ts'

export type ImportFacts = {
  readonly family: Family
  readonly mode: 'Host' | 'Router'
  readonly peerType: 'eBGP' | 'iBGP'
  /** A node of this cluster: not bounded by `importBounds`. */
  readonly clusterNode: boolean
  /** Ours: the speaker's, and what it calls itself towards the peer. */
  readonly ownAsns: readonly Asn[]
  readonly allowLocalAs: number
  readonly routerId: RouterId
  readonly clusterId: RouterId | null
  readonly remoteAsn: Asn
  readonly role: RoleName | null
  readonly filters: readonly Filter[]
  readonly importBounds: readonly Prefix[]
  readonly serviceRanges: readonly Prefix[]
}

export class ImportPolicy implements PolicyCase {
  readonly #facts: ImportFacts
  readonly #program: FilterProgram
  readonly #bounds: PrefixSet | null
  readonly #services: PrefixSet | null
  readonly #pools: PrefixSet
  readonly looksAtPrefix: boolean

  constructor(facts: ImportFacts) {
    this.#facts = facts
    const family = ipFamilyOf(facts.family)
    this.#program = new FilterProgram(facts.filters, 'import', family, facts.peerType)
    const isHost = facts.mode === 'Host'
    const services = new PrefixSet(facts.serviceRanges, family)
    // A reflector passes on what internal peers say of services, and keeps it out of its own FIB (FamilyTables.notInstalled).
    const reflects = facts.clusterId !== null && facts.peerType === 'iBGP'
    this.#services = isHost && !reflects && !services.isEmpty ? services : null
    const isTrusted = facts.clusterNode || facts.peerType === 'iBGP'
    this.#bounds = isHost && !isTrusted ? new PrefixSet(facts.importBounds, family) : null
    this.#pools = new PrefixSet(facts.importBounds, family)
    this.looksAtPrefix = this.#services !== null || this.#bounds !== null
  }

  judge(attributes: PathAttributes): Judgement {
    const loop = this.#loop(attributes) ?? this.#leak(attributes)
    if (loop !== null) return { kind: 'rejected', reason: loop }
    const base = this.#withOnlyToCustomer(this.#withLocalPref(attributes))
    return { kind: 'undecided', base, residue: this.#program.residue(base, false) }
  }

  refuses(w0: number, w1: number, w2: number, w3: number, length: number): string | null {
    return this.#services?.covers(w0, w1, w2, w3, length) === true ? "inside the cluster's own service ranges" : null
  }

  refusesByDefault(w0: number, w1: number, w2: number, w3: number, length: number): string | null {
    return this.#bounds === null || this.#bounds.covers(w0, w1, w2, w3, length)
      ? null
      : 'outside the ranges a host accepts from peers outside the cluster, and no filter accepts it'
  }

  finish(attributes: PathAttributes): PathAttributes {
    return attributes
  }

  /** From an external peer, originated in our own AS, and refused because that is in the path too often. Where it is only on the way, the loop is real. */
  isOwnAsLoop({ asPath }: PathAttributes): boolean {
    const origin = asPath.at(-1)?.asns.at(-1)
    if (origin === undefined || !this.#facts.ownAsns.includes(origin)) return false
    return this.#facts.peerType === 'eBGP' && this.#ownAsLoop(asPath) !== null
  }

  /** Inside the ranges of the cluster, whose loss would be missed. */
  isOfPool(w0: number, w1: number, w2: number, w3: number, length: number): boolean {
    return this.#pools.covers(w0, w1, w2, w3, length)
  }

  /** RFC 4271 §9.1.2 (own AS), RFC 4456 §8 (reflection). */
  #loop({ asPath, originatorId, clusterList }: PathAttributes): string | null {
    const { routerId, clusterId } = this.#facts
    const ownAs = this.#ownAsLoop(asPath)
    if (ownAs !== null) return ownAs
    if (originatorId === routerId) return 'reflection loop: ORIGINATOR_ID is our own router ID'
    if (clusterId !== null && clusterList.includes(clusterId)) return 'reflection loop: our own cluster ID is in CLUSTER_LIST'
    return null
  }

  #ownAsLoop(asPath: PathAttributes['asPath']): string | null {
    const { ownAsns, allowLocalAs } = this.#facts
    for (const own of ownAsns) {
      const times = countInAsPath(asPath, own)
      if (times > allowLocalAs) return `AS loop: own AS ${own} is ${times} times in the AS path, ${allowLocalAs} allowed`
    }
    return null
  }

  /** Routes that have gone towards a customer or peer must not come back up (RFC 9234 §5). Roles are an eBGP matter. */
  #leak({ onlyToCustomer }: PathAttributes): string | null {
    const { role, peerType, remoteAsn } = this.#facts
    if (role === null || peerType === 'iBGP' || onlyToCustomer === null) return null
    if (role === 'Provider' || role === 'RouteServer')
      return `route leak: Only-to-Customer (AS ${onlyToCustomer}) is set by a ${role === 'Provider' ? 'customer' : 'route server client'}`
    if (role === 'Peer' && onlyToCustomer !== remoteAsn)
      return `route leak: Only-to-Customer names AS ${onlyToCustomer}, the peer is AS ${remoteAsn}`
    return null
  }

  #withOnlyToCustomer(attributes: PathAttributes): PathAttributes {
    const { role, peerType, remoteAsn } = this.#facts
    if (peerType === 'iBGP' || attributes.onlyToCustomer !== null) return attributes
    if (role !== 'Customer' && role !== 'Peer' && role !== 'RouteServerClient') return attributes
    return { ...attributes, onlyToCustomer: remoteAsn }
  }

  /** LOCAL_PREF is not for external peers to set (RFC 4271 §5.1.5), but GRACEFUL_SHUTDOWN makes it 0, before any other policy (RFC 8326 §4.3). */
  #withLocalPref(attributes: PathAttributes): PathAttributes {
    if (this.#facts.peerType === 'iBGP') return attributes
    const localPref = attributes.communities.includes(WELL_KNOWN_COMMUNITY.GRACEFUL_SHUTDOWN) ? 0 : null
    return attributes.localPref === localPref ? attributes : { ...attributes, localPref }
  }
}

/** Peers with equal keys import alike, and share what has been worked out. The other keys stand for filters and ranges. */
export function importKey(facts: ImportFacts, filterKeys: readonly number[], rangesKey: number): string {
  const { importBounds: _bounds, serviceRanges: _ranges, filters: _filters, ...rest } = facts
  return JSON.stringify([rest, filterKeys, rangesKey])
}
