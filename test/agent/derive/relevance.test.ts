// Which changes make a turn: thousands of nodes report all the time that nothing has changed.
import { expect, test } from '@jest/globals'
import { isDerivedFrom } from '../../../src/agent/derive/index.ts'
import { parseResource, type Resource, SnapshotBuilder } from '../../../src/store/index.ts'
import { block, node, peer, pool, secret } from '../../store/objects.ts'

function object(manifest: object, over: object = {}, metadata: object = {}): Resource {
  const raw = manifest as { readonly metadata: object }
  const parsed = parseResource({ ...raw, ...over, metadata: { ...raw.metadata, ...metadata } })
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.error))
  return parsed.value
}

function isNews(before: Resource, after: Resource): boolean {
  return isDerivedFrom(new SnapshotBuilder([before]).snapshot, { type: 'put', object: after })
}

const READY = { type: 'Ready', status: 'True' }
const N1 = object(node('n1', ['10.0.0.11'], { labels: { rack: 'a' } }))
const status = (over: object) => ({ status: { addresses: [{ type: 'InternalIP', address: '10.0.0.11' }], ...over } })

test.each([
  [
    'a new version and heartbeats of conditions',
    object(node('n1', ['10.0.0.11'], { labels: { rack: 'a' } }), {}, { resourceVersion: '9' }),
    false,
  ],
  [
    'an annotation of somebody else',
    object(node('n1', ['10.0.0.11'], { labels: { rack: 'a' }, annotations: { 'volumes/attached': '' } })),
    false,
  ],
  [
    'another condition',
    object(node('n1', [], { labels: { rack: 'a' } }), status({ conditions: [{ type: 'DiskPressure', status: 'False' }] })),
    false,
  ],
  ['readiness', object(node('n1', [], { labels: { rack: 'a' } }), status({ conditions: [READY] })), true],
  ['a label', object(node('n1', ['10.0.0.11'], { labels: { rack: 'b' } })), true],
  ['an annotation of ours', object(node('n1', ['10.0.0.11'], { labels: { rack: 'a' }, annotations: { 'fibula.network/asn': '1' } })), true],
  ['an address', object(node('n1', ['10.0.0.12'], { labels: { rack: 'a' } })), true],
])('a node: %s', (_, after, expected) => {
  expect(isNews(N1, after)).toBe(expected)
})

test('statuses of peers and pools are no news, their specs and labels are', () => {
  const withStatus = object(peer('tor'), { status: { sessions: [], conditions: [], established: 7 } })
  expect(isNews(object(peer('tor')), withStatus)).toBe(false)
  expect(isNews(object(peer('tor')), object(peer('tor', { holdTime: '9s' })))).toBe(true)
  expect(isNews(object(pool('pods', '10.0.0.0/8')), object(pool('pods', '10.0.0.0/8'), {}, { generation: 3, resourceVersion: '4' }))).toBe(
    false,
  )
  expect(isNews(object(pool('pods', '10.0.0.0/8')), object(pool('pods', '10.0.0.0/8', { disabled: true })))).toBe(true)
})

test('a Secret is news when its content is, and anything is that was not there or goes', () => {
  const before = object(secret('a', 'ns', { password: 'x' }), {}, { resourceVersion: '1' })
  expect(isNews(before, object(secret('a', 'ns', { password: 'x' }), {}, { resourceVersion: '2' }))).toBe(false)
  expect(isNews(before, object(secret('a', 'ns', { password: 'y' }), {}, { resourceVersion: '2' }))).toBe(true)
  expect(isNews(N1, object(block('10.0.0.0/26', 'n1')))).toBe(true)
  expect(isDerivedFrom(new SnapshotBuilder([N1]).snapshot, { type: 'gone', object: N1 })).toBe(true)
})
