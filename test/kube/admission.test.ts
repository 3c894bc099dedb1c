// The same manifests are refused at admission that a folder refuses, with a message that names the field; and what a folder
// takes, the API server takes too.
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { parseAllDocuments } from 'yaml'
import { manifestFolders } from '../../src/lab/manifests.ts'
import { findKind, type KindName, kindInfo, parseResource } from '../../src/store/index.ts'
import { ApiError, ApiServer } from '../../src/store/kubernetes/api-server.ts'
import { collectionPath } from '../../src/store/kubernetes/paths.ts'
import { plan } from '../lab/fixtures.ts'
import { CASES } from '../store/bad-manifests.ts'
import { KubeApi } from '../support/kube/api-server.ts'
import { installCrds } from '../support/kube/apply.ts'

let kube: KubeApi
let api: ApiServer
beforeAll(async () => {
  kube = await KubeApi.start()
  await installCrds(kube.connection())
  api = new ApiServer(kube.connection())
}, 180_000)
afterAll(async () => {
  api[Symbol.dispose]()
  await kube[Symbol.asyncDispose]()
})

type Manifest = { readonly kind: KindName; readonly object: Readonly<Record<string, unknown>> }

/** null: it cannot be read as a value, and is nothing an API server would ever get. */
function contentOf(document: { toJS(options: { readonly maxAliasCount: number }): unknown }): unknown {
  try {
    return document.toJS({ maxAliasCount: 100 })
  } catch {
    return null
  }
}

/** The manifests of our own kinds in a text, as far as it can be read at all. */
function ownManifests(text: string): readonly Manifest[] {
  const documents = parseAllDocuments(text, { logLevel: 'silent' })
  return ('empty' in documents ? [] : documents).flatMap((document): readonly Manifest[] => {
    const object = document.errors.length > 0 ? null : contentOf(document)
    if (typeof object !== 'object' || object === null || !('kind' in object) || !('apiVersion' in object)) return []
    const kind = typeof object.kind === 'string' ? findKind(object.kind) : null
    if (kind === null || kindInfo(kind).kind !== object.kind || kindInfo(kind).writer !== 'user') return []
    return object.apiVersion === kindInfo(kind).apiVersion ? [{ kind, object: object as Manifest['object'] }] : []
  })
}

/** As `kubectl apply --dry-run=server` does it: unknown fields are refused. */
async function admit({ kind, object }: Manifest): Promise<ApiError | null> {
  try {
    await api.request({ method: 'POST', path: collectionPath(kind), query: { dryRun: 'All', fieldValidation: 'Strict' }, body: object })
    return null
  } catch (error) {
    if (error instanceof ApiError) return error
    throw error
  }
}

/** A namespace on an object that has none is for the client to refuse (kubectl does); the API server overlooks it. */
function isFaulty(object: Manifest['object']): boolean {
  const parsed = parseResource(object)
  return !parsed.ok && parsed.error.some(({ path }) => path.join('.') !== 'metadata.namespace')
}

const bad = Object.entries(CASES).flatMap(([group, cases]) =>
  cases.flatMap(([text]) =>
    ownManifests(text)
      .filter(({ object }) => isFaulty(object))
      .map((manifest) => [group, JSON.stringify(manifest.object), manifest] as const),
  ),
)

test('the table holds at least 80 manifests of our kinds', () => {
  expect(bad.length).toBeGreaterThanOrEqual(80)
})

describe('refused by a folder, refused at admission', () => {
  test.each(bad)('%s: %s', async (_group, _text, manifest) => {
    const error = await admit(manifest)
    expect(error).not.toBeNull()
    expect(error?.message).toMatch(/spec|metadata|ObjectMeta|unknown field|name/)
  })
})

test('what the lab runs on is admitted', async () => {
  const manifests = manifestFolders(plan()).flatMap(({ files }) => files.flatMap((file) => file.manifests))
  const own = manifests.flatMap((manifest) => ownManifests(JSON.stringify(manifest)))
  expect(own.length).toBeGreaterThan(20)
  for (const manifest of own) expect([manifest.object, await admit(manifest)]).toEqual([manifest.object, null])
})
