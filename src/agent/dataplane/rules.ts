// The rules of this node (src/netfilter), made and kept only once something needs them: a node without pods and tunnels runs no
// iptables and loads nothing of this.
import { isDeepStrictEqual } from 'node:util'
import type { NetfilterService, NetfilterStatus, Ruleset } from '../../netfilter/index.ts'
import { RulesetMirror } from '../../policy/index.ts'
import { type GuardInput, renderGuards } from '../../routes/index.ts'
import type { Problem } from '../control-api.ts'
import type { DataplaneRequests } from '../threads.ts'

const NOTHING: Ruleset = { sets: [], families: { 4: { chains: [], hooks: [] }, 6: { chains: [], hooks: [] } } }
const GUARDS = 'guards'
const POLICY = 'policy'

export class Rules {
  readonly #load: () => Promise<NetfilterService>
  readonly #policy = new RulesetMirror()
  #service: NetfilterService | null = null
  #applied: GuardInput | null = null

  /** `load` makes the service with the clients of `clientsWith`. */
  constructor(load: () => Promise<NetfilterService>) {
    this.#load = load
  }

  /** Names of the clients of netfilter whose rules these are, in the order of their jumps: what no pod may send is dropped first. */
  static clientsWith({ pods }: { readonly pods: boolean }): readonly string[] {
    return pods ? [GUARDS, POLICY] : [GUARDS]
  }

  /**
   * Resolves when the kernel holds them, or has refused them: then they are tried again without being asked for, and `problems` says so.
   * One call at a time.
   */
  async apply(guards: GuardInput | null): Promise<void> {
    if (isDeepStrictEqual(guards, this.#applied)) return
    this.#applied = guards
    await (await this.#open()).client(GUARDS).apply(guards === null ? NOTHING : renderGuards(guards))
  }

  /** As `apply`, for policy: all of it anew, a change, or nothing any more. */
  async writePolicy({ whole, delta }: DataplaneRequests['writePolicy']['request']): Promise<DataplaneRequests['writePolicy']['answer']> {
    const service = await this.#open()
    const wanted = whole !== null ? this.#policy.reset(whole) : delta !== null ? this.#policy.apply(delta) : NOTHING
    const { ok } = await service.client(POLICY).apply(wanted)
    return { ok }
  }

  /** Packets that the rules of policy have seen. */
  async policyCounters(): Promise<DataplaneRequests['policyCounters']['answer']> {
    return this.#service === null ? [] : this.#service.counters(POLICY)
  }

  problems(): readonly Problem[] {
    return this.#service?.problems() ?? []
  }

  /** null: no rules were ever needed. */
  status(): NetfilterStatus | null {
    return this.#service?.status() ?? null
  }

  async #open(): Promise<NetfilterService> {
    this.#service ??= await this.#load()
    return this.#service
  }
}
