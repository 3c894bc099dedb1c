// What of the objects known is kept for a start without the store (decision 18; pure): all that derivation reads, and nothing more. Of
// Secrets only the keys that peers name.
import { parseResource, type Resource, type Snapshot } from '../../store/index.ts'
import { derivedSelections, type WantedSecret } from '../derive/index.ts'
import { relevantAnnotations } from '../derive/relevance.ts'

/** The objects to keep, in a fixed order. */
export function contentOf(snapshot: Snapshot, node: string, secrets: readonly WantedSecret[]): readonly Resource[] {
  const kinds = [...new Set(derivedSelections(node).map(({ kind }) => kind))].sort()
  const kept = kinds.flatMap((kind) => inOrder<Resource>(snapshot[kind]).map(pruned))
  const passwords = secrets.flatMap(({ namespace, name, keys }): readonly Resource[] => {
    const secret = snapshot.Secret.get(`${namespace}/${name}`)
    if (secret === undefined) return []
    const only = (entries: Readonly<Record<string, string>>): Readonly<Record<string, string>> =>
      Object.fromEntries(Object.entries(entries).filter(([key]) => keys.includes(key)))
    return [{ ...secret, metadata: metadataOf(secret), data: only(secret.data), stringData: only(secret.stringData) } as Resource] // fewer entries
  })
  return [...kept, ...passwords]
}

/** The objects of a file that may be used; `refused` is told of those that cannot be read any more. */
export function usable(kept: readonly unknown[], refused: (reason: string) => void): readonly Resource[] {
  return kept.flatMap((raw): readonly Resource[] => {
    const parsed = parseResource(raw)
    if (parsed.ok) return [parsed.value]
    refused(parsed.error.map(({ message }) => message).join('; '))
    return []
  })
}

function pruned(object: Resource): Resource {
  const metadata = metadataOf(object)
  switch (object.kind) {
    case 'Node':
      return { ...object, metadata, status: { addresses: object.status.addresses, conditions: [] } } // whether nodes are ready is news, not memory
    case 'IPAMBlock':
      return { ...object, metadata, spec: { ...object.spec, allocations: [], reserves: [], released: [] } }
    default: {
      const { status: _, ...rest } = { status: undefined, ...object }
      return { ...rest, metadata } as Resource // a status is optional
    }
  }
}

function metadataOf({ metadata }: Resource): Resource['metadata'] {
  const { name, namespace, labels, uid, creationTimestamp } = metadata
  return {
    name,
    labels,
    annotations: Object.fromEntries(relevantAnnotations(metadata.annotations)),
    ...(namespace === undefined ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
    ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
  }
}

function inOrder<T>(objects: ReadonlyMap<string, T>): readonly T[] {
  return [...objects].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, object]) => object)
}
