// Routes that the fabric offers and we drop, because our own AS number is in their AS_PATH (RFC 4271 §9.1.2): where nothing else
// carries the prefix plain, somebody should hear of it, as nodes that share an AS number lose what they say to one another
// through the fabric. Counted as best paths are selected, so that it costs nothing where it does not happen.
import { formatPrefix } from '../../net/index.ts'
import { formatAsPath } from '../wire/index.ts'
import type { AttributeTable } from './attribute-table.ts'
import { NONE } from './columns.ts'
import { COUNTED_OWN_AS, OWN_AS, type PathTable } from './path-table.ts'
import { HAS_OWN_AS, type PrefixTable } from './prefix-table.ts'

export class OwnAsRejections {
  readonly #prefixes: PrefixTable
  readonly #paths: PathTable
  readonly #attributes: AttributeTable
  /** Paths counted, by peer. */
  readonly #counts = new Map<number, number>()
  /** One of them. */
  readonly #examples = new Map<number, number>()

  constructor(prefixes: PrefixTable, paths: PathTable, attributes: AttributeTable) {
    this.#prefixes = prefixes
    this.#paths = paths
    this.#attributes = attributes
  }

  /** Whether a path is refused for our own AS; true: its prefix has to be selected again. */
  mark(path: number, isRefused: boolean): boolean {
    const { flags, prefix } = this.#paths
    const before = flags[path] ?? 0
    if (((before & OWN_AS) !== 0) === isRefused) return false
    if (!isRefused) {
      this.forget(path)
      flags[path] = (flags[path] ?? 0) & ~OWN_AS
      return false
    }
    flags[path] = before | OWN_AS
    const row = prefix[path] ?? NONE
    this.#prefixes.flags[row] = (this.#prefixes.flags[row] ?? 0) | HAS_OWN_AS
    return true
  }

  /** The path goes, or is no longer refused. */
  forget(path: number): void {
    const { flags, peer } = this.#paths
    const before = flags[path] ?? 0
    if ((before & COUNTED_OWN_AS) === 0) return
    flags[path] = before & ~COUNTED_OWN_AS
    this.#count(peer[path] ?? 0, -1)
  }

  /** The best path of a row with `HAS_OWN_AS` has been selected; `isMissed`: it is none, or an encapsulated one. */
  selected(row: number, isMissed: boolean): void {
    const { flags, next, peer } = this.#paths
    let isAny = false
    for (let path = this.#prefixes.firstPath[row] ?? NONE; path !== NONE; path = next[path] ?? NONE) {
      const before = flags[path] ?? 0
      if ((before & OWN_AS) === 0) continue
      isAny = true
      if (((before & COUNTED_OWN_AS) !== 0) === isMissed) continue
      flags[path] = before ^ COUNTED_OWN_AS
      this.#count(peer[path] ?? 0, isMissed ? 1 : -1)
    }
    if (!isAny) this.#prefixes.flags[row] = (this.#prefixes.flags[row] ?? 0) & ~HAS_OWN_AS
  }

  countOf(peer: number): number {
    return this.#counts.get(peer) ?? 0
  }

  /** One of the routes counted, in words; null: there is none. */
  exampleOf(peer: number): string | null {
    if (this.countOf(peer) === 0) return null
    const paths = this.#paths
    const isOne = (path: number): boolean =>
      paths.isUsed(path) && paths.peer[path] === peer && ((paths.flags[path] ?? 0) & COUNTED_OWN_AS) !== 0
    let path = this.#examples.get(peer) ?? 1
    if (!isOne(path)) for (path = 1; path < paths.end && !isOne(path); path++);
    if (path >= paths.end) return null
    this.#examples.set(peer, path)
    const { asPath } = this.#attributes.get(paths.raw[path] ?? NONE)
    return `${formatPrefix(this.#prefixes.prefixOf(paths.prefix[path] ?? NONE))}, AS path ${formatAsPath(asPath)}`
  }

  #count(peer: number, by: 1 | -1): void {
    const count = this.countOf(peer) + by
    if (count > 0) {
      this.#counts.set(peer, count)
      return
    }
    this.#counts.delete(peer)
    this.#examples.delete(peer)
  }
}
