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

/** Mappings whose fields are overridden one by one, like the fields of the spec itself. */
const NESTED: ReadonlySet<string> = new Set(['gracefulRestart', 'nodeToNodeMesh'])

/** The effective settings of a node with these labels. */
export function nodeSettings(snapshot: Snapshot, nodeName: string, labels: Labels, problems: Problems): NodeSettings {
  const overrides = inOrder(snapshot.BGPConfiguration).filter(
    ({ metadata, spec }) => metadata.name !== 'default' && spec.nodeSelector !== undefined && matchesSelector(spec.nodeSelector, labels),
  )
  const merged = new Map(fieldsOf(snapshot.BGPConfiguration.get('default')?.spec ?? {}))
  const setBy = new Map<string, string>()
  for (const { metadata, spec } of overrides) {
    for (const [field, value] of fieldsOf(spec)) {
      const first = setBy.get(field)
      if (first === undefined) {
        setBy.set(field, metadata.name)
        merged.set(field, value)
      } else {
        problems.error(
          `BGPConfiguration/${metadata.name}`,
          `spec.${field} is also set for node ${nodeName} by BGPConfiguration/${first}, which wins; make their nodeSelectors exclude each other, or remove one`,
          'ConflictingSettings',
        )
      }
    }
  }
  return withDefaults(specOf(merged), `BGPConfiguration${overrides[0] === undefined ? '/default' : ` of node ${nodeName}`}`, problems)
}

/** Every field that is set, those of nested mappings by their path: `gracefulRestart.restartTime`. */
function fieldsOf(spec: Spec): readonly (readonly [field: string, value: unknown])[] {
  return Object.entries(spec).flatMap(([field, value]): readonly (readonly [string, unknown])[] => {
    if (field === 'nodeSelector' || value === undefined) return []
    if (!NESTED.has(field)) return [[field, value]]
    return Object.entries(value).map(([inner, innerValue]) => [`${field}.${inner}`, innerValue])
  })
}

function specOf(fields: ReadonlyMap<string, unknown>): Partial<Pick<Spec, Field>> {
  const spec: Record<string, unknown> = {}
  for (const [path, value] of fields) {
    const [field = '', inner] = path.split('.')
    spec[field] = inner === undefined ? value : { ...(spec[field] as object | undefined), [inner]: value }
  }
  return spec as Partial<Pick<Spec, Field>> // put together again from parsed specs
}

function withDefaults(spec: Partial<Pick<Spec, Field>>, subject: string, problems: Problems): NodeSettings {
  const { nodeToNodeMesh, gracefulRestart, ...rest } = spec
  const holdSeconds = secondsOf(spec.holdTime ?? BGP_CONFIGURATION_DEFAULTS.holdTime)
  const tooLong = keepaliveIsTooLong(holdSeconds, spec.keepaliveTime ?? null)
  if (tooLong) problems.error(subject, keepaliveFault(holdSeconds, spec.keepaliveTime ?? ''))
  const ref = nodeToNodeMesh?.password?.secretKeyRef
  return {
    ...BGP_CONFIGURATION_DEFAULTS,
    ...rest,
    keepaliveTime: tooLong ? null : (spec.keepaliveTime ?? null),
    gracefulRestart: { ...BGP_CONFIGURATION_DEFAULTS.gracefulRestart, ...gracefulRestart },
    nodeToNodeMesh: { enabled: nodeToNodeMesh?.enabled ?? BGP_CONFIGURATION_DEFAULTS.nodeToNodeMesh.enabled, password: ref ?? null },
  }
}

/** KEEPALIVE interval: as set, or a third of the hold time (RFC 4271 §10). Seconds. */
export function keepaliveSeconds(holdTimeSeconds: number, keepaliveTime: string | null): number {
  if (holdTimeSeconds === 0) return 0
  return keepaliveTime === null ? Math.max(1, Math.floor(holdTimeSeconds / 3)) : secondsOf(keepaliveTime)
}

/** A peer would hear nothing for its whole hold time. Within one object the schema sees to it; two may disagree. */
export function keepaliveIsTooLong(holdTimeSeconds: number, keepaliveTime: string | null): boolean {
  return keepaliveTime !== null && holdTimeSeconds > 0 && secondsOf(keepaliveTime) >= holdTimeSeconds
}

export function keepaliveFault(holdTimeSeconds: number, keepaliveTime: string): string {
  return `keepaliveTime ${keepaliveTime} is not shorter than the hold time of ${holdTimeSeconds}s that applies here, so a third of that is used; set both in one object, or remove keepaliveTime`
}
