// Filters made ready to run. The conditions on attributes are the same for every prefix that carries them, so they are
// answered once per attribute set: what remains is a short list of prefix conditions ("residue"), most often none at all.
import type { IpFamily, Prefix } from '../../net/index.ts'
import type { PathAttributes } from '../attributes.ts'
import type { CommunityValue, Filter, FilterOperation, FilterRule, PrefixMatch } from '../filter.ts'
import { addCommunity, firstSequence, prependAsPath, removeCommunity } from './attribute-edit.ts'
import { maskWord, type PrefixWords, wordsOf } from './prefix-words.ts'

export type FilterDirection = 'import' | 'export'

/** A rule with the place it has in its filter, for people. */
export type PlacedRule = {
  readonly filter: string
  readonly number: number
  readonly rule: FilterRule
  readonly match: CompiledMatch | null
}

/** What is left of a list of filters once the attributes are known: the first entry whose prefix condition holds decides. */
export type Residue = readonly PlacedRule[]

export class FilterProgram {
  readonly #rules: readonly PlacedRule[]

  /** The rules of `filters` for one direction, family and kind of session, in order. */
  constructor(filters: readonly Filter[], direction: FilterDirection, family: IpFamily, peerType: 'eBGP' | 'iBGP') {
    this.#rules = filters.flatMap((filter) =>
      filter[direction][family].flatMap((rule, index): readonly PlacedRule[] =>
        rule.peerType !== null && rule.peerType !== peerType
          ? []
          : [{ filter: filter.name, number: index + 1, rule, match: rule.prefix === null ? null : new CompiledMatch(rule.prefix) }],
      ),
    )
  }

  /** `isLocal`: we originate the path. */
  residue(attributes: PathAttributes, isLocal: boolean): Residue {
    const left: PlacedRule[] = []
    for (const placed of this.#rules) {
      if (!holds(placed.rule, attributes, isLocal)) continue
      left.push(placed)
      if (placed.match === null) break
    }
    return left
  }
}

/** The deciding rule for a prefix, or null: the default policy decides. */
export function decidingRule(residue: Residue, w0: number, w1: number, w2: number, w3: number, length: number): PlacedRule | null {
  for (const placed of residue) if (placed.match === null || placed.match.holds(w0, w1, w2, w3, length)) return placed
  return null
}

/** `Equal` and `NotEqual` look at the prefix as it is; `In` and `NotIn` at everything inside it, within the bounds of length. */
class CompiledMatch {
  readonly #cidr: PrefixWords
  readonly #mask: PrefixWords
  readonly #minLength: number
  readonly #maxLength: number
  readonly #negated: boolean

  constructor({ cidr, operator, minLength, maxLength }: PrefixMatch) {
    this.#cidr = wordsOf(cidr)
    const { length } = cidr
    this.#mask = { w0: maskWord(length), w1: maskWord(length - 32), w2: maskWord(length - 64), w3: maskWord(length - 96), length }
    const isExact = operator === 'Equal' || operator === 'NotEqual'
    this.#minLength = isExact ? length : Math.max(length, minLength)
    this.#maxLength = isExact ? length : maxLength
    this.#negated = operator === 'NotEqual' || operator === 'NotIn'
  }

  holds(w0: number, w1: number, w2: number, w3: number, length: number): boolean {
    const cidr = this.#cidr
    const mask = this.#mask
    const isIn =
      length >= this.#minLength &&
      length <= this.#maxLength &&
      ((w0 ^ cidr.w0) & mask.w0) === 0 &&
      ((w1 ^ cidr.w1) & mask.w1) === 0 &&
      ((w2 ^ cidr.w2) & mask.w2) === 0 &&
      ((w3 ^ cidr.w3) & mask.w3) === 0
    return isIn !== this.#negated
  }

  /** For tests and look-ups: takes a prefix value. */
  holdsFor(value: Prefix): boolean {
    const { w0, w1, w2, w3, length } = wordsOf(value)
    return this.holds(w0, w1, w2, w3, length)
  }
}

function holds(rule: FilterRule, attributes: PathAttributes, isLocal: boolean): boolean {
  if (rule.source !== null && (rule.source === 'Local') !== isLocal) return false
  if (rule.communities !== null && !rule.communities.some((value) => hasCommunity(attributes, value))) return false
  if (rule.asPathPrefix !== null && !beginsWith(attributes, rule.asPathPrefix)) return false
  const wanted = rule.asPathContains
  return wanted === null || attributes.asPath.some(({ asns }) => asns.includes(wanted))
}

function hasCommunity(attributes: PathAttributes, community: CommunityValue): boolean {
  switch (community.kind) {
    case 'standard':
      return attributes.communities.includes(community.value)
    case 'extended':
      return attributes.extendedCommunities.includes(community.value)
    case 'large': {
      const [a, b, c] = community.value
      return attributes.largeCommunities.some((large) => large[0] === a && large[1] === b && large[2] === c)
    }
  }
}

function beginsWith(attributes: PathAttributes, wanted: readonly number[]): boolean {
  const leading = firstSequence(attributes.asPath, wanted.length)
  return leading.length === wanted.length && wanted.every((asn, at) => leading[at] === asn)
}

/** Applies the operations of an accepting rule in order. Returns the very same object if they change nothing. */
export function applyOperations(attributes: PathAttributes, operations: readonly FilterOperation[]): PathAttributes {
  return operations.reduce(applyOperation, attributes)
}

function applyOperation(attributes: PathAttributes, operation: FilterOperation): PathAttributes {
  switch (operation.kind) {
    case 'addCommunity':
      return addCommunity(attributes, operation.community)
    case 'removeCommunity':
      return removeCommunity(attributes, operation.community)
    case 'prependAsPath':
      return operation.asns.length === 0 ? attributes : { ...attributes, asPath: prependAsPath(attributes.asPath, operation.asns) }
    case 'setLocalPreference':
      return attributes.localPref === operation.value ? attributes : { ...attributes, localPref: operation.value }
    case 'setMed':
      return attributes.med === operation.value ? attributes : { ...attributes, med: operation.value }
  }
}
