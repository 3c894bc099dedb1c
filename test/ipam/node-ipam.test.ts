// IPAM of one node, from outside: what an ADD and a DEL see, and what the blocks show afterwards.
import { describe, expect, test } from '@jest/globals'
import { BlockStoreError, createNodeIpam } from '../../src/ipam/index.ts'
import { silentLog } from '../../src/lib/log.ts'
import { cidr, formatIp, formatPrefix } from '../../src/net/index.ts'
import type { FakeOperation } from '../support/fake-block-store.ts'
import { addressesOf, assignRequest, faultOf, heldOf, ipamConfig, poolConfig, seeded, World } from './world.ts'

const POOL = poolConfig('pods', '10.244.0.0/16')
const DUAL = ipamConfig([POOL, poolConfig('pods6', 'fd00:10::/64')])

describe('the first address', () => {
  test('a start claims one block a family, confirmed, with the reserve in it', async () => {
    const world = new World()
    const ipam = await world.start('n1', DUAL)
    const blocks = world.store.all()
    expect(blocks.map(({ node, state, reserves }) => ({ node, state, reserved: reserves.length }))).toEqual([
      { node: 'n1', state: 'Confirmed', reserved: 8 },
      { node: 'n1', state: 'Confirmed', reserved: 8 },
    ])
    expect(ipam.notReadyBecause()).toBeNull()
    expect(ipam.view()).toMatchObject({
      hasSynced: true,
      problems: [],
      unwritten: 0,
      reserve: [
        { pool: 'pods', addresses: 8 },
        { pool: 'pods6', addresses: 8 },
      ],
    })
  })

  test('an ADD is answered from the reserve without any operation of the store', async () => {
    const world = new World()
    const ipam = await world.start('n1', DUAL)
    const before = { ...world.store.counts }
    const addresses = addressesOf(await ipam.assign(assignRequest('h1')))
    expect(addresses).toHaveLength(2)
    expect(world.store.counts).toEqual(before)
    await world.pass(200)
    const shown = world.store
      .all()
      .flatMap(({ allocations }) =>
        allocations.map(({ address, handle, pod, node }) => ({ address: formatIp(address), handle, pod, node })),
      )
    expect(shown).toEqual(addresses.map((address) => ({ address, handle: 'h1', pod: { namespace: 'default', name: 'h1' }, node: 'n1' })))
  })

  test('pods that come while the first block is being claimed cost no second one', async () => {
    const world = new World()
    const asked: Promise<unknown>[] = []
    // Each operation of the store takes so long that another pod arrives meanwhile.
    const before = (): void => void asked.push(ipam.assign(assignRequest(`h${asked.length}`)))
    const store = world.store.port({ before })
    const ipam = createNodeIpam({ node: 'n1', store, clock: world.clock, random: seeded(1), log: silentLog })
    ipam.configure(DUAL)
    ipam.adopt([])
    await world.pass(0)
    expect(asked.length).toBeGreaterThan(8)
    expect(world.store.all().map(({ range }) => range.length)).toEqual([26, 122])
  })

  test('a block whose making seemed to fail is found, and no second one is made', async () => {
    const world = new World()
    let failures = 0
    const after = (operation: FakeOperation): void => {
      if (operation === 'create' && failures++ === 0) throw new BlockStoreError('UNAVAILABLE', 'cut off')
    }
    const ipam = await world.start('n1', ipamConfig([POOL]), { hooks: { after } })
    await world.pass(5_000)
    expect(ipam.notReadyBecause()).toBeNull()
    expect(world.store.all()).toHaveLength(1)
    expect(failures).toBe(1)
  })

  test('one write carries many allocations', async () => {
    const world = new World()
    const ipam = await world.start('n1', ipamConfig([POOL]), { options: { reserveSize: 16 } })
    const before = world.store.writes
    for (let at = 0; at < 8; at++) await ipam.assign(assignRequest(`h${at}`))
    await world.pass(200)
    expect(world.store.all()[0]?.allocations).toHaveLength(8)
    expect(world.store.writes - before).toBe(1)
  })

  test('the more quickly pods come, the more is claimed at once: a write serves ten of them, and nobody waits for it', async () => {
    const world = new World()
    const ipam = await world.start('n1', ipamConfig([POOL]))
    const before = world.store.writes
    for (let at = 0; at < 60; at++) {
      const asked = { ...world.store.counts }
      addressesOf(await ipam.assign(assignRequest(`h${at}`)))
      expect(world.store.counts).toEqual(asked)
      await world.pass(5)
    }
    expect(world.store.writes - before).toBeLessThanOrEqual(8)
    expect(ipam.view().reserve[0]?.addresses).toBeLessThanOrEqual(16) // a quarter of a block
  })

  test('asking again with the same handle gives the same addresses, before and after they are written', async () => {
    const world = new World()
    const ipam = await world.start('n1', DUAL)
    const first = await ipam.assign(assignRequest('h'))
    expect(await ipam.assign(assignRequest('h'))).toEqual(first)
    await world.pass(500)
    expect(await ipam.assign(assignRequest('h'))).toEqual(first)
    expect(world.store.all().flatMap(({ allocations }) => allocations)).toHaveLength(2)
  })

  test('two hundred at once all get addresses of their own, the same handle twice gets one', async () => {
    const world = new World()
    const ipam = await world.start('n1', DUAL)
    const asked = Array.from({ length: 200 }, (_, at) => ipam.assign(assignRequest(`h${at >> 1}`)))
    await world.pass(2_000)
    const given = (await Promise.all(asked)).map(addressesOf)
    expect(new Set(given.flat()).size).toBe(200) // a hundred handles, two families
    expect(given[0]).toEqual(given[1])
  })
})

describe('release', () => {
  test('the address rests, and comes back as the last of its block', async () => {
    const world = new World()
    const ipam = await world.start('n1', ipamConfig([poolConfig('tiny', '10.0.0.0/28', { blockSize: 28 })]), {
      options: { reserveSize: 1 },
    })
    const [first = ''] = addressesOf(await ipam.assign(assignRequest('h0')))
    await world.pass(200)
    const released = ipam.release('h0')
    await world.pass(200)
    await released
    expect(world.store.all()[0]?.released.map(({ address }) => formatIp(address))).toEqual([first])
    const given: string[] = []
    for (let at = 1; at <= 15; at++) {
      given.push(...addressesOf(await ipam.assign(assignRequest(`h${at}`))))
      await world.pass(200)
    }
    expect(given).not.toContain(first)
    const early = ipam.assign(assignRequest('early'))
    await world.pass(1)
    expect(faultOf(await early)).toMatchObject({ kind: 'exhausted' })
    await world.pass(40_000)
    const late = ipam.assign(assignRequest('late'))
    await world.pass(10)
    expect(addressesOf(await late)).toEqual([first])
  })

  test('of an address that the block never showed: it rests all the same', async () => {
    const world = new World()
    const ipam = await world.start('n1', ipamConfig([POOL]))
    const [address = ''] = addressesOf(await ipam.assign(assignRequest('h')))
    const released = ipam.release('h')
    await world.pass(200)
    await released
    const [block] = world.store.all()
    expect(block?.allocations).toEqual([])
    expect(block?.released.map((each) => formatIp(each.address))).toEqual([address])
  })

  test('of an unknown handle is success, and twice is success', async () => {
    const world = new World()
    const ipam = await world.start('n1', DUAL)
    await ipam.release('nobody')
    await ipam.assign(assignRequest('h'))
    const both = [ipam.release('h'), ipam.release('h')]
    await world.pass(200)
    await Promise.all(both)
    await ipam.release('h')
  })

  test('goes on for ever while the store is away', async () => {
    const world = new World()
    let isAway = false
    const before = (): void => {
      if (isAway) throw new BlockStoreError('UNAVAILABLE', 'connection refused')
    }
    const ipam = await world.start('n1', ipamConfig([POOL]), { hooks: { before } })
    await ipam.assign(assignRequest('h'))
    await world.pass(200)
    isAway = true
    let isDone = false
    const released = ipam.release('h').then(() => {
      isDone = true
    })
    await world.pass(600_000, 5_000)
    expect(isDone).toBe(false)
    expect(ipam.view().problems).toMatchObject([{ reason: 'StoreUnavailable' }])
    isAway = false
    await world.pass(12_000)
    await released
    expect(world.store.all()[0]?.allocations).toEqual([])
    expect(ipam.view().problems).toEqual([])
  })

  test('a caller that gives up hears so; the release goes on', async () => {
    const world = new World()
    const ipam = await world.start('n1', ipamConfig([POOL]))
    await ipam.assign(assignRequest('h'))
    const controller = new AbortController()
    const released = ipam.release('h', controller.signal)
    controller.abort(new Error('enough'))
    await expect(released).rejects.toThrow('enough')
    await world.pass(200)
    expect(world.store.all()[0]?.released).toHaveLength(1)
  })

  test('the handle used again meanwhile gets other addresses, and the release frees the old ones alone', async () => {
    const world = new World()
    const ipam = await world.start('n1', ipamConfig([POOL]))
    const [old] = addressesOf(await ipam.assign(assignRequest('h')))
    const released = ipam.release('h')
    const [again] = addressesOf(await ipam.assign(assignRequest('h')))
    expect(again).not.toBe(old)
    await world.pass(200)
    await released
    expect(world.store.all()[0]?.allocations.map(({ address }) => formatIp(address))).toEqual([again])
  })
})

describe('while the store is away', () => {
  test('the reserve is handed out, then an ADD waits, says why it gave up, and the next is served when the store is back', async () => {
    const world = new World()
    let isAway = false
    const before = (): void => {
      if (isAway) throw new BlockStoreError('UNAVAILABLE', 'connection refused')
    }
    const ipam = await world.start('n1', ipamConfig([POOL]), { hooks: { before } })
    isAway = true
    for (let at = 0; at < 8; at++) addressesOf(await ipam.assign(assignRequest(`h${at}`)))
    await world.pass(1_000)
    expect(ipam.notReadyBecause()).toMatch('no address is claimed ahead, and the store cannot be reached: "connection refused"')
    const controller = new AbortController()
    const waiting = ipam.assign(assignRequest('late'), controller.signal)
    await world.pass(5_000)
    controller.abort()
    expect(faultOf(await waiting)).toMatchObject({ kind: 'unavailable', message: expect.stringContaining('connection refused') })
    const patient = ipam.assign(assignRequest('patient'))
    isAway = false
    await world.pass(12_000)
    addressesOf(await patient)
    expect(world.store.all()[0]?.allocations).toHaveLength(9)
    expect(ipam.notReadyBecause()).toBeNull()
  })

  test('a start waits for the blocks; what the state directory holds is answered at once', async () => {
    const first = new World()
    const given = await (await first.start('n1', ipamConfig([POOL]))).assign(assignRequest('h'))
    if (!given.ok) throw new Error('no address')
    const world = new World()
    let isAway = true
    const before = (): void => {
      if (isAway) throw new BlockStoreError('UNAVAILABLE', 'connection refused')
    }
    const ipam = await world.start('n1', ipamConfig([POOL]), { hooks: { before }, held: [heldOf('h', given.value)] })
    expect(ipam.notReadyBecause()).toMatch('IPAM is starting')
    expect(await ipam.assign(assignRequest('h'))).toEqual(given)
    const other = ipam.assign(assignRequest('other'))
    await world.pass(1_000)
    isAway = false
    await world.pass(12_000)
    expect(addressesOf(await other)).not.toEqual(addressesOf(given))
    expect(
      world.store
        .all()
        .flatMap(({ allocations }) => allocations.map(({ handle }) => handle))
        .sort(),
    ).toEqual(['h', 'other'])
  })

  test('a store that never answers is given up on after 30 s, and asked again', async () => {
    const world = new World()
    let isStuck = false
    const before = (): Promise<void> | void => (isStuck ? new Promise(() => {}) : undefined)
    const ipam = await world.start('n1', ipamConfig([POOL]), { hooks: { before } })
    isStuck = true
    await ipam.assign(assignRequest('h'))
    await world.pass(40_000)
    expect(ipam.view().problems).toMatchObject([{ reason: 'StoreUnavailable', message: expect.stringContaining('30 s') }])
    isStuck = false
    await world.pass(50_000)
    expect(world.store.all()[0]?.allocations).toHaveLength(1)
  })
})

describe('more than one block', () => {
  test('own blocks first, then another', async () => {
    const world = new World()
    const ipam = await world.start('n1', ipamConfig([POOL]))
    const asked = Array.from({ length: 70 }, (_, at) => ipam.assign(assignRequest(`h${at}`)))
    await world.pass(2_000)
    const given = (await Promise.all(asked)).map(addressesOf)
    expect(new Set(given.flat()).size).toBe(70)
    expect(world.store.all().map(({ node, state }) => `${node} ${state}`)).toEqual(['n1 Confirmed', 'n1 Confirmed'])
    expect((await Promise.all(asked)).every((each) => each.ok && each.value.every(({ isBorrowed }) => !isBorrowed))).toBe(true)
  })

  test('no block left: addresses are borrowed, and the owner does not hand them out', async () => {
    const world = new World()
    const config = ipamConfig([poolConfig('small', '10.0.0.0/26', { blockSize: 27 })])
    const owners = [await world.start('n1', config), await world.start('n2', config)]
    const borrower = await world.start('n3', config)
    const given = await borrower.assign(assignRequest('b'))
    if (!given.ok) throw new Error(given.error.message)
    expect(given.value).toMatchObject([{ isBorrowed: true }])
    await world.pass(200)
    expect(borrower.view()).toMatchObject({ blocks: [], borrowed: expect.arrayContaining([expect.objectContaining({ handle: 'b' })]) })
    const rest = owners.flatMap((owner, at) => Array.from({ length: 30 }, (_, each) => owner.assign(assignRequest(`o${at}-${each}`))))
    await world.pass(20_000)
    const answers = await Promise.all(rest)
    const all = [...addressesOf(given), ...answers.flatMap((each) => (each.ok ? addressesOf(each) : []))]
    expect(new Set(all).size).toBe(all.length)
    expect(all.length).toBeGreaterThanOrEqual(54)
    expect(owners[0]?.view().blocks.length).toBe(1)
  })

  test('strictAffinity: nothing is borrowed, and the refusal says so', async () => {
    const world = new World()
    const config = ipamConfig([poolConfig('small', '10.0.0.0/27', { blockSize: 27 })], { strictAffinity: true })
    await world.start('n1', config)
    const ipam = await world.start('n2', config)
    const { kind, message } = faultOf(await ipam.assign(assignRequest('h')))
    expect(kind).toBe('exhausted')
    expect(message).toBe(
      'IPPool small (10.0.0.0/27) has no address left for this node: 1 of its 1 blocks are claimed, 0 of its 32 addresses are in use, 8 are claimed ahead by nodes. 24 are free in blocks of other nodes, which strictAffinity of IPAMConfiguration keeps this node from: set strictAffinity: false. Or create another IPPool, delete pods, or look for leaked addresses with fibula ipam check',
    )
    expect(ipam.notReadyBecause()).toBe(message)
  })

  test('maxBlocksPerHost: the refusal names it', async () => {
    const world = new World()
    const config = ipamConfig([poolConfig('p', '10.0.0.0/24', { blockSize: 30 })], { strictAffinity: true, maxBlocksPerHost: 2 })
    const ipam = await world.start('n1', config)
    const asked = Array.from({ length: 9 }, (_, at) => ipam.assign(assignRequest(`h${at}`)))
    await world.pass(2_000)
    const answers = await Promise.all(asked)
    expect(answers.filter(({ ok }) => ok)).toHaveLength(8)
    expect(world.store.all()).toHaveLength(2)
    const refused = answers.find(({ ok }) => !ok)
    if (refused === undefined) throw new Error('none was refused')
    expect(faultOf(refused).message).toMatch('This node has the 2 blocks that maxBlocksPerHost of IPAMConfiguration allows')
  })

  test('an exhausted pool: the next pool serves', async () => {
    const world = new World()
    const ipam = await world.start('n1', ipamConfig([poolConfig('a', '10.0.0.0/30', { blockSize: 30 }), poolConfig('b', '10.1.0.0/24')]))
    const asked = Array.from({ length: 6 }, (_, at) => ipam.assign(assignRequest(`h${at}`)))
    await world.pass(2_000)
    const pools = (await Promise.all(asked)).flatMap((each) => (each.ok ? each.value.map(({ pool }) => pool) : ['none']))
    expect(pools.sort()).toEqual(['a', 'a', 'a', 'a', 'b', 'b'])
    expect(ipam.notReadyBecause()).toBeNull()
  })

  test('fifty nodes start at once on one small pool: each block has one owner', async () => {
    const world = new World()
    const config = ipamConfig([poolConfig('p', '10.0.0.0/20')])
    await Promise.all(Array.from({ length: 50 }, (_, at) => world.start(`node-${at}`, config)))
    await world.pass(5_000)
    const owners = world.store.all().map(({ node }) => node)
    expect(new Set(owners).size).toBe(50)
    expect(owners).toHaveLength(50)
  })
})

test('blocks are named by pool in the view', async () => {
  const world = new World()
  const ipam = await world.start('n1', DUAL)
  expect(
    ipam
      .view()
      .blocks.map(({ block, pool, size, reserved, free }) => ({ covered: formatPrefix(block).length > 0, pool, size, reserved, free })),
  ).toEqual([
    { covered: true, pool: 'pods', size: 64, reserved: 8, free: 56 },
    { covered: true, pool: 'pods6', size: 64, reserved: 8, free: 56 },
  ])
  expect(
    ipam
      .view()
      .blocks.every(({ block }) => [POOL.range, cidr('fd00:10::/64')].some((range) => formatPrefix(range) !== formatPrefix(block))),
  ).toBe(true)
})
