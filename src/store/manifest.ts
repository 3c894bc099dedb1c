// Manifests as text: YAML with one or more documents, JSON, or a `List` of objects as `kubectl get -o yaml` writes it. Each
// document stands alone: a bad one is reported with its place and does not spoil the others.
import { type Document, isMap, isNode, isScalar, isSeq, LineCounter, type Node, parseAllDocuments } from 'yaml'
import { err, ok, type Result } from '../lib/result.ts'
import type { Resource } from './kinds/registry.ts'
import { fileProblem, type StoreProblem } from './problem.ts'
import { type FieldFault, formatField, type Identity, identify, isMapping, parseResource, salvageResource } from './validate.ts'
import { yamlFault } from './yaml-fault.ts'

/** Where a manifest stands in its text: a whole document, or one item of the `List` that the document is. */
export type ManifestPlace = {
  /** From 1. */
  readonly document: number
  readonly line: number
  readonly start: number
  readonly end: number
  /** Index in `items`, or null when the manifest is the document. */
  readonly item: number | null
}

export type Manifest = {
  readonly place: ManifestPlace
  /** Which object it is about; null where that cannot be told. */
  readonly identity: Identity | null
  readonly result: Result<Resource, readonly StoreProblem[]>
  /** Where `result` is no object: what to go by where there is no last good state either (see `salvageResource`). */
  readonly salvaged?: Resource
}

export type ManifestText = {
  readonly manifests: readonly Manifest[]
  /** Some part could not be read at all, so objects may be missing from `manifests` that the text was meant to hold. */
  readonly isBroken: boolean
}

export const MAX_MANIFEST_BYTES = 8 * 1024 * 1024

/** Parses a text; `file` is its name in problems. Never throws. */
export function parseManifests(text: string, file: string): ManifestText {
  if (text.length > MAX_MANIFEST_BYTES) {
    const problem = fileProblem(
      { file, document: 1, line: 1 },
      null,
      `larger than ${MAX_MANIFEST_BYTES / 1024 / 1024} MiB; split it into several files`,
    )
    return {
      manifests: [{ place: { document: 1, line: 1, start: 0, end: text.length, item: null }, identity: null, result: err([problem]) }],
      isBroken: true,
    }
  }
  const lines = new LineCounter()
  const documents = parseAllDocuments(text, { lineCounter: lines, prettyErrors: false, stringKeys: true, logLevel: 'silent' })
  const manifests: Manifest[] = []
  let isBroken = false
  for (const [at, document] of [...documents].entries()) {
    const read = readDocument(document, { file, number: at + 1, lines })
    manifests.push(...read)
    isBroken ||= read.some(({ identity, result }) => !result.ok && identity === null)
  }
  return { manifests, isBroken }
}

/** A manifest as its author wrote it, with the comments before it; null if it is an item of a `List` or the text is JSON. */
export function sourceOf(text: string, { place }: Manifest): string | null {
  if (place.item !== null || text.trimStart().startsWith('{')) return null
  const lead = place.document === 1 ? text.slice(0, place.start).replace(/^%.*\n/gm, '') : ''
  return `${lead}${documentBody(text.slice(place.start, place.end))}`
}

/** One document's own text: no `---` before it, no `...` behind it, one newline at the end. */
export function documentBody(text: string): string {
  return `${text
    .replace(/^\uFEFF/, '')
    .replace(/^---[ \t]*\r?\n?/, '')
    .replace(/^\.\.\.[ \t]*$[\s\S]*/m, '')
    .trimEnd()}\n`
}

type Context = { readonly file: string; readonly number: number; readonly lines: LineCounter }

function readDocument(document: Document.Parsed, context: Context): readonly Manifest[] {
  const { file, number, lines } = context
  const [start, , end] = document.range
  const place: ManifestPlace = { document: number, line: lineOf(lines, document.contents?.range?.[0] ?? start), start, end, item: null }
  const failed = (line: number, message: string): Manifest => ({
    place,
    identity: null, // of a text with errors the rest cannot be trusted either
    result: err([fileProblem({ file, document: number, line }, null, message)]),
  })
  const [error] = document.errors
  if (error !== undefined) return [failed(lineOf(lines, error.pos[0]), yamlFault(error.code))]
  if (document.contents === null || (isScalar(document.contents) && document.contents.value === null)) return []
  let value: unknown
  try {
    value = document.toJS({ maxAliasCount: 100 })
    if (holdsItself(value)) throw new RangeError('an alias inside its own anchor')
  } catch {
    return [failed(place.line, yamlFault('BAD_ALIAS'))] // an alias without its anchor, or one that grows without bound
  }
  if (!isMapping(value) || value['kind'] !== 'List' || !Array.isArray(value['items']))
    return [readObject(value, document, [], place, context)]
  return value['items'].map((item: unknown, index) => {
    const path = ['items', index]
    return readObject(item, document, path, { ...place, item: index, line: lineAt(document, path, lines) }, context)
  })
}

function readObject(
  value: unknown,
  document: Document.Parsed,
  base: readonly (string | number)[],
  place: ManifestPlace,
  context: Context,
): Manifest {
  const identity = identify(value)
  const parsed = parseResource(value)
  if (parsed.ok) return { place, identity, result: ok(parsed.value) }
  const { file, number, lines } = context
  const problemOf = ({ path, message }: FieldFault): StoreProblem =>
    fileProblem({ file, document: number, line: lineAt(document, [...base, ...path], lines), field: formatField(path) }, identity, message)
  const salvaged = salvageResource(value)
  return { place, identity, result: err(parsed.error.map(problemOf)), ...(salvaged === null ? {} : { salvaged }) }
}

function holdsItself(value: unknown, above: ReadonlySet<unknown> = new Set()): boolean {
  if (typeof value !== 'object' || value === null) return false
  if (above.has(value)) return true
  const here = new Set(above).add(value)
  return Object.values(value).some((inner) => holdsItself(inner, here))
}

function lineOf(lines: LineCounter, offset: number): number {
  return Math.max(1, lines.linePos(offset).line)
}

/** The line of the key (or list item) that `path` ends in, or of the nearest thing around it that exists. */
function lineAt(document: Document.Parsed, path: readonly (string | number)[], lines: LineCounter): number {
  let here: Node | null = document.contents
  let offset = here?.range?.[0] ?? document.range[0]
  for (const key of path) {
    if (isMap(here)) {
      const pair = here.items.find((item) => isScalar(item.key) && String(item.key.value) === String(key))
      if (pair === undefined || !isNode(pair.key)) break
      offset = pair.key.range?.[0] ?? offset
      here = isNode(pair.value) ? pair.value : null
    } else if (isSeq(here) && typeof key === 'number') {
      const item = here.items[key]
      if (!isNode(item)) break
      offset = item.range?.[0] ?? offset
      here = item
    } else break
  }
  return lineOf(lines, offset)
}
