// What a node remembers of its reserve: pods start after a restart while the store is away, and nobody else has what is handed out.
import { describe, expect, test } from '@jest/globals'
import { BlockStoreError, type HeldAllocation } from '../../src/ipam/index.ts'
import { cidr, formatIp } from '../../src/net/index.ts'
import { addressesOf, assignRequest, faultOf, heldOf, ipamConfig, PageCache, poolConfig, World, wronglyRemembered } from './world.ts'

const CONFIG = ipamConfig([poolConfig('pods', '10.244.0.0/16'), poolConfig('pods6', 'fd00:10::/64')])
const V4 = ipamConfig([poolConfig('pods', '10.244.0.0/16')])

class Away {
  isAway = true
  readonly hooks = {
    before: (): void => {
      if (this.isAway) throw new BlockStoreError('UNAVAILABLE', 'connection refused')
    },
  }
}

/** A node that has run for a while and ended; with what its state directory has. */
async function endedNode(world: World, file: PageCache, pods: number, config = CONFIG): Promise<HeldAllocation[]> {
  const ipam = await world.start('n1', config, { reserveFile: file.open() })
  const held: HeldAllocation[] = []
  for (let at = 0; at < pods; at++) {
    const answer = await ipam.assign(assignRequest(`old${at}`))
    if (answer.ok) held.push(heldOf(`old${at}`, answer.value))
    await world.pass(500)
  }
  await ipam[Symbol.asyncDispose]()
  return held
}

describe('a start while the store is away', () => {
  test('hands out what is remembered, then ADD waits; when the store is back the blocks show all of it', async () => {
    const world = new World()
    const file = new PageCache()
    const away = new Away()
    const held = await endedNode(world, file, 3)
    const used = held.flatMap(({ assignments }) => assignments.map(({ address }) => formatIp(address)))
    const ipam = await world.start('n1', CONFIG, { held, hooks: away.hooks, reserveFile: file.open() })
    await world.pass(1_000)
    expect(ipam.notReadyBecause()).toBeNull()
    const given: string[][] = []
    for (let at = 0; ipam.notReadyBecause() === null; at++) {
      given.push([...addressesOf(await ipam.assign(assignRequest(`new${at}`)))])
      await world.pass(100)
    }
    expect(given.length).toBeGreaterThanOrEqual(4)
    expect(new Set([...given.flat(), ...used]).size).toBe(given.flat().length + used.length)
    expect(ipam.notReadyBecause()).toBe(
      'IPAM is starting: the blocks of this node have not been read yet, and the store cannot be reached: "connection refused"',
    )
    const late = ipam.assign(assignRequest('late'))
    away.isAway = false
    await world.pass(20_000)
    expect(addressesOf(await late)).toHaveLength(2)
    expect(ipam.view()).toMatchObject({ hasSynced: true, unwritten: 0, problems: [] })
    const shown = world.store.all().flatMap(({ allocations }) => allocations.map(({ address }) => formatIp(address)))
    expect(shown).toEqual(expect.arrayContaining([...used, ...given.flat()]))
  })

  test('nothing remembered, or of a family nothing: ADD waits as before, and says for what', async () => {
    const world = new World()
    const file = new PageCache()
    await endedNode(world, file, 1, V4)
    for (const [config, reserveFile] of [
      [V4, new PageCache().open()],
      [CONFIG, file.open()],
    ] as const) {
      const ipam = await world.start('n1', config, { hooks: new Away().hooks, reserveFile })
      expect(ipam.notReadyBecause()).toContain('the blocks of this node have not been read yet')
      const gaveUp = new AbortController()
      const answer = ipam.assign(assignRequest('h'), gaveUp.signal)
      gaveUp.abort()
      expect(faultOf(await answer)).toMatchObject({ kind: 'unavailable' })
      await ipam[Symbol.asyncDispose]()
    }
  })

  test('not what an IPReservation keeps back now, nor what something on the node uses', async () => {
    const world = new World()
    const file = new PageCache()
    await endedNode(world, file, 0, V4)
    const [block] = file.content
    const [first, second] = (block?.reserves ?? []).map(({ address }) => address)
    if (block === undefined || first === undefined || second === undefined) throw new Error('nothing is remembered')
    const config = { ...V4, reservations: [cidr(`${formatIp(first)}/32`)] }
    const isInUse = (address: unknown): boolean => address === second
    const ipam = await world.start('n1', config, { hooks: new Away().hooks, reserveFile: file.open(), isInUse })
    const given: string[] = []
    while (ipam.notReadyBecause() === null) given.push(...addressesOf(await ipam.assign(assignRequest(`h${given.length}`))))
    expect(given).toHaveLength(block.reserves.length - 2)
    expect(given).not.toContain(formatIp(first))
    expect(given).not.toContain(formatIp(second))
  })

  test('what was handed out, released and not yet written is not handed out again', async () => {
    const world = new World()
    const file = new PageCache()
    await endedNode(world, file, 0, V4)
    const away = new Away()
    const second = await world.start('n1', V4, { hooks: away.hooks, reserveFile: file.open() })
    const answer = await second.assign(assignRequest('h'))
    const [address = ''] = addressesOf(answer)
    void second.release('h').catch(() => {})
    await second[Symbol.asyncDispose]()
    const held = answer.ok ? [heldOf('h', answer.value, true)] : []
    const third = await world.start('n1', V4, { held, hooks: away.hooks, reserveFile: file.open() })
    const given: string[] = []
    while (third.notReadyBecause() === null) given.push(...addressesOf(await third.assign(assignRequest(`h${given.length}`))))
    expect(given.length).toBeGreaterThan(3)
    expect(given).not.toContain(address)
    away.isAway = false
    await world.pass(20_000)
    expect(
      world.store
        .all()[0]
        ?.allocations.map((each) => formatIp(each.address))
        .sort(),
    ).toEqual([...given].sort())
  })
})

describe('what is remembered', () => {
  test('is never more than the node has a claim to, whatever a power cut leaves; a release is synced once, an ADD not at all', async () => {
    const world = new World()
    const file = new PageCache()
    const wrong: string[] = []
    world.store.onWrite = (before, after) => {
      wrong.push(...wronglyRemembered('n1', file, after ?? { ...before, allocations: [], reserves: [] }))
    }
    const ipam = await world.start('n1', V4, { reserveFile: file.open() })
    for (let at = 0; at < 12; at++) {
      await ipam.assign(assignRequest(`h${at}`))
      await world.pass(300)
    }
    expect(file.syncs).toBe(0)
    for (let at = 0; at < 12; at++) {
      const released = ipam.release(`h${at}`)
      await world.pass(300)
      await released
    }
    expect(file.syncs).toBeGreaterThan(0)
    expect(file.syncs).toBeLessThanOrEqual(12)
    ipam.configure({ ...V4, pools: [] }) // all that was claimed ahead is given up
    await world.pass(700_000, 5_000)
    expect(world.store.all().flatMap(({ reserves }) => reserves)).toEqual([])
    expect(wrong).toEqual([])
    expect(file.content).toEqual([])
  })

  test('a state directory that cannot be written: blocks keep what they show, and what was released is written when it can be', async () => {
    const world = new World()
    const file = new PageCache()
    const port = file.open()
    let isFull = false
    const full = (): void => {
      if (isFull) throw new Error('ENOSPC: no space left on device')
    }
    const reserveFile = {
      ...port,
      write: (blocks: Parameters<typeof port.write>[0]) => {
        full()
        port.write(blocks)
      },
      sync: async () => {
        full()
        await port.sync()
      },
    }
    const ipam = await world.start('n1', V4, { reserveFile })
    await ipam.assign(assignRequest('h'))
    await world.pass(500)
    isFull = true
    let isDone = false
    void ipam.release('h').then(() => {
      isDone = true
    })
    await world.pass(5_000, 100)
    expect(isDone).toBe(false)
    expect(world.store.all()[0]?.allocations).toHaveLength(1)
    expect(ipam.view().problems[0]?.message).toContain('the state directory cannot be written: ENOSPC')
    isFull = false
    await world.pass(30_000, 100)
    expect(isDone).toBe(true)
    expect(ipam.view().problems).toEqual([])
  })

  test('a write that gave claims up and lands after the next start takes nothing from a pod', async () => {
    const world = new World()
    const file = new PageCache()
    const landing = Promise.withResolvers<void>()
    let isHeld = false
    const before = async (operation: string): Promise<void> => {
      if (operation === 'update' && isHeld) await landing.promise
    }
    const first = await world.start('n1', V4, { reserveFile: file.open(), hooks: { landsLate: true, before } })
    isHeld = true
    first.configure({ ...V4, reservations: [cidr('10.244.0.0/16')] })
    await world.pass(3_000)
    await first[Symbol.asyncDispose]()
    expect(file.content).toEqual([])
    const used = new Set<unknown>()
    const freed: unknown[] = []
    world.store.onWrite = (_, after) => {
      const left = [...(after?.allocations ?? []), ...(after?.reserves ?? [])].map(({ address }) => address)
      freed.push(...[...used].filter((address) => !left.includes(address as (typeof left)[number])))
    }
    const second = await world.start('n1', V4, { reserveFile: file.open() })
    const answer = await second.assign(assignRequest('h'))
    if (answer.ok) for (const { address } of answer.value) used.add(address)
    landing.resolve()
    await world.pass(1_000)
    expect(used.size).toBe(1)
    expect(freed).toEqual([])
    expect(world.store.all()[0]?.allocations).toMatchObject([{ handle: 'h' }])
  })

  test('of a claim handed out twice, because the record of the first was lost with its pod, the second has it', async () => {
    const world = new World()
    const file = new PageCache()
    const away = new Away()
    away.isAway = false
    const first = await world.start('n1', V4, { hooks: away.hooks, reserveFile: file.open() })
    const remembered = file.content
    const [address = ''] = addressesOf(await first.assign(assignRequest('lost')))
    await world.pass(500)
    expect(world.store.all()[0]?.allocations).toMatchObject([{ handle: 'lost' }])
    await first[Symbol.asyncDispose]()
    file.content = remembered // the power was cut
    away.isAway = true
    const second = await world.start('n1', V4, { hooks: away.hooks, reserveFile: file.open() })
    expect(addressesOf(await second.assign(assignRequest('new')))).toEqual([address])
    away.isAway = false
    await world.pass(20_000)
    expect(world.store.all()[0]?.allocations).toMatchObject([{ handle: 'new' }])
    expect(second.view().problems).toEqual([])
  })
})
