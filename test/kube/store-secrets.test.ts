// Secrets are read by name alone: a role that names them is all an agent needs, and all others stay out of its sight.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { KubernetesStore } from '../../src/store/kubernetes/adapter.ts'
import { secret } from '../store/objects.ts'
import { Recorder, watching } from '../store/recorder.ts'
import { KubeApi } from '../support/kube/api-server.ts'
import { allow, makeNamespace } from '../support/kube/apply.ts'

const START_MS = 400_000
const NAMESPACE = 'fibula-system'
const AGENT = { token: 'agent', name: `system:serviceaccount:${NAMESPACE}:fibula-agent`, groups: ['system:serviceaccounts'] }
const tor = { kind: 'Secret', namespace: NAMESPACE, name: 'tor-md5' } as const

let kube: KubeApi
beforeAll(async () => {
  kube = await KubeApi.start([AGENT])
  await makeNamespace(kube.connection(), NAMESPACE)
  await makeNamespace(kube.connection(), 'default')
}, START_MS)
afterAll(async () => kube[Symbol.asyncDispose]())

test('a role with resourceNames, list and watch suffices for a named Secret, its changes, and its return; no other is seen', async () => {
  await using admin = new KubernetesStore(kube.connection())
  await using agent = new KubernetesStore(kube.connection(AGENT.token), { random: () => 0 })
  for (const name of [tor.name, 'other']) await admin.create(secret(name, NAMESPACE, { password: 'first' }))
  await admin.create(secret(tor.name, 'default', { password: 'elsewhere' }))
  const rules = [{ apiGroups: [''], resources: ['secrets'], resourceNames: [tor.name], verbs: ['list', 'watch'] }]
  await allow(kube.connection(), { user: AGENT.name, role: 'peers', namespace: NAMESPACE, rules })

  using watch = await watching(agent, [tor])
  expect(watch.recorder.names()).toEqual([`Secret/${NAMESPACE}/${tor.name}`])
  const now = await admin.get('Secret', tor)
  if (now === null) throw new Error('gone')
  await admin.update({ ...now, data: { password: Buffer.from('second').toString('base64') } })
  await watch.recorder.until((seen) => seen.changes.length === 2)
  await admin.delete('Secret', tor)
  await watch.recorder.until((seen) => seen.names().length === 0)
  await admin.create(secret(tor.name, NAMESPACE, { password: 'third' }))
  await watch.recorder.until((seen) => seen.names().length === 1)
  expect(watch.recorder.problemLists).toEqual([])
})

test.each([
  ['of another name', { ...tor, name: 'other' }, 'Secret/fibula-system/other', 'resourceNames: other'],
  ['in another namespace', { ...tor, namespace: 'default' }, `Secret/default/${tor.name}`, 'Role of namespace default'],
  ['of every name', { kind: 'Secret', namespace: NAMESPACE } as const, 'Secret', 'Role of namespace fibula-system'],
])('a Secret %s is refused, and the watch says which right is missing', async (_, selection, subject, words) => {
  await using agent = new KubernetesStore(kube.connection(AGENT.token))
  const recorder = new Recorder()
  using _watch = agent.watch([selection], recorder)
  await recorder.until((seen) => seen.lastProblems.length > 0)
  expect(recorder.lastProblems).toMatchObject([{ subject, message: expect.stringContaining('not allowed to list secrets') }])
  expect(recorder.lastProblems[0]?.message).toContain(words)
  expect(recorder.lastProblems[0]?.message).not.toMatch(/elsewhere|second/)
})

test('a Secret that is refused does not hold up the others, and is named as pending', async () => {
  await using agent = new KubernetesStore(kube.connection(AGENT.token))
  const recorder = new Recorder()
  using watch = agent.watch([tor], recorder)
  await recorder.untilSynced()
  const other = { ...tor, name: 'other' }
  void watch.select([tor, other])
  await recorder.until((seen) => seen.lastProblems.length > 0)
  expect(watch.pending()).toEqual([other])
  expect(recorder.names()).toEqual([`Secret/${NAMESPACE}/${tor.name}`])
  await watch.select([tor])
  expect(recorder.lastProblems).toEqual([])
})
