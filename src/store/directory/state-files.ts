// What machines write: `state/`, one object a file. A machine-written kind has its whole object there; of every other kind only
// the status. Every file is written atomically and only with the lock held. The text is JSON, which is YAML and a hundred times
// faster to read; a file that a person wrote as YAML is understood too.
import { createHash } from 'node:crypto'
import { parseDocument } from 'yaml'
import { z } from 'zod'
import { safeParse } from 'zod/v4/core'
import type { AppliedConditions } from '../conditions.ts'
import { toIdentity } from '../identity.ts'
import { condition } from '../kinds/fields.ts'
import { type KindName, kindInfo, type Resource } from '../kinds/registry.ts'
import type { ObjectKey } from '../port.ts'
import { fileProblem, type StoreProblem } from '../problem.ts'
import { schemaAt } from '../schema-walk.ts'
import { type Identity, identify, isMapping, parseResource } from '../validate.ts'

export const STATE_FOLDER = 'state'
const LONGEST_NAME = 200
const APPLIED = z.record(z.string(), z.array(condition))

/** The status of an object whose rest a person writes: the whole of it (undefined: as in the manifest), and conditions over it. */
export type StatusPart = {
  readonly identity: Identity
  readonly version: number
  readonly status: unknown
  readonly applied: AppliedConditions
}
export type StateFile =
  | { readonly type: 'object'; readonly object: Resource }
  | { readonly type: 'status'; readonly part: StatusPart }
  | { readonly type: 'faulty'; readonly problem: StoreProblem }

export function isStateKind(kind: KindName): boolean {
  return kindInfo(kind).keptInState
}

/**
 * `ipamblock.10-244-0-0-26.yaml`, `bgppeer.tor-a.status.yaml`. No two objects share a file: a kind has either objects here or
 * statuses, and a namespace holds no dot.
 */
export function stateFileName(kind: KindName, key: ObjectKey): string {
  const { namespace, name } = toIdentity(kind, key)
  const parts = [kind.toLowerCase(), ...(namespace === null ? [] : [namespace]), name, ...(isStateKind(kind) ? [] : ['status'])]
  const whole = parts.join('.')
  const hash = (): string => createHash('sha256').update(whole).digest('hex').slice(0, 32)
  return `${whole.length <= LONGEST_NAME ? whole : `${whole.slice(0, LONGEST_NAME - 33)}~${hash()}`}.yaml`
}

export function isStateFileName(name: string): boolean {
  return name.endsWith('.yaml') && !name.startsWith('.')
}

export function formatObject(object: Resource): string {
  return `${JSON.stringify(object, null, 2)}\n`
}

export function formatStatus({ identity, version, status, applied }: StatusPart): string {
  const { kind, namespace, name } = identity
  const metadata = { name, ...(namespace === null ? {} : { namespace }), resourceVersion: String(version) }
  return `${JSON.stringify({ apiVersion: kindInfo(kind).apiVersion, kind, metadata, status, ...(Object.keys(applied).length === 0 ? {} : { applied }) }, null, 2)}\n`
}

/** Reads the text of a state file. A text that is not what its name says is a fault, and never an object. */
export function parseStateFile(name: string, text: string): StateFile {
  const file = `${STATE_FOLDER}/${name}`
  const faulty = (what: string): StateFile => ({
    type: 'faulty',
    problem: fileProblem({ file }, null, `${what}; Fibula leaves it alone, so remove it (or restore it) by hand`),
  })
  const value = parseText(text)
  if (value === undefined) return faulty('not valid JSON or YAML, though Fibula writes these files whole')
  const identity = identify(value)
  if (identity === null || !isMapping(value)) return faulty('not an object of Fibula')
  const { kind } = identity
  if (stateFileName(kind, toKey(identity)) !== name)
    return faulty(`holds ${kind} ${identity.name}, which belongs into ${stateFileName(kind, toKey(identity))}`)
  if (isStateKind(kind)) {
    const parsed = parseResource(value)
    return parsed.ok ? { type: 'object', object: withVersion(parsed.value) } : faulty(parsed.error[0]?.message ?? 'invalid')
  }
  const schema = schemaAt(kindInfo(kind).schema, ['status'])
  const given = value['status']
  const status = schema === null ? null : given === undefined ? { success: true as const, data: undefined } : safeParse(schema, given)
  const applied = safeParse(APPLIED, value['applied'] ?? {})
  if (status === null || !status.success || !applied.success) return faulty(`not a status of a ${kind}`)
  return { type: 'status', part: { identity, version: versionOf(value['metadata']), status: status.data, applied: applied.data } }
}

export function toKey({ namespace, name }: Identity): ObjectKey {
  return namespace === null ? { name } : { name, namespace }
}

function parseText(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    const document = parseDocument(text, { prettyErrors: false, logLevel: 'silent' })
    return document.errors.length > 0 ? undefined : document.toJS({ maxAliasCount: 0 })
  }
}

/** A file that a person put here has no version yet. */
function withVersion(object: Resource): Resource {
  if (object.metadata.resourceVersion !== undefined) return object
  return { ...object, metadata: { ...object.metadata, resourceVersion: '0' } } as Resource // only metadata differs
}

function versionOf(metadata: unknown): number {
  const version = isMapping(metadata) ? Number(metadata['resourceVersion']) : Number.NaN
  return Number.isSafeInteger(version) && version > 0 ? version : 0
}
