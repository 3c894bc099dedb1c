// Kubernetes label selectors, pure. An empty selector matches everything; whether an absent one does is for the field to say.
import { unreachable } from './result.ts'

export type LabelSelector = {
  readonly matchLabels?: Readonly<Record<string, string>>
  readonly matchExpressions?: readonly LabelRequirement[]
}
export type LabelRequirement = {
  readonly key: string
  readonly operator: 'In' | 'NotIn' | 'Exists' | 'DoesNotExist'
  readonly values?: readonly string[]
}
export type Labels = Readonly<Record<string, string>>

/** True if `labels` meet every part of `selector`. As in Kubernetes, `NotIn` also matches where the label is missing. */
export function matchesSelector(selector: LabelSelector, labels: Labels): boolean {
  for (const [key, value] of Object.entries(selector.matchLabels ?? {})) if (labelValue(labels, key) !== value) return false
  return (selector.matchExpressions ?? []).every((requirement) => meets(requirement, labels))
}

function meets({ key, operator, values = [] }: LabelRequirement, labels: Labels): boolean {
  const value = labelValue(labels, key)
  switch (operator) {
    case 'In':
      return value !== undefined && values.includes(value)
    case 'NotIn':
      return value === undefined || !values.includes(value)
    case 'Exists':
      return value !== undefined
    case 'DoesNotExist':
      return value === undefined
    default:
      return unreachable(operator)
  }
}

function labelValue(labels: Labels, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined // a label named `constructor` is only there if it is
}
