// What a write makes of an object, alike in every adapter that has no API server to decide it (pure but for equality).
import { isDeepStrictEqual } from 'node:util'
import { identityOf, toIdentity } from './identity.ts'
import { type KindName, kindInfo, type Resource } from './kinds/registry.ts'
import { type ObjectKey, StoreError } from './port.ts'
import { formatIdentity } from './problem.ts'
import { parseResource } from './validate.ts'

export type Stamp = { readonly resourceVersion: string; readonly uid: string; readonly now: string }

/** The object a caller wants to write, parsed; throws INVALID with everything that is wrong. */
export function parseForWrite(object: unknown): Resource {
  const parsed = parseResource(object)
  if (parsed.ok) return parsed.value
  const [first, ...others] = parsed.error
  const more = others.length === 0 ? '' : ` (and ${others.length} more)`
  throw new StoreError('INVALID', `${first?.message ?? 'not a valid object'}${more}`, { faults: parsed.error })
}

/** True for kinds whose status is written apart from the rest. */
export function hasOwnStatus(kind: KindName): boolean {
  return kindInfo(kind).writer !== 'core'
}

/** A new object: stamped, and without a status if that is written apart. */
export function created(object: Resource, { resourceVersion, uid, now }: Stamp): Resource {
  const metadata = { ...object.metadata, resourceVersion, uid, generation: 1, creationTimestamp: now }
  const next = { ...object, metadata } as Resource // only metadata differs from a Resource
  return hasOwnStatus(object.kind) ? withStatus(next, undefined) : next
}

/** `current` with everything but its status replaced by `next`; null if that changes nothing. */
export function updated(current: Resource, next: Resource, resourceVersion: string): Resource | null {
  const { uid: _uid, creationTimestamp: _created, generation: _generation, ...wanted } = next.metadata
  const { uid, creationTimestamp, generation } = current.metadata
  const specChanged = !isDeepStrictEqual(withoutMetadata(withStatus(current, undefined)), withoutMetadata(withStatus(next, undefined)))
  const metadata = {
    ...wanted,
    ...(uid === undefined ? {} : { uid }),
    ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
    ...(generation === undefined ? {} : { generation: specChanged ? generation + 1 : generation }),
    resourceVersion,
  }
  const replaced = { ...next, metadata } as Resource // only metadata differs from a Resource
  const result = hasOwnStatus(next.kind) ? withStatus(replaced, statusOf(current)) : replaced
  return sameButVersion(current, result) ? null : result
}

/** `current` with the status of `next`; null if that changes nothing. */
export function updatedStatus(current: Resource, next: Resource, resourceVersion: string): Resource | null {
  const metadata = { ...current.metadata, resourceVersion }
  const result = withStatus({ ...current, metadata } as Resource, statusOf(next)) // only metadata and status differ
  return sameButVersion(current, result) ? null : result
}

function sameButVersion(a: Resource, b: Resource): boolean {
  const bare = (object: Resource): unknown => ({ ...object, metadata: { ...object.metadata, resourceVersion: '' } })
  return isDeepStrictEqual(bare(a), bare(b))
}

export function statusOf(object: Resource): unknown {
  return 'status' in object ? object.status : undefined
}

/** The object with this status, or without one. */
export function withStatus(object: Resource, status: unknown): Resource {
  const { status: _, ...rest } = { status: undefined, ...object }
  return (status === undefined ? rest : { ...rest, status }) as Resource // a status parsed with the same schema
}

function withoutMetadata(object: Resource): unknown {
  return { ...object, metadata: null }
}

/** Throws CONFLICT unless the caller saw the current version, INVALID if it does not say which it saw. */
export function checkVersion(current: Resource, wanted: string | undefined): void {
  const what = formatIdentity(identityOf(current))
  if (wanted === undefined) {
    const message = `metadata.resourceVersion of ${what} is missing; an update must name the version it is based on`
    throw new StoreError('INVALID', message, { faults: [{ path: ['metadata', 'resourceVersion'], message }] })
  }
  const has = current.metadata.resourceVersion
  if (has !== wanted)
    throw new StoreError('CONFLICT', `${what} has changed since it was read (version ${wanted}, now ${has}); read it again and retry`)
}

export function notFound(kind: KindName, key: ObjectKey): StoreError {
  return new StoreError('NOT_FOUND', `there is no ${formatIdentity(toIdentity(kind, key))}`)
}

/** `current`, if there is one; throws NOT_FOUND. */
export function required(current: Resource | null, kind: KindName, key: ObjectKey): Resource {
  if (current === null) throw notFound(kind, key)
  return current
}

export function alreadyExists(object: Resource): StoreError {
  return new StoreError('ALREADY_EXISTS', `${formatIdentity(identityOf(object))} exists already`)
}
