// Import policy of each peer, shared between peers that import alike, and its application to what is already there.
import { FAMILIES } from '../family.ts'
import { NONE } from './columns.ts'
import type { FamilyTables } from './family-tables.ts'
import { ImportPolicy, importKey } from './import-policy.ts'
import { OutcomeCache } from './outcome-cache.ts'
import { LONG_LIVED, OURSELVES } from './path-table.ts'
import { importFacts, type PeerEntry, peerTypeOf } from './peer-entry.ts'
import type { RibState } from './state.ts'
import type { TableWork } from './table-work.ts'

type Program = { readonly cache: OutcomeCache; readonly policy: ImportPolicy; users: number }

export class Imports {
  readonly #state: RibState
  readonly #work: TableWork
  readonly #programs = new Map<string, Program>()

  constructor(state: RibState, work: TableWork) {
    this.#state = state
    this.#work = work
  }

  /** Gives the peer the policy that follows from configuration and session; judges again what it told before. */
  refresh(peer: PeerEntry): void {
    const { attributes, columns, config, jobs, tables } = this.#state
    columns.external[peer.id] = peerTypeOf(config, peer) === 'eBGP' ? 1 : 0
    const filterKeys = this.#state.filterKeys(peer.config.filters)
    for (const family of FAMILIES) {
      const own = peer.families[family]
      const facts = importFacts(config, peer, family)
      const key = importKey(facts, filterKeys, this.#state.rangesKey)
      if (own.imports?.key === key) continue
      let program = this.#programs.get(key)
      if (program === undefined) {
        const policy = new ImportPolicy(facts)
        program = { cache: new OutcomeCache(attributes, policy), policy, users: 0 }
        this.#programs.set(key, program)
      }
      program.users++
      this.drop(peer, family)
      own.imports = { key, cache: program.cache, policy: program.policy }
      if (!own.arrivals.isEmpty) jobs.add(tables[family], 'reimport', [peer.id], (at, path) => this.#judgeAgain(at, path))
    }
  }

  /** The peer no longer uses its policy of that family. */
  drop(peer: PeerEntry, family: (typeof FAMILIES)[number]): void {
    const { imports } = peer.families[family]
    const program = imports === null ? undefined : this.#programs.get(imports.key)
    if (imports === null || program === undefined) return
    program.users--
    if (program.users > 0) return
    program.cache.clear()
    this.#programs.delete(imports.key)
  }

  /** That attribute set is about to be given back. */
  forget(attributes: number): void {
    for (const { cache } of this.#programs.values()) cache.forget(attributes)
  }

  #judgeAgain(tables: FamilyTables, path: number): void {
    const { paths, prefixes } = tables
    const { attributes } = this.#state
    const own = this.#state.findPeer(paths.peer[path] ?? OURSELVES)?.families[tables.family]
    if (own?.imports === null || own?.imports === undefined) return
    const { cache, policy } = own.imports
    const raw = paths.raw[path] ?? NONE
    const words = prefixes.wordsAt(paths.prefix[path] ?? NONE)
    const outcome = cache.outcome(raw, OURSELVES)
    const imported = outcome >= 0 ? outcome : cache.settle(outcome, ...words)
    const isLongLived = ((paths.flags[path] ?? 0) & LONG_LIVED) !== 0
    tables.setImported(path, isLongLived ? this.#work.longLived(imported) : imported, own.arrivals)
    tables.setOwnAs(path, outcome === NONE && policy.isOwnAsLoop(attributes.get(raw)) && policy.isOfPool(...words))
  }
}
