// What we tell a group of peers about a path (RFC 4271 §9.1.3, §9.2): who may hear of it at all, filters, and the attributes
// it goes out with. Order: is the path for such peers at all; what must not cross (MED, non-transitive communities) goes;
// filters; then what the session demands (own AS, next hop, reflection attributes), which no filter can undo.
import { type Asn, containsAddress, type IpAddress, isIpv6, isLinkLocalIpv6, type Prefix } from '../../net/index.ts'
import { type NextHop, type PathAttributes, type RouterId, WELL_KNOWN_COMMUNITY } from '../attributes.ts'
import { type Family, ipFamilyOf } from '../family.ts'
import type { Filter } from '../filter.ts'
import { type EncodeContext, encodePathAttributes, maxNlriOctets, type RoleName } from '../wire/index.ts'
import { prependAsPath, withCommunity, withoutNonTransitive, withPartialUnknown } from './attribute-edit.ts'
import { DEFAULT_LOCAL_PREF } from './attribute-table.ts'
import type { Judgement, PolicyCase } from './outcome-cache.ts'
import { FilterProgram } from './policy.ts'

export type ExportFacts = {
  readonly family: Family
  readonly mode: 'Host' | 'Router'
  readonly peerType: 'eBGP' | 'iBGP'
  readonly isClient: boolean
  readonly clusterId: RouterId | null
  readonly localAsn: Asn
  readonly role: RoleName | null
  readonly nextHopMode: 'Auto' | 'Self' | 'Keep'
  /** Our own next hop towards the peers; null: we have no address of the right family. */
  readonly self: NextHop | null
  /** The subnet shared with directly connected external peers: next hops on it may be passed on (RFC 4271 §5.1.3). */
  readonly link: Prefix | null
  /** They can take long-lived stale routes (RFC 9494 §4.3). */
  readonly longLived: boolean
  /** See `RibConfig`. */
  readonly draining: boolean
  readonly filters: readonly Filter[]
  readonly context: EncodeContext
}

/** Where a path came from. */
export type PathSource = {
  readonly kind: 'local' | 'eBGP' | 'iBGP'
  readonly isClient: boolean
  readonly routerId: RouterId | null
  readonly address: IpAddress | null
}

export interface ExportSurroundings {
  source(peer: number): PathSource
  /** True if a configured peer has this address: its own address must not come to it as a next hop. */
  isPeerAddress(address: IpAddress): boolean
}

export class ExportPolicy implements PolicyCase {
  readonly #facts: ExportFacts
  readonly #around: ExportSurroundings
  readonly #program: FilterProgram
  readonly looksAtPrefix = false

  constructor(facts: ExportFacts, around: ExportSurroundings) {
    this.#facts = facts
    this.#around = around
    this.#program = new FilterProgram(facts.filters, 'export', ipFamilyOf(facts.family), facts.peerType)
  }

  judge(attributes: PathAttributes, from: number): Judgement {
    const source = this.#around.source(from)
    const isLocal = source.kind === 'local'
    const refusal = isLocal ? null : (this.#notForThem(source) ?? this.#forbiddenByPath(attributes))
    if (refusal !== null) return { kind: 'rejected', reason: refusal }
    return { kind: 'undecided', base: this.#withoutWhatEndsHere(attributes, isLocal), residue: this.#program.residue(attributes, isLocal) }
  }

  refuses(): null {
    return null
  }

  refusesByDefault(): null {
    return null
  }

  finish(attributes: PathAttributes, original: PathAttributes, from: number): PathAttributes | string {
    const source = this.#around.source(from)
    const nextHop = this.#nextHop(original, source)
    if (typeof nextHop === 'string') return nextHop
    const { peerType, localAsn } = this.#facts
    const passedOn = source.kind === 'local' ? attributes : withPartialUnknown(attributes)
    const told =
      peerType === 'iBGP'
        ? { ...passedOn, nextHop, localPref: passedOn.localPref ?? DEFAULT_LOCAL_PREF, ...this.#reflected(passedOn, source) }
        : {
            ...passedOn,
            nextHop,
            asPath: prependAsPath(passedOn.asPath, [localAsn]),
            localPref: null,
            originatorId: null,
            clusterList: [],
            onlyToCustomer: passedOn.onlyToCustomer ?? this.#onlyToCustomer(),
          }
    const finished = this.#facts.draining ? aboutToGo(told) : told
    return this.#fits(finished) ? finished : 'its attributes do not fit into a message of this session'
  }

  /** Which kinds of path go to which kinds of peer: DESIGN §7 for hosts, RFC 4456 §6 for reflection. */
  #notForThem(source: PathSource): string | null {
    const { mode, peerType, isClient, clusterId } = this.#facts
    const isInternal = source.kind === 'iBGP' && peerType === 'iBGP'
    if (isInternal) {
      if (clusterId === null) return 'learned from an internal peer, and we are no route reflector'
      return source.isClient || isClient ? null : 'learned from a non-client, and this peer is no client either (RFC 4456 §6)'
    }
    return mode === 'Host' ? 'a host never passes on what it has learned' : null
  }

  /** Well-known communities and roles. They bind what was learned; what we attach to our own prefixes is for others to obey. */
  #forbiddenByPath({ communities, onlyToCustomer }: PathAttributes): string | null {
    const { peerType, role, longLived } = this.#facts
    const has = (community: number): boolean => communities.some((each) => each === community)
    if (has(WELL_KNOWN_COMMUNITY.NO_ADVERTISE)) return 'NO_ADVERTISE (RFC 1997)'
    if (!longLived && has(WELL_KNOWN_COMMUNITY.LLGR_STALE)) return 'long-lived stale, and this peer cannot take that (RFC 9494 §4.3)'
    if (peerType === 'iBGP') return null
    if (has(WELL_KNOWN_COMMUNITY.NO_EXPORT)) return 'NO_EXPORT (RFC 1997)'
    if (has(WELL_KNOWN_COMMUNITY.NO_EXPORT_SUBCONFED)) return 'NO_EXPORT_SUBCONFED (RFC 1997)'
    // Traffic is not dropped on BLACKHOLE: RFC 7999 §3.3 wants an agreement between the networks first. Its spread ends here (§3.2).
    if (has(WELL_KNOWN_COMMUNITY.BLACKHOLE)) return 'BLACKHOLE stays inside the AS (RFC 7999 §3.2)'
    if (role === 'Peer' && has(WELL_KNOWN_COMMUNITY.NOPEER)) return 'NOPEER (RFC 3765)'
    if (onlyToCustomer !== null && (role === 'Customer' || role === 'Peer' || role === 'RouteServerClient'))
      return 'Only-to-Customer: not for providers, peers or route servers (RFC 9234 §5)'
    return null
  }

  /** MED and non-transitive communities of others end at the border of the AS (RFC 4271 §5.1.4, RFC 4360 §6). */
  #withoutWhatEndsHere(attributes: PathAttributes, isLocal: boolean): PathAttributes {
    if (isLocal || this.#facts.peerType === 'iBGP') return attributes
    const inner = withoutNonTransitive(attributes)
    return inner.med === null ? inner : { ...inner, med: null }
  }

  #isReflected(source: PathSource): boolean {
    return source.kind === 'iBGP' && this.#facts.peerType === 'iBGP'
  }

  /** RFC 4456 §8. */
  #reflected({ originatorId, clusterList }: PathAttributes, source: PathSource): Partial<PathAttributes> {
    const { clusterId } = this.#facts
    if (!this.#isReflected(source) || clusterId === null) return {}
    return { originatorId: originatorId ?? source.routerId, clusterList: [clusterId, ...clusterList] }
  }

  #onlyToCustomer(): Asn | null {
    const { role, localAsn } = this.#facts
    return role === 'Provider' || role === 'Peer' || role === 'RouteServer' ? localAsn : null
  }

  #nextHop({ nextHop }: PathAttributes, source: PathSource): NextHop | string {
    const { self } = this.#facts
    const isReflected = this.#isReflected(source)
    if (nextHop !== null && (isReflected || this.#keeps(nextHop.address, source))) {
      if (this.#canCarry(nextHop.address)) return nextHop.linkLocal === null ? nextHop : { address: nextHop.address, linkLocal: null }
      if (isReflected) return 'its next hop means nothing to this peer, and a reflector does not change it'
    }
    return (
      self ?? `we have no ${this.#facts.family === 'IPv4Unicast' ? 'IPv4' : 'IPv6'} address on the link of this session to be the next hop`
    )
  }

  /** A link-local address is known on one link only; IPv4 prefixes take an IPv6 next hop only where agreed on (RFC 8950). */
  #canCarry(address: IpAddress): boolean {
    if (!isIpv6(address)) return this.#facts.family === 'IPv4Unicast'
    return !isLinkLocalIpv6(address) && (this.#facts.family === 'IPv6Unicast' || this.#facts.context.extendedNextHop)
  }

  /** RFC 4271 §5.1.3. `source` hears nothing of its own path, so its own address may go to the others of its group. */
  #keeps(address: IpAddress, source: PathSource): boolean {
    const { nextHopMode, peerType, link } = this.#facts
    if (nextHopMode === 'Self') return false
    if (peerType === 'iBGP') return true
    if (address !== source.address && this.#around.isPeerAddress(address)) return false
    return nextHopMode === 'Keep' || (link !== null && containsAddress(link, address))
  }

  #fits(attributes: PathAttributes): boolean {
    const { family, context } = this.#facts
    if (roughOctets(attributes) < 3000) return true
    const limit = context.extendedMessage ? 65_535 : 4096
    // Header and lengths 23; MP_REACH header, AFI, SAFI, next hop and reserved octet 4 + 3 + 33 + 1.
    const rest = limit - 23 - 41 - maxNlriOctets(family, context.addPathSend.has(family))
    return encodePathAttributes(attributes, family, context).length <= rest
  }
}

/** The community makes external peers prefer any other path (RFC 8326 §4.2); internal ones go by LOCAL_PREF, whatever they make of it. */
function aboutToGo(attributes: PathAttributes): PathAttributes {
  const marked = withCommunity(attributes, WELL_KNOWN_COMMUNITY.GRACEFUL_SHUTDOWN)
  return marked.localPref === null ? marked : { ...marked, localPref: 0 }
}

/** An upper bound of the encoded size, so that only giants are encoded to be measured. */
function roughOctets(attributes: PathAttributes): number {
  let octets = 120
  for (const { asns } of attributes.asPath) octets += 4 + asns.length * 8 // AS4_PATH may come on top
  for (const { value } of attributes.unknown) octets += 4 + value.length
  return (
    octets +
    attributes.communities.length * 4 +
    attributes.clusterList.length * 4 +
    attributes.extendedCommunities.length * 8 +
    attributes.ipv6ExtendedCommunities.length * 20 +
    attributes.largeCommunities.length * 12
  )
}
