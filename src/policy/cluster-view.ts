// Whose an address is, worked out from nothing but the state: the first half of the reference evaluator. The engine keeps the same
// answer up to date (`address-owners.ts`); tests hold the two together.
import type { Labels } from '../lib/label-selector.ts'
import type { IpAddress } from '../net/index.ts'
import {
  type Endpoint,
  NAMESPACE_NAME_LABEL,
  type PolicyNode,
  type PolicyPod,
  type PolicySettings,
  type PolicyState,
  podKey,
} from './model.ts'

/** Who has an address. */
export type Holder = {
  /** Null: an endpoint that is no pod, or of whose pod nothing is known yet. */
  readonly pod: PolicyPod | null
  /** Null: on another node. */
  readonly endpoint: Endpoint | null
  /** Nothing may pass until its Pod and Namespace are known. */
  readonly isWaiting: boolean
}

/** What the evaluator asks of a cluster. */
export interface ClusterView {
  readonly state: PolicyState
  readonly settings: PolicySettings
  /** Null: no pod's address. */
  holderOf(address: IpAddress): Holder | null
}

/** A view made from scratch. Later changes of `state` are not seen. */
export function viewOf(state: PolicyState, settings: PolicySettings): ClusterView {
  const holders = new Map<IpAddress, Holder>()
  for (const pod of [...state.pods.values()].filter((each) => hasRemoteAddresses(each, settings)).sort(byClaim)) {
    for (const address of pod.addresses) if (!holders.has(address)) holders.set(address, { pod, endpoint: null, isWaiting: false })
  }
  for (const endpoint of [...state.endpoints.values()].sort((a, b) => (a.interface < b.interface ? 1 : -1))) {
    for (const address of endpoint.addresses) holders.set(address, holderOfEndpoint(endpoint, state, settings))
  }
  return { state, settings, holderOf: (address) => holders.get(address) ?? null }
}

/** A pod whose status says which addresses are its own: not one of this node, whose endpoints do, and none that shares its node's. */
export function hasRemoteAddresses(pod: PolicyPod, { node }: PolicySettings): boolean {
  return !pod.isHostNetwork && !pod.isFinished && pod.node !== node
}

/** Of pods that show one address the first has it: not the one that goes, and the youngest. A strict total order. */
export function byClaim(a: PolicyPod, b: PolicyPod): number {
  if (a.isTerminating !== b.isTerminating) return a.isTerminating ? 1 : -1
  if (a.createdAt !== b.createdAt) return a.createdAt > b.createdAt ? -1 : 1
  return podKey(a) > podKey(b) ? -1 : 1
}

/** Who an endpoint is, by the object of its pod. */
export function holderOfEndpoint(endpoint: Endpoint, state: PolicyState, { node, missingPods }: PolicySettings): Holder {
  const { pod } = endpoint
  if (pod === null) return { pod: null, endpoint, isWaiting: false }
  const known = state.pods.get(podKey(pod))
  const isIt = known !== undefined && (known.uid === null || pod.uid === null || known.uid === pod.uid)
  if (missingPods === 'deny' && !(isIt && state.namespaces.has(pod.namespace))) return { pod: null, endpoint, isWaiting: true }
  if (!isIt) return { pod: unlabelled(endpoint, pod, node), endpoint, isWaiting: false }
  return { pod: known.isFinished ? null : known, endpoint, isWaiting: false }
}

function unlabelled({ addresses }: Endpoint, { namespace, name, uid }: NonNullable<Endpoint['pod']>, node: string): PolicyPod {
  const facts = { isHostNetwork: false, isFinished: false, isTerminating: false, createdAt: '' }
  return { namespace, name, uid, labels: {}, node, ...facts, addresses, ports: [] }
}

/** Labels of a namespace with the one that every namespace has; null: the namespace is not known. */
export function namespaceLabels(state: PolicyState, name: string): Labels | null {
  const namespace = state.namespaces.get(name)
  return namespace === undefined ? null : { ...namespace.labels, [NAMESPACE_NAME_LABEL]: name }
}

/** The node that a holder is on; null: not known. */
export function nodeOf(holder: Holder, { state, settings }: ClusterView): PolicyNode | null {
  const name = holder.endpoint === null ? (holder.pod?.node ?? null) : settings.node
  return name === null ? null : (state.nodes.get(name) ?? null)
}
