// What may have leaked, at one look (pure). Found here is only suspected: see collector.ts for the second look, and for what is asked
// again before anything is freed. Two kinds of looks:
//
// - at nodes: what belongs to a node that is gone from the store. A node that is unreachable is not gone.
// - at pods: addresses of pods that are nowhere any more, on nodes that are well. The agent of such a node releases what its state
//   directory does not know by itself; this is for what it no longer sees. On a node that is not Ready nobody has seen the pod's
//   containers end, so its addresses are kept.
import { type BlockAllocation, type Finding as BlockFinding, type BlockRecord, findLeaks, nodeOfAllocation } from '../../ipam/index.ts'
import { formatPrefix, type IpAddress, type Prefix, parseIp } from '../../net/index.ts'
import type { ResourceOf } from '../../store/index.ts'

/** Something of one block, with the node that it was of when it was seen. */
export type BlockSuspect = {
  readonly name: string
  readonly range: Prefix
  /** The node that is gone, or the one of the pod that is. */
  readonly node: string
  readonly finding: BlockFinding
}

export type NodeLook = {
  readonly inBlocks: readonly BlockSuspect[]
  /** Blocks that are nobody's and hold nothing: to be deleted, so that nodes claim the range anew. */
  readonly emptyBlocks: readonly { readonly name: string; readonly range: Prefix; readonly sequence: number }[]
  /** Names of nodes that are gone and have a NodeNetwork. */
  readonly networks: readonly string[]
}

/** At the nodes. `nodes`: names of all there are; null (a store without any): nobody knows, and none is gone. */
export function lookAtNodes(blocks: readonly BlockRecord[], networks: Iterable<string>, nodes: ReadonlySet<string> | null): NodeLook {
  const emptyBlocks = blocks
    .filter((block) => block.node === null && block.allocations.length === 0 && block.reserves.length === 0)
    .map(({ range, sequence }) => ({ name: `empty ${formatPrefix(range)} ${sequence}`, range, sequence }))
  if (nodes === null) return { inBlocks: [], emptyBlocks, networks: [] }
  const affected = blocks.filter((block) => nodesOf(block).some((node) => !nodes.has(node)))
  const findings = findLeaks({ pools: [], blocks: affected, nodes, pods: null })
  const byRange = new Map(affected.map((block) => [formatPrefix(block.range), block]))
  const inBlocks = findings.flatMap((finding): readonly BlockSuspect[] => {
    const block = finding.block === null ? undefined : byRange.get(formatPrefix(finding.block))
    const node = block === undefined ? null : goneNodeOf(finding, block)
    if (block === undefined || node === null) return []
    return [{ name: `${suspectName(finding)} ${node}`, range: block.range, node, finding }]
  })
  return { inBlocks, emptyBlocks, networks: [...networks].filter((name) => !nodes.has(name)).sort() }
}

/** Every node that a block names. */
function nodesOf(block: BlockRecord): readonly string[] {
  const named = [block.node, ...block.allocations.map(({ node }) => node), ...block.reserves.map(({ node }) => node)]
  return named.filter((node) => node !== null)
}

/** null: it is not about a node that is gone. */
function goneNodeOf(finding: BlockFinding, block: BlockRecord): string | null {
  switch (finding.kind) {
    case 'nodeGone':
      return nodeOfAllocation(block, finding.allocation)
    case 'reserveNodeGone':
      return finding.reserve.node
    case 'blockNodeGone':
      return block.node
    default:
      return null
  }
}

/** A pod of the cluster, as far as it matters here. */
export type PodFacts = { readonly node: string | null; readonly addresses: readonly IpAddress[] }

export function podKey(namespace: string, name: string): string {
  return `${namespace}/${name}`
}

export function podFacts({ spec, status }: ResourceOf<'Pod'>): PodFacts {
  const texts = [...status.podIPs.map(({ ip }) => ip), ...(status.podIP === undefined ? [] : [status.podIP])]
  return { node: spec.nodeName ?? null, addresses: texts.map(parseIp).filter((address) => address !== null) }
}

/**
 * At the pods: all of the cluster by `namespace/name`, listed after the blocks were seen, so that the pod of every address in them was
 * there to be found. `wellNodes`: names of the nodes that are Ready.
 */
export function lookAtPods(
  blocks: readonly BlockRecord[],
  pods: ReadonlyMap<string, PodFacts>,
  wellNodes: ReadonlySet<string>,
): readonly BlockSuspect[] {
  const reported = new Set([...pods.values()].flatMap(({ addresses }) => addresses))
  return blocks.flatMap((block) =>
    block.allocations.flatMap((allocation): readonly BlockSuspect[] => {
      const node = nodeOfAllocation(block, allocation)
      if (node === null || !wellNodes.has(node) || reported.has(allocation.address)) return []
      const pod = allocation.pod === null ? undefined : pods.get(podKey(allocation.pod.namespace, allocation.pod.name))
      if (!isLost(allocation, node, pod ?? null)) return []
      const { pod: owner } = allocation
      const message = `pod ${owner === null ? allocation.handle : podKey(owner.namespace, owner.name)} does not exist on node ${node}`
      const finding: BlockFinding = { kind: 'noOwner', block: block.range, allocation, message }
      return [{ name: suspectName(finding), range: block.range, node, finding }]
    }),
  )
}

/**
 * True if the pod of an address on `node` is nowhere, or the pod of that name is on another node by now. A pod that is there keeps what
 * it has, even if it reports another address: it may have more than one interface. What belongs to no pod is nobody's to judge.
 */
export function isLost(allocation: BlockAllocation, node: string, pod: PodFacts | null): boolean {
  if (allocation.pod === null) return false
  if (pod === null) return true
  return pod.node !== null && pod.node !== node && !pod.addresses.includes(allocation.address)
}

/** The same as long as it is about the same allocation, claim or block. */
function suspectName(finding: BlockFinding): string {
  const range = finding.block === null ? '' : formatPrefix(finding.block)
  if ('allocation' in finding) return `${finding.kind} ${range} ${finding.allocation.sequence} ${finding.allocation.handle}`
  if ('reserve' in finding) return `${finding.kind} ${range} ${finding.reserve.sequence}`
  return `${finding.kind} ${range}`
}
