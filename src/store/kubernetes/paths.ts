// Where objects are on an API server (Kubernetes API concepts, "Resource URIs"). Pure.
import { type KindName, kindInfo } from '../kinds/registry.ts'
import type { ObjectKey, Selection } from '../port.ts'

/** `/api/v1/namespaces/NS/secrets`, `/apis/GROUP/VERSION/ippools`; without a namespace: those of all namespaces. */
export function collectionPath(kind: KindName, namespace?: string): string {
  const { apiVersion, plural, scope } = kindInfo(kind)
  const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`
  const where = scope === 'Namespaced' && namespace !== undefined ? `/namespaces/${encodeURIComponent(namespace)}` : ''
  return `${root}${where}/${plural}`
}

export function objectPath(kind: KindName, { name, namespace = 'default' }: ObjectKey, subresource?: 'status'): string {
  return `${collectionPath(kind, namespace)}/${encodeURIComponent(name)}${subresource === undefined ? '' : `/${subresource}`}`
}

/** Path and selectors of a list or watch. */
export function selectionRequest({ kind, namespace, name, labels, nodeName }: Selection): {
  readonly path: string
  readonly query: Readonly<Record<string, string>>
} {
  const fields = [
    ...(name === undefined ? [] : [`metadata.name=${name}`]),
    ...(nodeName === undefined ? [] : [`spec.nodeName=${nodeName}`]),
  ]
  const wanted = Object.entries(labels ?? {}).map(([key, value]) => `${key}=${value}`)
  return {
    path: collectionPath(kind, namespace),
    query: {
      ...(fields.length === 0 ? {} : { fieldSelector: fields.join(',') }),
      ...(wanted.length === 0 ? {} : { labelSelector: wanted.join(',') }),
    },
  }
}
