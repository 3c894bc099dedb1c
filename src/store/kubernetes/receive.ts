// From what an API server sends to an object of ours: pruned to the fields we read, checked, frozen.
import { err, ok, type Result } from '../../lib/result.ts'
import { type KindName, kindInfo, type Resource } from '../kinds/registry.ts'
import { deepFreeze } from '../memory.ts'
import { type FieldFault, isMapping, parseResource, salvageResource } from '../validate.ts'
import { isBulkAnnotation, quickParse, UNSURE } from './quick-parse.ts'

/** An object of a list has no kind of its own. */
export function receive(kind: KindName, raw: unknown): Result<Resource, readonly FieldFault[]> {
  if (!isMapping(raw)) return err([{ path: [], message: 'the API server sent something that is no object' }])
  const quick = quickParse(kind, raw)
  if (quick !== UNSURE) return ok(quick as Resource) // what the schema of `kind` gives
  const parsed = parseResource(withHead(kind, raw))
  return parsed.ok ? ok(deepFreeze(parsed.value)) : parsed
}

/** What to go by of an object that `receive` refuses; null: nothing (see `salvageResource`). */
export function salvage(kind: KindName, raw: unknown): Resource | null {
  const salvaged = isMapping(raw) ? salvageResource(withHead(kind, raw)) : null
  return salvaged === null ? null : deepFreeze(salvaged)
}

function withHead(kind: KindName, { metadata, ...rest }: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return { ...rest, apiVersion: kindInfo(kind).apiVersion, kind, metadata: withoutBulk(kind, metadata) }
}

/** Who changed which field when is half of many objects, and nothing to us; nor are the long annotations of Kubernetes' kinds. */
function withoutBulk(kind: KindName, metadata: unknown): unknown {
  if (!isMapping(metadata)) return metadata
  const { managedFields: _, ...kept } = metadata
  const { annotations } = kept
  if (kindInfo(kind).writer !== 'core' || !isMapping(annotations)) return kept
  return { ...kept, annotations: Object.fromEntries(Object.entries(annotations).filter(([key, value]) => !isBulkAnnotation(key, value))) }
}

/** Name and namespace of an object, however wrong the rest may be. */
export function nameOf(raw: unknown): { readonly name: string; readonly namespace?: string } | null {
  const metadata = isMapping(raw) ? raw['metadata'] : undefined
  if (!isMapping(metadata) || typeof metadata['name'] !== 'string') return null
  return { name: metadata['name'], ...(typeof metadata['namespace'] === 'string' ? { namespace: metadata['namespace'] } : {}) }
}

/**
 * True if version `a` is later than `b`. Versions of one API server are decimal numbers that grow (Kubernetes API concepts,
 * "Resource versions"); where one is not, the answer is true: the newcomer wins.
 */
export function isLater(a: string | undefined, b: string | undefined): boolean {
  if (a === undefined || b === undefined || !/^\d+$/.test(a) || !/^\d+$/.test(b)) return true
  return a.length === b.length ? a > b : a.length > b.length
}
