// Writes crds/, the CustomResourceDefinitions of our kinds, from the zod schemas in src/store/kinds, so that the API server and the
// other stores admit the same objects.
//
//   scripts/node scripts/crds.ts          exits 1 if a file is not what the schemas say
//   scripts/node scripts/crds.ts --write  writes them
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { z } from 'zod'
import { CEL_KEY, type CelRule, KIND_NAMES, type KindInfo, kindInfo } from '../src/store/index.ts'

type JsonSchema = { readonly [key: string]: unknown }

export const CRD_FOLDER = join(import.meta.dirname, '..', 'crds')

/** Keywords of JSON schema that a structural schema takes as they are (Kubernetes: CustomResourceDefinition, structural schemas). */
const KEPT = [
  'type',
  'description',
  'default',
  'enum',
  'format',
  'pattern',
  'minimum',
  'maximum',
  'minLength',
  'maxLength',
  'minItems',
  'maxItems',
  'maxProperties',
  'required',
] as const
/** Formats that the API server would check itself, in words of its own, before our rules have a say. */
const CHECKED_BY_RULES = new Set(['cidr', 'duration'])
const MAX_LABELS = 64

/** File names and texts of all definitions. */
export function renderCrds(): ReadonlyMap<string, string> {
  const own = KIND_NAMES.map(kindInfo).filter(({ writer }) => writer !== 'core')
  return new Map(own.map((kind) => [`${groupOf(kind)}_${kind.plural}.yaml`, renderCrd(kind)]))
}

function groupOf({ apiVersion }: KindInfo): string {
  return apiVersion.split('/')[0] ?? ''
}

function renderCrd(kind: KindInfo): string {
  const group = groupOf(kind)
  const root = z.toJSONSchema(kind.schema, { target: 'openapi-3.0', io: 'input', unrepresentable: 'any' }) as JsonSchema
  const properties = root['properties'] as { readonly [name: string]: JsonSchema }
  const bodyOf = (name: 'spec' | 'status'): JsonSchema => {
    const body = structural(properties[name] ?? {})
    // What only Fibula writes it has checked, and rules over every address of a block would cost more than is allowed.
    return kind.writer === 'machine' || name === 'status' ? withoutRules(body) : body
  }
  const schema = {
    description: kind.description,
    type: 'object',
    required: ['spec'].filter((name) => (root['required'] as readonly string[]).includes(name)),
    properties: {
      apiVersion: { type: 'string', description: `Always ${kind.apiVersion}.` },
      kind: { type: 'string', description: `Always ${kind.kind}.` },
      metadata: { type: 'object' },
      spec: { description: `What is wanted of this ${kind.kind}.`, ...bodyOf('spec') },
      status: { description: `What was found of this ${kind.kind}; written by Fibula.`, ...bodyOf('status') },
    },
    ...celOf(root),
  }
  const definition = {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${kind.plural}.${group}`, labels: { 'app.kubernetes.io/name': 'fibula', 'app.kubernetes.io/component': 'crds' } },
    spec: {
      group,
      scope: kind.scope,
      names: {
        kind: kind.kind,
        listKind: `${kind.kind}List`,
        plural: kind.plural,
        singular: kind.singular,
        shortNames: [...kind.shortNames],
        categories: ['fibula'],
      },
      versions: [
        {
          name: kind.apiVersion.split('/')[1],
          served: true,
          storage: true,
          subresources: { status: {} },
          additionalPrinterColumns: printerColumns(kind, properties),
          ...(kind.selectableFields.length === 0 ? {} : { selectableFields: kind.selectableFields.map((jsonPath) => ({ jsonPath })) }),
          schema: { openAPIV3Schema: schema },
        },
      ],
    },
  }
  const head = '# Written by scripts/crds.ts from src/store/kinds; change those and run `scripts/node scripts/crds.ts --write`.\n'
  return head + stringify(definition, { lineWidth: 0, aliasDuplicateObjects: false })
}

/** A schema in the form the API server takes: typed at every level, without references and without keywords it does not know. */
function structural(schema: JsonSchema): JsonSchema {
  const kept = Object.fromEntries(KEPT.filter((key) => schema[key] !== undefined).map((key) => [key, schema[key]]))
  const { format } = schema
  if (typeof format === 'string' && CHECKED_BY_RULES.has(format)) delete kept['format']
  if (kept['type'] === 'integer') Object.assign(kept, { format: 'int64', ...boundsOf(schema) })
  if (schema['const'] !== undefined) Object.assign(kept, { type: typeof schema['const'], enum: [schema['const']] })
  return { ...kept, ...fieldsOf(schema), ...itemsOf(schema), ...celOf(schema) }
}

function withoutRules<T>(value: T): T {
  if (Array.isArray(value)) return value.map(withoutRules) as T // the shape stays
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).flatMap(([key, inner]) => (key === CEL_KEY ? [] : [[key, withoutRules(inner)]]))) as T // as above
}

/** Without the bounds of a double's integers, which say nothing. */
function boundsOf({ minimum, maximum }: JsonSchema): JsonSchema {
  return {
    minimum: minimum === Number.MIN_SAFE_INTEGER ? undefined : minimum,
    maximum: maximum === Number.MAX_SAFE_INTEGER ? undefined : maximum,
  }
}

function fieldsOf(schema: JsonSchema): JsonSchema {
  if (schema['type'] !== 'object') return {}
  const properties = Object.entries((schema['properties'] ?? {}) as { readonly [name: string]: JsonSchema })
  const additional = schema['additionalProperties']
  const isMap = typeof additional === 'object' && additional !== null && Object.keys(additional).length > 0
  if (isMap) return { additionalProperties: structural(additional as JsonSchema), maxProperties: schema['maxProperties'] ?? MAX_LABELS }
  const isLoose = additional !== false && additional !== undefined
  return {
    properties: Object.fromEntries(properties.map(([name, field]) => [name, structural(field)])),
    ...(isLoose ? { 'x-kubernetes-preserve-unknown-fields': true } : {}),
  }
}

function itemsOf(schema: JsonSchema): JsonSchema {
  if (schema['type'] !== 'array') return {}
  const items = (schema['items'] ?? {}) as JsonSchema
  const names = Object.keys((items['properties'] ?? {}) as object)
  const isConditions = names.includes('lastTransitionTime') && names.includes('type')
  return {
    items: structural(items),
    ...(isConditions
      ? { 'x-kubernetes-list-type': 'map', 'x-kubernetes-list-map-keys': ['type'] }
      : { 'x-kubernetes-list-type': 'atomic' }),
  }
}

function celOf(schema: JsonSchema): JsonSchema {
  const rules = (schema[CEL_KEY] ?? []) as readonly CelRule[]
  // A rule over several fields of an object has the path of the one to look at; the path must be there for `kubectl` to name it.
  return rules.length === 0
    ? {}
    : { [CEL_KEY]: rules.map(({ rule, message, fieldPath }) => ({ rule, message, ...(fieldPath === undefined ? {} : { fieldPath }) })) }
}

function printerColumns({ columns }: KindInfo, root: { readonly [name: string]: JsonSchema }): readonly JsonSchema[] {
  const all = columns.map(({ name, path, wide = false }) => ({
    name,
    type: columnType(root, path),
    jsonPath: path,
    ...(wide ? { priority: 1 } : {}), // shown with -o wide
  }))
  return all.some(({ jsonPath }) => jsonPath === AGE) ? all : [...all, { name: 'Age', type: 'date', jsonPath: AGE }]
}

const AGE = '.metadata.creationTimestamp'

function columnType(root: { readonly [name: string]: JsonSchema }, path: string): string {
  if (path === AGE) return 'date'
  let here: JsonSchema = { properties: root }
  for (const part of path
    .replace(/\[[^\]]*\]/g, '')
    .slice(1)
    .split('.'))
    here = ((here['properties'] ?? {}) as { readonly [name: string]: JsonSchema })[part] ?? {}
  const { type } = here
  return type === 'integer' || type === 'boolean' ? type : 'string'
}

if (process.argv[1] !== undefined && import.meta.filename === process.argv[1]) {
  const wanted = renderCrds()
  const isWriting = process.argv.includes('--write')
  if (isWriting) mkdirSync(CRD_FOLDER, { recursive: true })
  const present = readdirSync(CRD_FOLDER)
  for (const name of present.filter((each) => !wanted.has(each))) {
    if (isWriting) rmSync(join(CRD_FOLDER, name))
    else fail(`crds/${name} belongs to no kind`)
  }
  for (const [name, text] of wanted) {
    if (isWriting) writeFileSync(join(CRD_FOLDER, name), text)
    else if (!present.includes(name) || readFileSync(join(CRD_FOLDER, name), 'utf8') !== text)
      fail(`crds/${name} is not what the schemas say`)
  }
}

function fail(what: string): void {
  console.error(`${what}: run scripts/node scripts/crds.ts --write`)
  process.exitCode = 1
}
