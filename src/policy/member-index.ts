// From labels to selectors and back. A selector that needs a certain namespace, label or port name hangs on it like on an anchor; a pod
// has the anchors of its namespace, labels and ports. So a changed pod is compared only with sets that hang on what it has, and a new
// set only with pods that have what it hangs on.
import type { Labels } from '../lib/label-selector.ts'
import type { SetSpec } from './program.ts'
import type { Selector } from './selector.ts'

/** On this everything hangs that has nothing better. */
export const ANY = 'any'

export type Indexed = {
  readonly namespace: string
  readonly labels: Labels
  readonly ports: readonly { readonly name: string }[]
}

export class AnchorIndex {
  readonly #keys = new Map<string, Set<string>>()

  /** All that hang on one of these, each once. */
  at(anchors: readonly string[]): ReadonlySet<string> {
    const [only, ...more] = anchors
    if (more.length === 0) return (only === undefined ? undefined : this.#keys.get(only)) ?? NONE
    return new Set(anchors.flatMap((anchor) => [...(this.#keys.get(anchor) ?? NONE)]))
  }

  add(key: string, anchors: readonly string[]): void {
    for (const anchor of anchors) {
      const keys = this.#keys.get(anchor)
      if (keys === undefined) this.#keys.set(anchor, new Set([key]))
      else keys.add(key)
    }
  }

  remove(key: string, anchors: readonly string[]): void {
    for (const anchor of anchors) {
      const keys = this.#keys.get(anchor)
      keys?.delete(key)
      if (keys?.size === 0) this.#keys.delete(anchor)
    }
  }
}

const NONE: ReadonlySet<string> = new Set()

export function anchorOfNamespace(name: string): string {
  return `namespace ${name}`
}

/** Every anchor that a set can hang on and this pod be in it. */
export function anchorsOfPod({ namespace, labels, ports }: Indexed): readonly string[] {
  return [
    ANY,
    anchorOfNamespace(namespace),
    ...Object.entries(labels).map(([key, value]) => anchorOfLabel(key, value)),
    ...new Set(ports.map(({ name }) => anchorOfPort(name))),
  ]
}

/** Where a set of pods hangs: any pod in it has one of these. */
export function anchorsOfSet(spec: Extract<SetSpec, { kind: 'pods' | 'namedPort' }>): readonly string[] {
  if (spec.kind === 'namedPort') return [anchorOfPort(spec.name)]
  const { namespaces, pods } = spec.select
  if ('name' in namespaces) return [anchorOfNamespace(namespaces.name)]
  return anchorsOfLabels(pods) ?? [ANY]
}

/** Of the requirement that names the fewest values; null: none names any. */
function anchorsOfLabels(selector: Selector): readonly string[] | null {
  const [best] = selector.filter(({ operator }) => operator === 'in').sort((a, b) => a.values.length - b.values.length)
  return best === undefined ? null : best.values.map((value) => anchorOfLabel(best.key, value))
}

function anchorOfLabel(key: string, value: string): string {
  return `label ${key}=${value}`
}

function anchorOfPort(name: string): string {
  return `port ${name}`
}
