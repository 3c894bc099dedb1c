// What the controller looks at: the objects of the whole cluster at one moment, and which nodes a selector means. Secrets are not
// among them: the agents say in their NodeNetworks what is missing.
import { type LabelSelector, type Labels, matchesSelector } from '../lib/label-selector.ts'
import type { Selection, Snapshot } from '../store/index.ts'

/** Kinds that are watched. Pods are listed on a timer: see leaks/collector.ts. */
export const CLUSTER_KINDS = [
  'Node',
  'NodeNetwork',
  'IPPool',
  'IPAMBlock',
  'IPReservation',
  'IPAMConfiguration',
  'BGPConfiguration',
  'BGPPeer',
  'BGPFilter',
] as const

export const CLUSTER_SELECTIONS: readonly Selection[] = CLUSTER_KINDS.map((kind) => ({ kind }))

/** The cluster at one moment. A `Snapshot` of a store is one. */
export type ClusterSnapshot = Pick<Snapshot, (typeof CLUSTER_KINDS)[number]>

/** What of a BGPPeer, IPPool or BGPConfiguration says which nodes it is for. */
export type NodeChoice = { readonly node?: string; readonly nodeSelector?: LabelSelector }

/** The nodes by their labels, so that 200 selectors over 5,000 nodes are not a million comparisons. */
export class NodeIndex {
  readonly names: readonly string[]
  readonly #labels: ReadonlyMap<string, Labels>
  readonly #byLabel = new Map<string, string[]>()
  readonly #chosen = new Map<string, ReadonlySet<string>>()

  constructor(nodes: ClusterSnapshot['Node']) {
    this.#labels = new Map([...nodes].map(([name, { metadata }]) => [name, metadata.labels]))
    this.names = [...this.#labels.keys()].sort()
    for (const name of this.names) {
      for (const [key, value] of Object.entries(this.#labels.get(name) ?? {})) {
        const label = `${key}=${value}`
        const holders = this.#byLabel.get(label)
        if (holders === undefined) this.#byLabel.set(label, [name])
        else holders.push(name)
      }
    }
  }

  has(name: string): boolean {
    return this.#labels.has(name)
  }

  /** Neither name nor selector: every node. */
  chosenBy({ node, nodeSelector }: NodeChoice): ReadonlySet<string> {
    if (node !== undefined) return new Set(this.has(node) ? [node] : [])
    const key = JSON.stringify(nodeSelector ?? null)
    const known = this.#chosen.get(key)
    if (known !== undefined) return known
    const chosen = new Set(nodeSelector === undefined ? this.names : this.#matching(nodeSelector))
    this.#chosen.set(key, chosen)
    return chosen
  }

  #matching(selector: LabelSelector): readonly string[] {
    const [first] = Object.entries(selector.matchLabels ?? {})
    const candidates = first === undefined ? this.names : (this.#byLabel.get(`${first[0]}=${first[1]}`) ?? [])
    return candidates.filter((name) => matchesSelector(selector, this.#labels.get(name) ?? {}))
  }
}

/**
 * The NodeNetworks that count: those whose Node is there. Without any Node objects (a folder that has none) all do, because then
 * nobody says which nodes there are.
 */
export function livingNetworks({ Node, NodeNetwork }: ClusterSnapshot): ReadonlyMap<string, ClusterNetwork> {
  if (Node.size === 0) return NodeNetwork
  return new Map([...NodeNetwork].filter(([name]) => Node.has(name)))
}

type ClusterNetwork = ClusterSnapshot['NodeNetwork'] extends ReadonlyMap<string, infer Network> ? Network : never

/** Objects of one kind in order of their keys. */
export function inOrder<T>(objects: ReadonlyMap<string, T>): readonly T[] {
  return [...objects].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)).map(([, object]) => object)
}

/** `a`, `a and b`, `a, b, c and 4 more`. */
export function someOf(names: Iterable<string>, most = 3): string {
  const all = [...names]
  if (all.length > most) return `${all.slice(0, most).join(', ')} and ${all.length - most} more`
  return all.length <= 1 ? all.join('') : `${all.slice(0, -1).join(', ')} and ${all.at(-1)}`
}
