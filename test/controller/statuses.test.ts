// Statuses: what each object should show, and how seldom it is written.
import { describe, expect, test } from '@jest/globals'
import { surveyCluster } from '../../src/controller/findings/index.ts'
import { essence, type StatusObject, wantedStatuses } from '../../src/controller/status/statuses.ts'
import { StatusWriter } from '../../src/controller/status/writer.ts'
import { MAX_POOL_NODES, MemoryStore, StoreError } from '../../src/store/index.ts'
import { configuration, peer, pool } from '../store/objects.ts'
import { FakeClock, fill, ipamBlock, kubeNode, network, type SessionReport, session, silentLog, snapshotOf } from './world.ts'

const NOW = '2026-02-02T00:00:00.000Z'

function statuses(objects: readonly object[], now = NOW): readonly StatusObject[] {
  const snapshot = snapshotOf(objects)
  return wantedStatuses(snapshot, surveyCluster(snapshot), now)
}

function statusOf(objects: readonly object[], name: string): Record<string, unknown> {
  const found = statuses(objects).find(({ kind, metadata }) => `${kind}/${metadata.name}` === name)
  return (found?.status ?? {}) as Record<string, unknown>
}

const shortly = (status: Record<string, unknown>): readonly string[] =>
  (status['conditions'] as readonly { type: string; status: string; reason: string }[]).map(
    ({ type, status: is, reason }) => `${type} ${is} ${reason}`,
  )

describe('BGPPeer', () => {
  test('counts over all nodes; sessions that are down first', () => {
    const status = statusOf(
      [
        ...['n1', 'n2', 'n3'].map((name) => kubeNode(name)),
        network('n1', { peers: [session('tor')] }),
        network('n2', { peers: [session('tor', { state: 'Active', lastError: 'refused' }), session('other')], routerID: '1.1.1.2' }),
        { ...peer('tor', { peerIP: '10.0.0.254' }), metadata: { name: 'tor', generation: 4 } },
      ],
      'BGPPeer/tor',
    )
    expect(status).toMatchObject({
      nodes: 3,
      configured: 2,
      established: 1,
      sessions: [
        { node: 'n2', address: '10.0.0.254', asNumber: 65_001, state: 'Active', lastError: 'refused' },
        { node: 'n1', state: 'Established', prefixes: { IPv4Unicast: { received: 1 } } },
      ],
      conditions: [
        { type: 'Accepted', status: 'True', reason: 'Accepted', observedGeneration: 4, lastTransitionTime: NOW },
        { type: 'Established', status: 'False', reason: 'SomeNotEstablished' },
      ],
    })
  })

  const cluster = (count: number, isUp: (at: number) => boolean): readonly object[] => {
    const nodes = Array.from({ length: count }, (_, at) => `n${String(at).padStart(3, '0')}`)
    const both = (at: number) =>
      ['tor', 'tor6'].map((name) => session('tor', { session: name, state: isUp(at) ? 'Established' : 'Idle', lastError: 'refused' }))
    return [...nodes.map((name) => kubeNode(name)), ...nodes.map((name, at) => network(name, { peers: both(at) })), peer('tor')]
  }
  type Listed = readonly { readonly node: string; readonly state: string; readonly capabilities?: object; readonly lastError?: string }[]

  test('at most 100 sessions, and every one that is down before any that is up', () => {
    const status = statusOf(
      cluster(90, (at) => at < 80),
      'BGPPeer/tor',
    )
    const sessions = status['sessions'] as Listed
    expect(sessions).toHaveLength(100)
    expect(sessions.slice(0, 20).map(({ state }) => state)).toEqual(Array(20).fill('Idle'))
    expect(sessions[20]).toMatchObject({ node: 'n000', capabilities: {} })
    expect(status).toMatchObject({ configured: 180, established: 160 })
  })

  test('in a large cluster only what is down, and in brief: each status is sent to every node', () => {
    const status = statusOf(
      cluster(250, (at) => at < 230),
      'BGPPeer/tor',
    )
    const sessions = status['sessions'] as Listed
    expect(sessions).toHaveLength(20)
    expect(sessions[0]).toEqual({
      node: 'n230',
      address: '10.0.0.254',
      asNumber: 65_001,
      state: 'Idle',
      since: expect.any(String),
      lastError: 'refused',
    })
    expect(status).toMatchObject({ configured: 500, established: 460 })
    expect(JSON.stringify(status).length).toBeLessThan(6_000)
    expect(
      statusOf(
        cluster(250, () => true),
        'BGPPeer/tor',
      )['sessions'],
    ).toEqual([])
  })

  test.each<[string, object, readonly SessionReport[], string]>([
    ['all up', {}, [session('p')], 'Established True AllEstablished'],
    ['none up', {}, [session('p', { state: 'Idle' })], 'Established False NoneEstablished'],
    ['nobody has reported', {}, [], 'Established Unknown NoSessions'],
    ['shut down', { shutdown: { message: '' } }, [session('p', { state: 'Idle' })], 'Established False Shutdown'],
  ])('%s', (_, spec, sessions, wanted) => {
    expect(shortly(statusOf([kubeNode('n1'), network('n1', { peers: sessions }), peer('p', spec)], 'BGPPeer/p'))).toContain(wanted)
  })

  test('one session, or all of them', () => {
    const words = (count: number): string => {
      const nodes = Array.from({ length: count }, (_, at) => network(`n${at}`, { peers: [session('p')] }))
      return JSON.stringify(statusOf([...nodes, peer('p')], 'BGPPeer/p')['conditions'])
    }
    expect(words(1)).toContain('its one session is established')
    expect(words(2)).toContain('all of its 2 sessions are established')
  })

  test('a condition tells all that is wrong, but not without end', () => {
    const message = (...filters: string[]): string => {
      const status = statusOf([peer('p', { filters })], 'BGPPeer/p') as { conditions: readonly { type: string; message: string }[] }
      return status.conditions.find(({ type }) => type === 'Accepted')?.message ?? ''
    }
    expect(message('x', 'y')).toMatch(/no BGPFilter\/x,.*; there is no BGPFilter\/y,/)
    const many = message(...Array.from({ length: 16 }, (_, at) => `${at}-${'f'.repeat(50)}`))
    expect(many).toHaveLength(2_000)
    expect(many).toMatch(/^there is no BGPFilter\/0-.*…$/)
  })

  test('what no node is for is neither accepted nor refused', () => {
    expect(shortly(statusOf([kubeNode('n1'), peer('p', { node: 'n9' })], 'BGPPeer/p'))[0]).toBe('Accepted Unknown SelectsNoNode')
    expect(shortly(statusOf([kubeNode('n1'), peer('p', { node: 'n9', filters: ['x'] })], 'BGPPeer/p'))[0]).toBe(
      'Accepted False FilterNotFound',
    )
  })
})

describe('IPPool', () => {
  test('capacity, use, blocks, and who has what, those with most first', () => {
    const objects = [
      pool('pods', '10.244.0.0/24'),
      ipamBlock('10.244.0.0/26', 'n1', [{ address: '10.244.0.1', pod: 'a' }], [{ address: '10.244.0.2', node: 'n1' }]),
      ipamBlock('10.244.0.64/26', 'n2', [
        { address: '10.244.0.65', pod: 'b', sequence: 1 },
        { address: '10.244.0.66', pod: 'c', sequence: 2 },
        { address: '10.244.0.67', pod: 'd', sequence: 3, node: 'n1' },
        { address: '10.244.0.68', pod: 'e', sequence: 4, node: 'n2' },
      ]),
      ipamBlock('10.244.0.128/26', null),
      ipamBlock('10.99.0.0/26', 'n1'),
    ]
    expect(statusOf(objects, 'IPPool/pods')).toMatchObject({
      capacity: 256,
      allocated: 5,
      reserved: 1,
      usage: '2%',
      blocks: { capacity: 4, claimed: 2, unclaimed: 1 },
      nodeCount: 2,
      nodes: [
        { node: 'n2', blocks: 1, allocated: 3, reserved: 0 },
        { node: 'n1', blocks: 1, allocated: 2, reserved: 1 },
      ],
      conditions: [
        { type: 'Accepted', status: 'True' },
        { type: 'Healthy', status: 'True', reason: 'AddressesLeft' },
      ],
    })
  })

  test('nodes with as many addresses: those with more blocks first, then by name; what no node is named for counts, too', () => {
    const objects = [
      pool('pods', '10.244.0.0/24'),
      ipamBlock('10.244.0.0/26', 'n3', [{ address: '10.244.0.1', pod: 'a' }]),
      ipamBlock('10.244.0.64/26', 'n2', [{ address: '10.244.0.65', pod: 'b' }]),
      ipamBlock('10.244.0.128/27', 'n1', [{ address: '10.244.0.129', pod: 'c' }]),
      ipamBlock('10.244.0.160/27', 'n1'),
      ipamBlock('10.244.0.192/26', null, [{ address: '10.244.0.193', pod: 'd' }]),
    ]
    const status = statusOf(objects, 'IPPool/pods') as { nodes: readonly { node: string }[] }
    expect(status).toMatchObject({ allocated: 4, nodeCount: 3 })
    expect(status.nodes.map(({ node }) => node)).toEqual(['n1', 'n2', 'n3'])
  })

  test('an address that is claimed ahead is used, however many there are', () => {
    const claimed = ipamBlock('10.244.0.0/26', 'n1', [{ address: '10.244.0.1', pod: 'a' }], [{ address: '10.244.0.2', node: 'n1' }])
    expect(statusOf([pool('pods', '10.244.0.0/26'), claimed], 'IPPool/pods')).toMatchObject({ usage: '3%' })
    expect(statusOf([pool('pods', '10.244.0.0/16'), claimed], 'IPPool/pods')).toMatchObject({ usage: '<1%' })
  })

  test('at most so many nodes, and how many there are', () => {
    const blocks = Array.from({ length: 120 }, (_, at) => ipamBlock(`10.244.${at}.0/26`, `n${at}`))
    const status = statusOf([pool('pods', '10.244.0.0/16'), ...blocks], 'IPPool/pods') as { nodes: readonly object[] }
    expect([status.nodes.length, (status as { nodeCount?: number }).nodeCount]).toEqual([MAX_POOL_NODES, 120])
  })

  test('a pool of more addresses than a number holds exactly, and one that is disabled', () => {
    expect(statusOf([pool('six', 'fd00::/48')], 'IPPool/six')).toMatchObject({
      capacity: Number.MAX_SAFE_INTEGER,
      usage: '0%',
      blocks: { capacity: Number.MAX_SAFE_INTEGER },
    })
    expect(shortly(statusOf([pool('six', 'fd00::/64', { disabled: true })], 'IPPool/six'))).toContain('Healthy True Disabled')
    const words = (disabled: boolean): string =>
      JSON.stringify(statusOf([pool('p', '10.0.0.0/24', { disabled })], 'IPPool/p')['conditions'])
    expect(words(true)).toContain('it is disabled and gives no new addresses')
    expect(words(false)).toContain('0% of its addresses are in use or claimed ahead')
  })
})

test('a BGPConfiguration says whether nodes use it; the default also whether the nodes fit together', () => {
  const objects = [configuration('default', {}), network('n1', { routerID: '1.1.1.1' }), network('n2', { routerID: '1.1.1.1' })]
  expect(shortly(statusOf(objects, 'BGPConfiguration/default'))).toEqual(['Accepted True Accepted', 'Healthy False DuplicateRouterID'])
})

test('a condition keeps the time of its last change, and conditions of others stay', () => {
  const before = [
    { type: 'Theirs', status: 'True' as const, reason: 'X', message: 'x', lastTransitionTime: 'then' },
    { type: 'Accepted', status: 'True' as const, reason: 'Accepted', message: 'old words', lastTransitionTime: 'then' },
    { type: 'Established', status: 'True' as const, reason: 'AllEstablished', message: 'x', lastTransitionTime: 'then' },
  ]
  const object = { ...peer('p'), status: { conditions: before, later: 'a field of a newer version' } }
  const status = statusOf([object], 'BGPPeer/p')
  expect(status).toMatchObject({
    later: 'a field of a newer version',
    conditions: [
      { type: 'Theirs', lastTransitionTime: 'then' },
      { type: 'Accepted', lastTransitionTime: 'then', message: 'nothing speaks against it' },
      { type: 'Established', status: 'Unknown', lastTransitionTime: NOW },
    ],
  })
})

test('what a person waits for: conditions of any object, the sessions of a BGPPeer; not the counts of an IPPool', () => {
  const essenceOf = (name: string, ...objects: readonly object[]): unknown => {
    const found = statuses(objects).find(({ kind, metadata }) => `${kind}/${metadata.name}` === name)
    if (found === undefined) throw new Error(`no ${name}`)
    return essence(found)
  }
  const small = pool('p', '10.0.0.0/26')
  const used = (count: number) =>
    ipamBlock(
      '10.0.0.0/26',
      'n1',
      Array.from({ length: count }, (_, at) => ({ address: `10.0.0.${at}`, pod: `p${at}`, sequence: at })),
    )
  expect(essenceOf('IPPool/p', small, used(1))).toEqual(essenceOf('IPPool/p', small, used(2)))
  expect(essenceOf('IPPool/p', small, used(1))).not.toEqual(essenceOf('IPPool/p', small, used(64)))
  const ofTwo = (...ids: string[]) => ids.map((routerID, at) => network(`n${at}`, { routerID }))
  const settings = configuration('default', {})
  expect(essenceOf('BGPConfiguration/default', settings, ...ofTwo('1.1.1.1', '1.1.1.2'))).not.toEqual(
    essenceOf('BGPConfiguration/default', settings, ...ofTwo('1.1.1.1', '1.1.1.1')),
  )
  const at = (since: string, accepted: number) =>
    network('n1', { peers: [session('tor', { since, prefixes: { IPv4Unicast: { received: 9, accepted, advertised: 2 } } })] })
  expect(essenceOf('BGPPeer/tor', peer('tor'), at('then', 1))).toEqual(essenceOf('BGPPeer/tor', peer('tor'), at('then', 2)))
  expect(essenceOf('BGPPeer/tor', peer('tor'), at('then', 1))).not.toEqual(essenceOf('BGPPeer/tor', peer('tor'), at('now', 1)))
})

describe('writing', () => {
  const INTERVAL_MS = 5_000
  async function world() {
    const clock = new FakeClock()
    const store = new MemoryStore({ clock })
    let writes = 0
    const updateStatus = store.updateStatus.bind(store)
    store.updateStatus = (async (...args: Parameters<typeof updateStatus>) => {
      const result = await updateStatus(...args)
      writes++
      return result
    }) as typeof updateStatus
    await fill(store, [peer('tor'), kubeNode('n1')])
    const state = { leads: true, nodes: 1, reports: [session('tor')] as readonly SessionReport[] }
    const writer = new StatusWriter({
      store,
      clock,
      log: silentLog,
      intervalMs: INTERVAL_MS,
      nodes: () => state.nodes,
      mayAct: () => state.leads,
    })
    const turn = async (): Promise<boolean> => {
      const stored = await store.list({ kind: 'BGPPeer' })
      const snapshot = snapshotOf([...stored, kubeNode('n1'), network('n1', { peers: state.reports })])
      const wanted = wantedStatuses(snapshot, surveyCluster(snapshot), new Date(clock.wallMs()).toISOString())
      return writer.write(snapshot, wanted, new AbortController().signal)
    }
    return { clock, store, state, turn, writer, count: () => writes }
  }

  test('once, and then not before something differs', async () => {
    const { turn, count, clock } = await world()
    expect(await turn()).toBe(false)
    expect(count()).toBe(1)
    clock.advance(1_000_000)
    expect(await turn()).toBe(false)
    expect(count()).toBe(1)
  })

  test('a session that flaps: at most once in an interval, and the last state for certain', async () => {
    const { turn, count, clock, state, store } = await world()
    await turn()
    for (let second = 0; second < 60; second++) {
      state.reports = [session('tor', { state: second % 2 === 0 ? 'Idle' : 'Established', since: `flap ${second}` })]
      clock.advance(1_000)
      await turn()
    }
    expect(count()).toBeLessThanOrEqual(1 + 60 / 5)
    clock.advance(INTERVAL_MS)
    expect(await turn()).toBe(false)
    expect((await store.get('BGPPeer', { name: 'tor' }))?.status?.sessions[0]?.since).toBe('flap 59')
  })

  test('counts alone: six times less often', async () => {
    const { turn, count, clock, state } = await world()
    await turn()
    let isLeft = false
    for (let second = 1; second <= 60; second++) {
      state.reports = [session('tor', { prefixes: { IPv4Unicast: { received: second, accepted: second, advertised: 2 } } })]
      clock.advance(1_000)
      isLeft = await turn()
    }
    expect(count()).toBe(3)
    expect(isLeft).toBe(false)
  })

  test('the more nodes there are to hear of it, the less often', async () => {
    const { turn, count, clock, state } = await world()
    state.nodes = 5_000
    await turn()
    for (let second = 1; second <= 60; second++) {
      state.reports = [session('tor', { since: `flap ${second}` })]
      clock.advance(1_000)
      await turn()
    }
    expect(count()).toBe(1 + 3) // every 20 s
  })

  test('somebody else was faster, or the store is away: later', async () => {
    const { turn, count, store, clock, writer } = await world()
    for (const code of ['CONFLICT', 'UNAVAILABLE'] as const) {
      const updateStatus = store.updateStatus
      store.updateStatus = async () => Promise.reject(new StoreError(code, 'no'))
      expect(await turn()).toBe(true)
      store.updateStatus = updateStatus
      clock.advance(code === 'CONFLICT' ? 0 : INTERVAL_MS)
    }
    expect(await turn()).toBe(false)
    expect(count()).toBe(1)
    expect(writer.figures).toEqual({ written: 1, failed: 1 })
  })

  test('nothing once this replica leads no more', async () => {
    const { turn, count, state } = await world()
    state.leads = false
    expect(await turn()).toBe(true)
    expect(count()).toBe(0)
  })
})
