// From the manifest files of a folder to its objects (pure). Each object has one owner, the file and document it comes from;
// where a text is wrong, the last good state of the objects it owned stays.
import type { KindName, Resource } from '../kinds/registry.ts'
import { kindInfo } from '../kinds/registry.ts'
import type { Manifest, ManifestPlace, ManifestText } from '../manifest.ts'
import { fileProblem, formatIdentity, formatPlace, type StoreProblem } from '../problem.ts'

export type UserFile =
  | { readonly readable: true; readonly text: ManifestText }
  | { readonly readable: false; readonly problem: StoreProblem }

export type UserObject = {
  readonly object: Resource
  readonly file: string
  /** Where in the file it stands; null while that cannot be read and this is the last good state. */
  readonly place: ManifestPlace | null
}

export type Claim = { readonly file: string; readonly manifest: Manifest }

export type Merged = {
  /** By `formatIdentity`. */
  readonly objects: ReadonlyMap<string, UserObject>
  /** Who speaks for each object, also where what it says is invalid. */
  readonly claims: ReadonlyMap<string, Claim>
  readonly problems: readonly StoreProblem[]
}

/**
 * `files` by name. `previous` are the objects this gave the last time: where two files define one object, the one that had it
 * keeps it (else the first by name), and the other is a problem.
 */
export function mergeUserFiles(files: ReadonlyMap<string, UserFile>, previous: ReadonlyMap<string, UserObject>): Merged {
  const problems: StoreProblem[] = []
  const claimants = new Map<string, Claim[]>()
  const broken = new Set<string>()
  for (const [file, content] of [...files].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (!content.readable) {
      broken.add(file)
      problems.push(content.problem)
      continue
    }
    if (content.text.isBroken) broken.add(file)
    for (const manifest of content.text.manifests) {
      if (!manifest.result.ok) problems.push(...manifest.result.error)
      if (manifest.identity === null) continue
      if (isMachineWritten(manifest.identity.kind)) problems.push(machineWritten(file, manifest))
      else getOrAdd(claimants, formatIdentity(manifest.identity)).push({ file, manifest })
    }
  }
  const objects = new Map<string, UserObject>()
  const claims = new Map<string, Claim>()
  for (const [id, all] of claimants) {
    const before = previous.get(id)
    const owner = all.find(({ file }) => file === before?.file) ?? all[0]
    if (owner === undefined) continue
    claims.set(id, owner)
    for (const other of all) if (other !== owner) problems.push(duplicate(other, owner))
    const { file, manifest } = owner
    if (manifest.result.ok) objects.set(id, { object: manifest.result.value, file, place: manifest.place })
    else if (before !== undefined) objects.set(id, { object: before.object, file, place: manifest.place })
    else if (manifest.salvaged !== undefined) objects.set(id, { object: manifest.salvaged, file, place: manifest.place })
  }
  for (const [id, before] of previous) {
    if (broken.has(before.file) && !claims.has(id)) objects.set(id, { ...before, place: null })
  }
  return { objects, claims, problems }
}

function isMachineWritten(kind: KindName): boolean {
  return kindInfo(kind).keptInState
}

function machineWritten(file: string, { identity, place }: Manifest): StoreProblem {
  const at = { file, document: place.document, line: place.line }
  const message = 'objects of this kind are written by Fibula itself and live in state/; remove it here (fibula apply -f puts one there)'
  return fileProblem(at, identity, message)
}

function duplicate(other: Claim, owner: Claim): StoreProblem {
  const { place, identity } = other.manifest
  const there = formatPlace(owner.file, owner.manifest.place.document, owner.manifest.place.line)
  const at = { file: other.file, document: place.document, line: place.line }
  return fileProblem(at, identity, `defined twice, also in ${there}, which counts; remove one of the two`)
}

function getOrAdd(map: Map<string, Claim[]>, key: string): Claim[] {
  const found = map.get(key) ?? []
  map.set(key, found)
  return found
}
