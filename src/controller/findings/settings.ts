// What is wrong with the BGPConfigurations: two that set one field for one node, and those that select nobody (pure).
import type { BGPConfiguration } from '../../store/index.ts'
import { type ClusterSnapshot, inOrder, type NodeIndex, someOf } from '../cluster.ts'
import { type Finding, SELECTS_NO_NODE } from './finding.ts'

/** Mappings whose fields are overridden one by one, like the fields of the spec itself. */
const NESTED: ReadonlySet<string> = new Set(['gracefulRestart', 'nodeToNodeMesh'])

export function settingsFindings({ BGPConfiguration }: ClusterSnapshot, nodes: NodeIndex): readonly Finding[] {
  const overrides = inOrder(BGPConfiguration).filter(({ metadata }) => metadata.name !== 'default')
  return overrides.flatMap((override, at) => [
    ...selectorFindings(override, nodes),
    ...overrides.slice(0, at).flatMap((winner) => conflicts(override, winner, nodes)),
  ])
}

function selectorFindings({ metadata, spec }: BGPConfiguration, nodes: NodeIndex): readonly Finding[] {
  if (nodes.names.length === 0 || nodes.chosenBy(spec).size > 0) return []
  return [
    {
      severity: 'warning',
      subject: `BGPConfiguration/${metadata.name}`,
      reason: SELECTS_NO_NODE,
      message: 'its nodeSelector matches no node, so it has no effect; label nodes (kubectl label node), or change the selector',
      condition: 'Accepted',
    },
  ]
}

function conflicts(loser: BGPConfiguration, winner: BGPConfiguration, nodes: NodeIndex): readonly Finding[] {
  const fields = new Set(fieldsOf(winner.spec))
  const shared = fieldsOf(loser.spec).filter((field) => fields.has(field))
  if (shared.length === 0) return []
  const mine = nodes.chosenBy(loser.spec)
  const common = [...nodes.chosenBy(winner.spec)].filter((name) => mine.has(name))
  if (common.length === 0) return []
  return [
    {
      severity: 'error',
      subject: `BGPConfiguration/${loser.metadata.name}`,
      reason: 'ConflictingSettings',
      message: `spec.${shared.join(', spec.')} ${shared.length === 1 ? 'is' : 'are'} also set for ${someOf(common)} by BGPConfiguration/${winner.metadata.name}, which wins there; make their nodeSelectors exclude each other, or set the field in one of them`,
      condition: 'Accepted',
    },
  ]
}

/** Every field that is set, those of nested mappings by their path: `gracefulRestart.restartTime`. */
function fieldsOf(spec: BGPConfiguration['spec']): readonly string[] {
  return Object.entries(spec).flatMap(([field, value]): readonly string[] => {
    if (field === 'nodeSelector' || value === undefined) return []
    return NESTED.has(field) ? Object.keys(value).map((inner) => `${field}.${inner}`) : [field]
  })
}
