// Objects as an earlier version stored them are admitted with the CRDs of today, status and all, and read back by the store.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { parseAllDocuments } from 'yaml'
import type { KindName } from '../../../src/store/index.ts'
import { KubernetesStore } from '../../../src/store/kubernetes/adapter.ts'
import { ApiServer } from '../../../src/store/kubernetes/api-server.ts'
import { collectionPath, objectPath } from '../../../src/store/kubernetes/paths.ts'
import { KubeApi } from '../../support/kube/api-server.ts'
import { installCrds } from '../../support/kube/apply.ts'

type Stored = {
  readonly kind: KindName
  readonly metadata: { readonly name: string; readonly labels?: object }
  readonly spec: object
  readonly status?: object
}

const text = readFileSync(join(import.meta.dirname, '../../fixtures/stored/v1alpha1.yaml'), 'utf8')
const stored: readonly Stored[] = parseAllDocuments(text).map((document) => document.toJS())

let kube: KubeApi
beforeAll(async () => {
  kube = await KubeApi.start()
  await installCrds(kube.connection())
}, 240_000)
afterAll(async () => kube[Symbol.asyncDispose]())

test('each is admitted, and read as it was', async () => {
  using api = new ApiServer(kube.connection())
  await using store = new KubernetesStore(kube.connection())
  expect(stored.length).toBeGreaterThan(8)
  for (const object of stored) {
    const { name, labels } = object.metadata
    const metadata = { name, ...(labels === undefined ? {} : { labels }) }
    const body = { ...object, metadata }
    const query = { fieldValidation: 'Strict' }
    const created = (await api.request({ method: 'POST', path: collectionPath(object.kind), query, body })) as { metadata: object }
    if (object.status !== undefined) {
      const path = objectPath(object.kind, { name }, 'status')
      await api.request({ method: 'PUT', path, query, body: { ...body, metadata: created.metadata } })
    }
    const { spec, status } = object
    expect(await store.get(object.kind, { name })).toMatchObject({ spec, ...(status === undefined ? {} : { status }) })
  }
})
