// From an untrusted value to a typed object, or to a list of what is wrong with it: each fault names the field and the remedy.
// A value of a Secret, or next to a password, is never quoted.
import type { z } from 'zod'
import { quoteText } from '../lib/log.ts'
import { err, ok, type Result } from '../lib/result.ts'
import { parseAsn } from '../net/index.ts'
import { GROUP_VERSION } from './kinds/kind.ts'
import { coreMetadata } from './kinds/metadata.ts'
import { findKind, KIND_NAMES, type KindName, kindInfo, type Resource } from './kinds/registry.ts'
import { nearMiss } from './near-miss.ts'
import { OTHER_NAMES } from './other-names.ts'
import { fieldsAt, metaOf, schemaAt } from './schema-walk.ts'

/** `path` leads to the value that is wrong (or missing) within the object; `message` begins with the field it names. */
export type FieldFault = { readonly path: readonly (string | number)[]; readonly message: string }
export type Identity = { readonly kind: KindName; readonly namespace: string | null; readonly name: string }

const MAX_FAULTS = 20

/** Parses an object of any kind; namespaced ones get the namespace `default` if they have none. */
export function parseResource(value: unknown): Result<Resource, readonly FieldFault[]> {
  const head = kindOf(value)
  if (!head.ok) return err([head.error])
  const { kind, object } = head.value
  const { scope, schema } = kindInfo(kind)
  const misplaced = faultOfNamespace(kind, object)
  if (misplaced !== null) return err([misplaced])
  const parsed = schema.safeParse(scope === 'Namespaced' ? withNamespace(object) : object)
  if (parsed.success) return ok(parsed.data as Resource) // the schema of `kind` is what Resource is made of
  const faults = parsed.error.issues.flatMap((issue) => explain(issue, kind, object))
  return err(faults.slice(0, MAX_FAULTS))
}

/**
 * What to go by where `parseResource` refuses an object that a cluster has all the same: a policy that is not wholly understood still
 * isolates, and grants only what is understood (decision 16). Null for other kinds, and where not even its name can be read.
 */
export function salvageResource(value: unknown): Resource | null {
  const head = kindOf(value)
  if (!head.ok) return null
  const { kind, object } = head.value
  const { salvage, scope, apiVersion } = kindInfo(kind)
  const metadata = coreMetadata.safeParse((scope === 'Namespaced' ? withNamespace(object) : object)['metadata'])
  if (salvage === null || !metadata.success) return null
  return { apiVersion, kind, metadata: metadata.data, ...salvage(object) } as unknown as Resource // `salvage` is of this kind
}

/** Which object a manifest is about, however wrong the rest of it may be; null if it does not say. */
export function identify(value: unknown): Identity | null {
  const head = kindOf(value)
  if (!head.ok) return null
  const { kind, object } = head.value
  const metadata = object['metadata']
  const name = isMapping(metadata) ? metadata['name'] : undefined
  if (typeof name !== 'string' || name === '') return null
  const namespace = isMapping(metadata) && typeof metadata['namespace'] === 'string' ? metadata['namespace'] : 'default'
  return { kind, name, namespace: kindInfo(kind).scope === 'Namespaced' ? namespace : null }
}

function kindOf(value: unknown): Result<{ kind: KindName; object: Readonly<Record<string, unknown>> }, FieldFault> {
  if (!isMapping(value)) return fault([], 'not a manifest; an object begins with apiVersion, kind and metadata')
  const object = withoutNulls(value)
  const { apiVersion, kind } = object
  if (typeof kind !== 'string') return fault(['kind'], `kind is missing; write one of ${KIND_NAMES.join(', ')}`)
  const known = KIND_NAMES.find((name) => name === kind)
  if (known === undefined) {
    const meant = findKind(kind) ?? nearMiss(kind, KIND_NAMES)
    const hint = meant === null ? `known kinds: ${KIND_NAMES.join(', ')}` : `did you mean ${meant}?`
    return fault(['kind'], `kind ${quoteText(kind, 60)} is not one Fibula reads; ${hint}`)
  }
  const right = kindInfo(known).apiVersion
  if (apiVersion === right) return ok({ kind: known, object })
  const got = typeof apiVersion === 'string' ? `apiVersion ${quoteText(apiVersion, 60)} is not right for ${kind}` : 'apiVersion is missing'
  const foreign = typeof apiVersion === 'string' && right === GROUP_VERSION && /projectcalico\.org/.test(apiVersion)
  return fault(
    ['apiVersion'],
    `${got}; write ${right}${foreign ? ' (and see docs/resources.md: some fields differ from those of Calico)' : ''}`,
  )
}

function fault(path: FieldFault['path'], message: string): { readonly ok: false; readonly error: FieldFault } {
  return err({ path, message })
}

function faultOfNamespace(kind: KindName, object: Readonly<Record<string, unknown>>): FieldFault | null {
  const metadata = object['metadata']
  if (kindInfo(kind).scope === 'Namespaced' || !isMapping(metadata) || metadata['namespace'] === undefined) return null
  return { path: ['metadata', 'namespace'], message: `metadata.namespace: a ${kind} belongs to the whole cluster; remove the namespace` }
}

function withNamespace(object: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const metadata = object['metadata']
  return isMapping(metadata) ? { ...object, metadata: { namespace: 'default', ...metadata } } : object
}

/** Fields written without a value count as not written, as they do for Kubernetes. */
function withoutNulls(value: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const kept = Object.entries(value).filter(([, field]) => field !== null)
  return Object.fromEntries(kept.map(([key, field]) => [key, withoutNullsInside(field)]))
}

function withoutNullsInside(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNullsInside)
  return isMapping(value) ? withoutNulls(value) : value
}

export function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** `spec.importV4[2].cidr`, `metadata.labels["a.b/c"]`. */
export function formatField(path: readonly PropertyKey[]): string {
  const parts = path.map((key) =>
    typeof key === 'number' ? `[${key}]` : /^[A-Za-z_][\w-]*$/.test(String(key)) ? `.${String(key)}` : `[${quoteText(String(key), 60)}]`,
  )
  return parts.join('').replace(/^\./, '')
}

function explain(issue: z.core.$ZodIssue, kind: KindName, object: unknown): FieldFault[] {
  const path = issue.path.filter((key) => typeof key !== 'symbol')
  const at = (message: string): FieldFault[] => [{ path, message: `${path.length === 0 ? kind : formatField(path)}: ${message}` }]
  const { schema } = kindInfo(kind)
  const isSecret = kind === 'Secret' || path.includes('password')
  const value = valueAt(object, path)
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({ path: [...path, key], message: unknownField(kind, path, key) }))
    case 'invalid_type':
      if (value === undefined) return [{ path, message: missingField(schema, path) }]
      return at(wrongType(issue.expected, value, schemaAt(schema, path), isSecret))
    case 'invalid_value': {
      if (value === undefined) return [{ path, message: missingField(schema, path) }]
      const allowed = issue.values.map(String)
      const meant = typeof value === 'string' ? nearMiss(value, allowed) : null
      return at(`${shown(value, isSecret)} is not one of ${allowed.join(', ')}${meant === null ? '' : `; did you mean ${meant}?`}`)
    }
    case 'too_small':
    case 'too_big':
      return at(outOfRange(issue, value))
    case 'invalid_key':
    case 'invalid_element':
      return at(issue.issues.map(({ message }) => message).join('; '))
    case 'invalid_union':
      return at(`${shown(value, isSecret)} is neither a whole number in range nor a name`)
    default:
      return at(issue.message)
  }
}

function unknownField(kind: KindName, path: readonly PropertyKey[], key: string): string {
  const named = `unknown field ${formatField([...path, key])}`
  const other = OTHER_NAMES[kind]?.[key]
  if (other !== undefined) return `${named}; ${other}`
  const { schema } = kindInfo(kind)
  const fields = fieldsAt(schema, path)
  const elsewhere = path[0] === 'spec' && path.length === 1 ? null : fieldsAt(schema, ['spec']).find((field) => field === key)
  if (elsewhere != null) return `${named}; ${key} belongs directly under spec: check the indentation`
  const meant = nearMiss(key, fields)
  if (meant !== null) return `${named}; did you mean ${meant}?`
  return `${named}; ${fields.length === 0 ? 'nothing may stand here' : `known fields here: ${fields.join(', ')}`}`
}

function missingField(schema: z.ZodType, path: readonly PropertyKey[]): string {
  const { description } = metaOf(schemaAt(schema, path))
  const what = typeof description === 'string' ? `; it is needed: ${description.replace(/\.$/, '')}` : '; it is needed'
  return `${formatField(path)} is missing${what}`
}

const EXPECTED: Readonly<Record<string, string>> = {
  string: 'text',
  number: 'a whole number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'a list',
  object: 'a mapping',
  record: 'a mapping',
}

function wrongType(expected: string, value: unknown, schema: z.core.$ZodType | null, isSecret: boolean): string {
  const fields = schema === null ? [] : fieldsAt(schema, [])
  const hint = remedy(expected, value, metaOf(schema)['format'], fields)
  return `expected ${EXPECTED[expected] ?? expected}, got ${shown(value, isSecret)}${hint === null ? '' : `; ${hint}`}`
}

function remedy(expected: string, value: unknown, format: unknown, fields: readonly string[]): string | null {
  switch (expected) {
    case 'int':
    case 'number': {
      if (typeof value === 'string' && /^\d+$/.test(value)) return 'remove the quotes'
      const asdot = typeof value === 'string' ? parseAsn(value) : null
      if (asdot !== null) return `write it as one number: ${asdot}`
      return typeof value === 'number' ? 'a 4-byte AS number, too, is written as one whole number (high × 65536 + low)' : null
    }
    case 'string':
      if (format === 'duration' && typeof value === 'number') return `add the unit: ${value}s`
      return typeof value === 'number' || typeof value === 'boolean' ? 'put it in quotes' : null
    case 'boolean':
      return 'write true or false, without quotes'
    case 'array':
      return 'make it a list: [...]'
    case 'object':
      if (fields.includes('matchLabels')) return 'write a label selector: { matchLabels: { rack: a } }'
      if (fields.includes('secretKeyRef')) return 'put the password into a Secret and name it: { secretKeyRef: { name: NAME, key: KEY } }'
      return fields.length > 0 ? `its fields are ${fields.join(', ')}` : null
    default:
      return null
  }
}

function outOfRange(issue: z.core.$ZodIssueTooSmall | z.core.$ZodIssueTooBig, value: unknown): string {
  const isSmall = issue.code === 'too_small'
  const bound = isSmall ? issue.minimum : issue.maximum
  const limit = isSmall ? `at least ${bound}` : `at most ${bound}`
  switch (issue.origin) {
    case 'string':
      return isSmall && bound === 1 ? 'must not be empty' : `must have ${limit} characters, has ${String(value).length}`
    case 'array':
    case 'set':
      return isSmall && bound === 1
        ? 'must not be empty'
        : `must have ${limit} items, has ${Array.isArray(value) ? value.length : 'others'}`
    default:
      return `${String(value)} is out of range; it must be ${limit}`
  }
}

function shown(value: unknown, isSecret: boolean): string {
  if (Array.isArray(value)) return 'a list'
  if (isMapping(value)) return 'a mapping'
  if (isSecret) return typeof value === 'string' ? 'text' : `a ${typeof value}`
  return typeof value === 'string' ? quoteText(value, 60) : String(value)
}

function valueAt(object: unknown, path: readonly PropertyKey[]): unknown {
  let here = object
  for (const key of path) {
    if (Array.isArray(here) && typeof key === 'number') here = here[key]
    else if (isMapping(here) && typeof key === 'string' && Object.hasOwn(here, key)) here = here[key]
    else return undefined
  }
  return here
}
