// `fibula ipam show [WHAT]`: pools, blocks and addresses. With --store of the whole cluster, else of the node whose agent answers.
import type { IpamStatus, PodStatus } from '../agent/index.ts'
import { type BlockRecord, nodeOfAllocation } from '../ipam/index.ts'
import {
  bitsOf,
  compareIp,
  containsAddress,
  covers,
  formatIp,
  formatPrefix,
  type IpAddress,
  type Prefix,
  parseIp,
  parsePrefix,
  prefixFamily,
} from '../net/index.ts'
import { askAgent } from './agents.ts'
import { type Addresses, readAddresses } from './ipam-census.ts'
import type { Environment } from './options.ts'
import { type Cell, CliError, type Column, formatAge, formatFields, formatTable, type OutputFormat, print, type Screen } from './output.ts'
import { withStore } from './store-option.ts'

export type ShowArgs = {
  readonly output: OutputFormat
  readonly what?: string | undefined
  readonly store?: string | undefined
  readonly runDir: string
  readonly node?: string | undefined
  readonly namespace?: string | undefined
  readonly context?: string | undefined
}

export async function showIpam(args: ShowArgs, environment: Environment): Promise<void> {
  const { what, store, context } = args
  if (store !== undefined && (store !== 'kubernetes' || args.node === undefined)) {
    const addresses = await withStore({ store, context }, readAddresses)
    const address = what === undefined ? null : parseIp(what)
    if (address !== null) await print(args.output, findAddress(addresses, address), formatAddress)
    else await print(args.output, clusterReport(addresses, what ?? null), formatCluster)
    return
  }
  const [ipam, pods] = await askAgent(args, environment, (client) =>
    Promise.all([client.get<IpamStatus>('/v1/ipam'), client.get<readonly PodStatus[]>('/v1/pods')]),
  )
  const wanted = what === undefined ? pods : pods.filter((pod) => isAbout(pod, what))
  if (what !== undefined && wanted.length === 0) throw new CliError(`no pod of this node has ${what}; ask the whole cluster with --store`)
  await print(args.output, { ...ipam, pods: wanted }, (report, screen) => formatNode(report, what !== undefined, screen))
  if (!ipam.ready) process.exitCode = 1
}

function isAbout({ namespace, name, addresses }: PodStatus, what: string): boolean {
  const address = parseIp(what)
  if (address !== null) return addresses.some((each) => parseIp(each.address) === address)
  const range = parsePrefix(what)
  if (range !== null) return addresses.some((each) => containsAddress(range, parseIp(each.address) ?? range.address))
  return name === what || `${namespace}/${name}` === what || addresses.some(({ pool }) => pool === what)
}

type PoolRow = {
  readonly name: string
  readonly cidr: string
  readonly blockSize: number
  readonly disabled: boolean
  readonly blocks: number
  /** Addresses in it; beyond 2^53 not exact. */
  readonly capacity: number
  readonly allocated: number
  readonly reserved: number
}

type BlockRow = {
  readonly cidr: string
  readonly node: string | null
  readonly state: string
  readonly size: number
  readonly allocated: number
  readonly reserved: number
  readonly resting: number
}

type AllocationRow = {
  readonly address: string
  readonly pod: string | null
  readonly node: string | null
  readonly handle: string
  readonly since: string | null
}

type ClusterReport = {
  readonly pools: readonly PoolRow[]
  readonly blocks: readonly BlockRow[]
  readonly allocations: readonly AllocationRow[]
}

/** Everything, or what belongs to a pool, a node, or a range. Throws CliError if there is nothing of that name. */
export function clusterReport({ pools, blocks }: Addresses, what: string | null): ClusterReport {
  const range = what === null ? null : parsePrefix(what)
  const named = pools.filter(({ name }) => name === what)
  const records = blocks.map(({ block }) => block)
  const isWanted = (block: BlockRecord): boolean => {
    if (what === null) return true
    if (range !== null) return covers(range, block.range) || covers(block.range, range)
    if (named.length > 0) return named.some((pool) => covers(pool.range, block.range))
    return block.node === what || block.allocations.some((each) => nodeOfAllocation(block, each) === what)
  }
  const wanted = records.filter(isWanted)
  if (what !== null && named.length === 0 && wanted.length === 0)
    throw new CliError(`there is no pool, block or node ${JSON.stringify(what)}; the pools are ${pools.map(({ name }) => name).join(', ')}`)
  const shown =
    what === null ? pools : pools.filter((pool) => named.includes(pool) || wanted.some((block) => covers(pool.range, block.range)))
  return {
    pools: shown.map((pool) => {
      const inside = records.filter((block) => covers(pool.range, block.range))
      return {
        name: pool.name,
        cidr: formatPrefix(pool.range),
        blockSize: pool.blockSize,
        disabled: pool.disabled,
        blocks: inside.length,
        capacity: sizeOf(pool.range),
        allocated: sum(inside, ({ allocations }) => allocations.length),
        reserved: sum(inside, ({ reserves }) => reserves.length),
      }
    }),
    blocks: wanted.map((block) => ({
      cidr: formatPrefix(block.range),
      node: block.node,
      state: block.state,
      size: sizeOf(block.range),
      allocated: block.allocations.length,
      reserved: block.reserves.length,
      resting: block.released.length,
    })),
    allocations:
      what === null
        ? []
        : wanted.flatMap((block) =>
            [...block.allocations]
              .sort((a, b) => compareIp(a.address, b.address))
              .map((each) => ({
                address: formatIp(each.address),
                pod: each.pod === null ? null : `${each.pod.namespace}/${each.pod.name}`,
                node: nodeOfAllocation(block, each),
                handle: each.handle,
                since: each.time,
              })),
          ),
  }
}

type AddressReport = {
  readonly address: string
  readonly pool: string | null
  readonly block: string | null
  readonly blockNode: string | null
  /** free: nobody has it; reserved: claimed ahead by `node`; allocated: `pod` has it. */
  readonly state: 'allocated' | 'reserved' | 'free'
  readonly node: string | null
  readonly pod: string | null
  readonly handle: string | null
  readonly since: string | null
}

function findAddress({ pools, blocks }: Addresses, address: IpAddress): AddressReport {
  const block = blocks.map((each) => each.block).findLast(({ range }) => containsAddress(range, address)) ?? null
  const allocation = block?.allocations.find((each) => each.address === address) ?? null
  const reserve = block?.reserves.find((each) => each.address === address) ?? null
  const pod = allocation?.pod ?? null
  return {
    address: formatIp(address),
    pool: pools.find(({ range }) => containsAddress(range, address))?.name ?? null,
    block: block === null ? null : formatPrefix(block.range),
    blockNode: block?.node ?? null,
    state: allocation !== null ? 'allocated' : reserve !== null ? 'reserved' : 'free',
    node: allocation !== null && block !== null ? nodeOfAllocation(block, allocation) : (reserve?.node ?? null),
    pod: pod === null ? null : `${pod.namespace}/${pod.name}`,
    handle: allocation?.handle ?? null,
    since: allocation?.time ?? null,
  }
}

function formatAddress({ address, pool, block, blockNode, state, node, pod, handle, since }: AddressReport, screen: Screen): string {
  return formatFields(
    [
      ['Address', address],
      ['State', { text: state === 'reserved' ? `claimed ahead by node ${node}` : state, tone: state === 'free' ? 'quiet' : 'good' }],
      ['Pool', pool ?? { text: 'none: no IPPool has it', tone: 'bad' }],
      ['Block', block === null ? 'none yet' : `${block}${blockNode === null ? ', of no node' : ` of node ${blockNode}`}`],
      ...(state === 'allocated'
        ? ([
            ['Pod', pod ?? 'not known'],
            ['Node', node ?? 'not known'],
            ['Handle', handle ?? ''],
            ['Since', since ?? 'not known'],
          ] as const)
        : []),
    ],
    screen,
  )
}

const POOL_COLUMNS: readonly Column<PoolRow>[] = [
  { title: 'pool', cell: ({ name }) => name },
  { title: 'cidr', cell: ({ cidr }) => cidr },
  { title: 'block size', cell: ({ blockSize }) => `/${blockSize}`, align: 'right' },
  { title: 'blocks', cell: ({ blocks }) => String(blocks), align: 'right' },
  { title: 'in use', cell: ({ allocated }) => String(allocated), align: 'right' },
  { title: 'claimed ahead', cell: ({ reserved }) => String(reserved), align: 'right' },
  { title: 'addresses', cell: ({ capacity }) => shortCount(capacity), align: 'right' },
  { title: 'used', cell: ({ allocated, capacity }) => usedCell(allocated, capacity), align: 'right' },
  { title: '', cell: ({ disabled }) => (disabled ? { text: 'disabled', tone: 'warning' } : '') },
]

const BLOCK_COLUMNS: readonly Column<BlockRow>[] = [
  { title: 'block', cell: ({ cidr }) => cidr },
  { title: 'node', cell: ({ node }) => node ?? { text: 'none', tone: 'warning' } },
  { title: 'state', cell: ({ state }) => ({ text: state, tone: state === 'Confirmed' ? 'good' : 'warning' }) },
  { title: 'in use', cell: ({ allocated }) => String(allocated), align: 'right' },
  { title: 'claimed ahead', cell: ({ reserved }) => String(reserved), align: 'right' },
  { title: 'used before', cell: ({ resting }) => String(resting), align: 'right' },
  { title: 'addresses', cell: ({ size }) => shortCount(size), align: 'right' },
]

const ALLOCATION_COLUMNS: readonly Column<AllocationRow>[] = [
  { title: 'address', cell: ({ address }) => address },
  { title: 'pod', cell: ({ pod }) => pod ?? '-' },
  { title: 'node', cell: ({ node }) => node ?? '-' },
  { title: 'since', cell: ({ since }) => since ?? '-' },
  { title: 'handle', cell: ({ handle }) => handle, shrinks: true },
]

export function formatPools(pools: ClusterReport['pools'], screen: Screen): string {
  return formatTable(POOL_COLUMNS, pools, screen)
}

function formatCluster({ pools, blocks, allocations }: ClusterReport, screen: Screen): string {
  const parts = [
    pools.length === 0 ? 'no pools: apply an IPPool\n' : formatPools(pools, screen),
    blocks.length === 0 ? 'no blocks claimed\n' : formatTable(BLOCK_COLUMNS, blocks, screen),
    ...(allocations.length === 0 ? [] : [formatTable(ALLOCATION_COLUMNS, allocations, screen)]),
  ]
  return parts.join('\n')
}

type NodeReport = IpamStatus & { readonly pods: readonly PodStatus[] }

const NODE_POOL_COLUMNS: readonly Column<IpamStatus['pools'][number]>[] = [
  { title: 'pool', cell: ({ name }) => name },
  { title: 'cidr', cell: ({ cidr }) => cidr },
  { title: 'block size', cell: ({ blockSize }) => `/${blockSize}`, align: 'right' },
  { title: 'for pods here', cell: usableCell },
  { title: 'ready at once', cell: ({ reserve }) => String(reserve), align: 'right' },
]

const NODE_BLOCK_COLUMNS: readonly Column<IpamStatus['blocks'][number]>[] = [
  { title: 'block', cell: ({ cidr }) => cidr },
  { title: 'pool', cell: ({ pool }) => pool ?? { text: 'none', tone: 'warning' } },
  { title: 'state', cell: ({ state }) => ({ text: state, tone: state === 'Confirmed' ? 'good' : 'warning' }) },
  { title: 'in use', cell: ({ allocated }) => String(allocated), align: 'right' },
  { title: 'claimed ahead', cell: ({ reserved }) => String(reserved), align: 'right' },
  { title: 'lent', cell: ({ lent }) => String(lent), align: 'right' },
  { title: 'resting', cell: ({ cooling }) => String(cooling), align: 'right' },
  { title: 'free', cell: ({ free }) => String(free), align: 'right' },
]

const POD_COLUMNS: readonly Column<PodStatus>[] = [
  { title: 'pod', cell: ({ namespace, name, containerId }) => (name === null ? containerId : `${namespace}/${name}`) },
  {
    title: 'addresses',
    cell: ({ addresses }) => addresses.map(({ address, borrowed }) => `${address}${borrowed ? ' (borrowed)' : ''}`).join(', '),
  },
  { title: 'interface', cell: ({ hostInterface }) => hostInterface },
  { title: 'age', cell: ({ since }) => (since === null ? '' : formatAge((Date.now() - Date.parse(since)) / 1000)), align: 'right' },
  { title: 'state', cell: ({ state }) => ({ text: state, tone: state === 'attached' ? 'good' : 'warning' }) },
]

function formatNode({ ready, notReadyBecause, pools, blocks, pods, unwritten }: NodeReport, podsOnly: boolean, screen: Screen): string {
  const podTable = pods.length === 0 ? 'no pods\n' : formatTable(POD_COLUMNS, pods, screen)
  if (podsOnly) return podTable
  const notes = [
    ...(ready ? [] : [`no address for a new pod: ${notReadyBecause ?? 'not known why'}\n`]),
    ...(unwritten === 0 ? [] : [`${unwritten} changes are not in the store yet\n`]),
  ]
  return [
    formatTable(NODE_POOL_COLUMNS, pools, screen),
    blocks.length === 0 ? 'no blocks claimed\n' : formatTable(NODE_BLOCK_COLUMNS, blocks, screen),
    podTable,
    ...notes,
  ].join('\n')
}

function usableCell({ disabled, selectsNode, forWorkloads, assignmentMode }: IpamStatus['pools'][number]): Cell {
  if (disabled) return { text: 'no: disabled', tone: 'warning' }
  if (!selectsNode) return { text: 'no: nodeSelector', tone: 'quiet' }
  if (!forWorkloads) return { text: 'no: allowedUses', tone: 'quiet' }
  return assignmentMode === 'Manual' ? { text: 'by name only', tone: 'quiet' } : { text: 'yes', tone: 'good' }
}

function usedCell(allocated: number, capacity: number): Cell {
  const percent = (allocated / capacity) * 100
  return {
    text: `${percent < 0.1 && allocated > 0 ? '<0.1' : percent.toFixed(1)} %`,
    tone: percent > 90 ? 'bad' : percent > 75 ? 'warning' : 'good',
  }
}

function sizeOf(range: Prefix): number {
  return 2 ** (bitsOf(prefixFamily(range)) - range.length)
}

function shortCount(count: number): string {
  return count <= 10_000_000 ? String(count) : `2^${Math.log2(count)}`
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0)
}
