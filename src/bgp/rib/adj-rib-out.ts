// What a group of peers has been told of one family: for each prefix the attributes that went out and the peer they came from,
// because that peer alone was not told (split horizon). With add-path there may be several per prefix, by path identifier.
import type { AttributeTable } from './attribute-table.ts'
import { NONE, nextCapacity, regrown } from './columns.ts'
import type { PrefixTable } from './prefix-table.ts'

export type VisitEntry = (pathId: number, attributes: number, source: number) => void

export interface AdjRibOut {
  /** Entries in all, and those that came from one peer: their difference is what that peer has been told. */
  readonly entries: number
  entriesFrom(source: number): number
  isEmptyAt(row: number): boolean
  visit(row: number, visit: VisitEntry): void
  /** The attributes under a path identifier (0 without add-path), or 0; `source` tells where they came from. */
  attributesAt(row: number, pathId: number): number
  sourceAt(row: number, pathId: number): number
  /** Attributes 0: no longer told. */
  set(row: number, pathId: number, attributes: number, source: number): void
  copy(): AdjRibOut
  dispose(): void
}

/** Counts entries by where they came from. */
class SourceCounts {
  #counts = new Int32Array(16)
  entries = 0

  of(source: number): number {
    return this.#counts[source] ?? 0
  }

  change(source: number, by: number): void {
    if (source >= this.#counts.length) this.#counts = regrown(this.#counts, nextCapacity(this.#counts.length, source + 1))
    this.#counts[source] = (this.#counts[source] ?? 0) + by
    this.entries += by
  }
}

/** One entry a prefix: two columns in step with the rows of the prefix table. */
export class SingleAdjRibOut implements AdjRibOut {
  readonly #prefixes: PrefixTable
  readonly #attributes: AttributeTable
  readonly #counts = new SourceCounts()
  readonly #onGrow: (capacity: number) => void
  attributes: Int32Array<ArrayBuffer>
  sources: Uint16Array<ArrayBuffer>

  constructor(prefixes: PrefixTable, attributes: AttributeTable) {
    this.#prefixes = prefixes
    this.#attributes = attributes
    this.attributes = new Int32Array(prefixes.capacity)
    this.sources = new Uint16Array(prefixes.capacity)
    this.#onGrow = (capacity) => {
      this.attributes = regrown(this.attributes, capacity)
      this.sources = regrown(this.sources, capacity)
    }
    prefixes.onGrow.add(this.#onGrow)
  }

  get entries(): number {
    return this.#counts.entries
  }

  entriesFrom(source: number): number {
    return this.#counts.of(source)
  }

  isEmptyAt(row: number): boolean {
    return this.attributes[row] === NONE
  }

  visit(row: number, visit: VisitEntry): void {
    const attributes = this.attributes[row] ?? NONE
    if (attributes !== NONE) visit(0, attributes, this.sources[row] ?? 0)
  }

  attributesAt(row: number): number {
    return this.attributes[row] ?? NONE
  }

  sourceAt(row: number): number {
    return this.sources[row] ?? 0
  }

  set(row: number, _pathId: number, attributes: number, source: number): void {
    const before = this.attributes[row] ?? NONE
    if (before !== attributes) {
      if (attributes !== NONE) this.#attributes.hold(attributes)
      if (before !== NONE) this.#attributes.release(before)
    }
    if (before !== NONE) this.#counts.change(this.sources[row] ?? 0, -1)
    if (attributes !== NONE) this.#counts.change(source, 1)
    this.attributes[row] = attributes
    this.sources[row] = source
  }

  copy(): AdjRibOut {
    const copy = new SingleAdjRibOut(this.#prefixes, this.#attributes)
    for (let row = 1; row < this.#prefixes.end; row++) {
      const attributes = this.attributes[row] ?? NONE
      if (attributes !== NONE) copy.set(row, 0, attributes, this.sources[row] ?? 0)
    }
    return copy
  }

  dispose(): void {
    this.#prefixes.onGrow.delete(this.#onGrow)
    for (let row = 1; row < this.#prefixes.end; row++) {
      const attributes = this.attributes[row] ?? NONE
      if (attributes !== NONE) this.#attributes.release(attributes)
    }
  }
}

/** Several entries a prefix: a list of rows of its own for each. Path identifiers are not 0. */
export class AddPathAdjRibOut implements AdjRibOut {
  readonly #prefixes: PrefixTable
  readonly #attributes: AttributeTable
  readonly #counts = new SourceCounts()
  readonly #onGrow: (capacity: number) => void
  #first: Int32Array<ArrayBuffer>
  #pathId = new Int32Array(64)
  #value = new Int32Array(64)
  #source = new Uint16Array(64)
  #next = new Int32Array(64)
  #end = 1
  #free = NONE

  constructor(prefixes: PrefixTable, attributes: AttributeTable) {
    this.#prefixes = prefixes
    this.#attributes = attributes
    this.#first = new Int32Array(prefixes.capacity)
    this.#onGrow = (capacity) => {
      this.#first = regrown(this.#first, capacity)
    }
    prefixes.onGrow.add(this.#onGrow)
  }

  get entries(): number {
    return this.#counts.entries
  }

  entriesFrom(source: number): number {
    return this.#counts.of(source)
  }

  isEmptyAt(row: number): boolean {
    return this.#first[row] === NONE
  }

  visit(row: number, visit: VisitEntry): void {
    for (let entry = this.#first[row] ?? NONE; entry !== NONE; ) {
      const next = this.#next[entry] ?? NONE // the visitor may take the entry away
      visit(this.#pathId[entry] ?? 0, this.#value[entry] ?? NONE, this.#source[entry] ?? 0)
      entry = next
    }
  }

  attributesAt(row: number, pathId: number): number {
    return this.#value[this.#find(row, pathId)] ?? NONE
  }

  sourceAt(row: number, pathId: number): number {
    return this.#source[this.#find(row, pathId)] ?? 0
  }

  set(row: number, pathId: number, attributes: number, source: number): void {
    const found = this.#find(row, pathId)
    if (attributes === NONE) {
      if (found !== NONE) this.#remove(row, found)
      return
    }
    this.#attributes.hold(attributes)
    this.#counts.change(source, 1)
    if (found === NONE) {
      this.#add(row, pathId, attributes, source)
      return
    }
    this.#attributes.release(this.#value[found] ?? NONE)
    this.#counts.change(this.#source[found] ?? 0, -1)
    this.#value[found] = attributes
    this.#source[found] = source
  }

  copy(): AdjRibOut {
    const copy = new AddPathAdjRibOut(this.#prefixes, this.#attributes)
    for (let row = 1; row < this.#prefixes.end; row++)
      this.visit(row, (pathId, attributes, source) => copy.set(row, pathId, attributes, source))
    return copy
  }

  dispose(): void {
    this.#prefixes.onGrow.delete(this.#onGrow)
    for (let row = 1; row < this.#prefixes.end; row++) this.visit(row, (_pathId, attributes) => this.#attributes.release(attributes))
  }

  #find(row: number, pathId: number): number {
    let entry = this.#first[row] ?? NONE
    while (entry !== NONE && this.#pathId[entry] !== pathId) entry = this.#next[entry] ?? NONE
    return entry
  }

  #add(row: number, pathId: number, attributes: number, source: number): void {
    let entry = this.#free
    if (entry !== NONE) this.#free = this.#next[entry] ?? NONE
    else {
      if (this.#end === this.#next.length) this.#grow(nextCapacity(this.#end, this.#end + 1))
      entry = this.#end++
    }
    this.#pathId[entry] = pathId
    this.#value[entry] = attributes
    this.#source[entry] = source
    this.#next[entry] = this.#first[row] ?? NONE
    this.#first[row] = entry
  }

  #remove(row: number, entry: number): void {
    this.#attributes.release(this.#value[entry] ?? NONE)
    this.#counts.change(this.#source[entry] ?? 0, -1)
    this.#value[entry] = NONE
    const following = this.#next[entry] ?? NONE
    if (this.#first[row] === entry) this.#first[row] = following
    else {
      let before = this.#first[row] ?? NONE
      while (this.#next[before] !== entry) before = this.#next[before] ?? NONE
      this.#next[before] = following
    }
    this.#next[entry] = this.#free
    this.#free = entry
  }

  #grow(capacity: number): void {
    this.#pathId = regrown(this.#pathId, capacity)
    this.#value = regrown(this.#value, capacity)
    this.#source = regrown(this.#source, capacity)
    this.#next = regrown(this.#next, capacity)
  }
}
