// Blocks of IPAM as IPAMBlock objects in the store: the adapter of IPAM's port. What a newer version keeps in an object besides is
// handed back as it was.
import {
  type BlockAllocation,
  type BlockRecord,
  type BlockStore,
  BlockStoreError,
  nodeOfAllocation,
  type StoredBlock,
} from '../../ipam/index.ts'
import { cidr, covers, formatIp, formatPrefix, ip, type Prefix } from '../../net/index.ts'
import {
  BLOCK_NODE_LABEL,
  BORROWER_LABEL_PREFIX,
  blockName,
  borrowerLabel,
  GROUP_VERSION,
  type IPAMBlock,
  type ManifestOf,
  type Store,
  StoreError,
} from '../../store/index.ts'

type Manifest = ManifestOf<'IPAMBlock'> & { readonly kind: 'IPAMBlock' }

/** What of a store blocks need. */
export type ObjectStore = Pick<Store, 'get' | 'list' | 'create' | 'update' | 'delete'>

export class ObjectBlockStore implements BlockStore {
  readonly #store: ObjectStore
  /** The object each block was read from. */
  readonly #objects = new WeakMap<StoredBlock, IPAMBlock>()

  constructor(store: ObjectStore) {
    this.#store = store
  }

  listOf(node: string, signal?: AbortSignal): Promise<readonly StoredBlock[]> {
    return translated(async () => {
      const own = await this.#store.list({ kind: 'IPAMBlock', labels: { [BLOCK_NODE_LABEL]: node } }, signal)
      const lent = await this.#store.list({ kind: 'IPAMBlock', labels: { [borrowerLabel(node)]: '' } }, signal)
      const byName = new Map([...own, ...lent].map((object) => [object.metadata.name, object]))
      return [...byName.values()].map((object) => this.#read(object))
    })
  }

  listIn(range: Prefix, signal?: AbortSignal): Promise<readonly StoredBlock[]> {
    return translated(async () => {
      const all = await this.#store.list({ kind: 'IPAMBlock' }, signal)
      return all
        .filter(({ spec }) => {
          const block = cidr(spec.cidr)
          return covers(range, block) || covers(block, range)
        })
        .map((object) => this.#read(object))
    })
  }

  get(range: Prefix, signal?: AbortSignal): Promise<StoredBlock | null> {
    return translated(async () => {
      const object = await this.#store.get('IPAMBlock', { name: blockName(range) }, signal)
      return object === null ? null : this.#read(object)
    })
  }

  create(block: BlockRecord, signal?: AbortSignal): Promise<StoredBlock> {
    return translated(async () => this.#read(await this.#store.create(manifestOf(block, null), {}, signal)))
  }

  update(from: StoredBlock, to: BlockRecord, signal?: AbortSignal): Promise<StoredBlock> {
    return translated(async () => this.#read(await this.#store.update(manifestOf(to, this.#objectOf(from)), {}, signal)))
  }

  delete(from: StoredBlock, signal?: AbortSignal): Promise<void> {
    return translated(() =>
      this.#store.delete('IPAMBlock', { name: this.#objectOf(from).metadata.name, resourceVersion: from.version }, signal),
    )
  }

  #objectOf(stored: StoredBlock): IPAMBlock {
    const object = this.#objects.get(stored)
    if (object === undefined) throw new RangeError(`block ${formatPrefix(stored.block.range)} was not read from this store`)
    return object
  }

  #read(object: IPAMBlock): StoredBlock {
    const stored = { block: recordOf(object), version: object.metadata.resourceVersion ?? '' }
    this.#objects.set(stored, object)
    return stored
  }
}

/** The block in an object. Its schema has checked it. */
export function recordOf({ spec }: IPAMBlock): BlockRecord {
  return {
    range: cidr(spec.cidr),
    node: spec.node ?? null,
    state: spec.state,
    sequence: spec.sequence,
    allocations: spec.allocations.map(
      ({ address, handle, sequence, pod, namespace, node, time }): BlockAllocation => ({
        address: ip(address),
        handle,
        sequence,
        pod: pod === undefined || namespace === undefined ? null : { namespace, name: pod },
        node: node ?? null,
        time: time ?? null,
      }),
    ),
    reserves: spec.reserves.map(({ address, node, sequence }) => ({ address: ip(address), node, sequence })),
    released: spec.released.map(({ address, sequence, time }) => ({ address: ip(address), sequence, time: time ?? null })),
  }
}

/** The object for a block: a new one, or the next version of `before`. */
export function manifestOf(block: BlockRecord, before: IPAMBlock | null): Manifest {
  const { node: _node, ...kept } = before?.spec ?? {}
  return {
    apiVersion: GROUP_VERSION,
    kind: 'IPAMBlock',
    metadata: { ...before?.metadata, name: before?.metadata.name ?? blockName(block.range), labels: labelsOf(block, before) },
    spec: {
      ...kept,
      cidr: formatPrefix(block.range),
      ...(block.node === null ? {} : { node: block.node }),
      state: block.state,
      sequence: block.sequence,
      allocations: block.allocations.map(({ address, handle, sequence, pod, node, time }) => ({
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

/** By its labels a block is found by its node and by every node that borrows from it. */
function labelsOf(block: BlockRecord, before: IPAMBlock | null): Readonly<Record<string, string>> {
  const users = [...block.allocations.map((each) => nodeOfAllocation(block, each)), ...block.reserves.map(({ node }) => node)]
  const borrowers = [...new Set(users)].filter((node) => node !== null && node !== block.node)
  const others = Object.entries(before?.metadata.labels ?? {}).filter(
    ([key]) => key !== BLOCK_NODE_LABEL && !key.startsWith(BORROWER_LABEL_PREFIX),
  )
  return {
    ...Object.fromEntries(others),
    ...(block.node === null ? {} : { [BLOCK_NODE_LABEL]: block.node }),
    ...Object.fromEntries(borrowers.flatMap((node) => (node === null ? [] : [[borrowerLabel(node), '']]))),
  }
}

async function translated<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (cause instanceof StoreError) throw new BlockStoreError(cause.code, cause.message, { cause })
    throw cause
  }
}
