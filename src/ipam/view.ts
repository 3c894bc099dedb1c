// What people are shown of a node's addresses (pure).
import { formatIp, prefixFamily } from '../net/index.ts'
import { Block, blockSizeOf } from './block.ts'
import { nodeOfAllocation } from './block-record.ts'
import type { BorrowedAddress, IpamProblem, IpamView, OwnBlock } from './contract.ts'
import type { NodeBlocks } from './node-blocks.ts'
import type { TrackedBlock } from './tracked-block.ts'

export type ViewInput = {
  readonly blocks: NodeBlocks
  readonly nowMs: number
  readonly hasSynced: boolean
  /** Why the store does not answer; null: it does. */
  readonly storeError: string | null
  /** By name of the pool: why it has nothing left. */
  readonly exhausted: ReadonlyMap<string, string>
}

export function viewOf({ blocks, nowMs, hasSynced, storeError, exhausted }: ViewInput): IpamView {
  const tracked = [...blocks.tracked.values()].sort((a, b) => (a.key < b.key ? -1 : 1))
  const reserve = blocks.config.pools.map((pool) => ({
    pool: pool.name,
    family: prefixFamily(pool.range),
    addresses: blocks.slotsIn(pool),
  }))
  return {
    hasSynced,
    blocks: tracked.flatMap((each) => ownBlock(each, blocks, nowMs)),
    borrowed: tracked.flatMap((each) => borrowedIn(each, blocks)),
    reserve: reserve.filter(({ addresses }) => addresses > 0),
    allocations: blocks.allocations,
    unwritten: tracked.reduce((sum, each) => sum + each.unwritten(), 0),
    problems: [
      ...(storeError === null ? [] : [unavailable(storeError)]),
      ...[...exhausted].map(
        ([pool, message]): IpamProblem => ({ severity: 'error', reason: 'PoolExhausted', subject: `IPPool/${pool}`, message }),
      ),
      ...tracked.flatMap((each) => problemsOf(each, blocks)),
    ],
  }
}

function ownBlock(tracked: TrackedBlock, blocks: NodeBlocks, nowMs: number): readonly OwnBlock[] {
  const { node } = blocks
  const block = tracked.stored?.block
  if (block === undefined || block.node !== node) return []
  const counts = new Block(block, blocks.context(nowMs, 0)).counts(nowMs)
  const lent =
    block.allocations.filter((each) => nodeOfAllocation(block, each) !== node).length +
    block.reserves.filter((each) => each.node !== node).length
  return [{ block: tracked.range, pool: tracked.pool?.name ?? null, state: block.state, size: blockSizeOf(tracked.range), lent, ...counts }]
}

function borrowedIn(tracked: TrackedBlock, { node }: NodeBlocks): readonly BorrowedAddress[] {
  const block = tracked.stored?.block
  if (block === undefined || block.node === node) return []
  const of = { block: tracked.range, owner: block.node }
  const held = [...tracked.held.values()].map(({ address, handle }) => ({ ...of, address, handle }))
  const reserved = block.reserves.filter((each) => each.node === node && !tracked.held.has(each.address))
  return [...held, ...reserved.map(({ address }) => ({ ...of, address, handle: null }))]
}

function problemsOf(tracked: TrackedBlock, { node }: NodeBlocks): readonly IpamProblem[] {
  const problems: IpamProblem[] = tracked.conflicts.map(({ held, other }) => ({
    severity: 'error',
    reason: 'DuplicateAddress',
    subject: formatIp(held.address),
    message: `${formatIp(held.address)} belongs to ${held.pod === null ? `handle ${held.handle}` : `pod ${held.pod.namespace}/${held.pod.name}`} on this node, and to ${other} according to block ${tracked.key}; delete one of the two pods`,
  }))
  if (tracked.refusal !== null) {
    problems.push({
      severity: 'error',
      reason: 'WriteRefused',
      subject: `IPAMBlock ${tracked.key}`,
      message: `the store refuses what this node writes to block ${tracked.key}: ${tracked.refusal}; is the IPAMBlock definition as old as this version, and may the agent write it?`,
    })
  }
  if (tracked.pool === null && tracked.isOwnedBy(node)) {
    problems.push({
      severity: 'warning',
      reason: 'BlockOutsidePool',
      subject: `IPAMBlock ${tracked.key}`,
      message: `block ${tracked.key} of this node is in no IPPool; create the IPPool again, or delete the pods that have addresses of it, and the block is given back`,
    })
  }
  return problems
}

function unavailable(storeError: string): IpamProblem {
  return {
    severity: 'warning',
    reason: 'StoreUnavailable',
    subject: 'store',
    message: `blocks cannot be read or written: ${storeError}; pods get the addresses that are claimed ahead, then none, until the store answers`,
  }
}
