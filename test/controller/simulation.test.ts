// A cluster that lives for an hour, in which everything happens at once: pods come and go, are force-deleted and made again under the
// same name; nodes leave the cluster and return; agents die with addresses still written down; and two replicas of the controller, on
// a store that fails before and after writes and lets some land late, are killed between any two writes and started again. However it
// goes: no address of a pod that lives is ever freed, a node that is there loses nothing, and in the end nothing is leaked.
import { describe, expect, test } from '@jest/globals'
import { Controller } from '../../src/controller/controller.ts'
import {
  type Change,
  type IPAMBlock,
  type KindName,
  type ManifestOf,
  MemoryStore,
  type ObjectKey,
  type Resource,
  type Selection,
  type Store,
  StoreError,
  type WatchObserver,
  type WriteOptions,
} from '../../src/store/index.ts'
import { seeded } from '../ipam/world.ts'
import { pool } from '../store/objects.ts'
import { FakeClock, fill, kubeNode, network, pass, pod, settle, silentLog } from './world.ts'

const LONG_MS = 120_000
const GRACE_MS = 30_000
const NODES = 6
const PODS = 40
const STEP_MS = 1_000

/** The store as one replica has it: unreliable, a watch that is late, and dead once the replica is killed. */
class Shaky implements Store {
  readonly #store: MemoryStore
  readonly #clock: FakeClock
  readonly #random: () => number
  isCalm = false
  isDead = false
  /** Requests of this replica that are under way or will land late. */
  inFlight = 0

  constructor(store: MemoryStore, clock: FakeClock, random: () => number) {
    this.#store = store
    this.#clock = clock
    this.#random = random
  }

  get<K extends KindName>(kind: K, key: ObjectKey, signal?: AbortSignal) {
    return this.#call(() => this.#store.get(kind, key), signal)
  }
  list<K extends KindName>(selection: Selection<K>, signal?: AbortSignal) {
    return this.#call(() => this.#store.list(selection), signal)
  }
  create<K extends KindName>(object: ManifestOf<K>, options?: WriteOptions, signal?: AbortSignal) {
    return this.#call(() => this.#store.create<K>(object, options), signal)
  }
  update<K extends KindName>(object: ManifestOf<K>, options?: WriteOptions, signal?: AbortSignal) {
    return this.#call(() => this.#store.update<K>(object, options), signal)
  }
  updateStatus<K extends KindName>(object: ManifestOf<K>, signal?: AbortSignal) {
    return this.#call(() => this.#store.updateStatus<K>(object), signal)
  }
  applyConditions(): Promise<never> {
    return Promise.reject(new Error('the controller does not ask for this'))
  }
  delete(kind: KindName, key: ObjectKey & { readonly resourceVersion?: string }, signal?: AbortSignal) {
    return this.#call(() => this.#store.delete(kind, key), signal)
  }
  problems() {
    return this.#store.problems()
  }

  /** Every change arrives, in order, up to twenty seconds late. */
  watch(selections: readonly Selection[], observer: WatchObserver) {
    const held: (() => void)[] = []
    const later = (tell: () => void): void => {
      held.push(tell)
      this.#clock.after(this.isCalm ? 0 : this.#random() * 20_000, () => {
        const index = held.indexOf(tell)
        if (index >= 0) for (const each of held.splice(0, index + 1)) if (!this.isDead) each()
      })
    }
    return this.#store.watch(selections, {
      changed: (changes: readonly Change[]) => later(() => observer.changed(changes)),
      synced: () => later(() => observer.synced()),
      problems: () => {},
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #call<T>(operation: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    const chance = (probability: number): boolean => !this.isCalm && this.#random() < probability
    signal?.throwIfAborted()
    if (this.isDead || chance(0.05)) throw new StoreError('UNAVAILABLE', 'away')
    if (chance(0.3)) await new Promise<void>((resolve) => void this.#clock.after(this.#random() * 4_000, resolve))
    if (this.isDead && this.#random() < 0.5) throw new StoreError('UNAVAILABLE', 'dead') // the other half had been sent before
    const result = await operation()
    signal?.throwIfAborted()
    if (this.isDead || chance(0.05)) throw new StoreError('UNAVAILABLE', 'away')
    return result
  }
}

type Living = { readonly address: string; readonly node: string; readonly handle: string }

class Simulation {
  readonly clock = new FakeClock()
  readonly store = new MemoryStore({ clock: this.clock })
  readonly random: () => number
  readonly violations: string[] = []
  /** Containers that run, by the name of their pod: what nobody may take an address from. */
  readonly living = new Map<string, Living>()
  readonly present = new Set<string>()
  readonly replicas = new Map<Controller, Shaky>()
  #born = 0
  #sequence = 1_000
  figures = { pods: 0, leaked: 0, nodesLost: 0, kills: 0, freed: 0 }
  /** What was freed: each allocation once. */
  readonly freed = new Set<string>()

  constructor(seed: number) {
    this.random = seeded(seed)
  }

  chance(probability: number): boolean {
    return this.random() < probability
  }

  pick<T>(items: readonly T[]): T | undefined {
    return items[Math.floor(this.random() * items.length)]
  }

  async begin(): Promise<void> {
    await fill(this.store, [pool('pods', '10.244.0.0/16')])
    for (let node = 0; node < NODES; node++) await this.join(`n${node}`)
    this.store.watch([{ kind: 'IPAMBlock' }], { changed: (changes) => this.#check(changes), synced: () => {}, problems: () => {} })
    this.startReplica()
    this.startReplica()
  }

  startReplica(): void {
    const shaky = new Shaky(this.store, this.clock, this.random)
    const controller = new Controller({
      store: shaky,
      log: silentLog,
      namespace: 'fibula-system',
      identity: `replica-${this.#born++}`,
      clock: this.clock,
      random: this.random,
      leakGraceMs: GRACE_MS,
      statusIntervalMs: 5_000,
    })
    this.replicas.set(controller, shaky)
    controller.start()
  }

  /** Like kill -9: nothing more is sent by it; what was on its way may land. */
  kill(controller: Controller): void {
    const shaky = this.replicas.get(controller)
    if (shaky === undefined) return
    shaky.isDead = true
    this.replicas.delete(controller)
    void controller[Symbol.asyncDispose]() // its timers
    this.figures.kills++
  }

  /** A node (with a block of its own) joins, or comes back. */
  async join(name: string): Promise<void> {
    this.present.add(name)
    if ((await this.store.get('Node', { name })) === null) await fill(this.store, [kubeNode(name)])
    if ((await this.store.get('NodeNetwork', { name })) === null) await fill(this.store, [network(name)])
    await this.block(name)
  }

  async block(node: string): Promise<IPAMBlock> {
    const own = (await this.store.list({ kind: 'IPAMBlock' })).find(({ spec }) => spec.node === node)
    if (own !== undefined) return own
    for (let at = Number(node.slice(1)); ; at++) {
      const cidr = `10.244.${Math.floor(at / 4)}.${(at % 4) * 64}/26`
      const name = cidr.replace(/[./]/g, '-')
      if ((await this.store.get('IPAMBlock', { name })) !== null) continue
      const spec = { cidr, node, sequence: this.#sequence++, allocations: [], reserves: [] }
      return this.store.create({
        apiVersion: 'fibula.network/v1alpha1',
        kind: 'IPAMBlock',
        metadata: { name, labels: { 'fibula.network/node': node } },
        spec,
      })
    }
  }

  /** As the agent does it: the pod is in the API, then it has an address in the block, then it reports it. */
  async run(name: string): Promise<void> {
    const node = this.pick([...this.present])
    if (node === undefined || this.living.has(name)) return
    await fill(this.store, [pod(name, node, [])]).catch(() => {})
    const block = await this.block(node)
    const used = new Set(block.spec.allocations.map(({ address }) => address))
    const [base = '', host = '0'] = [
      block.spec.cidr.slice(0, block.spec.cidr.lastIndexOf('.')),
      block.spec.cidr.split('.').at(-1)?.split('/')[0],
    ]
    const address = Array.from({ length: 64 }, (_, at) => `${base}.${Number(host) + at}`).find((each) => !used.has(each))
    if (address === undefined) return
    const sequence = this.#sequence++
    const handle = `k8s/${name}/${sequence}`
    this.living.set(name, { address, node, handle })
    this.figures.pods++
    const allocation = { address, handle, sequence, pod: name, namespace: 'default', node }
    await this.#change(block, (spec) => ({ ...spec, sequence, allocations: [...spec.allocations, allocation] }))
    if (this.chance(0.8)) await this.#report(name, node, address)
  }

  /** It ends; now and then nobody releases its address, or its object is gone long before its containers are. */
  async end(name: string): Promise<void> {
    const was = this.living.get(name)
    if (was === undefined) return
    const key = { name, namespace: 'default' }
    this.living.delete(name)
    if (this.chance(0.5)) {
      const block = (await this.store.list({ kind: 'IPAMBlock' })).find(({ spec }) =>
        spec.allocations.some(({ handle }) => handle === was.handle),
      )
      if (block !== undefined)
        await this.#change(block, (spec) => ({ ...spec, allocations: spec.allocations.filter(({ handle }) => handle !== was.handle) }))
    } else {
      this.figures.leaked++
    }
    await this.store.delete('Pod', key).catch(() => {})
  }

  /** The Node is deleted, its pods end, and nobody is left to release anything. */
  async leave(name: string): Promise<void> {
    this.present.delete(name)
    this.figures.nodesLost++
    for (const [podName, { node }] of this.living) {
      if (node !== name) continue
      this.living.delete(podName)
      await this.store.delete('Pod', { name: podName, namespace: 'default' }).catch(() => {})
    }
    await this.store.delete('Node', { name }).catch(() => {})
  }

  /** A partition: the kubelet is not heard, its pods run on, and somebody may delete their objects by force. */
  async partition(name: string, isReady: boolean): Promise<void> {
    const node = await this.store.get('Node', { name })
    if (node === null) return
    await this.store.updateStatus({
      ...node,
      status: { ...node.status, conditions: [{ type: 'Ready', status: isReady ? 'True' : 'Unknown' }] },
    })
  }

  async #report(name: string, node: string, ip: string): Promise<void> {
    const current = await this.store.get('Pod', { name, namespace: 'default' })
    if (current !== null)
      await this.store.updateStatus({ ...current, ...pod(name, node, [ip]), metadata: current.metadata }).catch(() => {})
  }

  async #change(block: IPAMBlock, next: (spec: IPAMBlock['spec']) => IPAMBlock['spec']): Promise<void> {
    for (;;) {
      const current = await this.store.get('IPAMBlock', { name: block.metadata.name })
      if (current === null) throw new Error(`block ${block.metadata.name} of a node that is there was removed`)
      try {
        await this.store.update({ ...current, spec: next(current.spec) })
        return
      } catch (error) {
        if (!(error instanceof StoreError) || error.code !== 'CONFLICT') throw error
      }
    }
  }

  readonly #before = new Map<string, IPAMBlock>()

  /** The invariants, after every single write. */
  #check(changes: readonly { readonly type: 'put' | 'gone'; readonly object: Resource }[]): void {
    for (const { type, object } of changes) {
      if (object.kind !== 'IPAMBlock') continue
      const before = this.#before.get(object.metadata.name)
      const handles = new Set(type === 'gone' ? [] : object.spec.allocations.map(({ handle }) => handle))
      for (const { handle, pod: owner = '', address, sequence } of before?.spec.allocations ?? []) {
        if (handles.has(handle)) continue
        if (this.living.get(owner)?.handle === handle) this.violations.push(`${address} of living ${owner} was freed`)
        const name = `${address} ${sequence}`
        if (this.freed.has(name)) this.violations.push(`${name} was freed twice`)
        this.freed.add(name)
      }
      const node = before?.spec.node
      const isLost = node !== undefined && (type === 'gone' || object.spec.node !== node)
      if (isLost && this.present.has(node)) this.violations.push(`block ${object.metadata.name} was taken from ${node}, which is there`)
      if (type === 'gone') this.#before.delete(object.metadata.name)
      else this.#before.set(object.metadata.name, object)
    }
  }
}

describe('a cluster that lives for an hour', () => {
  test.each([11, 22, 33, 44, 55, 66])(
    'seed %i',
    async (seed) => {
      const world = new Simulation(seed)
      await world.begin()
      const cut = new Set<string>()
      for (let second = 0; second < 2_400; second++) {
        const name = `p${Math.floor(world.random() * PODS)}`
        if (world.chance(0.5)) await world.run(name)
        else if (world.living.get(name) !== undefined && !cut.has(world.living.get(name)?.node ?? '')) await world.end(name)
        if (world.chance(0.004)) {
          const node = world.pick([...world.present].filter((each) => !cut.has(each)))
          if (node !== undefined && world.present.size > 2) await world.leave(node)
        }
        if (world.chance(0.01)) await world.join(`n${Math.floor(world.random() * NODES)}`)
        if (world.chance(0.005)) {
          const node = world.pick([...world.present])
          if (node !== undefined) {
            if (cut.delete(node)) {
              // Its pods end with their objects gone, as a kubelet does that comes back.
              await world.partition(node, true)
              for (const [podName, each] of world.living)
                if (each.node === node && (await world.store.get('Pod', { name: podName, namespace: 'default' })) === null)
                  world.living.delete(podName)
            } else {
              cut.add(node)
              await world.partition(node, false)
              await settle()
            }
          }
        }
        // Force-deleted while nobody hears the node: the containers run on.
        const [victim] = [...world.living].find(([, { node }]) => cut.has(node)) ?? []
        if (victim !== undefined && world.chance(0.05))
          await world.store.delete('Pod', { name: victim, namespace: 'default' }).catch(() => {})
        if (world.chance(0.01)) {
          const controller = world.pick([...world.replicas.keys()])
          if (controller !== undefined) world.kill(controller)
          world.startReplica()
        }
        await pass(world.clock, STEP_MS, STEP_MS)
      }
      expect(world.violations).toEqual([])
      // Calm: everybody is heard, nobody dies; what is leaked goes within a few looks.
      for (const shaky of world.replicas.values()) shaky.isCalm = true
      for (const node of cut) await world.partition(node, true)
      for (const name of world.living.keys()) {
        if ((await world.store.get('Pod', { name, namespace: 'default' })) === null) world.living.delete(name)
      }
      await pass(world.clock, 10 * GRACE_MS, STEP_MS)
      expect(world.violations).toEqual([])
      const blocks = await world.store.list({ kind: 'IPAMBlock' })
      const allocated = blocks.flatMap(({ spec }) => spec.allocations.map(({ handle }) => handle)).sort()
      // An agent releases itself what is of its own pod by the same name; nobody does here.
      const sameName = allocated.filter((handle) => ![...world.living.values()].some((each) => each.handle === handle))
      for (const handle of sameName) expect(world.living.has(handle.split('/')[1] ?? '')).toBe(true)
      for (const { handle } of world.living.values()) expect(allocated).toContain(handle)
      expect(
        blocks.filter(({ spec }) => spec.node === undefined || !world.present.has(spec.node)).map(({ metadata }) => metadata.name),
      ).toEqual([])
      expect((await world.store.list({ kind: 'NodeNetwork' })).map(({ metadata }) => metadata.name)).toEqual([...world.present].sort())
      const leading = [...world.replicas.keys()].filter((controller) => controller.view().election.isLeading)
      expect(leading).toHaveLength(1)
      const { pods, leaked, nodesLost, kills } = world.figures
      expect([pods > 200, leaked > 50, nodesLost > 3, kills > 10]).toEqual([true, true, true, true])
    },
    LONG_MS,
  )
})
