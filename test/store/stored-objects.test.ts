// Objects that an earlier version stored stay readable, and what a later version adds to what machines write stays in it, so that two
// versions can work on one cluster while it is upgraded.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { parseAllDocuments } from 'yaml'
import { KIND_NAMES, kindInfo, MemoryStore, parseResource, type Resource } from '../../src/store/index.ts'

const text = readFileSync(join(import.meta.dirname, '..', 'fixtures', 'stored', 'v1alpha1.yaml'), 'utf8')
const stored: readonly Readonly<Record<string, unknown>>[] = parseAllDocuments(text).map((document) => document.toJS())
const named = stored.map((object) => [`${object['kind']}/${(object['metadata'] as { name: string }).name}`, object] as const)

test('there is one of each kind of ours', () => {
  const own = KIND_NAMES.filter((kind) => kindInfo(kind).writer !== 'core')
  expect([...new Set(stored.map(({ kind }) => kind))].sort()).toEqual([...own].sort())
})

test.each(named)('%s is read, and nothing of it is lost', (_, object) => {
  const parsed = parseResource(object)
  expect(parsed).toMatchObject({ ok: true })
  if (parsed.ok) expect(parsed.value).toMatchObject(object)
})

test('what a later version adds to a block, a report or a status is kept', async () => {
  await using store = new MemoryStore()
  const block = stored.find(({ kind }) => kind === 'IPAMBlock') as Resource & { readonly kind: 'IPAMBlock' }
  const { resourceVersion: _, ...metadata } = block.metadata
  const spec = { ...block.spec, later: { deep: [1] }, allocations: block.spec.allocations.map((each) => ({ ...each, later: 'too' })) }
  const created = await store.create({ ...block, metadata, spec })
  const updated = await store.update({ ...created, spec: { ...created.spec, sequence: 10 } })
  expect(updated.spec).toMatchObject({ later: { deep: [1] }, sequence: 10, allocations: [{ later: 'too' }] })
  for (const kind of ['NodeNetwork', 'BGPPeer', 'IPPool', 'BGPConfiguration']) {
    const object = stored.find((each) => each['kind'] === kind)
    const parsed = parseResource({ ...object, status: { ...(object?.['status'] as object), later: true } })
    expect(parsed).toMatchObject({ ok: true, value: { status: { later: true } } })
  }
})
