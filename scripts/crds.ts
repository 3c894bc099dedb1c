// Writes crds/, the CustomResourceDefinitions of our kinds, from the zod schemas in src/store/kinds, so that the API server and the
// other stores admit the same objects; and charts/fibula/crds, the same as the chart installs them (docs/decisions/helm-crds.md).
//
//   scripts/node scripts/crds.ts          exits 1 if a file is not what the schemas say
//   scripts/node scripts/crds.ts --write  writes them
import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { z } from 'zod'
import { CEL_KEY, type CelRule, KIND_NAMES, type KindInfo, kindInfo } from '../src/store/index.ts'

type JsonSchema = { readonly [key: string]: unknown }

export const CRD_FOLDER = join(import.meta.dirname, '..', 'crds')
export const CHART_CRD_FOLDER = join(import.meta.dirname, '..', 'charts', 'fibula', 'crds')

/** What makes Helm take a definition for one of the release that the README names, and leave it when the release goes. */
const HELM_LABELS = { 'app.kubernetes.io/managed-by': 'Helm' }
const HELM_ANNOTATIONS = {
  'meta.helm.sh/release-name': 'fibula',
  'meta.helm.sh/release-namespace': 'fibula-system',
  'helm.sh/resource-policy': 'keep',
}
/** Annotation by which the chart tells whether a definition in a cluster is its own. */
const DIGEST_ANNOTATION = 'fibula.network/definition'

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
  return renderAll((definition) => definition)
}

/** The same for the chart. */
export function renderChartCrds(): ReadonlyMap<string, string> {
  return renderAll(({ metadata, spec, ...rest }) => {
    const digest = createHash('sha256').update(JSON.stringify(spec)).digest('hex').slice(0, 16)
    const labels = { ...metadata.labels, ...HELM_LABELS }
    return { ...rest, metadata: { ...metadata, labels, annotations: { ...HELM_ANNOTATIONS, [DIGEST_ANNOTATION]: digest } }, spec }
  })
}

function renderAll(change: (definition: Definition) => Definition): ReadonlyMap<string, string> {
  const head = '# Written by scripts/crds.ts from src/store/kinds; change those and run `scripts/node scripts/crds.ts --write`.\n'
  const own = KIND_NAMES.map(kindInfo).filter(({ writer }) => writer !== 'core')
  return new Map(
    own.map((kind) => [
      `${groupOf(kind)}_${kind.plural}.yaml`,
      head + stringify(change(renderCrd(kind)), { lineWidth: 0, aliasDuplicateObjects: false }),
    ]),
  )
}

type Definition = {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly labels: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
  }
  readonly spec: JsonSchema
}

function groupOf({ apiVersion }: KindInfo): string {
  return apiVersion.split('/')[0] ?? ''
}

function renderCrd(kind: KindInfo): Definition {
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
  return {
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
  const isWriting = process.argv.includes('--write')
  bring(CRD_FOLDER, 'crds', renderCrds(), isWriting)
  bring(CHART_CRD_FOLDER, 'charts/fibula/crds', renderChartCrds(), isWriting)
}

function bring(folder: string, shown: string, wanted: ReadonlyMap<string, string>, isWriting: boolean): void {
  if (isWriting) mkdirSync(folder, { recursive: true })
  const present = readdirSync(folder)
  for (const name of present.filter((each) => !wanted.has(each))) {
    if (isWriting) rmSync(join(folder, name))
    else fail(`${shown}/${name} belongs to no kind`)
  }
  for (const [name, text] of wanted) {
    if (isWriting) writeFileSync(join(folder, name), text)
    else if (!present.includes(name) || readFileSync(join(folder, name), 'utf8') !== text)
      fail(`${shown}/${name} is not what the schemas say`)
  }
}

function fail(what: string): void {
  console.error(`${what}: run scripts/node scripts/crds.ts --write`)
  process.exitCode = 1
}
