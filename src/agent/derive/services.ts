// What holds for all services on this node: the ranges to advertise, whether the node takes part, and who could take over from it.
import { cidr } from '../../net/index.ts'
import type { Node, Snapshot } from '../../store/index.ts'
import type { ServiceFacts } from '../services/plan.ts'
import type { Standing } from '../services/stance.ts'
import { IGNORED } from './problems.ts'
import { type NodeSettings, nodeSettings } from './settings.ts'

/** By its presence, whatever its value, as for load balancers of Kubernetes itself; kubeadm gives it to control plane nodes. */
const EXCLUDE_LABEL = 'node.kubernetes.io/exclude-from-external-load-balancers'

/** null: no range of services is set for this node, so services are none of its business. */
export function deriveServiceFacts(snapshot: Snapshot, node: string): ServiceFacts | null {
  const settings = settingsOf(snapshot, node)
  const { clusterIPs, externalIPs, loadBalancerIPs } = rangesOf(settings)
  if (clusterIPs.length + externalIPs.length + loadBalancerIPs.length === 0) return null
  return {
    node,
    standing: standingOf(snapshot.Node.get(node)),
    others: othersLike(snapshot, node, settings),
    clusterIPs: clusterIPs.map(cidr),
    externalIPs: externalIPs.map(cidr),
    loadBalancerIPs: loadBalancerIPs.map(cidr),
    classes: settings.serviceLoadBalancerClasses,
  }
}

/** Ranges as text. */
function rangesOf(settings: NodeSettings) {
  const texts = (ranges: readonly { readonly cidr: string }[]): readonly string[] => ranges.map(({ cidr: text }) => text)
  return {
    clusterIPs: texts(settings.serviceClusterIPs),
    externalIPs: texts(settings.serviceExternalIPs),
    loadBalancerIPs: texts(settings.serviceLoadBalancerIPs),
  }
}

function standingOf(node: Node | undefined): Standing {
  if (node === undefined) return 'in'
  if (node.metadata.labels[EXCLUDE_LABEL] !== undefined) return 'excluded'
  return node.spec.unschedulable ? 'cordoned' : 'in'
}

/** Other nodes that advertise what this one does: taking part, not known to be down, with the same ranges. */
function othersLike(snapshot: Snapshot, own: string, settings: NodeSettings): ReadonlySet<string> {
  const ours = JSON.stringify(rangesOf(settings))
  const isUniform = [...snapshot.BGPConfiguration.values()].every(
    ({ spec }) =>
      spec.nodeSelector === undefined ||
      (spec.serviceClusterIPs === undefined && spec.serviceExternalIPs === undefined && spec.serviceLoadBalancerIPs === undefined),
  )
  const alike = [...snapshot.Node].filter(
    ([name, node]) =>
      name !== own &&
      standingOf(node) === 'in' &&
      node.status.conditions.every(({ type, status }) => type !== 'Ready' || status === 'True') &&
      (isUniform || JSON.stringify(rangesOf(settingsOf(snapshot, name))) === ours),
  )
  return new Set(alike.map(([name]) => name))
}

function settingsOf(snapshot: Snapshot, name: string): NodeSettings {
  return nodeSettings(snapshot, name, snapshot.Node.get(name)?.metadata.labels ?? {}, IGNORED)
}
