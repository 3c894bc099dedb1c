// What one block is to become: the block as it is in the store, and all that its node knows of it. Level-triggered: from the same
// knowledge the same block comes out, whatever was written before and however often this is asked.
import type { IpAddress, Prefix } from '../net/index.ts'
import { Block } from './block.ts'
import type { BlockRecord, BlockReleased, BlockReserve, BlockState } from './block-record.ts'

/** An address that a handle of this node has. */
export type HeldAddress = {
  readonly address: IpAddress
  readonly handle: string
  readonly pod: { readonly namespace: string; readonly name: string } | null
  readonly sequence: number
}
/** An address that a handle of this node no longer wants. */
export type ReleasingAddress = { readonly address: IpAddress; readonly handle: string; readonly sequence: number }

export type BlockWants = {
  readonly held: Iterable<HeldAddress>
  readonly releasing: Iterable<ReleasingAddress>
  /** Addresses claimed ahead that are given up. */
  readonly giveUp?: readonly BlockReserve[]
  /** These very addresses are to be claimed. */
  readonly claimAt?: readonly IpAddress[]
  /** So many more addresses are to be claimed. */
  readonly claim?: number
  /** A pending block of the node becomes a confirmed one. */
  readonly confirm?: boolean
  /** If nothing of the block is in use, claimed by others or resting: it becomes pending, to be deleted. */
  readonly retire?: boolean
}

export type BlockContext = {
  readonly node: string
  readonly nowMs: number
  /** Wall clock, ISO 8601. */
  readonly time: string
  readonly reservations: readonly Prefix[]
  readonly coolDownMs: number
  readonly readyAtMs: (released: BlockReleased) => number
}

/** An address that this node has given to a handle, and that the block shows as somebody else's. */
export type AddressConflict = { readonly held: HeldAddress; readonly other: string }

export type BlockPlan = {
  /** null: it is as it should be. */
  readonly next: BlockRecord | null
  readonly conflicts: readonly AddressConflict[]
  /** Addresses claimed ahead by this node that `next` no longer has; none of them may be handed out from now on. */
  readonly givenUp: readonly BlockReserve[]
}

/** Releases come first, so that an address that was released and is held again ends up held. */
export function planBlock(current: BlockRecord, wants: BlockWants, context: BlockContext): BlockPlan {
  const { node, nowMs, time, coolDownMs } = context
  const block = new Block(current, context)
  const freed = { time, readyAtMs: nowMs + coolDownMs }
  for (const { address, handle, sequence } of wants.releasing) {
    if (!block.release(address, handle, sequence, freed)) block.releaseReserved(address, node, sequence, freed)
  }
  const conflicts: AddressConflict[] = []
  let holdsAny = false
  for (const held of wants.held) {
    holdsAny = true
    const entry = block.at(held.address)
    if (entry.kind === 'allocated' && entry.owner.handle === held.handle) continue
    if (entry.kind === 'allocated' && entry.sequence === held.sequence && (entry.owner.node ?? current.node) === node) {
      // One claim was handed out twice: the first time is of a life whose records are lost (a power cut), its pod with them.
      block.release(held.address, entry.owner.handle, held.sequence, freed)
      block.record(held.address, { handle: held.handle, pod: held.pod, node, time }, held.sequence)
    } else if (entry.kind === 'allocated') {
      conflicts.push({ held, other: ownerInWords(entry.owner, current.node) })
    } else if (entry.kind === 'reserved' && entry.node !== node) {
      conflicts.push({ held, other: `node ${entry.node}, which has claimed it ahead` })
    } else {
      block.record(held.address, { handle: held.handle, pod: held.pod, node, time }, held.sequence)
    }
  }
  const leaving = wants.retire === true && canRetire(block, current, context, holdsAny) ? current.reserves : (wants.giveUp ?? [])
  const givenUp = leaving.filter(({ address, sequence }) => block.unreserve(address, node, sequence))
  for (const address of wants.claimAt ?? []) block.reserveAt(address, node)
  for (let left = wants.claim ?? 0; left > 0; left--) if (block.reserve(node, nowMs) === null) break
  const state = stateAfter(current, wants, { node, holdsAny, retires: wants.retire === true && leaving === current.reserves })
  if (block.changes === 0 && state === current.state) return { next: null, conflicts, givenUp: [] }
  return { next: { ...block.toRecord(), state }, conflicts, givenUp }
}

/** A block goes only when no address of it is in use, claimed by another node, or resting. */
function canRetire(block: Block, current: BlockRecord, { node, nowMs }: BlockContext, holdsAny: boolean): boolean {
  const { allocated, cooling } = block.counts(nowMs)
  return current.node === node && !holdsAny && allocated === 0 && cooling === 0 && current.reserves.every((each) => each.node === node)
}

function stateAfter(
  current: BlockRecord,
  { confirm }: BlockWants,
  { node, holdsAny, retires }: { readonly node: string; readonly holdsAny: boolean; readonly retires: boolean },
): BlockState {
  if (current.node !== node) return current.state
  if (retires) return 'Pending'
  return confirm === true || holdsAny ? 'Confirmed' : current.state
}

/** Whose an allocation is, for people. */
export function ownerInWords(
  owner: {
    readonly handle: string
    readonly pod: { readonly namespace: string; readonly name: string } | null
    readonly node: string | null
  },
  blockNode: string | null,
): string {
  const who = owner.pod === null ? `handle ${owner.handle}` : `pod ${owner.pod.namespace}/${owner.pod.name}`
  const node = owner.node ?? blockNode
  return node === null ? who : `${who} on node ${node}`
}

/** Key of an allocation, a claimed or a released address: the address with its sequence. For maps alone; people read addresses. */
export function nameOf({ address, sequence }: { readonly address: IpAddress; readonly sequence: number }): string {
  return `${typeof address === 'bigint' ? '6:' : ''}${address}#${sequence}`
}
