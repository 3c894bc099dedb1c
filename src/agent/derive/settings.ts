// The BGP settings of one node: the BGPConfiguration `default`, overridden field by field by those whose nodeSelector selects
// the node. Two overrides that set one field are a problem; the first by name wins.
import {
  BGP_CONFIGURATION_DEFAULTS,
  type BGPConfiguration,
  type Labels,
  matchesSelector,
  type Snapshot,
  secondsOf,
} from '../../store/index.ts'
import { inOrder, type Problems } from './problems.ts'

type Spec = BGPConfiguration['spec']
type Field = Exclude<keyof Spec, 'nodeSelector'>

export type NodeSettings = Required<Omit<Spec, 'nodeSelector' | 'keepaliveTime' | 'gracefulRestart' | 'nodeToNodeMesh'>> & {
  readonly keepaliveTime: string | null
  readonly gracefulRestart: Required<NonNullable<Spec['gracefulRestart']>>
  readonly nodeToNodeMesh: { readonly enabled: boolean; readonly password: { readonly name: string; readonly key: string } | null }
}

/** The effective settings of a node with these labels. */
export function nodeSettings(snapshot: Snapshot, nodeName: string, labels: Labels, problems: Problems): NodeSettings {
  const base = snapshot.BGPConfiguration.get('default')?.spec ?? {}
  const overrides = inOrder(snapshot.BGPConfiguration).filter(
    ({ metadata, spec }) => metadata.name !== 'default' && spec.nodeSelector !== undefined && matchesSelector(spec.nodeSelector, labels),
  )
  const merged: Record<string, unknown> = { ...base }
  const setBy = new Map<string, string>()
  for (const { metadata, spec } of overrides) {
    for (const [field, value] of Object.entries(spec)) {
      if (field === 'nodeSelector') continue
      const first = setBy.get(field)
      if (first === undefined) {
        setBy.set(field, metadata.name)
        merged[field] = value
      } else {
        problems.error(
          `BGPConfiguration/${metadata.name}`,
          `spec.${field} is also set for node ${nodeName} by BGPConfiguration/${first}, which wins; make their nodeSelectors exclude each other, or remove one`,
        )
      }
    }
  }
  return withDefaults(merged as Partial<Pick<Spec, Field>>)
}

function withDefaults(spec: Partial<Pick<Spec, Field>>): NodeSettings {
  const { nodeToNodeMesh, gracefulRestart, ...rest } = spec
  const ref = nodeToNodeMesh?.password?.secretKeyRef
  return {
    ...BGP_CONFIGURATION_DEFAULTS,
    ...rest,
    keepaliveTime: spec.keepaliveTime ?? null,
    gracefulRestart: { ...BGP_CONFIGURATION_DEFAULTS.gracefulRestart, ...gracefulRestart },
    nodeToNodeMesh: { enabled: nodeToNodeMesh?.enabled ?? BGP_CONFIGURATION_DEFAULTS.nodeToNodeMesh.enabled, password: ref ?? null },
  }
}

/** KEEPALIVE interval: as set, or a third of the hold time (RFC 4271 §10). Seconds. */
export function keepaliveSeconds(holdTimeSeconds: number, keepaliveTime: string | null): number {
  if (holdTimeSeconds === 0) return 0
  return keepaliveTime === null ? Math.max(1, Math.floor(holdTimeSeconds / 3)) : secondsOf(keepaliveTime)
}
