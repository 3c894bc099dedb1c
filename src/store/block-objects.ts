// Blocks of IPAM kept in the store as IPAMBlock objects. What a newer version has added to an object, and what people wrote into its
// metadata, stays.
import { type BlockRecord, type BlockStore, BlockStoreError, nodeOfAllocation, type StoredBlock } from '../ipam/index.ts'
import {
  bitsOf,
  containsAddress,
  covers,
  formatIp,
  formatPrefix,
  type IpAddress,
  parseIp,
  parsePrefix,
  prefixFamily,
} from '../net/index.ts'
import { BLOCK_NODE_LABEL, BORROWER_LABEL_PREFIX, blockName, blockNodeLabelValue, borrowerLabel } from './kinds/ipam-block.ts'
import { GROUP_VERSION } from './kinds/kind.ts'
import type { IPAMBlock } from './kinds/registry.ts'
import { type Store, StoreError } from './port.ts'

/** Blocks in `store`. An object that is no block under its right name is as good as none, so that one bad object stops nobody. */
export function createBlockStore(store: Store): BlockStore {
  const objects = new WeakMap<StoredBlock, IPAMBlock>()
  const stored = (object: IPAMBlock): StoredBlock | null => {
    const block = blockOfObject(object)
    if (block === null || blockName(block.range) !== object.metadata.name) return null
    const result = { block, version: object.metadata.resourceVersion ?? '' }
    objects.set(result, object)
    return result
  }
  const written = (object: IPAMBlock): StoredBlock => {
    const result = stored(object)
    if (result === null) throw new BlockStoreError('INVALID', `IPAMBlock/${object.metadata.name} came back with a cidr that is none`)
    return result
  }
  const objectOf = (block: StoredBlock): IPAMBlock => {
    const object = objects.get(block)
    if (object === undefined) throw new Error('a block can only be changed as it was read')
    return object
  }
  const list = async (labels: Readonly<Record<string, string>>, signal?: AbortSignal): Promise<readonly StoredBlock[]> => {
    const found = await store.list({ kind: 'IPAMBlock', labels }, signal)
    return found.map(stored).filter((block) => block !== null)
  }
  return {
    listOf: (node, signal) =>
      translated(async () => {
        const own = await list({ [BLOCK_NODE_LABEL]: blockNodeLabelValue(node) }, signal)
        const borrowed = await list({ [borrowerLabel(node)]: '' }, signal)
        const keys = new Set(own.map(({ block }) => formatPrefix(block.range)))
        return [...own, ...borrowed.filter(({ block }) => !keys.has(formatPrefix(block.range)))]
      }),
    listIn: (range, signal) =>
      translated(async () => (await list({}, signal)).filter(({ block }) => covers(range, block.range) || covers(block.range, range))),
    get: (range, signal) =>
      translated(async () => {
        const object = await store.get('IPAMBlock', { name: blockName(range) }, signal)
        return object === null ? null : stored(object)
      }),
    create: (block, signal) =>
      translated(async () =>
        written(await store.create({ apiVersion: GROUP_VERSION, kind: 'IPAMBlock', ...manifestOf(block, null) }, {}, signal)),
      ),
    update: (from, to, signal) =>
      translated(async () => {
        const before = objectOf(from)
        return written(await store.update({ apiVersion: GROUP_VERSION, kind: 'IPAMBlock', ...manifestOf(to, before) }, {}, signal))
      }),
    delete: (from, signal) =>
      translated(async () => {
        const { name, resourceVersion } = objectOf(from).metadata
        await store.delete('IPAMBlock', { name, ...(resourceVersion === undefined ? {} : { resourceVersion }) }, signal)
      }),
  }
}

/** Schemas of pools allow blocks of up to 4,096 addresses. */
const LARGEST_BITS = 12

/** The block of an object; null if its cidr is none, or far too large. Addresses that are none, or lie elsewhere, are left out. */
export function blockOfObject({ spec }: IPAMBlock): BlockRecord | null {
  const range = parsePrefix(spec.cidr)
  if (range === null || bitsOf(prefixFamily(range)) - range.length > LARGEST_BITS) return null
  const within = (text: string): readonly IpAddress[] => {
    const address = parseIp(text)
    return address === null || !containsAddress(range, address) ? [] : [address]
  }
  return {
    range,
    node: spec.node ?? null,
    state: spec.state,
    sequence: spec.sequence,
    allocations: spec.allocations.flatMap(({ address: text, handle, sequence, pod, namespace, node, time }) =>
      within(text).map((address) => ({
        address,
        handle,
        sequence,
        pod: pod === undefined || namespace === undefined ? null : { namespace, name: pod },
        node: node ?? null,
        time: time ?? null,
      })),
    ),
    reserves: spec.reserves.flatMap(({ address: text, node, sequence }) => within(text).map((address) => ({ address, node, sequence }))),
    released: spec.released.flatMap(({ address: text, sequence, time }) =>
      within(text).map((address) => ({ address, sequence, time: time ?? null })),
    ),
  }
}

function manifestOf(block: BlockRecord, before: IPAMBlock | null): Pick<IPAMBlock, 'metadata' | 'spec'> {
  const { node: _, ...kept } = before?.spec ?? {}
  // What a newer version has added to an entry stays with it.
  const keptOf = (entries: readonly { readonly address: string; readonly sequence: number }[]) => {
    const byName = new Map(entries.map((entry) => [`${entry.address}#${entry.sequence}`, entry]))
    return (address: string, sequence: number): object => byName.get(`${address}#${sequence}`) ?? {}
  }
  const keptAllocation = keptOf(before?.spec.allocations ?? [])
  const metadata = before?.metadata ?? { name: blockName(block.range), annotations: {} }
  return {
    metadata: { ...metadata, labels: labelsOf(block, before?.metadata.labels ?? {}) },
    spec: {
      ...kept,
      cidr: formatPrefix(block.range),
      ...(block.node === null ? {} : { node: block.node }),
      state: block.state,
      sequence: block.sequence,
      allocations: block.allocations.map(({ address, handle, sequence, pod, node, time }) => ({
        ...keptAllocation(formatIp(address), sequence),
        address: formatIp(address),
        handle,
        sequence,
        ...(pod === null ? {} : { pod: pod.name, namespace: pod.namespace }),
        ...(node === null ? {} : { node }),
        ...(time === null ? {} : { time }),
      })),
      reserves: block.reserves.map(({ address, node, sequence }) => ({ address: formatIp(address), node, sequence })),
      released: block.released.map(({ address, sequence, time }) => ({
        address: formatIp(address),
        sequence,
        ...(time === null ? {} : { time }),
      })),
    },
  }
}

/** The labels by which the node of a block and those who borrow from it find it. */
function labelsOf(block: BlockRecord, before: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const others = Object.entries(before).filter(([key]) => key !== BLOCK_NODE_LABEL && !key.startsWith(BORROWER_LABEL_PREFIX))
  const borrowers = new Set<string>()
  for (const { node } of block.reserves) if (node !== block.node) borrowers.add(node)
  for (const allocation of block.allocations) {
    const node = nodeOfAllocation(block, allocation)
    if (node !== null && node !== block.node) borrowers.add(node)
  }
  return {
    ...Object.fromEntries(others),
    ...(block.node === null ? {} : { [BLOCK_NODE_LABEL]: blockNodeLabelValue(block.node) }),
    ...Object.fromEntries([...borrowers].map((node) => [borrowerLabel(node), ''])),
  }
}

async function translated<T>(operation: () => Promise<T>): Promise<T> {
  try {
    return await operation()
  } catch (cause) {
    if (cause instanceof StoreError) throw new BlockStoreError(cause.code, cause.message, { cause })
    throw cause
  }
}
