// A node's IPAM over a fake store and a clock that stands still: what the tests of this folder share.
import {
  type AssignFault,
  type Assignment,
  type AssignRequest,
  type BlockRecord,
  createNodeIpam,
  type HeldAllocation,
  type IpamConfig,
  type NodeIpam,
  type NodeIpamDeps,
  nodeOfAllocation,
  type PoolConfig,
  type RememberedBlock,
  type ReserveFile,
} from '../../src/ipam/index.ts'
import { FakeClock } from '../../src/lib/clock.ts'
import { silentLog } from '../../src/lib/log.ts'
import { cidr, comparePrefix, formatIp, type Prefix } from '../../src/net/index.ts'
import { FakeBlockStore, type FakeBlockStoreHooks } from '../support/fake-block-store.ts'

export function poolConfig(name: string, range: string, over: Partial<PoolConfig> = {}): PoolConfig {
  return {
    name,
    range: cidr(range),
    blockSize: range.includes(':') ? 122 : 26,
    selectsNode: true,
    namespaceSelector: null,
    disabled: false,
    assignmentMode: 'Automatic',
    forWorkloads: true,
    ...over,
  }
}

export function ipamConfig(pools: readonly PoolConfig[], over: Partial<IpamConfig> = {}): IpamConfig {
  return { pools, reservations: [], strictAffinity: false, maxBlocksPerHost: null, coolDownSeconds: 30, ...over }
}

export function assignRequest(handle: string, over: Partial<AssignRequest> = {}): AssignRequest {
  return {
    handle,
    pod: { namespace: 'default', name: handle },
    namespaceLabels: {},
    requested: [],
    pools: { ipv4: null, ipv6: null },
    ...over,
  }
}

/** Small, seeded: the same numbers in every run. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Lets everything that needs no time happen. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 60; turn++) await Promise.resolve()
}

export class World {
  readonly clock = new FakeClock()
  readonly store = new FakeBlockStore()

  async start(
    node: string,
    config: IpamConfig,
    over: Partial<Omit<NodeIpamDeps, 'node' | 'store' | 'clock'>> & {
      readonly held?: readonly HeldAllocation[]
      readonly hooks?: FakeBlockStoreHooks
    } = {},
  ): Promise<NodeIpam> {
    const { held = [], hooks = {}, ...deps } = over
    const ipam = createNodeIpam({
      node,
      store: this.store.port(hooks),
      clock: this.clock,
      random: seeded(1),
      log: silentLog,
      ...deps,
    })
    ipam.configure(config)
    ipam.adopt(held)
    await this.pass(0)
    return ipam
  }

  /** Time passes, in small steps, so that what waits for a timer and then for a promise gets both. */
  async pass(byMs: number, stepMs = Math.max(1, byMs / 50)): Promise<void> {
    await this.#breathe()
    for (let passedMs = 0; passedMs < byMs; passedMs += stepMs) {
      this.clock.advance(Math.min(stepMs, byMs - passedMs))
      await this.#breathe()
    }
  }

  async #breathe(): Promise<void> {
    for (let round = 0; round < 8; round++) {
      await settle()
      this.clock.advance(0)
    }
    await settle()
  }
}

export function addressesOf(
  result: { readonly ok: true; readonly value: readonly Assignment[] } | { readonly ok: false; readonly error: AssignFault },
): readonly string[] {
  if (!result.ok) throw new Error(`${result.error.kind}: ${result.error.message}`)
  return result.value.map(({ address }) => formatIp(address))
}

export function faultOf(result: { readonly ok: true } | { readonly ok: false; readonly error: AssignFault }): AssignFault {
  if (result.ok) throw new Error('expected a fault')
  return result.error
}

/** The remembered form of an answer: what the state directory would hold. */
export function heldOf(handle: string, assignments: readonly Assignment[], isReleased = false): HeldAllocation {
  return { handle, pod: { namespace: 'default', name: handle }, assignments, isReleased }
}

/** What a page cache does to a file: all that was written is there, but after a power cut any of what was written since the last sync. */
export class PageCache {
  content: readonly RememberedBlock[] = []
  #possible: (readonly RememberedBlock[])[] = [[]]
  syncs = 0

  open(isDead: () => boolean = () => false): ReserveFile {
    return {
      read: () => this.content,
      write: (blocks) => {
        if (isDead()) throw new Error('killed')
        this.content = blocks
        this.#possible.push(blocks)
      },
      sync: async () => {
        if (isDead()) throw new Error('killed')
        this.syncs++
        this.#possible = [this.content]
      },
    }
  }

  /** `random` in [0, 1) chooses what is left. */
  cutPower(random: number): void {
    this.content = this.#possible[Math.floor(random * this.#possible.length)] ?? []
    this.#possible = [this.content]
  }

  /** Everything about a block that may be left. */
  lasting(range: Prefix): readonly RememberedBlock['reserves'][number][] {
    return this.#possible.flatMap((content) =>
      content.filter((each) => comparePrefix(each.range, range) === 0).flatMap(({ reserves }) => reserves),
    )
  }
}

/** What a node may remember of a block after a power cut, and has no claim to there. */
export function wronglyRemembered(node: string, file: PageCache, block: BlockRecord): readonly string[] {
  const ours = [
    ...block.reserves.filter((each) => each.node === node),
    ...block.allocations.filter((each) => nodeOfAllocation(block, each) === node),
  ]
  return file
    .lasting(block.range)
    .filter((each) => !ours.some(({ address, sequence }) => address === each.address && sequence === each.sequence))
    .map(({ address, sequence }) => `${node} may remember ${formatIp(address)}#${sequence}`)
}
