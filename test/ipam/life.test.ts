// IPAM of one node over time: restarts, leaks, blocks that come and go, pools that change, addresses asked for by name.
import { describe, expect, test } from '@jest/globals'
import { type AssignFault, type Assignment, BlockStoreError, emptyBlock, type IpamConfig, type NodeIpam } from '../../src/ipam/index.ts'
import { cidr, covers, formatIp, formatPrefix, hostPrefix, ip } from '../../src/net/index.ts'
import { addressesOf, assignRequest, faultOf, heldOf, ipamConfig, poolConfig, World } from './world.ts'

const POOL = poolConfig('pods', '10.244.0.0/24')
const CONFIG = ipamConfig([POOL])

async function given(world: World, ipam: NodeIpam, ...handles: readonly string[]): Promise<readonly Assignment[]> {
  const asked = handles.map((handle) => ipam.assign(assignRequest(handle)))
  await world.pass(500)
  return (await Promise.all(asked)).flatMap((each) => {
    if (!each.ok) throw new Error(each.error.message)
    return each.value
  })
}

const handlesIn = (world: World): readonly string[] =>
  world.store
    .all()
    .flatMap(({ allocations }) => allocations.map(({ handle }) => handle))
    .sort()

describe('a restart', () => {
  test('finds its blocks and its reserve, claims nothing new, and hands out no address that is held', async () => {
    const world = new World()
    const first = await world.start('n1', CONFIG)
    const before = await given(world, first, 'a', 'b', 'c')
    await first[Symbol.asyncDispose]()
    const counts = { ...world.store.counts }
    const again = await world.start('n1', CONFIG, { held: before.map((each, at) => heldOf('abc'[at] ?? '', [each])) })
    expect({ ...world.store.counts, listOf: 0 }).toEqual({ ...counts, listOf: 0 })
    const more = await given(world, again, 'd', 'e', 'f', 'g')
    expect(new Set([...before, ...more].map(({ address }) => address)).size).toBe(7)
    expect(world.store.all()).toHaveLength(1)
  })

  test('what the state directory holds and the block does not show is written', async () => {
    const world = new World()
    const first = await world.start('n1', CONFIG)
    const answer = await first.assign(assignRequest('h'))
    if (!answer.ok) throw new Error('no address')
    await first[Symbol.asyncDispose]() // killed before the block was written
    expect(handlesIn(world)).toEqual([])
    await world.start('n1', CONFIG, { held: [heldOf('h', answer.value)] })
    expect(handlesIn(world)).toEqual(['h'])
  })

  test('what was claimed and not handed out is still the reserve', async () => {
    const world = new World()
    await (await world.start('n1', CONFIG))[Symbol.asyncDispose]()
    const before = world.store.all()
    await world.start('n1', CONFIG)
    expect(world.store.all()).toEqual(before)
  })

  test('a release that was under way is finished', async () => {
    const world = new World()
    const first = await world.start('n1', CONFIG)
    const held = await given(world, first, 'h')
    await first[Symbol.asyncDispose]()
    const again = await world.start('n1', CONFIG, { held: [heldOf('h', held, true)] })
    await again.release('h')
    expect(handlesIn(world)).toEqual([])
  })

  test('a release that had landed does not free the address that somebody else has by now', async () => {
    const world = new World()
    const first = await world.start('n1', CONFIG)
    const [held] = await given(world, first, 'h')
    if (held === undefined) throw new Error('no address')
    await first[Symbol.asyncDispose]()
    const [block] = world.store.all()
    if (block === undefined) throw new Error('no block')
    const reused = { address: held.address, handle: 'other', sequence: block.sequence + 1, pod: null, node: 'n2', time: null }
    world.store.put({ ...block, sequence: block.sequence + 1, allocations: [reused] })
    const again = await world.start('n1', CONFIG, { held: [heldOf('h', [held], true)] })
    await again.release('h')
    await world.pass(200_000, 1_000)
    expect(world.store.all().flatMap(({ allocations }) => allocations)).toEqual([reused])
  })

  test('the block was deleted behind its back: it is made again with what is in use', async () => {
    const world = new World()
    const ipam = await world.start('n1', CONFIG)
    const [held] = await given(world, ipam, 'h')
    if (held === undefined) throw new Error('no address')
    world.store.remove(held.block)
    ipam.lookAgain()
    await world.pass(5_000)
    expect(world.store.block(held.block)).toMatchObject({
      node: 'n1',
      state: 'Confirmed',
      allocations: [{ handle: 'h', address: held.address }],
    })
    expect(ipam.notReadyBecause()).toBeNull()
  })

  test('the address is somebody else’s by now: that is said, and not fought over', async () => {
    const world = new World()
    const ipam = await world.start('n1', CONFIG)
    const [held] = await given(world, ipam, 'h')
    const [block] = world.store.all()
    if (held === undefined || block === undefined) throw new Error('no address')
    const other = {
      address: held.address,
      handle: 'other',
      sequence: block.sequence + 1,
      pod: { namespace: 'ns', name: 'thief' },
      node: 'n2',
      time: null,
    }
    world.store.put({ ...block, sequence: block.sequence + 1, allocations: [other] })
    await world.pass(70_000, 1_000)
    expect(world.store.all()[0]?.allocations).toEqual([other])
    expect(ipam.view().problems).toMatchObject([
      { reason: 'DuplicateAddress', message: expect.stringContaining('and to pod ns/thief on node n2') },
    ])
    const released = ipam.release('h')
    await world.pass(500)
    await released
    expect(world.store.all()[0]?.allocations).toEqual([other])
  })

  test('a block claimed and not confirmed when the node was killed is used, not another', async () => {
    const world = new World()
    world.store.put(emptyBlock(cidr('10.244.0.64/26'), 'n1', 7))
    await world.start('n1', CONFIG)
    expect(world.store.all()).toMatchObject([{ range: cidr('10.244.0.64/26'), state: 'Confirmed', node: 'n1' }])
  })
})

describe('leaks', () => {
  const lose = async (world: World): Promise<void> => {
    const first = await world.start('n1', CONFIG)
    await given(world, first, 'lost', 'kept')
    await first[Symbol.asyncDispose]()
  }

  test('an allocation that the state directory does not know is released, after the second sight and not before', async () => {
    const world = new World()
    await lose(world)
    await world.start('n1', CONFIG)
    await world.pass(55_000, 500)
    expect(handlesIn(world)).toEqual(['kept', 'lost'])
    await world.pass(70_000, 500)
    expect(handlesIn(world)).toEqual([])
    expect(world.store.all()[0]?.released).toHaveLength(2)
  })

  test('not if something on the node uses the address', async () => {
    const world = new World()
    await lose(world)
    const kept = world.store.all()[0]?.allocations.find(({ handle }) => handle === 'kept')?.address
    await world.start('n1', CONFIG, { isInUse: (address) => address === kept })
    await world.pass(300_000, 1_000)
    expect(handlesIn(world)).toEqual(['kept'])
  })

  test('an ADD with its handle takes it over: the same address', async () => {
    const world = new World()
    await lose(world)
    const lost = world.store.all()[0]?.allocations.find(({ handle }) => handle === 'lost')?.address
    const ipam = await world.start('n1', CONFIG)
    const [again] = await given(world, ipam, 'lost')
    expect(again?.address).toBe(lost)
    await world.pass(300_000, 1_000)
    expect(handlesIn(world)).toEqual(['lost'])
  })

  test('a DEL of its handle releases it at once', async () => {
    const world = new World()
    await lose(world)
    const ipam = await world.start('n1', CONFIG)
    const released = ipam.release('lost')
    await world.pass(300)
    await released
    expect(handlesIn(world)).toEqual(['kept'])
  })

  test('allocations of other nodes are not touched', async () => {
    const world = new World()
    const block = emptyBlock(cidr('10.244.0.0/26'), 'n1', 7)
    const lent = { address: ip('10.244.0.9'), handle: 'theirs', sequence: 3, pod: null, node: 'n2', time: null }
    world.store.put({
      ...block,
      state: 'Confirmed',
      allocations: [lent],
      reserves: [{ address: ip('10.244.0.10'), node: 'n2', sequence: 4 }],
    })
    await world.start('n1', CONFIG)
    await world.pass(600_000, 2_000)
    expect(world.store.all()[0]).toMatchObject({
      allocations: [lent],
      reserves: expect.arrayContaining([{ address: ip('10.244.0.10'), node: 'n2', sequence: 4 }]),
    })
  })
})

describe('blocks are given back', () => {
  const count = 80
  const fill = async (world: World, ipam: NodeIpam): Promise<void> => {
    await given(world, ipam, ...Array.from({ length: count }, (_, at) => `h${at}`))
    expect(world.store.all()).toHaveLength(2)
  }
  const empty = async (world: World, ipam: NodeIpam): Promise<void> => {
    const released = Array.from({ length: count }, (_, at) => ipam.release(`h${at}`))
    await world.pass(2_000)
    await Promise.all(released)
  }

  test('an emptied one after the grace period, first pending, then gone; the last one stays', async () => {
    const world = new World()
    const ipam = await world.start('n1', CONFIG)
    await fill(world, ipam)
    await empty(world, ipam)
    await world.pass(290_000, 1_000)
    expect(world.store.all().map(({ state }) => state)).toEqual(['Confirmed', 'Confirmed'])
    const states = new Set<string>()
    for (let second = 0; second < 200; second++) {
      await world.pass(1_000, 1_000)
      states.add(
        world.store
          .all()
          .map(({ state }) => state)
          .sort()
          .join(),
      )
    }
    expect([...states]).toEqual(['Confirmed,Confirmed', 'Confirmed,Pending', 'Confirmed'])
    await world.pass(3_600_000, 10_000)
    expect(world.store.all()).toHaveLength(1)
    expect(ipam.notReadyBecause()).toBeNull()
  })

  test('not while a neighbour has an address in it', async () => {
    const world = new World()
    const ipam = await world.start('n1', CONFIG)
    await fill(world, ipam)
    await empty(world, ipam)
    for (const block of world.store.all()) {
      const lent = {
        address: block.released[0]?.address ?? block.range.address,
        handle: 'theirs',
        sequence: block.sequence + 1,
        pod: null,
        node: 'n2',
        time: null,
      }
      world.store.put({ ...block, sequence: block.sequence + 1, allocations: [lent] })
    }
    await world.pass(900_000, 5_000)
    expect(world.store.all().map(({ state }) => state)).toEqual(['Confirmed', 'Confirmed'])
  })

  test.each<[string, (config: IpamConfig) => IpamConfig]>([
    ['the pool is disabled', (config) => ({ ...config, pools: config.pools.map((each) => ({ ...each, disabled: true })) })],
    [
      'the pool no longer selects the node',
      (config) => ({ ...config, pools: config.pools.map((each) => ({ ...each, selectsNode: false })) }),
    ],
    ['the pool is gone', (config) => ({ ...config, pools: [] })],
  ])('%s: all of them as they empty, and nothing is handed out', async (_, change) => {
    const world = new World()
    const ipam = await world.start('n1', CONFIG)
    await given(world, ipam, 'h')
    ipam.configure(change(CONFIG))
    expect(faultOf(await ipam.assign(assignRequest('late'))).kind).toBe('noPool')
    await world.pass(900_000, 5_000)
    expect(world.store.all()).toMatchObject([{ reserves: [], allocations: [{ handle: 'h' }] }])
    const released = ipam.release('h')
    await world.pass(500)
    await released
    await world.pass(900_000, 5_000)
    expect(world.store.all()).toEqual([])
    expect(ipam.notReadyBecause()).toMatch(/IPPool/)
  })

  test('an abandoned block is taken over by who needs one', async () => {
    const world = new World()
    for (const range of ['10.244.0.0/26', '10.244.0.64/26', '10.244.0.128/26', '10.244.0.192/26']) {
      world.store.put({
        ...emptyBlock(cidr(range), 'gone', 7),
        node: null,
        state: 'Confirmed',
        released: [{ address: cidr(range).address, sequence: 6, time: null }],
      })
    }
    const ipam = await world.start('n1', CONFIG)
    expect(world.store.all().filter(({ node }) => node === 'n1')).toMatchObject([{ state: 'Confirmed', released: [{ sequence: 6 }] }])
    expect(ipam.view().blocks).toHaveLength(1)
  })
})

describe('what is claimed ahead is given up', () => {
  test('where an IPReservation keeps it back now; nothing of that is handed out meanwhile', async () => {
    const world = new World()
    const ipam = await world.start('n1', CONFIG)
    const claimed = world.store.all()[0]?.reserves.map(({ address }) => address) ?? []
    const kept = cidr(`${formatIp(claimed[0] ?? ip('0.0.0.0'))}/29`)
    ipam.configure({ ...CONFIG, reservations: [kept] })
    const [next] = addressesOf(
      await (async () => {
        const asked = ipam.assign(assignRequest('h'))
        await world.pass(500)
        return await asked
      })(),
    )
    expect(covers(kept, cidr(`${next}/32`))).toBe(false)
    await world.pass(5_000)
    expect(world.store.all()[0]?.reserves.every(({ address }) => !covers(kept, cidr(`${formatIp(address)}/32`)))).toBe(true)
    expect(world.store.all()[0]?.reserves).toHaveLength(8)
  })

  test('an address whose giving up nobody knows to have landed is handed out to nobody', async () => {
    const world = new World()
    let isCut = false
    let isAway = false
    const unavailable = new BlockStoreError('UNAVAILABLE', 'the answer was lost')
    const ipam = await world.start('n1', CONFIG, {
      hooks: {
        before: () => {
          if (isAway) throw unavailable
        },
        after: (operation) => {
          if (!isCut || operation !== 'update') return
          isAway = true
          throw unavailable
        },
      },
    })
    const claimed = world.store.all()[0]?.reserves.map(({ address }) => address) ?? []
    const kept = cidr(`${formatIp(claimed[0] ?? ip('0.0.0.0'))}/30`)
    isCut = true
    ipam.configure({ ...CONFIG, reservations: [kept] })
    await world.pass(3_000) // given up in the store; the node cannot know
    expect(world.store.all()[0]?.reserves.some(({ address }) => covers(kept, hostPrefix(address)))).toBe(false)
    ipam.configure(CONFIG)
    const answers = await Promise.all(Array.from({ length: 4 }, (_, at) => ipam.assign(assignRequest(`h${at}`))))
    for (const each of answers) expect(covers(kept, cidr(`${addressesOf(each)[0]}/32`))).toBe(false)
  })
})

describe('addresses asked for by name', () => {
  const ask = async (
    world: World,
    ipam: NodeIpam,
    handle: string,
    addresses: readonly string[],
  ): Promise<readonly string[] | AssignFault> => {
    const asked = ipam.assign(assignRequest(handle, { requested: addresses.map(ip) }))
    await world.pass(500)
    const answer = await asked
    return answer.ok ? addressesOf(answer) : answer.error
  }

  test('out of the own block, the reserve, and a block that does not exist yet', async () => {
    const world = new World()
    const ipam = await world.start('n1', CONFIG)
    const [block] = world.store.all()
    if (block === undefined) throw new Error('no block')
    const claimed = formatIp(block.reserves[2]?.address ?? ip('0.0.0.0'))
    expect(await ask(world, ipam, 'reserve', [claimed])).toEqual([claimed])
    const free = formatIp(lastOf(block.range))
    expect(await ask(world, ipam, 'own', [free])).toEqual([free])
    const elsewhere = ['10.244.0.7', '10.244.0.77', '10.244.0.177'].find((text) => !covers(block.range, cidr(`${text}/32`))) ?? ''
    expect(await ask(world, ipam, 'new', [elsewhere])).toEqual([elsewhere])
    expect(world.store.all()).toHaveLength(2)
    expect(handlesIn(world)).toEqual(['new', 'own', 'reserve'])
  })

  test('one of each family, all or nothing', async () => {
    const world = new World()
    const ipam = await world.start('n1', ipamConfig([POOL, poolConfig('p6', 'fd00::/64')]))
    expect(await ask(world, ipam, 'both', ['10.244.0.50', 'fd00::50'])).toEqual(['10.244.0.50', 'fd00::50'])
    expect(await ask(world, ipam, 'half', ['10.244.0.51', 'fd00::50'])).toMatchObject({ kind: 'taken' })
    await world.pass(500)
    expect(handlesIn(world)).toEqual(['both', 'both'])
  })

  test('who gave up while his address was being claimed does not get it after all: nobody would ever release it', async () => {
    const world = new World()
    let held = Promise.resolve()
    const ipam = await world.start('n1', CONFIG, { hooks: { before: (operation) => (operation === 'get' ? held : undefined) } })
    const giveUp = new AbortController()
    const gate = Promise.withResolvers<void>()
    held = gate.promise
    const asked = ipam.assign(assignRequest('h1', { requested: [ip('10.244.0.50')] }), giveUp.signal)
    await world.pass(10)
    giveUp.abort()
    expect(await asked).toMatchObject({ ok: false, error: { kind: 'unavailable' } })
    await ipam.release('h1')
    gate.resolve()
    await world.pass(500)
    expect(ipam.view().allocations).toBe(0)
    expect(handlesIn(world)).toEqual([])
  })

  test('taken: by a pod here, by one elsewhere, or claimed ahead by another node', async () => {
    const world = new World()
    const config = ipamConfig([poolConfig('one', '10.0.0.0/26')])
    const owner = await world.start('n1', config)
    const ipam = await world.start('n2', config)
    expect(await ask(world, ipam, 'h1', ['10.0.0.60'])).toEqual(['10.0.0.60'])
    expect(await ask(world, ipam, 'h2', ['10.0.0.60'])).toEqual({
      kind: 'taken',
      message: 'requested address 10.0.0.60 belongs to pod default/h1 on node n2; request another, or delete that pod first',
    })
    expect(await ask(world, owner, 'h3', ['10.0.0.60'])).toMatchObject({
      kind: 'taken',
      message: expect.stringContaining('pod default/h1 on node n2'),
    })
    const claimed = formatIp(world.store.all()[0]?.reserves.find(({ node }) => node === 'n1')?.address ?? ip('0.0.0.0'))
    expect(await ask(world, ipam, 'h4', [claimed])).toMatchObject({
      kind: 'taken',
      message: expect.stringContaining('claimed ahead of need by node n1'),
    })
  })

  test('released a moment ago: the same pod gets it again at once, cool-down or not', async () => {
    const world = new World()
    const ipam = await world.start('n1', CONFIG)
    expect(await ask(world, ipam, 'first', ['10.244.0.50'])).toEqual(['10.244.0.50'])
    const released = ipam.release('first')
    expect(await ask(world, ipam, 'second', ['10.244.0.50'])).toEqual(['10.244.0.50'])
    await released
    expect(handlesIn(world)).toEqual(['second'])
  })

  test('in a block of another node under strictAffinity, or beyond maxBlocksPerHost', async () => {
    const world = new World()
    const config = ipamConfig([poolConfig('p', '10.0.0.0/25')], { strictAffinity: true, maxBlocksPerHost: 1 })
    await world.start('n1', config)
    const ipam = await world.start('n2', config)
    const [mine] = world.store.all().filter(({ node }) => node === 'n1')
    if (mine === undefined) throw new Error('no block')
    expect(await ask(world, ipam, 'h', [formatIp(lastOf(mine.range))])).toMatchObject({
      kind: 'refused',
      message: expect.stringMatching(
        /is in block .* of node n1, and strictAffinity of IPAMConfiguration keeps this node from borrowing it/,
      ),
    })
    const wide = ipamConfig([poolConfig('p', '10.0.0.0/16')], { strictAffinity: true, maxBlocksPerHost: 1 })
    ipam.configure(wide)
    expect(await ask(world, ipam, 'h', ['10.0.200.1'])).toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('it has 1 blocks, as many as maxBlocksPerHost'),
    })
  })

  test('a changed blockSize does not lead to two blocks over one address', async () => {
    const world = new World()
    world.store.put({ ...emptyBlock(cidr('10.244.0.0/25'), 'n9', 1), state: 'Confirmed' })
    const ipam = await world.start('n1', CONFIG)
    expect(await ask(world, ipam, 'h', ['10.244.0.5'])).toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('blockSize of IPPool pods (10.244.0.0/24) was changed'),
    })
    expect(
      world.store
        .all()
        .filter(({ node }) => node === 'n1')
        .map(({ range }) => covers(cidr('10.244.0.128/25'), range)),
    ).toEqual([true])
  })
})

describe('pools for some', () => {
  const blue = poolConfig('blue', '10.3.0.0/24', { namespaceSelector: { matchLabels: { team: 'blue' } } })

  test('the first pod waits for the store, the next finds something claimed ahead', async () => {
    const world = new World()
    const ipam = await world.start('n1', ipamConfig([POOL, blue]))
    expect(world.store.all()).toHaveLength(1)
    const first = ipam.assign(assignRequest('h1', { namespaceLabels: { team: 'blue' } }))
    await world.pass(500)
    expect(await first).toMatchObject({ ok: true, value: [{ pool: 'blue' }] })
    const counts = { ...world.store.counts }
    expect(await ipam.assign(assignRequest('h2', { namespaceLabels: { team: 'blue' } }))).toMatchObject({
      ok: true,
      value: [{ pool: 'blue' }],
    })
    expect(world.store.counts).toEqual(counts)
  })

  test('a manual pool gives by name alone, and nothing is claimed ahead there', async () => {
    const world = new World()
    const ipam = await world.start('n1', ipamConfig([POOL, poolConfig('manual', '10.9.0.0/24', { assignmentMode: 'Manual' })]))
    const asked = ipam.assign(assignRequest('h', { pools: { ipv4: ['manual'], ipv6: null } }))
    await world.pass(500)
    expect(await asked).toMatchObject({ ok: true, value: [{ pool: 'manual' }] })
    await world.pass(5_000)
    const [block] = world.store.all().filter(({ range }) => covers(cidr('10.9.0.0/24'), range))
    expect(block).toMatchObject({ reserves: [], allocations: [{ handle: 'h' }] })
  })
})

describe('the end', () => {
  test('who waits is answered, who releases is told, nothing is armed any more', async () => {
    const world = new World()
    let isAway = false
    const before = (): void => {
      if (isAway) throw new BlockStoreError('UNAVAILABLE', 'gone')
    }
    const ipam = await world.start('n1', CONFIG, { hooks: { before } })
    await given(world, ipam, 'h')
    isAway = true
    const released = ipam.release('h')
    const waiting = Array.from({ length: 9 }, (_, at) => ipam.assign(assignRequest(`w${at}`)))
    await world.pass(1_000)
    await ipam[Symbol.asyncDispose]()
    await expect(released).rejects.toThrow('the release goes on when it starts again')
    expect(faultOf(await (waiting[8] ?? Promise.reject(new Error('none'))))).toMatchObject({
      kind: 'unavailable',
      message: 'the agent is stopping; try again',
    })
    expect(faultOf(await ipam.assign(assignRequest('late'))).kind).toBe('unavailable')
    expect(world.clock.armed).toBe(0)
  })

  test('a DEL takes back an ADD that still waits', async () => {
    const world = new World()
    let isAway = false
    const before = (): void => {
      if (isAway) throw new BlockStoreError('UNAVAILABLE', 'gone')
    }
    const ipam = await world.start('n1', CONFIG, { hooks: { before } })
    isAway = true
    await Promise.all(Array.from({ length: 8 }, (_, at) => ipam.assign(assignRequest(`h${at}`))))
    const waiting = ipam.assign(assignRequest('late'))
    await ipam.release('late')
    expect(faultOf(await waiting).kind).toBe('unavailable')
    isAway = false
    await world.pass(20_000)
    expect(handlesIn(world)).not.toContain('late')
  })
})

test('a change is announced once, from outside, and a quiet node announces nothing', async () => {
  const world = new World()
  let changes = 0
  const ipam = await world.start('n1', CONFIG, { onChange: () => changes++ })
  expect(changes).toBeGreaterThan(0)
  await world.pass(300_000, 1_000)
  const quiet = changes
  const writes = world.store.writes
  await world.pass(3_600_000, 5_000)
  expect(changes).toBe(quiet)
  expect(world.store.writes).toBe(writes)
  ipam.configure(structuredClone(CONFIG))
  await world.pass(500)
  expect(changes).toBe(quiet)
  await ipam.assign(assignRequest('h'))
  expect(changes).toBe(quiet) // not from within
  await world.pass(1)
  expect(changes).toBe(quiet + 1)
})

test('a write that the store refuses is a problem with the reason, and the node stays able to give addresses of other blocks', async () => {
  const world = new World()
  let isRefusing = false
  const before = (operation: string): void => {
    if (isRefusing && operation === 'update') throw new BlockStoreError('INVALID', 'spec.reserves: unknown field')
  }
  const ipam = await world.start('n1', CONFIG, { hooks: { before } })
  isRefusing = true
  await given(world, ipam, 'h')
  expect(ipam.view().problems).toMatchObject([{ reason: 'WriteRefused', message: expect.stringContaining('spec.reserves: unknown field') }])
  isRefusing = false
  await world.pass(12_000)
  expect(handlesIn(world)).toEqual(['h'])
  expect(ipam.view().problems).toEqual([])
})

function lastOf(range: { readonly address: ReturnType<typeof ip>; readonly length: number }): ReturnType<typeof ip> {
  const [base = ''] = formatPrefix(range).split('/')
  const octets = base.split('.').map(Number)
  return ip(`${octets[0]}.${octets[1]}.${octets[2]}.${(octets[3] ?? 0) + 2 ** (32 - range.length) - 1}`)
}

describe('what a watch shows', () => {
  test('own writes coming back make no work', async () => {
    const world = new World()
    const ipam = await world.start('n1', CONFIG)
    await given(world, ipam, 'h')
    await world.pass(5_000)
    const reads = (): number => world.store.counts.get + world.store.counts.listOf
    const before = reads()
    for (const stored of await world.store.port().listOf('n1')) ipam.lookAgain({ block: stored.block.range, version: stored.version })
    await world.pass(10_000)
    expect(reads() - before).toBe(1) // our own look
  })

  test('one block that somebody else has changed is read, and no other', async () => {
    const world = new World()
    const ipam = await world.start('n1', CONFIG)
    const [block] = world.store.all()
    if (block === undefined) throw new Error('no block')
    const lent = { address: lastOf(block.range), handle: 'theirs', sequence: block.sequence + 1, pod: null, node: 'n2', time: null }
    world.store.put({ ...block, sequence: block.sequence + 1, allocations: [lent] })
    await world.pass(5_000)
    expect(ipam.view().blocks[0]?.lent).toBe(0)
    const before = { ...world.store.counts }
    ipam.lookAgain({ block: block.range, version: 'another' })
    await world.pass(5_000)
    expect(ipam.view().blocks[0]?.lent).toBe(1)
    expect(world.store.counts).toMatchObject({ listOf: before.listOf, get: before.get + 1 })
  })

  test('a block that is new to the node, or gone', async () => {
    const world = new World()
    const ipam = await world.start('n1', CONFIG)
    world.store.put({ ...emptyBlock(cidr('10.245.0.0/26'), 'n1', 1), state: 'Confirmed' })
    ipam.lookAgain({ block: cidr('10.245.0.0/26'), version: 'x' })
    await world.pass(5_000)
    expect(ipam.view().blocks.map(({ block }) => formatPrefix(block))).toContain('10.245.0.0/26')
    expect(ipam.view().problems).toMatchObject([{ reason: 'BlockOutsidePool' }])
    world.store.remove(cidr('10.245.0.0/26'))
    ipam.lookAgain({ block: cidr('10.245.0.0/26'), version: null })
    await world.pass(5_000)
    expect(ipam.view().blocks).toHaveLength(1)
    expect(ipam.view().problems).toEqual([])
  })
})
