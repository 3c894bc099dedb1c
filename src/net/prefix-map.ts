// A map keyed by prefix with longest match and "all covered by" queries: one hash map per (family, length) in use, so a
// look-up costs one probe per distinct length, and no node objects are kept.
import { bitsOf, IP_FAMILIES, type IpAddress, type IpFamily } from './ip.ts'
import { maskAddress, type Prefix, prefix, prefixFamily } from './prefix.ts'

export class PrefixMap<V> {
  readonly #tables: Readonly<Record<IpFamily, Map<number, Map<IpAddress, V>>>> = { 4: new Map(), 6: new Map() }
  #size = 0

  get size(): number {
    return this.#size
  }

  get(key: Prefix): V | undefined {
    return this.#tables[prefixFamily(key)].get(key.length)?.get(key.address)
  }

  set(key: Prefix, value: V): void {
    const lengths = this.#tables[prefixFamily(key)]
    let table = lengths.get(key.length)
    if (table === undefined) {
      table = new Map()
      lengths.set(key.length, table)
    }
    if (!table.has(key.address)) this.#size++
    table.set(key.address, value)
  }

  delete(key: Prefix): boolean {
    const lengths = this.#tables[prefixFamily(key)]
    const table = lengths.get(key.length)
    if (table === undefined || !table.delete(key.address)) return false
    if (table.size === 0) lengths.delete(key.length)
    this.#size--
    return true
  }

  clear(): void {
    this.#tables[4].clear()
    this.#tables[6].clear()
    this.#size = 0
  }

  /** The most specific entry that covers `key` and is accepted by `accept`. */
  longestMatch(
    key: Prefix,
    accept: (value: V, at: Prefix) => boolean = () => true,
  ): { readonly prefix: Prefix; readonly value: V } | undefined {
    const lengths = this.#tables[prefixFamily(key)]
    for (const length of [...lengths.keys()].sort((a, b) => b - a)) {
      if (length > key.length) continue
      const address = maskAddress(key.address, length)
      const value = lengths.get(length)?.get(address)
      if (value !== undefined && accept(value, { address, length })) return { prefix: { address, length }, value }
    }
    return undefined
  }

  /** Longest match for one address. */
  lookup(address: IpAddress, accept?: (value: V, at: Prefix) => boolean): { readonly prefix: Prefix; readonly value: V } | undefined {
    const bits = bitsOf(typeof address === 'number' ? 4 : 6)
    return this.longestMatch(prefix(address, bits), accept)
  }

  /** Every entry that is `key` or more specific, in no particular order. */
  *coveredBy(key: Prefix): Generator<readonly [Prefix, V]> {
    for (const [length, table] of this.#tables[prefixFamily(key)]) {
      if (length < key.length) continue
      for (const [address, value] of table) if (maskAddress(address, key.length) === key.address) yield [{ address, length }, value]
    }
  }

  *entries(): Generator<readonly [Prefix, V]> {
    for (const family of IP_FAMILIES) {
      for (const [length, table] of this.#tables[family]) for (const [address, value] of table) yield [{ address, length }, value]
    }
  }
}
