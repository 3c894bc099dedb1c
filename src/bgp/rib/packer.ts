// Changes become UPDATE messages: those with the same attributes and the same audience go together, into as few messages as
// will hold them, encoded once however many peers they go to.
import type { NextHop } from '../attributes.ts'
import type { Family } from '../family.ts'
import { ByteWriter, type EncodeContext, encodePathAttributes, encodeUpdates, maxNlriOctets, writeNlri } from '../wire/index.ts'
import type { AttributeTable } from './attribute-table.ts'
import { NONE, nextCapacity, regrown } from './columns.ts'
import { IntPairMap } from './int-pair-map.ts'
import type { PrefixTable } from './prefix-table.ts'

/** Who a change is for: 0 all, a peer's number all but that peer, its negative that peer alone. */
export type Audience = number

/** Changes in order. The attributes are those of the Adj-RIB-Out; 0 withdraws. */
export class ChangeLog {
  rows = new Int32Array(64)
  attributes = new Int32Array(64)
  audiences = new Int32Array(64)
  pathIds = new Int32Array(0)
  count = 0

  add(row: number, attributes: number, audience: Audience, pathId: number): void {
    const at = this.count
    if (at === this.rows.length) this.#grow(nextCapacity(at, at + 1))
    this.rows[at] = row
    this.attributes[at] = attributes
    this.audiences[at] = audience
    if (pathId !== 0 && this.pathIds.length === 0) this.pathIds = new Int32Array(this.rows.length)
    if (this.pathIds.length > 0) this.pathIds[at] = pathId
    this.count = at + 1
  }

  clear(): void {
    this.count = 0
  }

  #grow(capacity: number): void {
    this.rows = regrown(this.rows, capacity)
    this.attributes = regrown(this.attributes, capacity)
    this.audiences = regrown(this.audiences, capacity)
    if (this.pathIds.length > 0) this.pathIds = regrown(this.pathIds, capacity)
  }
}

type Bucket = { readonly attributes: number; readonly audience: Audience; first: number; last: number; count: number }

/** Encoded attributes kept between flushes; runs of one source come back to the same few sets. */
const MAX_ENCODED = 4096

export class Packer {
  readonly #family: Family
  readonly #context: EncodeContext
  readonly #addPath: boolean
  readonly #prefixes: PrefixTable
  readonly #attributes: AttributeTable
  readonly #encoded = new Map<number, Uint8Array>()
  readonly #writer = new ByteWriter()
  readonly #bucketOf = new IntPairMap()
  #next = new Int32Array(64)
  #nlri = new Uint8Array(4096)

  constructor(family: Family, context: EncodeContext, prefixes: PrefixTable, attributes: AttributeTable) {
    this.#family = family
    this.#context = context
    this.#addPath = context.addPathSend.has(family)
    this.#prefixes = prefixes
    this.#attributes = attributes
  }

  /** The set of that number is about to be given back. */
  forget(attributes: number): void {
    this.#encoded.delete(attributes)
  }

  /** The messages for each audience. */
  pack(changes: ChangeLog): Map<Audience, readonly Uint8Array[]> {
    const messages = new Map<Audience, readonly Uint8Array[]>()
    for (const [audience, buckets] of this.#sort(changes)) {
      for (const bucket of buckets) this.#encode(changes, bucket)
      messages.set(audience, this.#writer.take())
    }
    return messages
  }

  #sort(changes: ChangeLog): Map<Audience, Bucket[]> {
    if (this.#next.length < changes.count) this.#next = new Int32Array(changes.rows.length)
    const byAudience = new Map<Audience, Bucket[]>()
    const buckets: Bucket[] = []
    this.#bucketOf.reset()
    let bucket: Bucket | undefined
    for (let at = 0; at < changes.count; at++) {
      const attributes = changes.attributes[at] ?? NONE
      const audience = changes.audiences[at] ?? 0
      if (bucket === undefined || bucket.attributes !== attributes || bucket.audience !== audience) {
        const index = this.#bucketOf.get(attributes, audience, -1)
        bucket = buckets[index]
        if (bucket === undefined) {
          bucket = { attributes, audience, first: at, last: at, count: 0 }
          this.#bucketOf.set(attributes, audience, buckets.length)
          buckets.push(bucket)
          const others = byAudience.get(audience)
          if (others === undefined) byAudience.set(audience, [bucket])
          else others.push(bucket)
        }
      }
      this.#next[bucket.last] = at
      this.#next[at] = -1
      bucket.last = at
      bucket.count++
    }
    return byAudience
  }

  #encode(changes: ChangeLog, { attributes, first, count }: Bucket): void {
    const prefixes = this.#prefixes
    const most = count * maxNlriOctets(this.#family, this.#addPath)
    if (this.#nlri.length < most) this.#nlri = new Uint8Array(most)
    const nlri = this.#nlri
    let to = 0
    for (let at = first; at >= 0; at = this.#next[at] ?? -1) {
      const row = changes.rows[at] ?? NONE
      const pathId = this.#addPath ? (changes.pathIds[at] ?? 0) : null
      to = prefixes.wide
        ? writeNlri(
            nlri,
            to,
            prefixes.length[row] ?? 0,
            prefixes.word0[row] ?? 0,
            prefixes.word1[row] ?? 0,
            prefixes.word2[row] ?? 0,
            prefixes.word3[row] ?? 0,
            pathId,
          )
        : writeNlri(nlri, to, prefixes.length[row] ?? 0, prefixes.word0[row] ?? 0, 0, 0, 0, pathId)
    }
    const batch = {
      family: this.#family,
      attributes: attributes === NONE ? null : this.#encodedAttributes(attributes),
      nextHop: attributes === NONE ? null : this.#nextHop(attributes),
      nlri: nlri.subarray(0, to),
      addPath: this.#addPath,
    }
    const { tooLarge } = encodeUpdates(this.#writer, batch, this.#context)
    // Export policy has measured them: see `ExportPolicy`.
    if (tooLarge) throw new RangeError('attributes that do not fit into a message were to be sent')
  }

  #encodedAttributes(id: number): Uint8Array {
    const known = this.#encoded.get(id)
    if (known !== undefined) return known
    if (this.#encoded.size >= MAX_ENCODED) this.#encoded.clear()
    const encoded = encodePathAttributes(this.#attributes.get(id), this.#family, this.#context)
    this.#encoded.set(id, encoded)
    return encoded
  }

  #nextHop(id: number): NextHop | null {
    return this.#attributes.get(id).nextHop
  }
}
