// Fifty nodes on one pool that is nearly too small, with a slow store that fails before and after writes and lets some land long
// after their writer has given up; nodes are killed at any moment, between any two writes, or lose their power, and come back with what
// their state directory had. However it goes: no address has two owners, a handle keeps its addresses, what is used again is not freed, and in
// the end no address is lost.
import { describe, expect, test } from '@jest/globals'
import {
  type BlockRecord,
  BlockStoreError,
  createNodeIpam,
  type HeldAllocation,
  type IpamConfig,
  type NodeIpam,
} from '../../src/ipam/index.ts'
import { FakeClock } from '../../src/lib/clock.ts'
import { silentLog } from '../../src/lib/log.ts'
import { cidr, formatIp } from '../../src/net/index.ts'
import { FakeBlockStore } from '../support/fake-block-store.ts'
import { assignRequest, ipamConfig, PageCache, poolConfig, seeded, wronglyRemembered } from './world.ts'

const LONG_MS = 120_000
const NODES = 50
const POOL_SIZE = 1024

class Simulation {
  readonly clock = new FakeClock()
  readonly store = new FakeBlockStore()
  readonly random: () => number
  readonly config: IpamConfig
  /** Who has an address according to all state directories. */
  readonly owners = new Map<string, string>()
  /** What the nodes remember of their reserves. */
  readonly files = new Map<string, PageCache>()
  readonly violations: string[] = []
  isCalm = false
  adds = 0
  crashes = 0

  constructor(seed: number, config: IpamConfig) {
    this.random = seeded(seed)
    this.config = config
    this.store.onWrite = (before, after) => this.#checkWrite(before, after)
  }

  /** What a pod uses is neither freed nor given up, whoever writes. */
  #checkWrite(before: BlockRecord, after: BlockRecord | null): void {
    const has = new Set((after?.allocations ?? []).map(({ address }) => address))
    const reserved = new Set((after?.reserves ?? []).map(({ address }) => address))
    for (const { address, handle } of before.allocations) {
      if (!has.has(address) && this.owners.get(formatIp(address)) === handle)
        this.violations.push(`${formatIp(address)} of ${handle} was freed`)
    }
    for (const { address, node } of before.reserves) {
      if (has.has(address) || reserved.has(address)) continue
      const owner = this.owners.get(formatIp(address))
      if (owner?.startsWith(`${node}/`) === true) this.violations.push(`${formatIp(address)} of ${owner} was given up`)
    }
    const left = after ?? { ...before, allocations: [], reserves: [] }
    for (const [node, file] of this.files) this.violations.push(...wronglyRemembered(node, file, left))
  }

  chance(probability: number): boolean {
    return this.random() < probability
  }

  delay(ms: number): Promise<void> {
    return new Promise((resolve) => void this.clock.after(ms, resolve))
  }

  async pass(byMs: number, stepMs: number): Promise<void> {
    for (let passedMs = 0; passedMs < byMs; passedMs += stepMs) {
      this.clock.advance(stepMs)
      for (let turn = 0; turn < 25; turn++) await Promise.resolve()
    }
  }

  own(address: string, owner: string): void {
    const other = this.owners.get(address)
    if (other !== undefined && other !== owner) throw new Error(`${address} has two owners: ${other} and ${owner}`)
    this.owners.set(address, owner)
  }
}

class SimulatedNode {
  readonly name: string
  readonly #simulation: Simulation
  /** The state directory: survives a kill. */
  readonly disk = new Map<string, HeldAllocation>()
  readonly reserve = new PageCache()
  readonly #busy = new Set<string>()
  #life = 0
  #ipam: NodeIpam | null = null
  #handles = 0

  constructor(name: string, simulation: Simulation) {
    this.name = name
    this.#simulation = simulation
    simulation.files.set(name, this.reserve)
  }

  get isUp(): boolean {
    return this.#ipam !== null
  }

  start(): void {
    const simulation = this.#simulation
    const life = ++this.#life
    const isDead = (): boolean => this.#life !== life
    const never = (): Promise<void> => new Promise(() => {})
    const fails = (): void => {
      if (!simulation.isCalm && simulation.chance(0.03)) throw new BlockStoreError('UNAVAILABLE', 'simulated')
    }
    this.#ipam = createNodeIpam({
      node: this.name,
      clock: simulation.clock,
      random: simulation.random,
      log: silentLog,
      reserveFile: this.reserve.open(isDead),
      options: { refreshMs: 5_000, leakGraceMs: 5_000, emptyGraceMs: 20_000, reserveSize: 4, exhaustedRetryMs: 1_000 },
      store: simulation.store.port({
        landsLate: true,
        before: async () => {
          const isVeryLate = !simulation.isCalm && simulation.chance(0.01)
          await simulation.delay(isVeryLate ? 40_000 : 1 + simulation.random() * 15)
          if (isDead() && simulation.chance(0.5)) await never() // killed before it was sent; else it was under way
          if (!isDead()) fails()
        },
        after: async () => {
          await simulation.delay(simulation.random() * 15)
          if (isDead()) await never()
          fails()
        },
      }),
    })
    this.#ipam.configure(simulation.config)
    this.#ipam.adopt([...this.disk.values()])
    for (const { handle, isReleased } of this.disk.values()) if (isReleased) void this.#finishRelease(handle, life)
  }

  kill(): void {
    this.#life++
    this.#ipam = null
    this.#busy.clear()
    this.#simulation.crashes++
  }

  /** The disk shows something that was written since it was last synced; no pod survives, nor perhaps the record of it. */
  cutPower(): void {
    this.kill()
    this.reserve.cutPower(this.#simulation.random())
    for (const [handle, held] of this.disk) {
      for (const { address } of held.assignments) this.#simulation.owners.delete(formatIp(address))
      if (this.#simulation.chance(0.5)) this.disk.delete(handle)
      else this.disk.set(handle, { ...held, isReleased: true })
    }
  }

  /** People keep parts of the pool back, and think again: what was claimed ahead there is given up. */
  reconfigure(): void {
    const { config } = this.#simulation
    const part = cidr(['10.0.0.0/23', '10.0.1.0/24', '10.0.2.0/23'][Math.floor(this.#simulation.random() * 3)] ?? '10.0.3.0/24')
    this.#ipam?.configure(!this.#simulation.isCalm && this.#simulation.chance(0.7) ? { ...config, reservations: [part] } : config)
  }

  /** ADD of a new handle; true: it has an address. */
  async add(): Promise<boolean> {
    const handle = `${this.name}/${this.#life}.${this.#handles++}`
    const life = this.#life
    if (this.#ipam === null) return false
    const controller = new AbortController()
    using _ = this.#simulation.clock.after(20_000, () => controller.abort())
    const answer = await this.#ipam.assign(assignRequest(handle), controller.signal)
    if (!answer.ok) return false
    if (!this.#simulation.isCalm) await this.#simulation.delay(this.#simulation.random() * 200)
    if (this.#life !== life) return false // killed before the state directory had it
    for (const { address } of answer.value) this.#simulation.own(formatIp(address), handle)
    this.disk.set(handle, { handle, pod: null, assignments: answer.value, isReleased: false })
    this.#simulation.adds++
    return true
  }

  async addAgain(): Promise<void> {
    const handle = this.#pick()
    if (handle === null || this.#ipam === null) return
    const life = this.#life
    const answer = await this.#ipam.assign(assignRequest(handle))
    const known = this.disk.get(handle)
    if (this.#life !== life || known === undefined || known.isReleased) return
    expect(answer).toEqual({ ok: true, value: known.assignments })
  }

  async remove(): Promise<void> {
    const handle = this.#pick()
    if (handle === null || this.#ipam === null) return
    this.#busy.add(handle)
    const held = this.disk.get(handle)
    if (held === undefined) return
    this.disk.set(handle, { ...held, isReleased: true })
    for (const { address } of held.assignments) this.#simulation.owners.delete(formatIp(address))
    await this.#finishRelease(handle, this.#life)
  }

  async #finishRelease(handle: string, life: number): Promise<void> {
    await this.#ipam?.release(handle)
    await this.#simulation.delay(this.#simulation.random() * 1_000)
    if (this.#life === life) this.disk.delete(handle)
  }

  #pick(): string | null {
    const live = [...this.disk.values()].filter(({ isReleased, handle }) => !isReleased && !this.#busy.has(handle))
    return live[Math.floor(this.#simulation.random() * live.length)]?.handle ?? null
  }
}

async function act(node: SimulatedNode, simulation: Simulation): Promise<void> {
  const what = simulation.random()
  if (!node.isUp) {
    if (what < 0.15) node.start()
    return
  }
  if (what < 0.02) node.kill()
  else if (what < 0.03) node.cutPower()
  else if (what < 0.06) node.reconfigure()
  else if (what < 0.6) await node.add()
  else if (what < 0.92) await node.remove()
  else await node.addAgain()
}

describe.each([
  ['borrowing', { coolDownSeconds: 1 }],
  ['strict affinity', { coolDownSeconds: 0, strictAffinity: true }],
] as const)('%s', (_, over) => {
  test.each([1, 2])(
    'seed %i',
    async (seed) => {
      const pool = poolConfig('pods', '10.0.0.0/22', { blockSize: 28 })
      const simulation = new Simulation(seed, ipamConfig([pool], over))
      const nodes = Array.from({ length: NODES }, (_each, at) => new SimulatedNode(`node-${at}`, simulation))
      for (const node of nodes) node.start()
      const failures: unknown[] = []
      for (let step = 0; step < 3_000; step++) {
        const node = nodes[Math.floor(simulation.random() * NODES)]
        if (node === undefined) throw new Error('no node')
        act(node, simulation).catch((cause: unknown) => failures.push(cause))
        await simulation.pass(simulation.random() * 20, 5)
        if (failures.length > 0) throw failures[0]
        if (simulation.violations.length > 0) throw new Error(simulation.violations.join('; '))
      }
      expect(simulation.adds).toBeGreaterThan(500)
      expect(simulation.crashes).toBeGreaterThan(50)

      simulation.isCalm = true
      for (const node of nodes) {
        if (node.isUp) node.reconfigure()
        else node.start()
      }
      await simulation.pass(120_000, 50)
      const live = nodes.flatMap(({ disk }) => [...disk.values()])
      expect(live.filter(({ isReleased }) => isReleased)).toEqual([])
      const held = live.flatMap(({ handle, assignments }) => assignments.map(({ address }) => `${formatIp(address)} ${handle}`))
      const shown = simulation.store
        .all()
        .flatMap(({ allocations }) => allocations.map(({ address, handle }) => `${formatIp(address)} ${handle}`))
      expect(shown.sort()).toEqual(held.sort())

      // Every address that is not in use can be had by somebody.
      let given = live.length
      for (let round = 0; round < 40 && given < POOL_SIZE; round++) {
        const asked = nodes.flatMap((node) => [node.add(), node.add(), node.add(), node.add()])
        await simulation.pass(4_000, 20)
        given += (await Promise.all(asked)).filter((has) => has).length
      }
      expect(given).toBe(POOL_SIZE)
      expect(failures).toEqual([])
      expect(simulation.violations).toEqual([])
    },
    LONG_MS,
  )
})
