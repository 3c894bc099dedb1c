// A cluster's state as data: what scenarios and generated clusters are made of, for the evaluator as for real packets.
import { type IpAddress, ip } from '../../src/net/index.ts'
import {
  clusterPolicyFromKubernetes,
  type Flow,
  namespaceFromKubernetes,
  networkPolicyFromKubernetes,
  type PolicyNode,
  type PolicyState,
  PROTOCOL_NUMBER,
  podFromKubernetes,
  podKey,
} from '../../src/policy/index.ts'
import { parse } from './world.ts'

export type Labels = Readonly<Record<string, string>>
export type ContainerPort = { readonly name?: string; readonly containerPort: number; readonly protocol?: 'TCP' | 'UDP' | 'SCTP' }

export type ClusterState = {
  readonly namespaces: Readonly<Record<string, Labels>>
  /** By `namespace/name`. */
  readonly pods: Readonly<Record<string, { readonly labels?: Labels; readonly ports?: readonly ContainerPort[] }>>
  /** Manifests. */
  readonly policies: readonly object[]
}

/** A name for the network namespace of a pod. */
export function namespaceOf(key: string): string {
  return key.replace('/', '-')
}

/** What manifests and nodes say; what does not parse is salvaged, as the store does. */
export function stateOf(
  objects: readonly object[],
  nodes: readonly { readonly name: string; readonly addresses: readonly IpAddress[] }[],
): PolicyState {
  const state = {
    pods: new Map(),
    namespaces: new Map(),
    nodes: new Map(nodes.map(({ name, addresses }): [string, PolicyNode] => [name, { name, labels: {}, addresses }])),
    networkPolicies: new Map(),
    clusterPolicies: new Map(),
    endpoints: new Map(),
  }
  for (const object of objects.map(parse)) {
    if (object.kind === 'Pod')
      state.pods.set(podKey({ namespace: object.metadata.namespace ?? '', name: object.metadata.name }), podFromKubernetes(object))
    else if (object.kind === 'Namespace') state.namespaces.set(object.metadata.name, namespaceFromKubernetes(object))
    else if (object.kind === 'NetworkPolicy') {
      const policy = networkPolicyFromKubernetes(object)
      state.networkPolicies.set(podKey(policy), policy)
    } else if (object.kind === 'ClusterNetworkPolicy') state.clusterPolicies.set(object.metadata.name, clusterPolicyFromKubernetes(object))
    else throw new Error(`policy does not read ${object.kind}`)
  }
  return state
}

/** The first packet of a connection. */
export function flowOf(source: string, destination: string, protocol: 'TCP' | 'UDP' | 'SCTP', port: number): Flow {
  return { source: ip(source), destination: ip(destination), protocol: PROTOCOL_NUMBER[protocol], destinationPort: port }
}
