// Which changes of objects make a difference to what is derived. Statuses change all the time, and a cluster of thousands of nodes
// writes one of them every few milliseconds: none of that is a reason for a turn.
import { isDeepStrictEqual } from 'node:util'
import type { Change, Node, Resource, Snapshot } from '../../store/index.ts'

const OURS = 'fibula.network/'

/** False if the change makes no difference to what is derived. `before` is what was known before it. */
export function isDerivedFrom(before: Snapshot, { type, object }: Change): boolean {
  if (object.kind === 'Pod' || object.kind === 'Namespace' || object.kind === 'NodeNetwork') return false
  if (type === 'gone') return true
  const { name, namespace } = object.metadata
  const known: Resource | undefined = before[object.kind].get(namespace === undefined ? name : `${namespace}/${name}`)
  return known === undefined || !isDeepStrictEqual(relevantOf(known), relevantOf(object))
}

/** What of an object derivation reads: of our own kinds no status, of a block not its addresses, which come and go with every pod. */
function relevantOf(object: Resource): unknown {
  switch (object.kind) {
    case 'Node':
      return relevantOfNode(object)
    case 'IPAMBlock': {
      const { cidr, node, state } = object.spec
      return { cidr, node, state }
    }
    case 'BGPConfiguration':
    case 'BGPPeer':
    case 'BGPFilter':
    case 'IPPool':
    case 'IPReservation':
    case 'IPAMConfiguration': {
      const { metadata, spec } = object
      return { labels: metadata.labels, creationTimestamp: metadata.creationTimestamp, spec }
    }
    default: {
      const { metadata, ...rest } = object
      const { resourceVersion: _, ...lasting } = metadata
      return { ...rest, metadata: lasting }
    }
  }
}

/** Of conditions whether it is ready, and of annotations our own: a kubelet reports every few minutes that nothing has changed. */
function relevantOfNode({ metadata, spec, status }: Node): unknown {
  const { labels, annotations, uid } = metadata
  const ready = status.conditions.find(({ type }) => type === 'Ready')?.status
  return { labels, annotations: relevantAnnotations(annotations), uid, spec, addresses: status.addresses, ready }
}

/** Annotations that mean something to us. */
export function relevantAnnotations(annotations: Readonly<Record<string, string>>): readonly (readonly [string, string])[] {
  return Object.entries(annotations).filter(([key]) => key.startsWith(OURS))
}
