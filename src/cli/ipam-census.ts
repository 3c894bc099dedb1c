// What a store says about addresses: pools, blocks, nodes and pods, in the values that IPAM works with.
import { blockStoreOf } from '../agent/index.ts'
import type { AddressCensus, BlockStore, LivingPod, StoredBlock } from '../ipam/index.ts'
import { cidr, comparePrefix, type IpAddress, type Prefix, parseIp } from '../net/index.ts'
import { poolBlockSize, poolPrefix, type ResourceOf, type Store } from '../store/index.ts'

export type Pool = { readonly name: string; readonly range: Prefix; readonly blockSize: number; readonly disabled: boolean }

export type Addresses = {
  readonly pools: readonly Pool[]
  readonly blocks: readonly StoredBlock[]
  readonly census: AddressCensus
  readonly store: BlockStore
}

const EVERYTHING = ['0.0.0.0/0', '::/0'].map(cidr)
const FINISHED = new Set(['Succeeded', 'Failed'])

/**
 * Reads it all. A store without Node or Pod objects does not mean a cluster without nodes or pods: then these count as unknown,
 * and nothing as gone.
 */
export async function readAddresses(store: Store): Promise<Addresses> {
  const blockStore = await blockStoreOf(store)
  const [pools, nodes, pods, ...blocks] = await Promise.all([
    store.list({ kind: 'IPPool' }),
    store.list({ kind: 'Node' }),
    store.list({ kind: 'Pod' }),
    ...EVERYTHING.map((range) => blockStore.listIn(range)),
  ])
  const stored = blocks.flat().sort((a, b) => comparePrefix(a.block.range, b.block.range))
  return {
    pools: pools.map(({ metadata, spec }) => ({
      name: metadata.name,
      range: poolPrefix(spec),
      blockSize: poolBlockSize(spec),
      disabled: spec.disabled,
    })),
    blocks: stored,
    store: blockStore,
    census: {
      pools: pools.map(({ spec }) => poolPrefix(spec)),
      blocks: stored.map(({ block }) => block),
      nodes: nodes.length === 0 ? null : new Set(nodes.map(({ metadata }) => metadata.name)),
      pods: pods.length === 0 ? null : pods.filter(({ spec }) => !spec.hostNetwork).map(livingPod),
    },
  }
}

function livingPod({ metadata, spec, status }: ResourceOf<'Pod'>): LivingPod {
  return {
    namespace: metadata.namespace ?? 'default',
    name: metadata.name,
    node: spec.nodeName ?? null,
    addresses: status.podIPs.map(({ ip }) => parseIp(ip)).filter((address): address is IpAddress => address !== null),
    isFinished: FINISHED.has(status.phase),
  }
}
