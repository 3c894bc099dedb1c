// How objects are keyed in maps: primitives, since objects compare by identity.
import { type KindName, kindInfo, type Resource } from './kinds/registry.ts'
import type { ObjectKey } from './port.ts'
import type { Identity } from './validate.ts'

/** Key of an object among its kind: `name`, or `namespace/name`. */
export function keyOf(kind: KindName, { name, namespace = 'default' }: ObjectKey): string {
  return kindInfo(kind).scope === 'Namespaced' ? `${namespace}/${name}` : name
}

export function keyOfResource({ kind, metadata }: Resource): string {
  return keyOf(kind, metadata)
}

export function identityOf({ kind, metadata }: Resource): Identity {
  return toIdentity(kind, metadata)
}

export function toIdentity(kind: KindName, { name, namespace = 'default' }: ObjectKey): Identity {
  return { kind, name, namespace: kindInfo(kind).scope === 'Namespaced' ? namespace : null }
}

/** Namespace, then name. */
export function compareResources(a: Resource, b: Resource): number {
  const [left, right] = [keyOfResource(a), keyOfResource(b)]
  return left < right ? -1 : left > right ? 1 : 0
}
