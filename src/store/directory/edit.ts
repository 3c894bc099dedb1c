// Changes single documents of a manifest text and leaves every other byte as it is, comments included (pure).
import { isSeq, parseDocument, stringify } from 'yaml'
import type { Resource } from '../kinds/registry.ts'
import { documentBody, type ManifestPlace } from '../manifest.ts'
import { hasOwnStatus, withStatus } from '../write-rules.ts'

/** An object as a person would write it: without what stores add. */
export function toManifest(object: Resource): Resource {
  const {
    resourceVersion: _version,
    uid: _uid,
    generation: _generation,
    creationTimestamp: _created,
    labels,
    annotations,
    ...rest
  } = object.metadata
  const metadata = {
    ...rest,
    ...(Object.keys(labels).length > 0 ? { labels } : {}),
    ...(Object.keys(annotations).length > 0 ? { annotations } : {}),
  }
  const bare = { ...object, metadata } as Resource // labels and annotations have defaults
  return hasOwnStatus(object.kind) ? withStatus(bare, undefined) : bare
}

/** YAML of one manifest, ending with a newline. */
export function manifestText(object: Resource): string {
  return stringify(toManifest(object), { lineWidth: 0, aliasDuplicateObjects: false })
}

/** `text` with the manifest at `place` replaced; `replacement` is YAML, or JSON in a `.json` file. */
export function replaceManifest(text: string, place: ManifestPlace, replacement: string, isJson: boolean): string {
  if (place.item !== null) return editList(text, place, place.item, replacement, isJson)
  if (isJson) return toJson(replacement)
  return splice(text, place, `${needsMark(text, place) ? '---\n' : ''}${documentBody(replacement)}`)
}

/** `text` without the manifest at `place`; null if nothing worth keeping remains. */
export function removeManifest(text: string, place: ManifestPlace, isJson: boolean): string | null {
  if (place.item !== null) return editList(text, place, place.item, null, isJson)
  if (isJson) return null
  const rest = splice(text, place, '')
  return /^(?:[ \t]*(?:---|\.\.\.)?[ \t]*\r?\n?)*$/.test(rest) ? null : rest
}

function needsMark(text: string, { document, start, end }: ManifestPlace): boolean {
  return document > 1 || text.slice(start, end).startsWith('---') || text.slice(0, start).trim() !== ''
}

function splice(text: string, { start, end }: ManifestPlace, replacement: string): string {
  const before = text.slice(0, start)
  const glue = before === '' || before.endsWith('\n') || replacement === '' ? '' : '\n'
  return `${before}${glue}${replacement}${text.slice(end)}`
}

/** A `List` is one document: its other items keep their comments, their layout may change. */
function editList(text: string, place: ManifestPlace, index: number, replacement: string | null, isJson: boolean): string {
  const document = parseDocument(text.slice(place.start, place.end))
  const list = document.get('items')
  if (!isSeq(list)) return text
  list.items.splice(index, 1, ...(replacement === null ? [] : [parseDocument(replacement).contents]))
  return isJson ? `${JSON.stringify(document.toJS(), null, 2)}\n` : splice(text, place, document.toString({ lineWidth: 0 }))
}

function toJson(yaml: string): string {
  return `${JSON.stringify(parseDocument(yaml).toJS(), null, 2)}\n`
}
