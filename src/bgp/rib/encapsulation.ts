// Which prefixes are carried in IP-in-IP towards which next hops (RFC 2003, RFC 2473), as a question that can be asked for each
// prefix: its `Carriage`. Whether a path then really goes into the tunnel depends on its next hop, which the resolver looks at.
import { familyOf, formatPrefix, hostPrefix, type IpAddress, type IpFamily, isIpv4, type Prefix, prefixFamily } from '../../net/index.ts'
import type { EncapsulationConfig } from '../config.ts'
import { coversWords, PrefixSet, type PrefixWords, wordsOf } from './prefix-words.ts'

/** How paths for a prefix may go; `index` keys what was worked out for it. The family of a tunnelled prefix counts: only next hops of the same family can be encapsulated to. */
export type Carriage = {
  readonly index: number
  readonly tunnel: { readonly family: IpFamily; readonly mode: EncapsulationConfig['pools'][number]['mode'] } | null
}

/** As it is. */
export const PLAIN: Carriage = { index: 0, tunnel: null }

const TUNNELLED: Readonly<Record<IpFamily, Readonly<Record<EncapsulationConfig['pools'][number]['mode'], Carriage>>>> = {
  4: { CrossSubnet: { index: 1, tunnel: { family: 4, mode: 'CrossSubnet' } }, Always: { index: 2, tunnel: { family: 4, mode: 'Always' } } },
  6: { CrossSubnet: { index: 3, tunnel: { family: 6, mode: 'CrossSubnet' } }, Always: { index: 4, tunnel: { family: 6, mode: 'Always' } } },
}

/** By index. */
export const CARRIAGES: readonly Carriage[] = [PLAIN, ...Object.values(TUNNELLED).flatMap((modes) => Object.values(modes))].sort(
  (a, b) => a.index - b.index,
)

type FamilyPools = {
  /** Where nothing is inside, the list need not be walked. */
  readonly all: PrefixSet
  /** The most specific first. */
  readonly pools: readonly { readonly words: PrefixWords; readonly carriage: Carriage }[]
  /** Addresses of nodes: what contains one of them carries the tunnel itself, so it cannot go through it. */
  readonly nodes: PrefixSet
}

export class Encapsulation {
  readonly config: EncapsulationConfig
  readonly #nodes: ReadonlySet<IpAddress>
  readonly #families: Readonly<Record<IpFamily, FamilyPools | null>>

  constructor(config: EncapsulationConfig) {
    this.config = config
    this.#nodes = new Set(config.nodes)
    this.#families = { 4: poolsOf(config, 4), 6: poolsOf(config, 6) }
  }

  /** Words as in `prefix-words.ts`. */
  carriage(family: IpFamily, w0: number, w1: number, w2: number, w3: number, length: number): Carriage {
    const own = this.#families[family]
    if (own === null || !own.all.covers(w0, w1, w2, w3, length) || own.nodes.hasWithin(w0, w1, w2, w3, length)) return PLAIN
    for (const { words, carriage } of own.pools) if (coversWords(words, w0, w1, w2, w3, length)) return carriage
    return PLAIN
  }

  carriageOf(prefix: Prefix): Carriage {
    const { w0, w1, w2, w3, length } = wordsOf(prefix)
    return this.carriage(prefixFamily(prefix), w0, w1, w2, w3, length)
  }

  isNode(address: IpAddress): boolean {
    return this.#nodes.has(address)
  }

  /** Name of the tunnel device that reaches a node, and the module the kernel makes it with. */
  deviceTo(node: IpAddress): { readonly name: string; readonly kernelModule: string } {
    const { ipv4, ipv6 } = this.config.device
    return isIpv4(node) ? { name: ipv4, kernelModule: 'ipip' } : { name: ipv6, kernelModule: 'ip6_tunnel' }
  }
}

function poolsOf({ pools, nodes }: EncapsulationConfig, family: IpFamily): FamilyPools | null {
  const own = pools.filter(({ prefix }) => prefixFamily(prefix) === family)
  if (own.length === 0) return null
  return {
    all: new PrefixSet(
      own.map(({ prefix }) => prefix),
      family,
    ),
    pools: own
      .map(({ prefix, mode }) => ({ words: wordsOf(prefix), carriage: TUNNELLED[family][mode] }))
      .sort((a, b) => b.words.length - a.words.length),
    nodes: new PrefixSet(
      nodes.filter((address) => familyOf(address) === family).map((address) => hostPrefix(address)),
      family,
    ),
  }
}

/**
 * The prefixes inside which another configuration may mean another carriage: the pools, old and new, that are no longer the same, and
 * those in which a node's address came or went. Next hops that became or ceased to be nodes are the resolver's to find.
 */
export function poolsConcerned(before: EncapsulationConfig | null, after: EncapsulationConfig | null): readonly Prefix[] {
  const keyed = (config: EncapsulationConfig | null): ReadonlyMap<string, Prefix> =>
    new Map((config?.pools ?? []).map(({ prefix, mode }) => [`${formatPrefix(prefix)} ${mode}`, prefix]))
  const old = keyed(before)
  const now = keyed(after)
  const changed = [...old, ...now].filter(([key]) => old.has(key) !== now.has(key)).map(([, prefix]) => prefix)
  const oldNodes = new Set(before?.nodes)
  const newNodes = new Set(after?.nodes)
  const moved = [...oldNodes, ...newNodes].filter((node) => oldNodes.has(node) !== newNodes.has(node)).map((node) => hostPrefix(node))
  const concerned = [...now.values()].filter((pool) => {
    const { w0, w1, w2, w3, length } = wordsOf(pool)
    return new PrefixSet(moved, prefixFamily(pool)).hasWithin(w0, w1, w2, w3, length)
  })
  return [...changed, ...concerned]
}
