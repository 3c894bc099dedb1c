// Writes into people's files: one manifest is put in or taken out, everything else in its file stays as it is, to the byte. What
// an edit would make of a file is parsed before it is written; an edit that changes anything else is refused.
import { isDeepStrictEqual } from 'node:util'
import { identityOf } from '../identity.ts'
import type { Resource } from '../kinds/registry.ts'
import { type ManifestText, parseManifests } from '../manifest.ts'
import { StoreError } from '../port.ts'
import { formatIdentity } from '../problem.ts'
import type { Identity } from '../validate.ts'
import { notFound } from '../write-rules.ts'
import { manifestText, removeManifest, replaceManifest, toManifest } from './edit.ts'
import { removeFile, writeAtomically } from './files.ts'
import type { Claim } from './merge.ts'
import { toKey } from './state-files.ts'
import type { UserFolder } from './user-folder.ts'

export class UserWriter {
  readonly #folder: UserFolder
  /** The folder must have been scanned with the lock held. */
  constructor(folder: UserFolder) {
    this.#folder = folder
  }

  /** Replaces the object where it stands, or adds it in a file of its own. `text`: the manifest as its author wrote it. */
  async put(object: Resource, text: string | undefined): Promise<void> {
    const id = formatIdentity(identityOf(object))
    const replacement = text !== undefined && says(parseManifests(text, ''), id, object) ? text : manifestText(object)
    const claim = this.#claimOf(id)
    if (claim === null) {
      const file = this.#freeName(identityOf(object))
      return writeAtomically(this.#folder.pathOf(file), replacement, modeFor(object))
    }
    const before = this.#textOf(claim.file)
    const after = replaceManifest(before, claim.manifest.place, replacement, claim.file.endsWith('.json'))
    const parsed = parseManifests(after, claim.file)
    if (!says(parsed, id, object) || !sameOthers(parseManifests(before, claim.file), parsed, id)) throw cannotEdit(id, claim.file)
    await writeAtomically(this.#folder.pathOf(claim.file), after, modeFor(object))
  }

  /** Removes the object, and its file if nothing else is in it. NOT_FOUND if no file speaks of it. */
  async remove(identity: Identity): Promise<void> {
    const id = formatIdentity(identity)
    const claim = this.#claimOf(id)
    if (claim === null) throw notFound(identity.kind, toKey(identity))
    const before = this.#textOf(claim.file)
    const after = removeManifest(before, claim.manifest.place, claim.file.endsWith('.json'))
    if (after === null) return removeFile(this.#folder.pathOf(claim.file))
    const parsed = parseManifests(after, claim.file)
    if (!sameOthers(parseManifests(before, claim.file), parsed, id)) throw cannotEdit(id, claim.file)
    await writeAtomically(this.#folder.pathOf(claim.file), after, 0o644)
  }

  #claimOf(id: string): Claim | null {
    const claim = this.#folder.claims.get(id)
    if (claim !== undefined) return claim
    const retained = this.#folder.objects.get(id)
    if (retained === undefined) return null
    throw new StoreError('UNAVAILABLE', `${id} is in ${retained.file}, part of which cannot be read; mend that file first`)
  }

  #textOf(file: string): string {
    const text = this.#folder.textOf(file)
    if (text === null) throw new StoreError('UNAVAILABLE', `${file} cannot be read; mend that file first`)
    return text
  }

  /** `bgppeer.tor-a.yaml`, or with a number if somebody has a file of that name for something else. */
  #freeName({ kind, namespace, name }: Identity): string {
    const base = [kind.toLowerCase(), ...(namespace === null ? [] : [namespace]), name].join('.').slice(0, 200)
    const { names } = this.#folder
    for (let number = 1; ; number++) {
      const candidate = `${base}${number === 1 ? '' : `.${number}`}.yaml`
      if (!names.has(candidate)) return candidate
    }
  }
}

/** Passwords are not for everybody to read. */
function modeFor({ kind }: Resource): number {
  return kind === 'Secret' ? 0o600 : 0o644
}

function says({ manifests }: ManifestText, id: string, object: Resource): boolean {
  const found = manifests.filter(({ identity }) => identity !== null && formatIdentity(identity) === id)
  const [only] = found
  return found.length === 1 && only?.result.ok === true && isDeepStrictEqual(toManifest(only.result.value), toManifest(object))
}

function sameOthers(before: ManifestText, after: ManifestText, id: string): boolean {
  const others = ({ manifests }: ManifestText): unknown =>
    manifests
      .filter(({ identity }) => identity === null || formatIdentity(identity) !== id)
      .map(({ identity, result }) => ({ identity, value: result.ok ? result.value : null }))
  return isDeepStrictEqual(others(before), others(after))
}

function cannotEdit(id: string, file: string): StoreError {
  return new StoreError('UNAVAILABLE', `${id} cannot be changed in ${file} without touching other objects; edit the file by hand`)
}
