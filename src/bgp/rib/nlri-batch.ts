// A handful of NLRI taken from a run before any of them is looked up. The hash table is far larger than the processor's caches,
// so what a look-up costs is waiting for memory; asking for several slots first lets those waits overlap.
import type { NlriReader } from '../wire/index.ts'
import { hashPrefix, type PrefixTable } from './prefix-table.ts'

const BATCH = 16

export class NlriBatch {
  /** Signed 32-bit patterns; IPv4 uses `w0` only. */
  readonly w0 = new Int32Array(BATCH)
  readonly w1 = new Int32Array(BATCH)
  readonly w2 = new Int32Array(BATCH)
  readonly w3 = new Int32Array(BATCH)
  readonly length = new Uint8Array(BATCH)
  readonly pathId = new Uint32Array(BATCH)
  readonly hash = new Int32Array(BATCH)
  count = 0

  /** Takes the next NLRI from `reader`; false when there are no more. */
  fill(reader: NlriReader, prefixes: PrefixTable): boolean {
    let at = 0
    while (at < BATCH && reader.next()) {
      const w0 = reader.word0 | 0
      const w1 = reader.word1 | 0
      const w2 = reader.word2 | 0
      const w3 = reader.word3 | 0
      const { length } = reader
      const hash = hashPrefix(w0, w1, w2, w3, length)
      prefixes.warm(hash)
      this.w0[at] = w0
      this.w1[at] = w1
      this.w2[at] = w2
      this.w3[at] = w3
      this.length[at] = length
      this.pathId[at] = reader.pathId
      this.hash[at] = hash
      at++
    }
    this.count = at
    return at > 0
  }
}
