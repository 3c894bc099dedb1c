// What policy is made of, followed in a store: the policies always, and pods, namespaces and nodes of the whole cluster only while there
// is a policy, because they are many. Objects become the model's values as they come, and nothing else of them is kept here.
import type { Clock } from '../../lib/clock.ts'
import { type IpAddress, parseIp } from '../../net/index.ts'
import {
  clusterPolicyFromKubernetes,
  namespaceFromKubernetes,
  networkPolicyFromKubernetes,
  nodeFromKubernetes,
  type PolicyChange,
  podFromKubernetes,
} from '../../policy/index.ts'
import { type Change, NODE_ANNOTATION, type Resource, type Selection, type Store, type Watch } from '../../store/index.ts'
import type { Problem } from '../control-api.ts'

/**
 * - `unknown`: whether there are policies has not been heard yet.
 * - `none`: there are none.
 * - `listing`: there are, and what they speak of is being listed.
 * - `listed`: everything is known.
 */
export type PolicyStage = 'unknown' | 'none' | 'listing' | 'listed'

export type PolicyInputsDeps = {
  readonly store: Store
  readonly clock: Clock
  /** There is something to `take`, or the stage is another. */
  readonly changed: () => void
  readonly problems: (problems: readonly Problem[]) => void
}

const POLICIES: readonly Selection[] = [{ kind: 'NetworkPolicy' }, { kind: 'ClusterNetworkPolicy', isOptional: true }]
const SUBJECTS: readonly Selection[] = [{ kind: 'Pod' }, { kind: 'Namespace' }, { kind: 'Node' }]
/** After the last policy went: another often follows, and to list all pods anew costs more than to follow them for a while. */
const LINGER_MS = 300_000

export class PolicyInputs implements Disposable {
  readonly #deps: PolicyInputsDeps
  readonly #watch: Watch
  /** The latest of each object since the last `take`. */
  #pending = new Map<string, PolicyChange>()
  readonly #policies = new Set<string>()
  #stage: PolicyStage = 'unknown'
  #linger: Disposable | null = null
  #hasEnded = false

  constructor(deps: PolicyInputsDeps) {
    this.#deps = deps
    this.#watch = deps.store.watch(POLICIES, {
      changed: (changes) => this.#onChanges(changes),
      synced: () => this.#decide(),
      problems: (problems) => deps.problems(problems.map(({ severity, subject, message }) => ({ severity, subject, message }))),
    })
  }

  get stage(): PolicyStage {
    return this.#stage
  }

  /** Every object that changed since the last call, as it is now; since the stage was last `none`, at the first call. */
  take(): readonly PolicyChange[] {
    const taken = [...this.#pending.values()]
    this.#pending = new Map()
    return taken
  }

  [Symbol.dispose](): void {
    this.#hasEnded = true
    this.#linger?.[Symbol.dispose]()
    this.#watch[Symbol.dispose]()
  }

  #onChanges(changes: readonly Change[]): void {
    for (const change of changes) {
      const policyChange = toPolicyChange(change)
      if (policyChange === null) continue
      const id = `${policyChange.kind} ${policyChange.key}`
      this.#pending.set(id, policyChange)
      if (policyChange.kind !== 'networkPolicy' && policyChange.kind !== 'clusterPolicy') continue
      if (policyChange.value === null) this.#policies.delete(id)
      else this.#policies.add(id)
    }
    if (this.#stage !== 'unknown') this.#decide()
  }

  #decide(): void {
    if (this.#hasEnded) return
    const wanted = this.#policies.size > 0
    if (wanted) {
      this.#linger?.[Symbol.dispose]()
      this.#linger = null
      if (this.#stage === 'unknown' || this.#stage === 'none') this.#listAll()
    } else if (this.#stage === 'unknown') {
      this.#becomeNone()
    } else if (this.#stage !== 'none') {
      this.#linger ??= this.#deps.clock.after(LINGER_MS, () => {
        this.#linger = null
        void this.#watch.select(POLICIES)
        this.#becomeNone()
      })
    }
    this.#deps.changed()
  }

  #listAll(): void {
    this.#stage = 'listing'
    void this.#watch.select([...POLICIES, ...SUBJECTS]).then(() => {
      if (this.#hasEnded || this.#stage !== 'listing') return
      this.#stage = 'listed'
      this.#deps.changed()
    })
  }

  #becomeNone(): void {
    this.#stage = 'none'
    this.#pending = new Map()
    this.#deps.changed()
  }
}

/** null: not a kind that policy reads. */
export function toPolicyChange({ type, object }: Change): PolicyChange | null {
  const isGone = type === 'gone'
  const { name, namespace = 'default' } = object.metadata
  switch (object.kind) {
    case 'Pod':
      return { kind: 'pod', key: `${namespace}/${name}`, value: isGone ? null : podFromKubernetes(object) }
    case 'Namespace':
      return { kind: 'namespace', key: name, value: isGone ? null : namespaceFromKubernetes(object) }
    case 'Node':
      return { kind: 'node', key: name, value: isGone ? null : nodeFromKubernetes(object, annotatedAddresses(object)) }
    case 'NetworkPolicy':
      return { kind: 'networkPolicy', key: `${namespace}/${name}`, value: isGone ? null : networkPolicyFromKubernetes(object) }
    case 'ClusterNetworkPolicy':
      return { kind: 'clusterPolicy', key: name, value: isGone ? null : clusterPolicyFromKubernetes(object) }
    default:
      return null
  }
}

/** The addresses that a node peers by, which its status need not show. */
export function annotatedAddresses({ metadata: { annotations } }: Pick<Resource, 'metadata'>): readonly IpAddress[] {
  return [NODE_ANNOTATION.ipv4Address, NODE_ANNOTATION.ipv6Address].flatMap((key) => {
    const text = annotations?.[key]
    const address = text === undefined ? null : parseIp(text.split('/')[0] ?? '')
    return address === null ? [] : [address]
  })
}
