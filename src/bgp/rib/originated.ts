// The prefixes we originate ourselves, as paths of peer number 0.
import { formatPrefix, type PrefixKey, prefixFamily } from '../../net/index.ts'
import { ORIGINATED, type PathAttributes, WELL_KNOWN_COMMUNITY } from '../attributes.ts'
import type { OriginatedPrefix } from '../config.ts'
import type { Family } from '../family.ts'
import { Arrivals } from './arrivals.ts'
import { canonicalCommunities, canonicalLargeCommunities } from './attribute-edit.ts'
import { type PrefixWords, wordsOf } from './prefix-words.ts'
import type { RibState } from './state.ts'

type Entry = { readonly family: Family; readonly words: PrefixWords; readonly attributes: number }

export class Originated {
  readonly #state: RibState
  readonly #arrivals: Readonly<Record<Family, Arrivals>> = { IPv4Unicast: new Arrivals(), IPv6Unicast: new Arrivals() }
  #entries = new Map<PrefixKey, Entry>()

  constructor(state: RibState) {
    this.#state = state
  }

  /** The whole truth; a prefix named twice has the communities of its last entry. */
  set(originated: readonly OriginatedPrefix[]): void {
    const { attributes, tables } = this.#state
    const wanted = new Map<PrefixKey, Entry>()
    for (const each of originated) {
      const family: Family = prefixFamily(each.prefix) === 4 ? 'IPv4Unicast' : 'IPv6Unicast'
      wanted.set(formatPrefix(each.prefix), { family, words: wordsOf(each.prefix), attributes: attributes.intern(attributesOf(each)) })
    }
    for (const [key, { family, words }] of this.#entries) if (!wanted.has(key)) tables[family].revoke(words, this.#arrivals[family])
    for (const { family, words, attributes: id } of wanted.values()) tables[family].originate(words, id, this.#arrivals[family])
    this.#entries = wanted
  }
}

function attributesOf({ communities, largeCommunities }: OriginatedPrefix): PathAttributes {
  if (communities.length === 0 && largeCommunities.length === 0) return ORIGINATED
  return {
    ...ORIGINATED,
    // Internal peers go by LOCAL_PREF, whatever they make of the community (RFC 8326 §4.2).
    localPref: communities.includes(WELL_KNOWN_COMMUNITY.GRACEFUL_SHUTDOWN) ? 0 : ORIGINATED.localPref,
    communities: canonicalCommunities(communities),
    largeCommunities: canonicalLargeCommunities(largeCommunities),
  }
}
