// Label selectors in one spelling, so that equal ones are one and the same, with what an index needs of them. The evaluator does not
// use this: tests hold the two together.
import type { LabelSelector, Labels } from '../lib/label-selector.ts'
import { unreachable } from '../lib/result.ts'
import type { NamespaceScope, PodSelection } from './model.ts'

export type Requirement = {
  readonly key: string
  readonly operator: 'in' | 'notIn' | 'exists' | 'absent'
  /** Sorted, each once; empty for the last two. */
  readonly values: readonly string[]
}

/** Sorted, each once; all must hold. */
export type Selector = readonly Requirement[]

export type Scope = { readonly name: string } | { readonly selector: Selector }
export type PodSelector = { readonly namespaces: Scope; readonly pods: Selector }

const OPERATORS = { In: 'in', NotIn: 'notIn', Exists: 'exists', DoesNotExist: 'absent' } as const

export function toSelector({ matchLabels = {}, matchExpressions = [] }: LabelSelector): Selector {
  const requirements = [
    ...Object.entries(matchLabels).map(([key, value]): Requirement => ({ key, operator: 'in', values: [value] })),
    ...matchExpressions.map(
      ({ key, operator, values = [] }): Requirement => ({
        key,
        operator: OPERATORS[operator],
        values: operator === 'In' || operator === 'NotIn' ? [...new Set(values)].sort() : [],
      }),
    ),
  ]
  const byText = new Map(requirements.map((requirement) => [JSON.stringify(requirement), requirement]))
  return [...byText].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, requirement]) => requirement)
}

export function toPodSelector({ namespaces, pods }: PodSelection): PodSelector {
  return { namespaces: toScope(namespaces), pods: toSelector(pods) }
}

function toScope(scope: NamespaceScope): Scope {
  return scope.kind === 'name' ? { name: scope.name } : { selector: toSelector(scope.selector) }
}

/** True if the labels meet every requirement. */
export function meetsAll(selector: Selector, labels: Labels): boolean {
  return selector.every((requirement) => meets(requirement, labels))
}

function meets({ key, operator, values }: Requirement, labels: Labels): boolean {
  const value = Object.hasOwn(labels, key) ? labels[key] : undefined
  switch (operator) {
    case 'in':
      return value !== undefined && values.includes(value)
    case 'notIn':
      return value === undefined || !values.includes(value)
    case 'exists':
      return value !== undefined
    case 'absent':
      return value === undefined
    default:
      return unreachable(operator)
  }
}

/** `labelsOfNamespace` null: not known, which no selector of namespaces matches. */
export function meetsPodSelector(
  { namespaces, pods }: PodSelector,
  pod: { readonly namespace: string; readonly labels: Labels },
  labelsOfNamespace: Labels | null,
): boolean {
  const isInScope =
    'name' in namespaces
      ? namespaces.name === pod.namespace
      : labelsOfNamespace !== null && meetsAll(namespaces.selector, labelsOfNamespace)
  return isInScope && meetsAll(pods, pod.labels)
}
