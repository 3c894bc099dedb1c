// An API server that is frozen, busy, or does not know us: said once, obeyed, and over as soon as it is.
import { mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import { type Log, silentLog } from '../../src/lib/log.ts'
import type { Store } from '../../src/store/index.ts'
import { KubernetesStore } from '../../src/store/kubernetes/adapter.ts'
import { ApiServer } from '../../src/store/kubernetes/api-server.ts'
import { inClusterConnection } from '../../src/store/kubernetes/in-cluster.ts'
import { pool } from '../store/objects.ts'
import { Recorder, watching } from '../store/recorder.ts'
import { ADMIN, KubeApi } from '../support/kube/api-server.ts'
import { allow, clean, installCrds, makeNamespace } from '../support/kube/apply.ts'
import { BusyProxy } from '../support/kube/busy-proxy.ts'
import { until } from '../support/poll.ts'

const START_MS = 400_000
const LONG_MS = 400_000
const LISTER = { token: 'lister', name: 'lister', groups: ['listers'] }
const NAMESPACE = 'fibula-system'
const POOLS = { apiGroups: ['fibula.network'], resources: ['ippools'] }

let kube: KubeApi
let admin: Store
beforeAll(async () => {
  kube = await KubeApi.start([LISTER])
  await installCrds(kube.connection())
  await makeNamespace(kube.connection(), NAMESPACE)
  admin = new KubernetesStore(kube.connection())
}, START_MS)
afterEach(() => clean(kube.connection(), []))
afterAll(async () => {
  await admin[Symbol.asyncDispose]()
  await kube[Symbol.asyncDispose]()
})

test(
  'a frozen server: watches and requests end by themselves, what was known stays, and all goes on when it thaws',
  async () => {
    await admin.create(pool('before', '10.1.0.0/16'))
    await using store = new KubernetesStore(kube.connection(), { random: () => 0, idleMs: 3_000, silenceMs: 2_000 })
    using watch = await watching(store, [{ kind: 'IPPool' }])
    kube.signal('SIGSTOP')
    await watch.recorder.until((seen) => seen.lastProblems.length > 0)
    expect(watch.recorder.lastProblems).toMatchObject([
      { subject: 'API server', message: expect.stringContaining('has said nothing for 3 s; what was last known stays') },
    ])
    await expect(store.create(pool('meanwhile', '10.2.0.0/16'))).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining('has said nothing for 2 s'),
    })
    expect(watch.recorder.names()).toEqual(['IPPool/before'])
    kube.signal('SIGCONT')
    await admin.create(pool('after', '10.3.0.0/16'))
    await watch.recorder.until((seen) => seen.names().includes('IPPool/after') && seen.lastProblems.length === 0)
  },
  LONG_MS,
)

test(
  'a token that is no longer good is said once; the next one in its file is used without a restart',
  async () => {
    using api = new ApiServer(kube.connection())
    const folder = mkdtempSync(join(tmpdir(), 'fib-account-'))
    using _folder = { [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) }
    const user = `system:serviceaccount:${NAMESPACE}:agent`
    await allow(kube.connection(), { user, role: 'agent', namespace: null, rules: [{ ...POOLS, verbs: ['list', 'watch'] }] })
    writeFileSync(join(folder, 'ca.crt'), kube.authority())
    await writeToken(folder, await newAccount(api))
    const lines: string[] = []
    const env = { KUBERNETES_SERVICE_HOST: kube.url.hostname, KUBERNETES_SERVICE_PORT: kube.url.port }
    await using store = new KubernetesStore(async () => inClusterConnection(env, folder), { log: logInto(lines) })
    using watch = await watching(store, [{ kind: 'IPPool' }])

    await api.request({ method: 'DELETE', path: `/api/v1/namespaces/${NAMESPACE}/serviceaccounts/agent` })
    const next = await newAccount(api) // another account of the same name: tokens of the first one are worthless
    kube.signal('SIGKILL') // the server forgets whom it has let in
    await kube.restart()
    await watch.recorder.until((seen) => seen.lastProblems[0]?.message.includes('does not know us') === true)
    await writeToken(folder, next)
    await watch.recorder.until((seen) => seen.lastProblems.length === 0)
    await admin.create(pool('after', '10.3.0.0/16'))
    await watch.recorder.until((seen) => seen.names().includes('IPPool/after'))
    expect(lines).toEqual(['store.watch.failed', 'store.watch.recovered'])
  },
  LONG_MS,
)

test(
  'the right to watch alone is missing: what is listed is there, the verb is named, once; granted, the watch goes on',
  async () => {
    await admin.create(pool('pods', '10.244.0.0/16'))
    await allow(kube.connection(), { user: LISTER.name, role: 'lister', namespace: null, rules: [{ ...POOLS, verbs: ['list'] }] })
    const lines: string[] = []
    await using store = new KubernetesStore(kube.connection(LISTER.token), { random: () => 0, log: logInto(lines) })
    using watch = await watching(store, [{ kind: 'IPPool' }])
    await watch.recorder.until((seen) => seen.lastProblems.length > 0)
    expect(watch.recorder.names()).toEqual(['IPPool/pods'])
    expect(watch.recorder.lastProblems[0]?.message).toContain('not allowed to watch ippools.fibula.network: grant the verbs list and watch')
    await allow(kube.connection(), { user: LISTER.name, role: 'watcher', namespace: null, rules: [{ ...POOLS, verbs: ['watch'] }] })
    await watch.recorder.until((seen) => seen.lastProblems.length === 0)
    await admin.create(pool('more', '10.3.0.0/16'))
    await watch.recorder.until((seen) => seen.names().length === 2)
    expect(watch.recorder.problemLists).toHaveLength(2)
    expect(lines).toEqual(['store.watch.failed', 'store.watch.recovered'])
  },
  LONG_MS,
)

test(
  'a server too busy for us (429): a request waits as it is told and succeeds, a watch says so and begins when it may',
  async () => {
    await admin.create(pool('pods', '10.244.0.0/16'))
    await using proxy = await BusyProxy.before(kube.url)
    proxy.isBusy = true
    await using store = new KubernetesStore(proxy.connection(ADMIN), { random: () => 0 })
    const recorder = new Recorder()
    using _watch = store.watch([{ kind: 'IPPool' }], recorder)
    await recorder.until((seen) => seen.lastProblems.length > 0)
    expect(recorder.lastProblems).toMatchObject([
      { subject: 'API server', message: expect.stringContaining('overloaded and asks to wait') },
    ])
    expect(proxy.refused).toBe(5) // one try and four more, a second apart
    const asked = store.get('IPPool', { name: 'pods' })
    await until('the request to be refused', () => proxy.refused > 5)
    proxy.isBusy = false
    expect((await asked)?.spec.cidr).toBe('10.244.0.0/16')
    await recorder.untilSynced()
    await recorder.until((seen) => seen.lastProblems.length === 0)
    expect(recorder.names()).toEqual(['IPPool/pods'])
  },
  LONG_MS,
)

/** Makes the service account and returns a token of it. */
async function newAccount(api: ApiServer): Promise<string> {
  const accounts = `/api/v1/namespaces/${NAMESPACE}/serviceaccounts`
  await api.request({
    method: 'POST',
    path: accounts,
    body: { apiVersion: 'v1', kind: 'ServiceAccount', metadata: { name: 'agent', namespace: NAMESPACE } },
  })
  const body = { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { expirationSeconds: 3_600 } }
  const answer = await api.request({ method: 'POST', path: `${accounts}/agent/token`, body })
  return (answer as { readonly status: { readonly token: string } }).status.token // TokenRequest, authentication.k8s.io/v1
}

/** As the kubelet does it: in one step. */
async function writeToken(folder: string, token: string): Promise<void> {
  writeFileSync(join(folder, 'token.new'), `${token}\n`)
  renameSync(join(folder, 'token.new'), join(folder, 'token'))
}

/** Keeps the names of the events from `info` up. */
function logInto(lines: string[]): Log {
  const keep = (event: string): void => void lines.push(event)
  return { ...silentLog, info: keep, warn: keep, error: keep }
}
