// What this node advertises as its own: its confirmed blocks, the addresses its pods have from blocks of others, the configured
// networks, and services, with the communities that prefixAdvertisements put on them; and which learned routes it may believe without a
// filter.
import { type Community, type LargeCommunity, type OriginatedPrefix, WELL_KNOWN_COMMUNITY } from '../../bgp/index.ts'
import { cidr, comparePrefix, containsAddress, covers, formatPrefix, hostPrefix, type IpAddress, type Prefix } from '../../net/index.ts'
import { parseCommunityText, type Snapshot } from '../../store/index.ts'
import type { ServiceRoute } from '../services/plan.ts'
import { communityValue } from './filters.ts'
import type { Pool } from './ipam.ts'
import { inOrder, type Problems } from './problems.ts'
import type { NodeSettings } from './settings.ts'

export type Origination = {
  readonly originated: readonly OriginatedPrefix[]
  /** Own blocks: what no local pod answers to is dropped here, not sent back to the router it came from. */
  readonly blackholes: readonly Prefix[]
  readonly importBounds: readonly Prefix[]
  readonly serviceRanges: readonly Prefix[]
  /** What each originated prefix is for, by its text, in words: `block`, `Service/default/web`. */
  readonly sources: ReadonlyMap<string, readonly string[]>
}

export type OriginationInput = {
  readonly snapshot: Snapshot
  readonly nodeName: string
  readonly settings: NodeSettings
  readonly pools: readonly Pool[]
  /** Addresses of the pods on this node. */
  readonly podAddresses: readonly IpAddress[]
  readonly services: readonly ServiceRoute[]
  readonly problems: Problems
}

export function deriveOrigination(input: OriginationInput): Origination {
  const { snapshot, nodeName, settings, pools, podAddresses, services, problems } = input
  const blocks = inOrder(snapshot.IPAMBlock)
    .filter(({ spec }) => spec.node === nodeName && spec.state === 'Confirmed')
    .map(({ spec }) => cidr(spec.cidr))
  // The host route of a borrowed address is more specific than the block it is from, so it beats the owner's route and blackhole.
  const borrowed = podAddresses
    .filter((address) => !blocks.some((block) => containsAddress(block, address)))
    .map(hostPrefix)
    .sort(comparePrefix)
  const exported = [...blocks, ...borrowed].filter((own) => pools.every(({ range, spec }) => !spec.disableBGPExport || !covers(range, own)))
  const networks = settings.networks.map(cidr)
  const prefixes = new Map([...exported, ...networks].map((prefix) => [formatPrefix(prefix), prefix]))
  const yielding = new Set<string>()
  for (const { prefix, isYielding } of services) {
    const key = formatPrefix(prefix)
    if (prefixes.has(key)) continue // it is ours whatever becomes of the service
    prefixes.set(key, prefix)
    if (isYielding) yielding.add(key)
  }
  const advertisements = settings.prefixAdvertisements.map(({ cidr: text, communities }) => ({ range: cidr(text), communities }))
  const named = new Map(settings.communities.map(({ name, value }) => [name, value]))
  for (const { range, communities } of advertisements) {
    for (const text of communities) {
      if (named.has(text) || parseCommunityText(text) !== null) continue
      problems.error(
        'BGPConfiguration',
        `prefixAdvertisements of ${formatPrefix(range)} names community ${JSON.stringify(text)}, which is neither in spec.communities nor a community; add it there or write its value`,
      )
    }
  }
  const originated = [...prefixes].map(([key, prefix]): OriginatedPrefix => {
    const texts = advertisements.filter(({ range }) => covers(range, prefix)).flatMap(({ communities }) => communities)
    const own = communitiesOf(texts.map((text) => named.get(text) ?? text))
    if (!yielding.has(key)) return { prefix, ...own }
    const communities = [...new Set([...own.communities, WELL_KNOWN_COMMUNITY.GRACEFUL_SHUTDOWN])].sort((a, b) => a - b)
    return { prefix, ...own, communities }
  })
  const ranges = [...settings.serviceClusterIPs, ...settings.serviceExternalIPs, ...settings.serviceLoadBalancerIPs]
  return {
    originated,
    blackholes: blocks,
    importBounds: pools.map(({ range }) => range),
    serviceRanges: ranges.map(({ cidr: text }) => cidr(text)),
    sources: sourcesOf([
      ...blocks.map((prefix) => [prefix, ['block']] as const),
      ...borrowed.map((prefix) => [prefix, ['borrowed address']] as const),
      ...networks.map((prefix) => [prefix, ['networks']] as const),
      ...services.map(({ prefix, sources }) => [prefix, sources] as const),
    ]),
  }
}

function sourcesOf(each: readonly (readonly [Prefix, readonly string[]])[]): ReadonlyMap<string, readonly string[]> {
  const found = new Map<string, readonly string[]>()
  for (const [prefix, sources] of each) {
    const key = formatPrefix(prefix)
    found.set(key, [...(found.get(key) ?? []), ...sources])
  }
  return found
}

function communitiesOf(texts: readonly string[]): {
  readonly communities: readonly Community[]
  readonly largeCommunities: readonly LargeCommunity[]
} {
  const standard = new Set<Community>()
  const large = new Map<string, LargeCommunity>()
  for (const text of texts) {
    if (parseCommunityText(text) === null) continue // a problem already says so
    const value = communityValue(text)
    if (value.kind === 'standard') standard.add(value.value)
    else if (value.kind === 'large') large.set(value.value.join(':'), value.value)
  }
  return { communities: [...standard].sort((a, b) => a - b), largeCommunities: [...large.values()].sort(compareLarge) }
}

function compareLarge(a: LargeCommunity, b: LargeCommunity): number {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2]
}
