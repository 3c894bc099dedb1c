// Two replicas of the controller as processes at a real API server, with exactly the rights they ask for: one leads, says how things
// are, and collects what has leaked; killed at any moment, the other goes on, and nothing that lives is touched.
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { fill, ipamBlock, network, session } from '../../controller/world.ts'
import { configuration, peer, pool } from '../../store/objects.ts'
import { NAMESPACE, type Replica, World } from './world.ts'

const START_MS = 400_000
const LONG_MS = 400_000

let world: World
let [first, second]: Replica[] = []
beforeAll(async () => {
  world = await World.start()
  await world.addNode('n1', true, { rack: 'a' })
  await world.addNode('n2')
  await world.addPod('alive', 'n1', '10.244.0.1')
  await world.addPod('dead', 'n1', '10.244.0.2')
  await fill(world.admin, [
    pool('pods', '10.244.0.0/24'),
    pool('second-pods', '10.244.0.0/25'),
    configuration('default', { asNumber: 64_512 }),
    peer('tor', { peerIP: '10.0.0.254', nodeSelector: { matchLabels: { rack: 'a' } }, filters: ['missing'] }),
    network('n1', { peers: [session('tor', { state: 'Active', lastError: 'connection refused' })], routerID: '10.0.0.1' }),
    network('n2', { routerID: '10.0.0.1' }),
    network('gone'),
    ipamBlock('10.244.0.0/26', 'n1', [
      { address: '10.244.0.1', pod: 'alive', sequence: 1 },
      { address: '10.244.0.2', pod: 'dead', sequence: 2 },
    ]),
    ipamBlock('10.244.0.64/26', 'gone', [{ address: '10.244.0.65', pod: 'lost' }], [{ address: '10.244.0.66', node: 'gone' }]),
    ipamBlock('10.244.0.128/26', 'n2', [{ address: '10.244.0.129', pod: 'moved' }]),
  ])
}, START_MS)
afterAll(async () => world[Symbol.asyncDispose]())

const owners = async (): Promise<readonly string[]> =>
  (await world.admin.list({ kind: 'IPAMBlock' })).flatMap(({ spec }) => spec.allocations.map(({ pod = '' }) => pod)).sort()
const conditions = (status: { readonly conditions: readonly { type: string; status: string; reason: string }[] } | undefined) =>
  status?.conditions.map(({ type, status: is, reason }) => `${type} ${is} ${reason}`)

test(
  'one of two leads; statuses say how peers, pools and settings are',
  async () => {
    first = world.replica('first')
    await world.until('the first leads', async () => (await world.lease())?.holderIdentity === 'first')
    second = world.replica('second')
    const tor = await world.until('the peer has a status', async () => (await world.admin.get('BGPPeer', { name: 'tor' }))?.status)
    expect(conditions(tor)).toEqual(['Accepted False FilterNotFound', 'Established False NoneEstablished'])
    expect(tor).toMatchObject({ nodes: 1, configured: 1, established: 0, sessions: [{ node: 'n1', lastError: 'connection refused' }] })
    expect(tor.conditions[0]).toMatchObject({ observedGeneration: 1 })
    const again = await world.until('the pool has a status', async () => (await world.admin.get('IPPool', { name: 'second-pods' }))?.status)
    expect(conditions(again)).toEqual(['Accepted False Overlaps', 'Healthy True AddressesLeft'])
    const pods = await world.until('so has the other', async () => (await world.admin.get('IPPool', { name: 'pods' }))?.status)
    expect(pods).toMatchObject({ capacity: 256, blocks: { capacity: 4 } })
    const settings = await world.until(
      'the settings have a status',
      async () => (await world.admin.get('BGPConfiguration', { name: 'default' }))?.status,
    )
    expect(conditions(settings)).toEqual(['Accepted True Accepted', 'Healthy False DuplicateRouterID'])
  },
  LONG_MS,
)

test(
  'kubectl get shows what is worth knowing; fields can be selected',
  async () => {
    const peers = await world.table('bgppeers')
    const shown = (table: typeof peers): readonly string[] => table.columns.filter(({ priority }) => priority === 0).map(({ name }) => name)
    expect(shown(peers)).toEqual(['Name', 'Peer', 'AS', 'Nodes', 'Sessions', 'Established', 'Status', 'Accepted', 'Age'])
    expect(peers.rows[0]?.slice(0, 8)).toEqual(['tor', '10.0.0.254', 65_001, 1, 1, 0, 'NoneEstablished', 'FilterNotFound'])
    const wide = new Map(peers.columns.map(({ name }, at) => [name, peers.rows[0]?.[at]]))
    expect(String(wide.get('Why'))).toContain('there is no BGPFilter/missing')
    expect(wide.get('Filters')).toBe('["missing"]')
    const pools = await world.table('ippools')
    const rows = new Map(pools.rows.map((cells) => [cells[0], cells]))
    expect(shown(pools)).toEqual(['Name', 'CIDR', 'IPIP', 'NAT', 'Disabled', 'Used', 'Usage', 'Blocks', 'Nodes', 'Healthy', 'Age'])
    expect(rows.get('second-pods')?.slice(0, 5)).toEqual(['second-pods', '10.244.0.0/25', 'Never', false, false])
    const networks = await world.table('nodenetworks')
    expect(shown(networks)).toEqual(['Name', 'AS', 'IPv4', 'IPv6', 'Sessions', 'Established', 'Pods', 'Ready', 'Age'])
    expect(networks.rows.find(([name]) => name === 'n1')?.[2]).toBe('10.0.0.1/24')
    const select = async (plural: string, fieldSelector: string): Promise<number> => {
      const path = `/apis/fibula.network/v1alpha1/${plural}`
      return ((await world.api.request({ method: 'GET', path, query: { fieldSelector } })) as { items: readonly unknown[] }).items.length
    }
    expect(await select('ipamblocks', 'spec.node=n1')).toBe(1)
    expect(await select('bgppeers', 'spec.peerIP=10.0.0.254,spec.asNumber=65001')).toBe(1)
    expect(await select('bgppeers', 'spec.peerIP=10.0.0.1')).toBe(0)
    expect(await select('ippools', 'spec.disabled=false')).toBe(2)
  },
  LONG_MS,
)

test(
  'leaks are collected after two looks; what lives stays',
  async () => {
    await world.until('the lost pods are gone from the blocks', async () => (await owners()).join() === 'alive,dead')
    await world.until('the report of the gone node is gone', async () => (await world.admin.get('NodeNetwork', { name: 'gone' })) === null)
    await world.until('its block is gone', async () => (await world.admin.get('IPAMBlock', { name: '10-244-0-64-26' })) === null)
    expect((await world.admin.list({ kind: 'NodeNetwork' })).map(({ metadata }) => metadata.name)).toEqual(['n1', 'n2'])
    expect((await world.admin.get('IPAMBlock', { name: '10-244-0-128-26' }))?.spec).toMatchObject({ node: 'n2', allocations: [] })
  },
  LONG_MS,
)

test(
  'the leader is killed: the other takes over, and goes on collecting and telling',
  async () => {
    const transitions = (await world.lease())?.leaseTransitions ?? Number.NaN
    await first?.end('SIGKILL')
    await world.remove('/api/v1/namespaces/default/pods/dead')
    await world.until('the second leads', async () => (await world.lease())?.holderIdentity === 'second')
    expect((await world.lease())?.leaseTransitions).toBe(transitions + 1)
    await world.until('what leaked meanwhile is collected', async () => (await owners()).join() === 'alive')
    await world.until('the pool says so', async () => (await world.admin.get('IPPool', { name: 'pods' }))?.status?.allocated === 1)
  },
  LONG_MS,
)

test(
  'a leader that is frozen past its time does nothing when it wakes up',
  async () => {
    first = world.replica('third')
    second?.signal('SIGSTOP')
    await world.until('the third leads', async () => (await world.lease())?.holderIdentity === 'third')
    second?.signal('SIGCONT')
    await world.until('the second knows', () => second?.has('controller.lease.lost'))
    const transitions = (await world.lease())?.leaseTransitions
    await world.until('the third renews', async () => {
      const before = (await world.lease())?.renewTime
      return world.until('again', async () => (await world.lease())?.renewTime !== before)
    })
    expect(await world.lease()).toMatchObject({ holderIdentity: 'third', leaseTransitions: transitions })
  },
  LONG_MS,
)

test(
  'a leader that ends in peace gives the Lease back; no replica was ever refused anything',
  async () => {
    const holders: string[] = []
    using _watch = world.admin.watch([{ kind: 'Lease', namespace: NAMESPACE, name: 'fibula-controller' }], {
      changed: (changes) => {
        for (const { object } of changes) if (object.kind === 'Lease') holders.push(object.spec.holderIdentity ?? 'nobody')
      },
      synced: () => {},
      problems: () => {},
    })
    await world.until('the watch has begun', () => holders.length > 0)
    expect(await first?.end('SIGTERM')).toBe(0)
    expect(first?.has('controller.lease.released')).toBe(true)
    await world.until('the second leads again', async () => (await world.lease())?.holderIdentity === 'second')
    // It had not to wait until the term was over: in between the Lease was nobody's (such a one is taken at once).
    await world.until('the watch says so', () => holders.at(-1) === 'second')
    expect(holders.filter((each, at) => each !== holders[at - 1])).toEqual(['third', '', 'second'])
    expect(await second?.end('SIGTERM')).toBe(0)
    expect((await world.lease())?.holderIdentity).toBe('')
    const refusals = [first, second]
      .flatMap((replica) => replica?.log ?? [])
      .filter((line) => /forbidden|not allowed/.test(JSON.stringify(line)))
    expect(refusals).toEqual([])
    expect(await owners()).toEqual(['alive'])
  },
  LONG_MS,
)
