// What an API server may do to those who watch it: die and come back, cut connections, forget, refuse. A watch survives it all,
// says what is wrong once, and ends with what is really there.
import https from 'node:https'
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals'
import type { Store } from '../../src/store/index.ts'
import { KubernetesStore } from '../../src/store/kubernetes/adapter.ts'
import { peer, pool } from '../store/objects.ts'
import { Recorder, watching } from '../store/recorder.ts'
import { ADMIN, KubeApi } from '../support/kube/api-server.ts'
import { allow, clean, installCrds } from '../support/kube/apply.ts'
import { CuttingProxy } from '../support/kube/cutting-proxy.ts'

const START_MS = 400_000
const LONG_MS = 400_000
const VIEWER = { token: 'viewer', name: 'viewer', groups: ['viewers'] }

let kube: KubeApi
let admin: Store
beforeAll(async () => {
  kube = await KubeApi.start([VIEWER])
  await installCrds(kube.connection())
  admin = new KubernetesStore(kube.connection())
}, START_MS)
afterEach(() => clean(kube.connection(), []))
afterAll(async () => {
  await admin[Symbol.asyncDispose]()
  await kube[Symbol.asyncDispose]()
})

test(
  'the server is killed and comes back: the state that was known stays meanwhile, and changes come again',
  async () => {
    await admin.create(peer('before'))
    await using store = new KubernetesStore(kube.connection())
    using watch = await watching(store, [{ kind: 'BGPPeer' }])
    kube.signal('SIGKILL')
    await watch.recorder.until((seen) => seen.lastProblems.length > 0)
    expect(watch.recorder.lastProblems).toMatchObject([
      { subject: 'API server', message: expect.stringContaining('what was last known stays') },
    ])
    expect(watch.recorder.names()).toEqual(['BGPPeer/before'])
    await kube.restart()
    await admin.create(peer('after'))
    await watch.recorder.until((seen) => seen.names().length === 2)
    await watch.recorder.until((seen) => seen.lastProblems.length === 0)
    // Said, not chanted: a server that is away for long fails in several ways, and in each once.
    const said = watch.recorder.problemLists.filter((problems) => problems.length > 0).map((problems) => JSON.stringify(problems))
    expect(said).toEqual([...new Set(said)])
    expect(said.length).toBeLessThanOrEqual(5)
  },
  LONG_MS,
)

test(
  'versions are forgotten while the server is away (410): a new list, and only what differs is told',
  async () => {
    for (const name of ['stays', 'goes']) await admin.create(peer(name))
    await using store = new KubernetesStore(kube.connection())
    using watch = await watching(store, [{ kind: 'BGPPeer' }])
    const told = watch.recorder.changes.length
    kube.signal('SIGSTOP') // the watch hears nothing of what follows, and its connection dies with the server
    kube.signal('SIGKILL')
    await kube.restart()
    await using other = new KubernetesStore(kube.connection())
    await other.delete('BGPPeer', { name: 'goes' })
    await other.create(peer('comes'))
    await kube.compact()
    await watch.recorder.until((seen) => seen.names().join() === 'BGPPeer/comes,BGPPeer/stays')
    expect(
      watch.recorder.changes
        .slice(told)
        .map(({ type, object }) => `${type} ${object.metadata.name}`)
        .sort(),
    ).toEqual(['gone goes', 'put comes'])
  },
  LONG_MS,
)

test(
  'connections are cut again and again, in the middle of lines: nothing is missed, nothing goes back in time',
  async () => {
    await using proxy = await CuttingProxy.before(kube.url)
    const agent = new https.Agent({ keepAlive: true, rejectUnauthorized: false })
    const url = new URL(`https://127.0.0.1:${proxy.port}`)
    const headers = { authorization: `Bearer ${ADMIN}` }
    const connect = async () => ({ url, options: async () => ({ agent, headers }), [Symbol.dispose]: () => agent.destroy() })
    await using store = new KubernetesStore(connect, { random: () => 0 })
    using watch = await watching(store, [{ kind: 'IPPool' }])
    for (let at = 0; at < 60; at++) {
      await admin.create(pool(`p${at}`, `10.${at}.0.0/16`))
      if (at % 3 === 0) await admin.delete('IPPool', { name: `p${at}` })
      if (at % 10 !== 5) continue
      await proxy.connected()
      proxy.cut()
    }
    expect(proxy.cuts).toBeGreaterThanOrEqual(6)
    await watch.recorder.until((seen) => seen.names().length === 40)
    const versions = watch.recorder.changes.filter(({ type }) => type === 'put').map(({ object }) => object.metadata.uid)
    expect(new Set(versions).size).toBe(versions.length) // every object was told once
  },
  LONG_MS,
)

describe('what is refused', () => {
  test(
    'a verb that RBAC does not grant is named, once; when it is granted, the watch begins',
    async () => {
      await admin.create(pool('pods', '10.244.0.0/16'))
      await using store = new KubernetesStore(kube.connection(VIEWER.token), { random: () => 0 })
      const recorder = new Recorder()
      using _watch = store.watch([{ kind: 'IPPool' }], recorder)
      await recorder.until((seen) => seen.lastProblems.length > 0)
      expect(recorder.lastProblems).toMatchObject([
        {
          subject: 'IPPool',
          message: expect.stringContaining('not allowed to list ippools.fibula.network: grant the verbs list and watch in the ClusterRole'),
        },
      ])
      const rules = [{ apiGroups: ['fibula.network'], resources: ['ippools'], verbs: ['list', 'watch'] }]
      await allow(kube.connection(), { user: VIEWER.name, role: 'viewer', namespace: null, rules })
      await recorder.untilSynced()
      expect(recorder.names()).toEqual(['IPPool/pods'])
      expect(recorder.problemLists).toHaveLength(2) // the trouble, and its end
    },
    LONG_MS,
  )

  test(
    'a kind that is not installed yet is waited for',
    async () => {
      await using bare = await KubeApi.start()
      await using store = new KubernetesStore(bare.connection(), { random: () => 0 })
      const recorder = new Recorder()
      const optional = new Recorder()
      using _optional = store.watch([{ kind: 'BGPPeer', isOptional: true }], optional)
      await optional.untilSynced() // it may do without: there is none, and that is no problem
      expect(optional.problemLists).toEqual([])
      using _watch = store.watch([{ kind: 'BGPPeer' }], recorder)
      await recorder.until((seen) => seen.lastProblems.length > 0)
      expect(recorder.lastProblems).toMatchObject([{ subject: 'BGPPeer', message: expect.stringContaining('install the CRDs') }])
      expect(recorder.changesBeforeSync).toBeNull()
      await installCrds(bare.connection())
      await recorder.untilSynced()
      await recorder.until((seen) => seen.lastProblems.length === 0) // a server may still be busy with its new kinds
      await store.create(peer('late'))
      await optional.until((seen) => seen.names().includes('BGPPeer/late'))
    },
    START_MS,
  )

  test('a write to a server that is away is UNAVAILABLE, and an object it refuses INVALID with the field', async () => {
    await using nowhere = new KubernetesStore(async () => {
      throw new Error('no way there')
    })
    await expect(nowhere.create(peer('a'))).rejects.toMatchObject({ code: 'UNAVAILABLE', message: expect.stringContaining('no way there') })
  })
})
