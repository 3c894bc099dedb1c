// Addresses that nobody has any more, and other things in the blocks that cannot be right (pure). What is found once may be on its
// way, so nothing is released before a second look, some time later by the clock of whoever looks, has found the very same
// allocation again. Times that other machines wrote play no part.
import { comparePrefix, containsAddress, covers, formatIp, formatPrefix, type IpAddress, type Prefix } from '../net/index.ts'
import { type BlockAllocation, type BlockRecord, type BlockReserve, nodeOfAllocation } from './block-record.ts'
import { nameOf, ownerInWords } from './plan.ts'

/** What was seen before, and since when. */
export class LeakWatch {
  readonly #apartMs: number
  #firstSeenMs = new Map<string, number>()

  constructor(apartMs: number) {
    this.#apartMs = apartMs
  }

  /** Takes note of all that is seen now; returns those seen before, at least `apartMs` ago, and in every look in between. */
  observe(names: Iterable<string>, nowMs: number): ReadonlySet<string> {
    const seen = new Map<string, number>()
    const confirmed = new Set<string>()
    for (const name of names) {
      const firstMs = this.#firstSeenMs.get(name) ?? nowMs
      seen.set(name, firstMs)
      if (this.#firstSeenMs.has(name) && nowMs - firstMs >= this.#apartMs) confirmed.add(name)
    }
    this.#firstSeenMs = seen
    return confirmed
  }
}

/** A pod that has, or will have, addresses of its own. */
export type LivingPod = {
  readonly namespace: string
  readonly name: string
  readonly node: string | null
  /** Empty: not known yet. */
  readonly addresses: readonly IpAddress[]
  /** It has ended (phase Succeeded or Failed): what it still has is a leak. */
  readonly isFinished: boolean
}

export type AddressFinding = {
  readonly kind: 'noOwner' | 'nodeGone' | 'outsidePool'
  readonly block: Prefix
  readonly allocation: BlockAllocation
  /** What is wrong, in words. */
  readonly message: string
}
export type Finding =
  | AddressFinding
  | { readonly kind: 'duplicate' | 'unrecorded'; readonly block: Prefix | null; readonly address: IpAddress; readonly message: string }
  | { readonly kind: 'reserveNodeGone'; readonly block: Prefix; readonly reserve: BlockReserve; readonly message: string }
  | { readonly kind: 'blockNodeGone' | 'blockOutsidePool' | 'blocksOverlap'; readonly block: Prefix; readonly message: string }

/** The cluster at one moment. */
export type AddressCensus = {
  readonly pools: readonly Prefix[]
  readonly blocks: readonly BlockRecord[]
  /** Names of the nodes; null: not known, so that none counts as gone. */
  readonly nodes: ReadonlySet<string> | null
  /** All pods but those on the network of their host; null: not known, so that none counts as gone. */
  readonly pods: readonly LivingPod[] | null
}

/** All that is not as it should be, by block. Changes nothing and decides nothing: see `LeakWatch` and `withoutFindings`. */
export function findLeaks(census: AddressCensus): readonly Finding[] {
  const pods = new Map((census.pods ?? []).map((pod) => [`${pod.namespace}/${pod.name}`, pod]))
  const blocks = [...census.blocks].sort((a, b) => comparePrefix(a.range, b.range))
  return [
    ...blocks.flatMap((block) => [...blockFindings(block, census), ...addressFindings(block, census, pods)]),
    ...overlaps(blocks),
    ...duplicates(blocks),
    ...(census.pods === null ? [] : unrecorded(census, census.pods)),
  ]
}

/** One name for a finding, the same as long as it is about the same allocation: what `LeakWatch` is told. */
export function findingName(finding: Finding): string {
  if ('allocation' in finding) return `${finding.kind} ${nameOf(finding.allocation)} ${finding.allocation.handle}`
  if ('reserve' in finding) return `${finding.kind} ${nameOf(finding.reserve)} ${finding.reserve.node}`
  if ('address' in finding) return `${finding.kind} ${formatIp(finding.address)}`
  return `${finding.kind} ${formatPrefix(finding.block)}`
}

/**
 * The block without what the findings name, each named by handle and sequence, so that an address used again meanwhile stays;
 * null: nothing of it is there any more. What is freed rests like any released address.
 */
export function withoutFindings(block: BlockRecord, findings: readonly Finding[], time: string): BlockRecord | null {
  const gone = new Set(findings.flatMap((each) => ('allocation' in each ? [`${nameOf(each.allocation)} ${each.allocation.handle}`] : [])))
  const reserves = new Set(findings.flatMap((each) => ('reserve' in each ? [`${nameOf(each.reserve)} ${each.reserve.node}`] : [])))
  const lost = findings.some((each) => each.kind === 'blockNodeGone' && comparePrefix(each.block, block.range) === 0)
  const freed = block.allocations.filter((each) => gone.has(`${nameOf(each)} ${each.handle}`))
  const kept = block.reserves.filter((each) => !reserves.has(`${nameOf(each)} ${each.node}`))
  if (freed.length === 0 && kept.length === block.reserves.length && !(lost && block.node !== null)) return null
  // Allocations that name no node belong to that of the block: they must say so before the block has none.
  const allocations = block.allocations
    .filter((each) => !freed.includes(each))
    .map((each) => ({ ...each, node: nodeOfAllocation(block, each) }))
  const first = block.sequence + 1
  return {
    ...block,
    node: lost ? null : block.node,
    sequence: block.sequence + freed.length + 1,
    allocations,
    reserves: kept,
    released: [...block.released, ...freed.map(({ address }, at) => ({ address, sequence: first + at, time }))],
  }
}

function blockFindings(block: BlockRecord, { pools, nodes }: AddressCensus): readonly Finding[] {
  const findings: Finding[] = []
  const text = formatPrefix(block.range)
  if (!pools.some((pool) => covers(pool, block.range))) {
    findings.push({
      kind: 'blockOutsidePool',
      block: block.range,
      message: `block ${text}${block.node === null ? '' : ` of node ${block.node}`} is in no IPPool; create the IPPool again, or delete the pods of its ${block.allocations.length} addresses`,
    })
  }
  if (block.node !== null && nodes !== null && !nodes.has(block.node)) {
    findings.push({
      kind: 'blockNodeGone',
      block: block.range,
      message: `block ${text} belongs to node ${block.node}, which does not exist any more`,
    })
  }
  for (const reserve of block.reserves) {
    if (nodes === null || nodes.has(reserve.node)) continue
    findings.push({
      kind: 'reserveNodeGone',
      block: block.range,
      reserve,
      message: `${formatIp(reserve.address)} is claimed ahead by node ${reserve.node}, which does not exist any more`,
    })
  }
  return findings
}

function addressFindings(block: BlockRecord, census: AddressCensus, pods: ReadonlyMap<string, LivingPod>): readonly Finding[] {
  return block.allocations.flatMap((allocation): readonly Finding[] => {
    const address = formatIp(allocation.address)
    const owner = ownerInWords(allocation, block.node)
    const node = nodeOfAllocation(block, allocation)
    const finding = (kind: AddressFinding['kind'], message: string): readonly Finding[] => [
      { kind, block: block.range, allocation, message },
    ]
    if (node !== null && census.nodes !== null && !census.nodes.has(node)) {
      return finding('nodeGone', `${address} belongs to ${owner}, and that node does not exist any more`)
    }
    const why = census.pods === null ? null : whyNotLiving(allocation, node, pods)
    if (why !== null) return finding('noOwner', `${address} belongs to ${owner}, but ${why}`)
    if (!census.pools.some((pool) => containsAddress(pool, allocation.address))) {
      return finding('outsidePool', `${address} of ${owner} is in no IPPool; create the IPPool again, or delete the pod`)
    }
    return []
  })
}

/** null: its pod lives, or nobody can tell. */
function whyNotLiving(allocation: BlockAllocation, node: string | null, pods: ReadonlyMap<string, LivingPod>): string | null {
  if (allocation.pod === null) return null
  const pod = pods.get(`${allocation.pod.namespace}/${allocation.pod.name}`)
  if (pod === undefined) return 'there is no such pod'
  if (pod.node !== null && node !== null && pod.node !== node) return `the pod of that name is on node ${pod.node}`
  if (pod.isFinished) return 'that pod has ended'
  if (pod.addresses.length === 0 || pod.addresses.some((address) => address === allocation.address)) return null
  return `that pod has ${pod.addresses.map(formatIp).join(' and ')}`
}

function overlaps(sorted: readonly BlockRecord[]): readonly Finding[] {
  const findings: Finding[] = []
  let around: BlockRecord | null = null
  for (const block of sorted) {
    if (around !== null && covers(around.range, block.range)) {
      findings.push({
        kind: 'blocksOverlap',
        block: block.range,
        message: `block ${formatPrefix(block.range)} lies in block ${formatPrefix(around.range)}, so that an address can have two owners; drain one of the two nodes (was blockSize of the pool changed?)`,
      })
    } else around = block
  }
  return findings
}

function duplicates(blocks: readonly BlockRecord[]): readonly Finding[] {
  const owners = new Map<IpAddress, { readonly owner: string; readonly handle: string }>()
  const findings: Finding[] = []
  for (const block of blocks) {
    for (const allocation of block.allocations) {
      const first = owners.get(allocation.address)
      const owner = ownerInWords(allocation, block.node)
      if (first === undefined) owners.set(allocation.address, { owner, handle: allocation.handle })
      else {
        findings.push({
          kind: 'duplicate',
          block: block.range,
          address: allocation.address,
          message: `${formatIp(allocation.address)} has two owners: ${first.owner} and ${owner}; delete one of the two pods`,
        })
      }
    }
  }
  return findings
}

/** Addresses that pods use without being in a block, as allocation or claimed ahead by their node: another pod could get them too. */
function unrecorded({ pools, blocks }: AddressCensus, pods: readonly LivingPod[]): readonly Finding[] {
  const known = new Set<IpAddress>()
  for (const block of blocks) {
    for (const { address } of block.allocations) known.add(address)
    for (const { address } of block.reserves) known.add(address)
  }
  const users = new Map<IpAddress, string>()
  const findings: Finding[] = []
  for (const { namespace, name, node, addresses, isFinished } of pods) {
    if (isFinished) continue
    for (const address of addresses) {
      if (!pools.some((pool) => containsAddress(pool, address))) continue
      const other = users.get(address)
      const who = `pod ${namespace}/${name}${node === null ? '' : ` on node ${node}`}`
      users.set(address, who)
      if (other !== undefined) {
        findings.push({
          kind: 'duplicate',
          block: null,
          address,
          message: `${formatIp(address)} has two owners: ${other} and ${who}; delete one of the two pods`,
        })
      } else if (!known.has(address)) {
        findings.push({
          kind: 'unrecorded',
          block: null,
          address,
          message: `${formatIp(address)} is used by ${who}, but no block says so; is the agent of that node running?`,
        })
      }
    }
  }
  return findings
}
