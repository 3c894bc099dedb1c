// Where in a pool a node looks for a block (pure): from a position that a hash of its name gives, onwards and around, so that nodes
// rarely meet and a node that comes back finds its old place. What exists and what is kept back is stepped over in one stride, so
// that a pool of 2^80 blocks takes no longer than a small one.
import { bitsOf, covers, familyOf, formatPrefix, type IpAddress, ipv4, ipv6, lastAddress, type Prefix, prefix } from '../net/index.ts'
import type { StoredBlock } from './block-store.ts'
import type { PoolConfig } from './contract.ts'

/** A place for a new block, or a block that nobody has any more and that is empty. */
export type ClaimCandidate = { readonly kind: 'new'; readonly range: Prefix } | { readonly kind: 'abandoned'; readonly stored: StoredBlock }

/** How many blocks a pool has room for; with IPv6, up to 2^122. */
export function blocksInPool({ range, blockSize }: Pick<PoolConfig, 'range' | 'blockSize'>): bigint {
  return 1n << BigInt(Math.max(0, blockSize - range.length))
}

/** The block of the pool that an address lies in. */
export function blockAround(pool: Pick<PoolConfig, 'blockSize'>, address: IpAddress): Prefix {
  return prefix(address, pool.blockSize)
}

/** First position for a node: FNV-1a of its name, mixed, scaled to the number of blocks. */
export function firstPosition(node: string, blocks: bigint): bigint {
  return (hash64(node) * blocks) >> 64n
}

/**
 * Candidates in order, each at most once. `existing` are all blocks that overlap the pool. Ends when the pool has no more.
 */
export function* claimCandidates(
  pool: Pick<PoolConfig, 'range' | 'blockSize'>,
  node: string,
  existing: readonly StoredBlock[],
  reservations: readonly Prefix[],
): Generator<ClaimCandidate> {
  const blocks = blocksInPool(pool)
  const taken = takenPositions(pool, existing, reservations)
  const start = firstPosition(node, blocks)
  yield* walk(pool, taken, start, blocks)
  yield* walk(pool, taken, 0n, start)
}

/** In the order in which the node would try them for itself: blocks of others to borrow from. */
export function inClaimOrder(
  pool: Pick<PoolConfig, 'range' | 'blockSize'>,
  node: string,
  existing: readonly StoredBlock[],
): readonly StoredBlock[] {
  const start = firstPosition(node, blocksInPool(pool))
  const at = ({ block }: StoredBlock): bigint => positionOf(pool, block.range.address)
  const sorted = [...existing].sort((a, b) => compare(at(a), at(b)))
  return [...sorted.filter((each) => at(each) >= start), ...sorted.filter((each) => at(each) < start)]
}

/** A stretch of positions in which no new block can be; `abandoned`: but this one could be taken over. */
type Stretch = { readonly from: bigint; readonly to: bigint; readonly abandoned: StoredBlock | null }

function takenPositions(
  pool: Pick<PoolConfig, 'range' | 'blockSize'>,
  existing: readonly StoredBlock[],
  reservations: readonly Prefix[],
): readonly Stretch[] {
  const keptBack = merged(reservations.filter((range) => covers(pool.range, range) || covers(range, pool.range)))
  const stretches: Stretch[] = keptBack.flatMap(({ first, last }) => {
    // only blocks that are kept back as a whole
    const base = BigInt(pool.range.address)
    const size = blockBits(pool)
    const from = first <= base ? 0n : (first - base + (1n << size) - 1n) >> size
    const to = ((last - base + 1n) >> size) - 1n
    return to >= from ? [{ from, to, abandoned: null }] : []
  })
  for (const stored of existing) {
    const { block } = stored
    if (!covers(pool.range, block.range) && !covers(block.range, pool.range)) continue
    const isWholeBlock = block.range.length === pool.blockSize
    const isAbandoned =
      isWholeBlock &&
      block.node === null &&
      block.allocations.length === 0 &&
      block.reserves.length === 0 &&
      existing.every((other) => other === stored || !(covers(other.block.range, block.range) || covers(block.range, other.block.range)))
    const from = covers(block.range, pool.range) ? 0n : positionOf(pool, block.range.address)
    const to = covers(block.range, pool.range) ? blocksInPool(pool) - 1n : positionOf(pool, lastAddress(block.range))
    const isKeptBack = stretches.some((each) => each.abandoned === null && each.from <= from && each.to >= to)
    stretches.push({ from, to, abandoned: isAbandoned && !isKeptBack ? stored : null })
  }
  return stretches.sort((a, b) => compare(a.from, b.from) || compare(b.to, a.to))
}

function* walk(
  pool: Pick<PoolConfig, 'range' | 'blockSize'>,
  taken: readonly Stretch[],
  from: bigint,
  until: bigint,
): Generator<ClaimCandidate> {
  let at = from
  for (const stretch of taken) {
    if (stretch.to < from || stretch.from >= until) continue
    for (; at < stretch.from; at++) yield { kind: 'new', range: blockAt(pool, at) }
    if (stretch.abandoned !== null && stretch.from >= from) yield { kind: 'abandoned', stored: stretch.abandoned }
    if (stretch.to >= at) at = stretch.to + 1n
  }
  for (; at < until; at++) yield { kind: 'new', range: blockAt(pool, at) }
}

/** Ranges as first and last address, those that touch made one. */
function merged(ranges: readonly Prefix[]): readonly { readonly first: bigint; readonly last: bigint }[] {
  const sorted = ranges
    .map((range) => ({ first: BigInt(range.address), last: BigInt(lastAddress(range)) }))
    .sort((a, b) => compare(a.first, b.first))
  const result: { first: bigint; last: bigint }[] = []
  for (const each of sorted) {
    const last = result.at(-1)
    if (last === undefined || each.first > last.last + 1n) result.push({ ...each })
    else if (each.last > last.last) last.last = each.last
  }
  return result
}

function blockBits({ range, blockSize }: Pick<PoolConfig, 'range' | 'blockSize'>): bigint {
  return BigInt(bitsOf(familyOf(range.address)) - blockSize)
}

function positionOf(pool: Pick<PoolConfig, 'range' | 'blockSize'>, address: IpAddress): bigint {
  return (BigInt(address) - BigInt(pool.range.address)) >> blockBits(pool)
}

function blockAt(pool: Pick<PoolConfig, 'range' | 'blockSize'>, position: bigint): Prefix {
  const value = BigInt(pool.range.address) + (position << blockBits(pool))
  const address = familyOf(pool.range.address) === 4 ? ipv4(Number(value)) : ipv6(value)
  return { address, length: pool.blockSize }
}

const MASK = (1n << 64n) - 1n

/** FNV-1a, then the finalizer of MurmurHash3, because FNV hardly moves the high bits of names that differ in their last letter. */
function hash64(text: string): bigint {
  let hash = 0xcbf29ce484222325n
  for (const octet of new TextEncoder().encode(text)) hash = ((hash ^ BigInt(octet)) * 0x100000001b3n) & MASK
  hash = ((hash ^ (hash >> 33n)) * 0xff51afd7ed558ccdn) & MASK
  hash = ((hash ^ (hash >> 33n)) * 0xc4ceb9fe1a85ec53n) & MASK
  return hash ^ (hash >> 33n)
}

function compare(a: bigint, b: bigint): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** Key of a block in a map. */
export function blockKey(range: Prefix): string {
  return formatPrefix(range)
}
