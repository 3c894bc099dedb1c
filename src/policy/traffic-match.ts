// Whether one peer, one port or one subject of a policy matches a packet: the second half of the reference evaluator.
import { matchesSelector } from '../lib/label-selector.ts'
import { unreachable } from '../lib/result.ts'
import { containsAddress, type IpAddress } from '../net/index.ts'
import { type ClusterView, namespaceLabels } from './cluster-view.ts'
import type { Flow } from './contract.ts'
import { type Peer, type PodSelection, type PolicyPod, type PortMatch, PROTOCOL_NUMBER } from './model.ts'

/** True if the pod is in one of the namespaces and has the labels. A namespace whose labels are not known matches no selector. */
export function selectsPod({ namespaces, pods }: PodSelection, pod: PolicyPod, view: ClusterView): boolean {
  return isInScope(namespaces, pod.namespace, view) && matchesSelector(pods, pod.labels)
}

function isInScope(scope: PodSelection['namespaces'], namespace: string, { state }: ClusterView): boolean {
  if (scope.kind === 'name') return scope.name === namespace
  const labels = namespaceLabels(state, namespace)
  return labels !== null && matchesSelector(scope.selector, labels)
}

/** True if `address`, the other end of the packet, is one of the peer's. What is unknown matches nobody: see the callers. */
export function matchesPeer(peer: Peer, address: IpAddress, view: ClusterView): boolean {
  switch (peer.kind) {
    case 'pods': {
      const pod = view.holderOf(address)?.pod ?? null
      return pod !== null && selectsPod(peer, pod, view)
    }
    case 'block':
      return containsAddress(peer.cidr, address) && !peer.except.some((except) => containsAddress(except, address))
    case 'nodes': {
      const nodes = [...view.state.nodes.values()].filter(({ labels }) => matchesSelector(peer.selector, labels))
      return nodes.some(({ addresses }) => addresses.includes(address))
    }
    case 'networks':
      return peer.networks.some((network) => containsAddress(network, address))
    case 'unknown':
      return false
    default:
      return unreachable(peer)
  }
}

/** True if the packet's protocol and destination port are those of `port`. */
export function matchesPort(port: PortMatch, flow: Flow, view: ClusterView): boolean {
  const { protocol, destinationPort } = flow
  switch (port.kind) {
    case 'protocol':
      return protocol === PROTOCOL_NUMBER[port.protocol]
    case 'range':
      return (
        protocol === PROTOCOL_NUMBER[port.protocol] &&
        destinationPort !== null &&
        port.first <= destinationPort &&
        destinationPort <= port.last
      )
    case 'named': {
      const ports = view.holderOf(flow.destination)?.pod?.ports ?? []
      return ports.some(
        (each) =>
          each.name === port.name &&
          (port.protocol === null || port.protocol === each.protocol) &&
          PROTOCOL_NUMBER[each.protocol] === protocol &&
          each.port === destinationPort,
      )
    }
    case 'unknown':
      return false
    default:
      return unreachable(port)
  }
}
