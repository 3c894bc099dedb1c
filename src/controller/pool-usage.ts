// How much of each pool is in use, from the blocks (pure).
import { type BlockRecord, nodeOfAllocation } from '../ipam/index.ts'
import { bitsOf, cidr, comparePrefix, covers, type Prefix, prefixFamily } from '../net/index.ts'
import { blockOfObject, type IPAMBlock, type IPPool, poolBlockSize, poolPrefix } from '../store/index.ts'
import { type ClusterSnapshot, inOrder } from './cluster.ts'

/** What a node has of a pool: blocks, addresses of its pods, addresses claimed ahead. */
export type NodeUsage = { readonly node: string; readonly blocks: number; readonly allocated: number; readonly reserved: number }

export type PoolUsage = {
  /** Addresses, at most `Number.MAX_SAFE_INTEGER`. */
  readonly capacity: number
  /** Addresses without those that an IPReservation keeps back. */
  readonly usable: number
  readonly allocated: number
  readonly reserved: number
  readonly blocks: { readonly capacity: number; readonly claimed: number; readonly unclaimed: number }
  /** Those with most addresses first. */
  readonly nodes: readonly NodeUsage[]
}

/** A block whose range is in no pool. */
export type StrayBlock = { readonly name: string; readonly node: string | null; readonly allocated: number }

type Tally = {
  readonly record: BlockRecord
  readonly nodes: ReadonlyMap<string, { readonly allocated: number; readonly reserved: number }>
}
type Sum = { blocks: number; allocated: number; reserved: number }

/** An object of a store is never changed, only replaced: what was counted once holds for as long as it is there. */
const tallies = new WeakMap<IPAMBlock, Tally | null>()

/** Usage by name of the pool, and the blocks that belong to none. An older pool goes first where two overlap. */
export function poolUsages(snapshot: ClusterSnapshot): {
  readonly usages: ReadonlyMap<string, PoolUsage>
  readonly strays: readonly StrayBlock[]
} {
  const reservations = inOrder(snapshot.IPReservation).flatMap(({ spec }) => spec.reservedCIDRs.map((text) => cidr(text)))
  const pools = byAge(inOrder(snapshot.IPPool)).map((pool) => ({ pool, range: poolPrefix(pool.spec), blocks: [] as Tally[] }))
  const strays: StrayBlock[] = []
  for (const object of snapshot.IPAMBlock.values()) {
    const tally = tallyOf(object)
    if (tally === null) continue // its cidr is none: no agent reads it either
    const owner = pools.find(({ range }) => covers(range, tally.record.range))
    if (owner !== undefined) owner.blocks.push(tally)
    else strays.push({ name: object.metadata.name, node: tally.record.node, allocated: tally.record.allocations.length })
  }
  const usages = pools.map(({ pool, range, blocks }) => [pool.metadata.name, usageOf(pool, range, blocks, reservations)] as const)
  return { usages: new Map(usages), strays }
}

/** In order of creation, then of name: the order in which agents prefer pools that overlap. */
export function byAge(pools: readonly IPPool[]): readonly IPPool[] {
  const keyOf = ({ metadata }: IPPool): string => `${metadata.creationTimestamp ?? ''} ${metadata.name}`
  return [...pools].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : keyOf(a) > keyOf(b) ? 1 : 0))
}

function usageOf(pool: IPPool, range: Prefix, blocks: readonly Tally[], reservations: readonly Prefix[]): PoolUsage {
  const sums = new Map<string, Sum>()
  const sumOf = (node: string): Sum => {
    const known = sums.get(node) ?? { blocks: 0, allocated: 0, reserved: 0 }
    sums.set(node, known)
    return known
  }
  for (const { record, nodes } of blocks) {
    if (record.node !== null) sumOf(record.node).blocks++
    for (const [node, { allocated, reserved }] of nodes) {
      const sum = sumOf(node)
      sum.allocated += allocated
      sum.reserved += reserved
    }
  }
  const capacity = sizeOf(range)
  const total = (part: 'allocated' | 'reserved'): number => [...sums.values()].reduce((all, sum) => all + sum[part], 0)
  const claimed = blocks.filter(({ record }) => record.node !== null).length
  return {
    capacity,
    usable: Math.max(0, capacity - keptBack(range, reservations)),
    allocated: total('allocated'),
    reserved: total('reserved'),
    blocks: {
      capacity: clamp(2 ** (poolBlockSize(pool.spec) - range.length)),
      claimed,
      unclaimed: blocks.length - claimed,
    },
    nodes: [...sums]
      .filter(([node]) => node !== UNKNOWN_NODE)
      .map(([node, sum]) => ({ node, ...sum }))
      .sort((a, b) => b.allocated - a.allocated || b.blocks - a.blocks || (a.node < b.node ? -1 : 1)),
  }
}

/** Part of a pool that is in use or claimed ahead, from 0 to 1. */
export function usageRatio({ allocated, reserved, usable }: PoolUsage): number {
  return usable === 0 ? 1 : Math.min(1, (allocated + reserved) / usable)
}

/** As a person reads it; 100% only when nothing is left, 0% only when nothing is used. */
export function formatUsage(usage: PoolUsage): string {
  const ratio = usageRatio(usage)
  if (usage.allocated + usage.reserved === 0) return '0%'
  return ratio * 100 < 1 ? '<1%' : `${Math.floor(ratio * 100)}%`
}

function tallyOf(object: IPAMBlock): Tally | null {
  const known = tallies.get(object)
  if (known !== undefined) return known
  const record = blockOfObject(object)
  const tally = record === null ? null : { record, nodes: countsOf(record) }
  tallies.set(object, tally)
  return tally
}

/** The block of an object as IPAM knows it, read once an object; null if its cidr is none. */
export function recordOf(object: IPAMBlock): BlockRecord | null {
  return tallyOf(object)?.record ?? null
}

/** Owner of an address that no node is named for. */
const UNKNOWN_NODE = ''

function countsOf(record: BlockRecord): Tally['nodes'] {
  const counts = new Map<string, { allocated: number; reserved: number }>()
  const countOf = (node: string): { allocated: number; reserved: number } => {
    const known = counts.get(node) ?? { allocated: 0, reserved: 0 }
    counts.set(node, known)
    return known
  }
  for (const allocation of record.allocations) countOf(nodeOfAllocation(record, allocation) ?? UNKNOWN_NODE).allocated++
  for (const { node } of record.reserves) countOf(node).reserved++
  return counts
}

function sizeOf(range: Prefix): number {
  return clamp(2 ** (bitsOf(prefixFamily(range)) - range.length))
}

function clamp(count: number): number {
  return Math.min(count, Number.MAX_SAFE_INTEGER)
}

/** Addresses of the range that are reserved; a reservation inside another counts once. */
function keptBack(range: Prefix, reservations: readonly Prefix[]): number {
  if (reservations.some((reserved) => covers(reserved, range))) return sizeOf(range)
  let [count, last]: [number, Prefix | null] = [0, null]
  for (const reserved of reservations.filter((each) => covers(range, each)).sort(comparePrefix)) {
    if (last !== null && covers(last, reserved)) continue // in order, what another holds comes after it
    count += sizeOf(reserved)
    last = reserved
  }
  return count
}
