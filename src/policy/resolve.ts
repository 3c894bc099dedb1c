// Which policies have a say on each endpoint of this node, incrementally: a change recomputes only the endpoints whose own policies it
// can change, and the sets it enters or leaves. Only what selects a local endpoint is compiled; only sets that it uses are kept.
import { matchesSelector } from '../lib/label-selector.ts'
import { unreachable } from '../lib/result.ts'
import type { IpFamily } from '../net/index.ts'
import { AddressOwners } from './address-owners.ts'
import { type Holder, hasRemoteAddresses, holderOfEndpoint, namespaceLabels } from './cluster-view.ts'
import { compileClusterPolicy, compileNetworkPolicy, composeProgram } from './compile.ts'
import { ContentTable } from './content-table.ts'
import type { EndpointPolicies, PolicyChange } from './contract.ts'
import {
  byPrecedence,
  type ClusterPolicy,
  type ClusterTier,
  type Direction,
  type Endpoint,
  type NetworkPolicy,
  type PolicyNamespace,
  type PolicyNode,
  type PolicyPod,
  type PolicySettings,
  type PolicyState,
  podKey,
} from './model.ts'
import type { AddressSet, EndpointProgram, EndpointRules, PolicyProgram } from './program.ts'
import { type SetChanges, SetTable } from './sets.ts'

export type ResolvedEndpoint = {
  readonly endpoint: Endpoint
  readonly isWaiting: boolean
  readonly rules: { readonly [D in Direction]: EndpointRules }
  readonly policies: { readonly [D in Direction]: EndpointPolicies }
}

export type Changed<T> = { readonly added: readonly T[]; readonly removed: readonly T[] }
export type ResolvedDelta = {
  readonly sets: SetChanges
  readonly policies: Changed<PolicyProgram>
  readonly programs: Changed<EndpointProgram>
  /** By interface; null: gone. */
  readonly endpoints: ReadonlyMap<string, ResolvedEndpoint | null>
}

type Selected = {
  readonly admin: readonly ClusterPolicy[]
  readonly baseline: readonly ClusterPolicy[]
  readonly network: readonly NetworkPolicy[]
}
type Compiled = { readonly source: NetworkPolicy | ClusterPolicy; readonly programs: Map<Direction, PolicyProgram> }

const DIRECTIONS: readonly Direction[] = ['ingress', 'egress']
const NO_POLICIES: EndpointPolicies = { admin: [], networkPolicies: [], baseline: [] }

export class PolicyResolver {
  readonly #settings: PolicySettings
  readonly #pods = new Map<string, PolicyPod>()
  readonly #namespaces = new Map<string, PolicyNamespace>()
  readonly #nodes = new Map<string, PolicyNode>()
  readonly #networkPolicies = new Map<string, NetworkPolicy>()
  readonly #clusterPolicies = new Map<string, ClusterPolicy>()
  readonly #endpoints = new Map<string, Endpoint>()
  readonly state: PolicyState = {
    pods: this.#pods,
    namespaces: this.#namespaces,
    nodes: this.#nodes,
    networkPolicies: this.#networkPolicies,
    clusterPolicies: this.#clusterPolicies,
    endpoints: this.#endpoints,
  }

  readonly #resolved = new Map<string, ResolvedEndpoint>()
  readonly #policiesOfNamespace = new Map<string, Map<string, NetworkPolicy>>()
  /** Interfaces by namespace. */
  readonly #endpointsOfNamespace = new Map<string, Set<string>>()
  #sortedClusterPolicies: readonly ClusterPolicy[] = []
  readonly #compiled = new Map<string, Compiled>()

  readonly #owners = new AddressOwners()
  readonly #sets = new SetTable()
  readonly #policyPrograms = new ContentTable<PolicyProgram>()
  readonly #endpointPrograms = new ContentTable<EndpointProgram>()
  readonly #dirtyEndpoints = new Set<string>()
  readonly #dirtyMembers = new Set<string>()

  constructor(settings: PolicySettings) {
    this.#settings = settings
  }

  get endpoints(): ReadonlyMap<string, ResolvedEndpoint> {
    return this.#resolved
  }

  membersOf(set: AddressSet, family: IpFamily): readonly string[] {
    return this.#sets.members(set, family)
  }

  /** Who has an address: as `viewOf` has it. */
  holderOf(address: Endpoint['addresses'][number]): Holder | null {
    const owner = this.#owners.ownerOf(address)
    if (owner === null) return null
    if (owner.kind === 'pod') return { pod: owner.pod, endpoint: null, isWaiting: false }
    const endpoint = this.#endpoints.get(owner.key.slice(ENDPOINT_KEY.length))
    return endpoint === undefined ? null : holderOfEndpoint(endpoint, this.state, this.#settings)
  }

  update(changes: readonly PolicyChange[]): ResolvedDelta {
    for (const change of changes) this.#take(change)
    const endpoints = new Map<string, ResolvedEndpoint | null>()
    for (const name of this.#dirtyEndpoints) this.#resolve(name, endpoints)
    this.#dirtyEndpoints.clear()
    for (const key of this.#dirtyMembers) this.#updateMember(key)
    this.#dirtyMembers.clear()
    const programs = this.#endpointPrograms.flush((program) => {
      for (const policy of policiesIn(program)) this.#policyPrograms.release(policy)
    })
    const policies = this.#policyPrograms.flush((policy) => {
      for (const set of policy.sets) this.#sets.release(set)
    })
    return { sets: this.#sets.flush(), policies, programs, endpoints }
  }

  // --- Changes -----------------------------------------------------------------------------------------------------------------

  #take(change: PolicyChange): void {
    switch (change.kind) {
      case 'pod':
        this.#takePod(change.key, change.value)
        break
      case 'namespace':
        put(this.#namespaces, change.key, change.value)
        this.#sets.updateNamespace(change.key, change.value)
        for (const name of this.#endpointsOfNamespace.get(change.key) ?? []) this.#dirtyEndpoints.add(name)
        break
      case 'node':
        put(this.#nodes, change.key, change.value)
        this.#sets.updateNode(change.key, change.value)
        break
      case 'networkPolicy':
        this.#takeNetworkPolicy(change.key, change.value)
        break
      case 'clusterPolicy':
        this.#takeClusterPolicy(change.key, change.value)
        break
      case 'endpoint':
        this.#takeEndpoint(change.key, change.value)
        break
      default:
        unreachable(change)
    }
  }

  #takePod(key: string, pod: PolicyPod | null): void {
    put(this.#pods, key, pod)
    const member = POD_KEY + key
    const isRemote = pod !== null && hasRemoteAddresses(pod, this.#settings)
    this.#claim(member, isRemote ? { kind: 'pod', key: member, pod, addresses: pod.addresses } : null)
    const namespace = key.slice(0, key.indexOf('/'))
    for (const name of this.#endpointsOfNamespace.get(namespace) ?? []) {
      const owner = this.#endpoints.get(name)?.pod
      if (owner != null && podKey(owner) === key) this.#dirtyEndpoints.add(name)
    }
  }

  #takeEndpoint(name: string, endpoint: Endpoint | null): void {
    const before = this.#endpoints.get(name)?.pod?.namespace
    if (before !== undefined) this.#endpointsOfNamespace.get(before)?.delete(name)
    put(this.#endpoints, name, endpoint)
    const namespace = endpoint?.pod?.namespace
    if (namespace !== undefined) {
      const names = this.#endpointsOfNamespace.get(namespace) ?? new Set()
      this.#endpointsOfNamespace.set(namespace, names.add(name))
    }
    const key = ENDPOINT_KEY + name
    this.#claim(key, endpoint === null ? null : { kind: 'endpoint', key, addresses: endpoint.addresses })
    this.#dirtyEndpoints.add(name)
  }

  #claim(key: string, claimant: Parameters<AddressOwners['claim']>[1]): void {
    this.#dirtyMembers.add(key)
    for (const other of this.#owners.claim(key, claimant)) this.#dirtyMembers.add(other)
  }

  #takeNetworkPolicy(key: string, policy: NetworkPolicy | null): void {
    const before = this.#networkPolicies.get(key)
    put(this.#networkPolicies, key, policy)
    this.#compiled.delete(NETWORK_POLICY_KEY + key)
    if (before !== undefined) this.#policiesOfNamespace.get(before.namespace)?.delete(key)
    if (policy !== null) {
      const policies = this.#policiesOfNamespace.get(policy.namespace) ?? new Map<string, NetworkPolicy>()
      this.#policiesOfNamespace.set(policy.namespace, policies.set(key, policy))
    }
    const namespace = (policy ?? before)?.namespace
    if (namespace === undefined) return
    for (const name of this.#endpointsOfNamespace.get(namespace) ?? []) {
      const pod = this.#podOf(name)
      const selects = (each: NetworkPolicy | null | undefined): boolean =>
        each != null && pod !== null && matchesSelector(each.pods, pod.labels)
      if (selects(before) || selects(policy)) this.#dirtyEndpoints.add(name)
    }
  }

  #takeClusterPolicy(name: string, policy: ClusterPolicy | null): void {
    const before = this.#clusterPolicies.get(name) ?? null
    put(this.#clusterPolicies, name, policy)
    this.#compiled.delete(CLUSTER_POLICY_KEY + name)
    this.#sortedClusterPolicies = [...this.#clusterPolicies.values()].sort(byPrecedence)
    for (const endpoint of this.#endpoints.keys()) {
      const pod = this.#podOf(endpoint)
      if (pod === null) continue
      if ([before, policy].some((each) => each !== null && this.#isSubject(each, pod))) this.#dirtyEndpoints.add(endpoint)
    }
  }

  #podOf(name: string): PolicyPod | null {
    const endpoint = this.#endpoints.get(name)
    return endpoint === undefined ? null : holderOfEndpoint(endpoint, this.state, this.#settings).pod
  }

  // --- Members of sets ---------------------------------------------------------------------------------------------------------

  #updateMember(key: string): void {
    const isLocal = key.startsWith(ENDPOINT_KEY)
    const pod = isLocal ? this.#podOf(key.slice(ENDPOINT_KEY.length)) : (this.#pods.get(key.slice(POD_KEY.length)) ?? null)
    const addresses = this.#owners.owned(key)
    if (pod === null || addresses.length === 0) this.#sets.updatePod(key, null)
    else this.#sets.updatePod(key, { namespace: pod.namespace, labels: pod.labels, ports: pod.ports, isLocal, addresses })
  }

  // --- Endpoints ---------------------------------------------------------------------------------------------------------------

  #resolve(name: string, changed: Map<string, ResolvedEndpoint | null>): void {
    this.#dirtyMembers.add(ENDPOINT_KEY + name)
    const before = this.#resolved.get(name)
    const endpoint = this.#endpoints.get(name)
    const after = endpoint === undefined ? null : this.#programs(endpoint)
    if (after === null) this.#resolved.delete(name)
    else this.#resolved.set(name, after)
    if (before !== undefined) for (const rules of Object.values(before.rules)) this.#release(rules)
    if (before !== undefined || after !== null) changed.set(name, after)
  }

  #programs(endpoint: Endpoint): ResolvedEndpoint {
    const { pod, isWaiting } = holderOfEndpoint(endpoint, this.state, this.#settings)
    if (pod === null) {
      const rules = isWaiting ? 'closed' : 'open'
      return { endpoint, isWaiting, rules: { ingress: rules, egress: rules }, policies: { ingress: NO_POLICIES, egress: NO_POLICIES } }
    }
    const policies = {
      admin: this.#clusterPoliciesOf(pod, 'Admin'),
      baseline: this.#clusterPoliciesOf(pod, 'Baseline'),
      network: this.#networkPoliciesOf(pod),
    }
    const [ingress, egress] = DIRECTIONS.map((direction) => this.#inDirection(direction, policies))
    if (ingress === undefined || egress === undefined) throw new Error('two directions')
    return {
      endpoint,
      isWaiting,
      rules: { ingress: ingress.rules, egress: egress.rules },
      policies: { ingress: ingress.policies, egress: egress.policies },
    }
  }

  #inDirection(
    direction: Direction,
    { admin, baseline, network }: Selected,
  ): { readonly rules: EndpointRules; readonly policies: EndpointPolicies } {
    const compiled = (policies: readonly ClusterPolicy[]) => policies.map((policy) => this.#compileCluster(policy, direction))
    const isolating = network.filter(({ isolates }) => isolates[direction])
    const program = composeProgram(
      direction,
      {
        admin: compiled(admin),
        baseline: compiled(baseline),
        isolating: isolating.map((policy) => [podKey(policy), this.#compileNetwork(policy, direction)]),
      },
      this.#settings.ownNodeEgress === 'allow',
    )
    const named = (policies: readonly ClusterPolicy[]) =>
      policies.filter(({ rules }) => rules[direction].length > 0).map(({ name }) => name)
    const policies = { admin: named(admin), networkPolicies: isolating.map(podKey).sort(), baseline: named(baseline) }
    return { rules: program === null ? 'open' : this.#retain(program), policies }
  }

  #retain(program: EndpointProgram): EndpointProgram {
    return this.#endpointPrograms.retain(program, (entered) => {
      for (const policy of policiesIn(entered)) {
        this.#policyPrograms.retain(policy, ({ sets }) => {
          for (const set of sets) this.#sets.retain(set)
        })
      }
    })
  }

  #release(rules: EndpointRules): void {
    if (typeof rules !== 'string') this.#endpointPrograms.release(rules)
  }

  #networkPoliciesOf(pod: PolicyPod): readonly NetworkPolicy[] {
    const policies = this.#policiesOfNamespace.get(pod.namespace)
    return policies === undefined ? [] : [...policies.values()].filter((policy) => matchesSelector(policy.pods, pod.labels))
  }

  #clusterPoliciesOf(pod: PolicyPod, tier: ClusterTier): readonly ClusterPolicy[] {
    return this.#sortedClusterPolicies.filter((policy) => policy.tier === tier && this.#isSubject(policy, pod))
  }

  #isSubject({ subject }: ClusterPolicy, pod: PolicyPod): boolean {
    if (subject === null) return true
    if (!matchesSelector(subject.pods, pod.labels)) return false
    if (subject.namespaces.kind === 'name') return subject.namespaces.name === pod.namespace
    const labels = namespaceLabels(this.state, pod.namespace)
    return labels !== null && matchesSelector(subject.namespaces.selector, labels)
  }

  #compileNetwork(policy: NetworkPolicy, direction: Direction): PolicyProgram {
    return this.#compile(NETWORK_POLICY_KEY + podKey(policy), policy, direction, () => compileNetworkPolicy(policy, direction))
  }

  #compileCluster(policy: ClusterPolicy, direction: Direction): PolicyProgram {
    return this.#compile(CLUSTER_POLICY_KEY + policy.name, policy, direction, () => compileClusterPolicy(policy, direction))
  }

  #compile(key: string, source: NetworkPolicy | ClusterPolicy, direction: Direction, compile: () => PolicyProgram): PolicyProgram {
    const known = this.#compiled.get(key)
    const entry = known?.source === source ? known : { source, programs: new Map<Direction, PolicyProgram>() }
    this.#compiled.set(key, entry)
    const program = entry.programs.get(direction) ?? compile()
    entry.programs.set(direction, program)
    return program
  }
}

const POD_KEY = 'pod '
const ENDPOINT_KEY = 'endpoint '
const NETWORK_POLICY_KEY = 'network '
const CLUSTER_POLICY_KEY = 'cluster '

export function policiesIn({ admin, isolation, baseline }: EndpointProgram): readonly PolicyProgram[] {
  return [...admin, ...(isolation?.admits ?? []), ...baseline]
}

function put<V>(map: Map<string, V>, key: string, value: V | null): void {
  if (value === null) map.delete(key)
  else map.set(key, value)
}
