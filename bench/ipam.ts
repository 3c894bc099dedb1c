// How fast addresses are assigned and released in memory, at 65,536 addresses: one block of that size, and 1,024 blocks of 64, which
// is how a pool is cut. No store, no network.
//
//   scripts/node bench/ipam.ts            pairs a second, for people
//   scripts/node bench/ipam.ts LENGTH     seconds that PAIRS pairs took with blocks of this prefix length, once

import { Block } from '../src/ipam/block.ts'
import { type BlockRecord, emptyBlock } from '../src/ipam/index.ts'
import { cidr, ipv4, type Prefix } from '../src/net/index.ts'

const PAIRS = 2_000_000
const ADDRESSES = 65_536
const COOL_DOWN_MS = 30_000

type Held = { readonly block: Block; readonly address: ReturnType<typeof ipv4>; readonly handle: string; readonly sequence: number }

function blocksOf(length: number): readonly Block[] {
  const size = 2 ** (32 - length)
  return Array.from({ length: ADDRESSES / size }, (_, at) => {
    const range: Prefix = { address: ipv4(0x0a00_0000 + at * size), length }
    const record: BlockRecord = emptyBlock(range, 'node', 0)
    return new Block(record, { reservations: [cidr('10.0.0.1/32')], readyAtMs: () => 0 })
  })
}

/** Seconds of all pairs, with three quarters of all addresses in use: each pair releases the oldest and assigns the one longest free. */
function measure(blocks: readonly Block[]): number {
  const held: Held[] = []
  let nowMs = 0
  const assign = (at: number): Held => {
    const block = blocks[at % blocks.length]
    const handle = `pod-${at}`
    const named = block?.assign({ handle, pod: null, node: 'node', time: null }, nowMs) ?? null
    if (block === undefined || named === null) throw new Error('no address')
    return { block, handle, sequence: named.sequence, address: ipv4(Number(named.address)) }
  }
  const inUse = ADDRESSES * 0.75
  for (let at = 0; at < inUse; at++) held.push(assign(at))
  const beganMs = performance.now()
  for (let pair = 0; pair < PAIRS; pair++) {
    nowMs += 10 // 100 pods a second: what is released has rested long before its turn comes
    const slot = pair % inUse
    const old = held[slot]
    if (old === undefined) throw new Error('nothing held')
    const freed = { time: null, readyAtMs: nowMs + COOL_DOWN_MS }
    if (!old.block.release(old.address, old.handle, old.sequence, freed)) throw new Error('not released')
    held[slot] = assign(slot)
  }
  return (performance.now() - beganMs) / 1000
}

const [, , only] = process.argv
if (only !== undefined) console.log(measure(blocksOf(Number(only))))
else {
  for (const length of [16, 26]) {
    const blocks = blocksOf(length)
    const best = Math.min(...[0, 1, 2].map(() => measure(blocksOf(length))))
    const rate = Math.round(PAIRS / best).toLocaleString('en')
    console.log(`${blocks.length} x /${length}: ${rate} assign/release pairs a second (best of 3)`)
  }
}
