// The chains of one family as they are wanted now, and what changed since somebody last asked. A chain that is written again with the same
// rules is not a change, and keeps the very objects it had: netfilter knows them by identity.
import type { Chain, Rule } from '../netfilter/index.ts'
import type { RenderedChain } from './render.ts'

type Entry = { readonly chain: RenderedChain; uses: number }

export class ChainTable {
  readonly #entries = new Map<string, Entry>()
  /** As they were at the last flush; null: not there. */
  readonly #touched = new Map<string, RenderedChain | null>()

  /** Of a chain named after its content; several may want the same. */
  retain(chain: RenderedChain): void {
    const entry = this.#entries.get(chain.name)
    if (entry === undefined) this.#set(chain.name, { chain, uses: 1 })
    else entry.uses++
  }

  release(name: string): void {
    const entry = this.#entries.get(name)
    if (entry === undefined) return
    entry.uses--
    if (entry.uses === 0) this.#set(name, null)
  }

  /** Of a chain that has one owner. */
  put(chain: RenderedChain): void {
    const known = this.#entries.get(chain.name)?.chain
    if (known === undefined || !sameRules(known.rules, chain.rules)) this.#set(chain.name, { chain, uses: 1 })
  }

  drop(name: string): void {
    if (this.#entries.has(name)) this.#set(name, null)
  }

  chains(): readonly RenderedChain[] {
    return [...this.#entries.values()].map(({ chain }) => chain)
  }

  flush(): { readonly put: readonly Chain[]; readonly removed: readonly string[] } {
    const put: Chain[] = []
    const removed: string[] = []
    for (const [name, before] of this.#touched) {
      const now = this.#entries.get(name)?.chain ?? null
      if (now === null) {
        if (before !== null) removed.push(name)
      } else if (before === null || !sameRules(before.rules, now.rules)) put.push(toChain(now))
    }
    this.#touched.clear()
    return { put, removed }
  }

  #set(name: string, entry: Entry | null): void {
    if (!this.#touched.has(name)) this.#touched.set(name, this.#entries.get(name)?.chain ?? null)
    if (entry === null) this.#entries.delete(name)
    else this.#entries.set(name, entry)
  }
}

export function toChain({ table, name, rules }: RenderedChain): Chain {
  return { table, name, rules }
}

function sameRules(a: readonly Rule[], b: readonly Rule[]): boolean {
  return a === b || (a.length === b.length && a.every((rule, at) => sameWords(rule, b[at] ?? [])))
}

function sameWords(a: Rule, b: Rule): boolean {
  return a.length === b.length && a.every((word, at) => word === b[at])
}
