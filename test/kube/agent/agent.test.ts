// A real agent at a real API server with exactly the rights it asks for, and a real BIRD: what it makes of what is applied, what it says
// about its node, and what it does while the API server is away.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import type { Node } from '../../../src/store/index.ts'
import { untilAuthorized } from '../../support/kube/apply.ts'
import { setSecretsRole } from '../../support/kube/rights.ts'
import { holds, until } from '../../support/poll.ts'
import { describeWith } from '../../support/tier.ts'
import { NAMESPACE, NODE, PASSWORD, PROGRAMS, USER, World } from './world.ts'

const START_MS = 400_000
const LONG_MS = 400_000

describeWith(PROGRAMS, 'an agent in a cluster', () => {
  let world: World
  beforeAll(async () => {
    world = await World.start()
    await world.bird()
    await world.peerWithTor()
    await world.launch()
  }, START_MS)
  afterAll(async () => {
    await world?.[Symbol.asyncDispose]()
  }, START_MS)

  const conditionsOf = async (): Promise<readonly Record<string, unknown>[]> => {
    const node = (await world.request('GET', `/api/v1/nodes/${NODE}`)) as {
      readonly status: { readonly conditions: readonly Record<string, unknown>[] }
    }
    return node.status.conditions
  }

  test(
    'peers with its router by a password out of a Secret, and reports itself',
    async () => {
      const { pid } = world
      await world.established()
      expect(world.pid).toBe(pid)
      const report = await world.report(
        'a pod can have a network',
        ({ status }) =>
          status?.blocks.length === 1 && status.problems.length === 0 && status.conditions.every((each) => each.status === 'True'),
      )
      const node = (await world.admin.get('Node', { name: NODE })) as Node
      expect(report.metadata.ownerReferences).toEqual([{ apiVersion: 'v1', kind: 'Node', name: NODE, uid: node.metadata.uid }])
      expect(report.status).toMatchObject({
        version: expect.stringMatching(/^\d/),
        addresses: [
          { address: '10.0.0.11/24', family: 'IPv4', interface: 'eth0' },
          { address: 'fd00::11/64', family: 'IPv6', interface: 'eth0' },
        ],
        asNumber: 64_512,
        routerID: '10.0.0.11',
        blocks: [expect.stringMatching(/^10\.244\.\d+\.\d+\/26$/)],
        sessions: { configured: 1, established: 1 },
        peers: [{ session: 'tor', peer: 'tor', address: '10.0.0.1', asNumber: 65_001, state: 'Established' }],
        pods: { attached: 0 },
        problems: [],
      })
      expect(report.status?.peers[0]?.capabilities.negotiated.length).toBeGreaterThan(0)
      const types = report.status?.conditions.map(({ type, observedGeneration }) => `${type} ${observedGeneration}`)
      expect(types).toEqual(['Ready 1', 'SessionsEstablished 1', 'DataplaneSynced 1', 'IPAMReady 1', 'ConfigurationAccepted 1'])
      expect((await world.status()).problems).toEqual([])
    },
    LONG_MS,
  )

  test(
    'says once that the network is available, beside what others say of the node, and again when that is taken away',
    async () => {
      const available = { type: 'NetworkUnavailable', status: 'False', reason: 'FibulaIsUp' }
      await until('the condition is there', async () => (await conditionsOf()).some((each) => each['type'] === available.type))
      expect(await conditionsOf()).toEqual(
        expect.arrayContaining([expect.objectContaining(available), expect.objectContaining({ type: 'Ready', reason: 'KubeletReady' })]),
      )
      const versionOf = async () => (await world.admin.get('Node', { name: NODE }))?.metadata.resourceVersion
      const version = await versionOf()
      await holds('nothing is written by heartbeat', 3_000, async () => (await versionOf()) === version)
      await world.patchNode(NODE, { conditions: [{ type: available.type, status: 'True', reason: 'CloudHasNoRoute', message: '' }] })
      await until('it is put right', async () =>
        (await conditionsOf()).some((each) => each['type'] === available.type && each['status'] === 'False'),
      )
      expect((await conditionsOf()).find((each) => each['type'] === 'Ready')).toMatchObject({ reason: 'KubeletReady' })
    },
    LONG_MS,
  )

  test(
    'a password that changes is used without a restart, and is nowhere to be read',
    async () => {
      const { pid } = world
      const before = await world.established()
      await world.setPassword('tor-md5', 'zweites-geheimnis')
      await world.bird('zweites-geheimnis')
      await until(
        'the session is up anew',
        async () => {
          const { state, since } = await world.peer('tor')
          return state === 'Established' && since !== before.since
        },
        { deadlineMs: 120_000, explain: () => world.log().slice(-3_000) },
      )
      expect(world.pid).toBe(pid)
      const told = JSON.stringify([world.log(), await world.admin.get('NodeNetwork', { name: NODE }), await world.status()])
      for (const password of ['zweites-geheimnis', PASSWORD]) expect(told).not.toContain(password)
    },
    LONG_MS,
  )

  test(
    'a Secret that RBAC denies is a problem of its peer alone; granted, it is used',
    async () => {
      const { since } = await world.established()
      const verbs = ['list', 'watch']
      const only = (names: readonly string[]) =>
        setSecretsRole(world.kube.connection(), NAMESPACE, [{ apiGroups: [''], resources: ['secrets'], verbs, resourceNames: names }])
      await only(['tor-md5'])
      const denied = [{ apiGroups: [''], resources: ['secrets'], resourceNames: ['other-md5'], verbs }]
      await untilAuthorized(world.kube.connection(), { user: USER.name, namespace: NAMESPACE, rules: denied }, false)
      await world.setPassword('other-md5', 'drittes-geheimnis')
      await world.apply({
        kind: 'BGPPeer',
        metadata: { name: 'other' },
        spec: { peerIP: '10.0.0.99', asNumber: 65_099, password: { secretKeyRef: { name: 'other-md5', key: 'password' } } },
      })
      const report = await world.report(
        'the peer has its problem',
        ({ status }) => status?.problems.some(({ subject }) => subject === 'BGPPeer/other') ?? false,
      )
      expect(report.status?.problems).toEqual([
        { severity: 'error', subject: 'BGPPeer/other', reason: 'SecretUnreadable', message: expect.stringContaining('not allowed to') },
      ])
      expect((await world.peer('other')).adminShutdown).toBe(true)
      expect((await world.peer('tor')).since).toBe(since)
      await only(['tor-md5', 'other-md5'])
      await until('it is tried', async () => !(await world.peer('other')).adminShutdown, { deadlineMs: 120_000 })
      await until('nothing is wrong any more', async () => (await world.status()).problems.length === 0)
      expect((await world.peer('tor')).since).toBe(since)
      await world.admin.delete('BGPPeer', { name: 'other' })
      await world.report('one session is left', ({ status }) => status?.sessions?.configured === 1)
    },
    LONG_MS,
  )
})
