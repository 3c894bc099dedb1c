// The rules of this node (src/netfilter), made and kept only once something needs them: a node without pods and tunnels runs no
// iptables and loads nothing of this.
import { isDeepStrictEqual } from 'node:util'
import type { NetfilterService, NetfilterStatus, Ruleset } from '../../netfilter/index.ts'
import { type GuardInput, renderGuards } from '../../routes/index.ts'
import type { Problem } from '../control-api.ts'

const NOTHING: Ruleset = { sets: [], families: { 4: { chains: [], hooks: [] }, 6: { chains: [], hooks: [] } } }

export class Rules {
  /** Name of the client of netfilter whose rules these are. */
  static readonly client = 'guards'
  readonly #load: () => Promise<NetfilterService>
  #service: NetfilterService | null = null
  #applied: GuardInput | null = null

  constructor(load: () => Promise<NetfilterService>) {
    this.#load = load
  }

  /**
   * Resolves when the kernel holds them, or has refused them: then they are tried again without being asked for, and `problems` says so.
   * One call at a time.
   */
  async apply(guards: GuardInput | null): Promise<void> {
    if (isDeepStrictEqual(guards, this.#applied)) return
    this.#service ??= await this.#load()
    this.#applied = guards
    await this.#service.client(Rules.client).apply(guards === null ? NOTHING : renderGuards(guards))
  }

  problems(): readonly Problem[] {
    return this.#service?.problems() ?? []
  }

  /** null: no rules were ever needed. */
  status(): NetfilterStatus | null {
    return this.#service?.status() ?? null
  }
}
