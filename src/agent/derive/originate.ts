// What this node advertises as its own: its confirmed blocks, the addresses its pods have from blocks of others, and the configured
// networks, with the communities that prefixAdvertisements put on them; and which learned routes it may believe without a filter.
import type { Community, LargeCommunity, OriginatedPrefix } from '../../bgp/index.ts'
import { cidr, comparePrefix, containsAddress, covers, formatPrefix, hostPrefix, type IpAddress, type Prefix } from '../../net/index.ts'
import { parseCommunityText, type Snapshot } from '../../store/index.ts'
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
}

export type OriginationInput = {
  readonly snapshot: Snapshot
  readonly nodeName: string
  readonly settings: NodeSettings
  readonly pools: readonly Pool[]
  /** Addresses of the pods on this node. */
  readonly podAddresses: readonly IpAddress[]
  readonly problems: Problems
}

export function deriveOrigination({ snapshot, nodeName, settings, pools, podAddresses, problems }: OriginationInput): Origination {
  const blocks = inOrder(snapshot.IPAMBlock)
    .filter(({ spec }) => spec.node === nodeName && spec.state === 'Confirmed')
    .map(({ spec }) => cidr(spec.cidr))
  // The host route of a borrowed address is more specific than the block it is from, so it beats the owner's route and blackhole.
  const borrowed = podAddresses
    .filter((address) => !blocks.some((block) => containsAddress(block, address)))
    .map(hostPrefix)
    .sort(comparePrefix)
  const exported = [...blocks, ...borrowed].filter((own) => pools.every(({ range, spec }) => !spec.disableBGPExport || !covers(range, own)))
  const prefixes = new Map([...exported, ...settings.networks.map(cidr)].map((prefix) => [formatPrefix(prefix), prefix]))
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
  const originated = [...prefixes.values()].map((prefix): OriginatedPrefix => {
    const texts = advertisements.filter(({ range }) => covers(range, prefix)).flatMap(({ communities }) => communities)
    return { prefix, ...communitiesOf(texts.map((text) => named.get(text) ?? text)) }
  })
  const services = [...settings.serviceClusterIPs, ...settings.serviceExternalIPs, ...settings.serviceLoadBalancerIPs]
  return {
    originated,
    blackholes: blocks,
    importBounds: pools.map(({ range }) => range),
    serviceRanges: services.map(({ cidr: text }) => cidr(text)),
  }
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
