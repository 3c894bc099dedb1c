// The engine: the resolver, the chains that its answers are rendered to, and the evaluator over the same state. Synchronous and pure in
// the sense that the same changes give the same deltas; it holds nothing but values.

import type { IpFamily } from '../net/index.ts'
import type { Chain, Hook, IpSet } from '../netfilter/index.ts'
import { ChainTable, toChain } from './chain-table.ts'
import type { ClusterView } from './cluster-view.ts'
import type {
  DropCounter,
  EndpointPolicies,
  EndpointState,
  Flow,
  PolicyChange,
  PolicyDelta,
  PolicyEngineOptions,
  PolicyService,
  RulesetDelta,
  SetChange,
  Verdict,
} from './contract.ts'
import { renderDispatch, renderHooks, renderInput } from './dispatch.ts'
import type { Direction, PolicySettings, PolicyState } from './model.ts'
import { endpointChain, setName } from './names.ts'
import type { AddressSet, EndpointRules } from './program.ts'
import {
  type MarkBits,
  markBits,
  type RenderedChain,
  renderEndpoint,
  renderMarkChains,
  renderPolicy,
  renderProgram,
  setTypeOf,
} from './render.ts'
import { PolicyResolver, policiesIn, type ResolvedDelta, type ResolvedEndpoint } from './resolve.ts'
import type { SetChanges } from './sets.ts'
import { evaluate } from './verdict.ts'

const FAMILIES: readonly IpFamily[] = [4, 6]
const DIRECTIONS: readonly Direction[] = ['egress', 'ingress']
const DEFAULT_MARK_BIT = 0x400_0000
/** The highest bit whose neighbour is still one of the mark's 32. */
const HIGHEST_MARK_BIT = 0x4000_0000

export class PolicyEngine implements PolicyService {
  readonly #settings: PolicySettings
  readonly #families: readonly IpFamily[]
  readonly #bits: MarkBits
  readonly #resolver: PolicyResolver
  readonly #view: ClusterView
  readonly #chains: { readonly [F in IpFamily]: ChainTable } = { 4: new ChainTable(), 6: new ChainTable() }
  /** Names of the chains of a policy or program, by its id, of each family. */
  readonly #chainsOf = new Map<string, { readonly [F in IpFamily]: ReadonlySet<string> }>()
  readonly #sets = new Map<string, AddressSet>()
  #dispatch: ReadonlySet<string> = new Set()
  #hasBegun = false

  /** Throws RangeError if `markBit` is not one bit of the lower 31. */
  constructor({ families, markBit = DEFAULT_MARK_BIT, node, ownNodeEgress, missingPods }: PolicyEngineOptions) {
    if (!Number.isInteger(Math.log2(markBit)) || markBit < 1 || markBit > HIGHEST_MARK_BIT)
      throw new RangeError(`not a mark bit: ${markBit}`)
    this.#settings = { node, ownNodeEgress, missingPods }
    this.#families = FAMILIES.filter((family) => families.includes(family))
    this.#bits = markBits(markBit)
    const resolver = new PolicyResolver(this.#settings)
    this.#resolver = resolver
    this.#view = { state: resolver.state, settings: this.#settings, holderOf: (address) => resolver.holderOf(address) }
  }

  get state(): PolicyState {
    return this.#resolver.state
  }

  update(changes: readonly PolicyChange[]): PolicyDelta {
    const before = new Map(this.#resolver.endpoints)
    const resolved = this.#resolver.update(changes)
    const isFirst = !this.#hasBegun
    this.#hasBegun = true
    this.#renderPrograms(resolved)
    for (const [name, endpoint] of resolved.endpoints) this.#renderEndpoint(name, endpoint)
    if (isFirst) this.#renderFrame()
    if (isFirst || resolved.endpoints.size > 0) this.#renderDispatch()
    const sets = this.#setDelta(resolved.sets)
    const ofFamily = (family: IpFamily): RulesetDelta['families'][IpFamily] => ({
      ...this.#chains[family].flush(),
      hooks: isFirst ? this.#hooks(family) : null,
    })
    const ruleset: RulesetDelta = { sets, families: { 4: ofFamily(4), 6: ofFamily(6) } }
    return {
      ruleset,
      changesRules: !isEmpty(ruleset),
      endpoints: changedStates(before, resolved.endpoints),
      affected: this.#affected(before, resolved),
    }
  }

  ruleset(): RulesetDelta {
    const ofFamily = (family: IpFamily): RulesetDelta['families'][IpFamily] => ({
      put: this.#chains[family].chains().map(toChain),
      removed: [],
      hooks: this.#hasBegun ? this.#hooks(family) : [],
    })
    const put = [...this.#sets.values()].flatMap((set) =>
      this.#familiesOf(set).map((family) => toIpSet(family, set, this.#resolver.membersOf(set, family))),
    )
    return { sets: { put, changed: [], removed: [] }, families: { 4: ofFamily(4), 6: ofFamily(6) } }
  }

  endpointState(name: string): EndpointState | null {
    const endpoint = this.#resolver.endpoints.get(name)
    return endpoint === undefined ? null : stateOf(endpoint)
  }

  policiesOf(endpoint: string): { readonly [D in Direction]: EndpointPolicies } | null {
    return this.#resolver.endpoints.get(endpoint)?.policies ?? null
  }

  explain(flow: Flow): Verdict {
    return evaluate(this.#view, flow)
  }

  isAllowedHere(flow: Flow): boolean {
    const isLocal = { egress: this.#isLocal(flow.source), ingress: this.#isLocal(flow.destination) }
    return this.explain({ ...flow, isTranslated: true }).stages.every(({ direction, allowed }) => allowed || !isLocal[direction])
  }

  counters(): readonly DropCounter[] {
    return this.#families.flatMap((family) =>
      this.#chains[family].chains().flatMap(({ name, drops }) => drops.map((drop) => ({ family, chain: name, ...drop }))),
    )
  }

  #isLocal(address: Flow['source']): boolean {
    return (this.#resolver.holderOf(address)?.endpoint ?? null) !== null
  }

  // --- Chains ------------------------------------------------------------------------------------------------------------------

  #renderPrograms({ policies, programs }: ResolvedDelta): void {
    for (const policy of policies.added) this.#enter(policy.id, (family) => renderPolicy(family, policy, this.#bits))
    for (const program of programs.added) {
      const chains = renderProgram(program, this.#bits)
      this.#enter(program.id, () => chains)
    }
    for (const { id } of [...programs.removed, ...policies.removed]) {
      for (const family of this.#families) for (const name of this.#chainsOf.get(id)?.[family] ?? []) this.#chains[family].release(name)
      this.#chainsOf.delete(id)
    }
  }

  #enter(id: string, render: (family: IpFamily) => readonly RenderedChain[]): void {
    const names = { 4: new Set<string>(), 6: new Set<string>() }
    for (const family of this.#families) {
      for (const chain of render(family)) {
        if (!names[family].has(chain.name)) this.#chains[family].retain(chain)
        names[family].add(chain.name)
      }
    }
    this.#chainsOf.set(id, names)
  }

  #renderEndpoint(name: string, endpoint: ResolvedEndpoint | null): void {
    for (const direction of DIRECTIONS) {
      const chain = endpoint === null ? null : renderEndpoint(direction, name, endpoint.rules[direction], this.#bits)
      for (const family of this.#families) {
        if (chain === null) this.#chains[family].drop(endpointChain(direction, name))
        else this.#chains[family].put(chain)
      }
    }
  }

  #renderFrame(): void {
    for (const family of this.#families) {
      for (const chain of [...renderMarkChains(this.#bits), renderInput(family)]) this.#chains[family].put(chain)
    }
  }

  #renderDispatch(): void {
    const names = new Set<string>()
    for (const direction of DIRECTIONS) {
      const leaves = [...this.#resolver.endpoints].map(([name, { rules }]) => ({ name, hasChain: rules[direction] !== 'open' }))
      for (const chain of renderDispatch(direction, leaves, this.#bits)) {
        names.add(chain.name)
        for (const family of this.#families) this.#chains[family].put(chain)
      }
    }
    for (const name of this.#dispatch) if (!names.has(name)) for (const family of this.#families) this.#chains[family].drop(name)
    this.#dispatch = names
  }

  #hooks(family: IpFamily): readonly Hook[] {
    return this.#families.includes(family) ? renderHooks() : []
  }

  // --- Sets --------------------------------------------------------------------------------------------------------------------

  #setDelta({ added, changed, removed }: SetChanges): RulesetDelta['sets'] {
    for (const { set } of added) this.#sets.set(set.id, set)
    for (const { id } of removed) this.#sets.delete(id)
    return {
      put: added.flatMap(({ set, members }) => this.#familiesOf(set).map((family) => toIpSet(family, set, members[family]))),
      changed: changed.flatMap(({ set, members }) =>
        this.#families.flatMap((family): readonly SetChange[] => {
          const { add, remove } = members[family]
          return add.length + remove.length === 0 ? [] : [{ name: setName(family, set), add, remove }]
        }),
      ),
      removed: removed.flatMap((set) => this.#familiesOf(set).map((family) => setName(family, set))),
    }
  }

  /** No rule looks into a set of prefixes that has none of its family, now or ever. */
  #familiesOf({ spec }: AddressSet): readonly IpFamily[] {
    return spec.kind === 'networks' ? this.#families.filter((family) => spec.prefixes[family].length > 0) : this.#families
  }

  // --- What it means for endpoints ---------------------------------------------------------------------------------------------

  #affected(before: ReadonlyMap<string, ResolvedEndpoint>, { sets, endpoints }: ResolvedDelta): readonly string[] {
    const changedSets = new Set(sets.changed.map(({ set }) => set.id))
    const affected: string[] = []
    for (const [name, endpoint] of this.#resolver.endpoints) {
      const had = before.get(name)
      const isOther =
        endpoints.has(name) && (had === undefined || DIRECTIONS.some((each) => idOf(had.rules[each]) !== idOf(endpoint.rules[each])))
      if (isOther || (changedSets.size > 0 && DIRECTIONS.some((each) => reads(endpoint.rules[each], changedSets)))) affected.push(name)
    }
    return affected
  }
}

function reads(rules: EndpointRules, sets: ReadonlySet<string>): boolean {
  return typeof rules !== 'string' && policiesIn(rules).some((policy) => policy.sets.some(({ id }) => sets.has(id)))
}

function idOf(rules: EndpointRules): string {
  return typeof rules === 'string' ? rules : rules.id
}

function changedStates(
  before: ReadonlyMap<string, ResolvedEndpoint>,
  endpoints: ReadonlyMap<string, ResolvedEndpoint | null>,
): ReadonlyMap<string, EndpointState | null> {
  const states = new Map<string, EndpointState | null>()
  for (const [name, endpoint] of endpoints) {
    const had = before.get(name)
    const [was, is] = [had === undefined ? null : stateOf(had), endpoint === null ? null : stateOf(endpoint)]
    if (was?.kind !== is?.kind) states.set(name, is)
  }
  return states
}

function stateOf({ endpoint, isWaiting }: ResolvedEndpoint): EndpointState {
  if (!isWaiting) return { kind: 'ready' }
  const { pod } = endpoint
  const who = pod === null ? endpoint.interface : `${pod.namespace}/${pod.name}`
  return { kind: 'waiting', because: `the store does not show pod ${who}, or its namespace, yet` }
}

function toIpSet(family: IpFamily, set: AddressSet, members: readonly string[]): IpSet {
  return { name: setName(family, set), type: setTypeOf(set), family, members: new Set(members) }
}

function isEmpty({ sets, families }: RulesetDelta): boolean {
  const ofFamily = (family: IpFamily): readonly (readonly (Chain | string)[])[] => [families[family].put, families[family].removed]
  const lists = [sets.put, sets.changed, sets.removed, ...ofFamily(4), ...ofFamily(6)]
  return lists.every(({ length }) => length === 0) && families[4].hooks === null && families[6].hooks === null
}
