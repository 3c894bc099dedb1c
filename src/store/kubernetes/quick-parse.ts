// Parses what an API server sends by the shape of its kind's schema, for kinds of which there are ten thousands: the same values as
// the schema gives at a tenth of its cost, frozen, with equal texts and empty lists shared. It knows the plain parts of a schema;
// whatever it is not sure of, valid or not, is left to the schema (test: both say the same of thousands of objects). Pure.
import type { z } from 'zod'
import { safeParse } from 'zod/v4/core'
import { type KindName, kindInfo } from '../kinds/registry.ts'
import { deepFreeze } from '../memory.ts'
import { isMapping } from '../validate.ts'

/** The schema must look at this value. */
export const UNSURE: unique symbol = Symbol('unsure')
type Parse = (value: unknown) => unknown
type Field = {
  readonly parse: Parse
  /** What an absent field becomes: a default; `undefined`: it stays absent; UNSURE: it must not be absent. */
  readonly absent: unknown
}

/** What of zod's definitions is looked at (zod 4, core). */
type Definition = {
  readonly type: string
  readonly checks?: readonly unknown[]
  readonly format?: string
  readonly shape?: Readonly<Record<string, z.ZodType>>
  readonly catchall?: unknown
  readonly element?: z.ZodType
  readonly keyType?: z.ZodType
  readonly valueType?: z.ZodType
  readonly innerType?: z.ZodType
  readonly entries?: Readonly<Record<string, unknown>>
  readonly defaultValue?: unknown
}

const NO_ITEMS: readonly unknown[] = Object.freeze([])
const NO_FIELDS: Readonly<Record<string, unknown>> = Object.freeze({})

const compiled = new Map<KindName, Parse>()

/** The object, or UNSURE. `raw` comes from JSON; it is a `kind`, whether it says so or not. */
export function quickParse(kind: KindName, raw: Readonly<Record<string, unknown>>): unknown {
  let parse = compiled.get(kind)
  if (parse === undefined) {
    parse = rootOf(kind)
    compiled.set(kind, parse)
  }
  return parse(raw)
}

function rootOf(kind: KindName): Parse {
  const { schema, apiVersion, scope, writer } = kindInfo(kind)
  const { shape } = definitionOf(schema)
  if (writer !== 'core' || shape === undefined || hasChecks(schema)) return () => UNSURE
  const { apiVersion: _version, kind: _kind, metadata: metadataSchema, ...rest } = shape
  const inMetadata = metadataSchema === undefined ? undefined : definitionOf(metadataSchema).shape
  if (inMetadata === undefined) return () => UNSURE
  const ofMetadata = fieldsOf(inMetadata).map(
    ([key, field]) => [key, key === 'annotations' ? { ...field, parse: annotations } : field] as const,
  )
  const fields = fieldsOf(rest)
  return (raw) => {
    if (!isMapping(raw)) return UNSURE
    const { metadata } = raw
    if (!isMapping(metadata) || (typeof metadata['namespace'] === 'string') !== (scope === 'Namespaced')) return UNSURE
    const head = withFields({}, ofMetadata, metadata)
    return head === UNSURE ? UNSURE : withFields({ apiVersion, kind, metadata: head }, fields, raw)
  }
}

function definitionOf(schema: z.ZodType): Definition {
  return schema.def as unknown as Definition // the fields above are those of zod's own definitions
}

function hasChecks(schema: z.ZodType): boolean {
  return (definitionOf(schema).checks ?? []).length > 0
}

function fieldsOf(shape: Readonly<Record<string, z.ZodType>>): readonly (readonly [string, Field])[] {
  return Object.entries(shape).map(([key, schema]) => [key, fieldOf(schema)] as const)
}

function fieldOf(schema: z.ZodType): Field {
  const { type, innerType, defaultValue } = definitionOf(schema)
  if (innerType === undefined || hasChecks(schema)) return { parse: parserOf(schema), absent: UNSURE }
  const parse = parserOf(innerType)
  if (type === 'optional') return { parse, absent: undefined }
  if (type === 'default') return { parse, absent: shared(deepFreeze(structuredClone(defaultValue))) }
  if (type === 'prefault') return { parse, absent: parse(defaultValue) }
  return { parse: () => UNSURE, absent: UNSURE }
}

function parserOf(schema: z.ZodType): Parse {
  const { type, shape, catchall, element, keyType, valueType, innerType, entries, format } = definitionOf(schema)
  if (hasChecks(schema)) return type === 'string' || type === 'number' ? checked(schema) : () => UNSURE
  switch (type) {
    case 'string':
      return (value) => (typeof value === 'string' ? sharedText(value) : UNSURE)
    case 'boolean':
      return (value) => (typeof value === 'boolean' ? value : UNSURE)
    case 'number':
      return format === 'safeint' ? (value) => (Number.isSafeInteger(value) ? value : UNSURE) : checked(schema)
    case 'enum': {
      const values = new Set<unknown>(Object.values(entries ?? {}))
      return (value) => (values.has(value) ? value : UNSURE)
    }
    case 'union':
      return checked(schema)
    case 'array':
      return element === undefined ? () => UNSURE : list(parserOf(element))
    case 'record':
      if (keyType === undefined || valueType === undefined || definitionOf(keyType).type !== 'string' || hasChecks(keyType))
        return () => UNSURE
      return record(parserOf(valueType))
    case 'object': {
      if (shape === undefined || catchall !== undefined) return () => UNSURE
      const fields = fieldsOf(shape)
      return (value) => (isMapping(value) ? withFields({}, fields, value) : UNSURE)
    }
    default:
      return innerType === undefined ? () => UNSURE : fieldOf(schema).parse
  }
}

/** A single value with conditions: its own schema decides. */
function checked(schema: z.ZodType): Parse {
  return (value) => {
    if (typeof value === 'object') return UNSURE
    const parsed = safeParse(schema, value)
    return parsed.success ? parsed.data : UNSURE
  }
}

function list(parse: Parse): Parse {
  return (value) => {
    if (!Array.isArray(value)) return UNSURE
    if (value.length === 0) return NO_ITEMS
    const items: unknown[] = []
    for (const each of value) {
      const item = parse(each)
      if (item === UNSURE) return UNSURE
      items.push(item)
    }
    return Object.freeze(items)
  }
}

function record(parse: (value: unknown, key: string) => unknown): Parse {
  return (value) => {
    if (!isMapping(value)) return UNSURE
    let entries: Record<string, unknown> | null = null
    for (const key of Object.keys(value)) {
      if (key === '__proto__') return UNSURE
      if (value[key] === null) continue // written without a value: not written
      const entry = parse(value[key], key)
      if (entry === UNSURE) return UNSURE
      if (entry === NOT_KEPT) continue
      entries ??= {}
      entries[key] = entry
    }
    return entries === null ? NO_FIELDS : Object.freeze(entries)
  }
}

/** A report of another program, or a copy of a whole manifest: nothing to us. */
export function isBulkAnnotation(key: string, value: unknown): boolean {
  return typeof value === 'string' && value.length > LONGEST_ANNOTATION && !key.startsWith('fibula.network/')
}

const LONGEST_ANNOTATION = 256
const NOT_KEPT: unique symbol = Symbol('not kept')
const annotations = record((value, key) =>
  isBulkAnnotation(key, value) ? NOT_KEPT : typeof value === 'string' ? sharedText(value) : UNSURE,
)

function withFields(
  object: Record<string, unknown>,
  fields: readonly (readonly [string, Field])[],
  from: Readonly<Record<string, unknown>>,
): unknown {
  for (const [key, { parse, absent }] of fields) {
    const given = from[key]
    const value = given === undefined || given === null ? absent : parse(given)
    if (value === UNSURE) return UNSURE
    if (value !== undefined) object[key] = value
  }
  return Object.freeze(object)
}

function shared(value: unknown): unknown {
  if (Array.isArray(value) && value.length === 0) return NO_ITEMS
  return isMapping(value) && Object.keys(value).length === 0 ? NO_FIELDS : value
}

/** Texts seen lately, one a slot: names of nodes, namespaces and labels come again and again, others push one another out. */
const texts: string[] = Array.from({ length: 16_384 }, () => '')
const LONGEST_SHARED = 64

function sharedText(text: string): string {
  if (text.length > LONGEST_SHARED) return text
  let hash = text.length
  for (let at = 0; at < text.length; at++) hash = (Math.imul(hash, 31) + text.charCodeAt(at)) | 0
  const slot = (hash ^ (hash >>> 14)) & (texts.length - 1)
  const known = texts[slot]
  if (known === text) return known
  texts[slot] = text
  return text
}
