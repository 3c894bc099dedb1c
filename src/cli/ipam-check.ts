// `fibula ipam check` and `release`: addresses that nobody has any more. What is found at one moment may be on its way, so `check`
// looks twice and tells only what was there both times; it changes nothing. `release` frees one address, by compare-and-swap.
import type { PodStatus } from '../agent/index.ts'
import { type BlockRecord, type Finding, findingName, findLeaks, LeakWatch, nodeOfAllocation, withoutFindings } from '../ipam/index.ts'
import { sleep } from '../lib/clock.ts'
import { formatIp, formatPrefix, type IpAddress, parseIp } from '../net/index.ts'
import { askAgents } from './agents.ts'
import { type Addresses, readAddresses } from './ipam-census.ts'
import type { Environment } from './options.ts'
import { CliError, type Column, formatTable, type OutputFormat, print } from './output.ts'
import { withStore } from './store-option.ts'

type Common = {
  readonly output: OutputFormat
  readonly store: string
  readonly context?: string | undefined
  readonly runDir: string
  readonly node?: string | undefined
  readonly namespace?: string | undefined
}

type FindingRow = {
  readonly kind: string
  readonly block: string | null
  readonly address: string | null
  readonly handle: string | null
  readonly message: string
}

export async function checkIpam(args: Common & { readonly seconds: number }, environment: Environment): Promise<void> {
  if (!(args.seconds >= 1 && args.seconds <= 3600)) throw new CliError('--seconds is 1 to 3600', 2)
  const watch = new LeakWatch(args.seconds * 1000)
  const look = async (): Promise<readonly Finding[]> => {
    const addresses = await withStore(args, readAddresses)
    return [...findLeaks(addresses.census), ...(await unknownToAgents(addresses, args, environment))]
  }
  watch.observe((await look()).map(findingName), performance.now())
  process.stderr.write(`looking again in ${args.seconds} s: what is found twice is no accident\n`)
  await sleep(args.seconds * 1000 + 1)
  const findings = await look()
  const confirmed = watch.observe(findings.map(findingName), performance.now())
  const rows = findings.filter((each) => confirmed.has(findingName(each))).map(rowOf)
  await print(args.output, rows, (all, screen) =>
    all.length === 0 ? 'every address has a living owner\n' : formatTable(COLUMNS, all, screen),
  )
  if (rows.length > 0) process.exitCode = 1
}

/** One address, or all of a node that is gone. */
export async function release(
  args: Common & { readonly address?: string | undefined; readonly goneNode?: string | undefined; readonly force: boolean },
  environment: Environment,
): Promise<void> {
  const { address, goneNode } = args
  if (address !== undefined && goneNode === undefined) return releaseAddress({ ...args, address }, environment)
  if (goneNode !== undefined && address === undefined) return releaseNode(args, goneNode)
  throw new CliError('name an address, or a node with --gone-node', 2)
}

async function releaseNode({ store: from, context, output }: Common, node: string): Promise<void> {
  const blocks = await withStore({ store: from, context }, async (store) => {
    const { census, blocks: all, store: blockStore } = await readAddresses(store)
    if (census.nodes === null) throw new CliError('the store has no Node objects, so nobody can say which nodes are gone')
    if (census.nodes.has(node)) throw new CliError(`there is a Node ${node}: delete it first, if it is gone`)
    const freed: string[] = []
    for (const stored of all) {
      // Everybody else counts as living here: what is wrong with them is not for this command.
      const findings = findLeaks({ ...census, blocks: [stored.block], pods: null }).filter((each) => isOfNode(each, stored.block, node))
      const without = withoutFindings(stored.block, findings, new Date().toISOString())
      if (without === null) continue
      const isEmpty = without.node === null && without.allocations.length === 0 && without.reserves.length === 0
      if (isEmpty) await blockStore.delete(stored)
      else await blockStore.update(stored, without)
      freed.push(formatPrefix(stored.block.range))
    }
    return freed
  })
  await print(output, { node, blocks }, () =>
    blocks.length === 0 ? `node ${node} has nothing\n` : `freed what node ${node} had in ${blocks.join(', ')}\n`,
  )
}

function isOfNode(finding: Finding, block: BlockRecord, node: string): boolean {
  switch (finding.kind) {
    case 'nodeGone':
      return nodeOfAllocation(block, finding.allocation) === node
    case 'reserveNodeGone':
      return finding.reserve.node === node
    case 'blockNodeGone':
      return block.node === node
    default:
      return false
  }
}

async function releaseAddress(
  args: Common & { readonly address: string; readonly force: boolean },
  environment: Environment,
): Promise<void> {
  const address = parseIp(args.address)
  if (address === null) throw new CliError(`${JSON.stringify(args.address)} is not an IP address`, 2)
  const released = await withStore(args, async (store) => {
    for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
      const addresses = await readAddresses(store)
      const stored = addresses.blocks.find(({ block }) => block.allocations.some((each) => each.address === address))
      const allocation = stored?.block.allocations.find((each) => each.address === address)
      if (stored === undefined || allocation === undefined) throw new CliError(`nobody has ${formatIp(address)}: nothing to release`)
      const findings = [...findLeaks(addresses.census), ...(await unknownToAgents(addresses, args, environment))]
      const found = findings.find((each) => 'allocation' in each && each.allocation.address === address)
      const node = nodeOfAllocation(stored.block, allocation)
      if (found === undefined && !args.force) {
        const owner = allocation.pod === null ? `handle ${allocation.handle}` : `pod ${allocation.pod.namespace}/${allocation.pod.name}`
        throw new CliError(
          `${formatIp(address)} belongs to ${owner} on node ${node}, and nothing says that it is gone; delete the pod, or release it with --force if you know better`,
        )
      }
      const message = found?.message ?? 'released by force'
      const finding: Finding = { kind: 'noOwner', block: stored.block.range, allocation, message }
      const without = withoutFindings(stored.block, [finding], new Date().toISOString())
      if (without === null) continue
      try {
        await addresses.store.update(stored, without)
        return { address: formatIp(address), block: formatPrefix(stored.block.range), handle: allocation.handle, node, because: message }
      } catch (cause) {
        if (!isConflict(cause)) throw cause // somebody was faster: look again
      }
    }
    throw new CliError(`the block of ${args.address} changes all the time; try again`)
  })
  await print(args.output, released, ({ address: freed, handle, because }) => `${freed} is free again (${because}; it was of ${handle})\n`)
}

const MAX_ATTEMPTS = 20

function isConflict(cause: unknown): boolean {
  return typeof cause === 'object' && cause !== null && 'code' in cause && cause.code === 'CONFLICT'
}

/** Allocations of the nodes whose agents answer (the one of this host, or all of a cluster) that these know nothing of. No agent: nothing is said. */
async function unknownToAgents({ blocks }: Addresses, args: Common, environment: Environment): Promise<readonly Finding[]> {
  const choice = { ...args, store: args.store === 'kubernetes' ? args.store : undefined } // a folder leads to no agents
  const answers = await askAgents(choice, environment, async (client) => ({
    node: (await client.get<{ readonly node: string }>('/v1/status')).node,
    pods: await client.get<readonly PodStatus[]>('/v1/pods'),
  })).catch((cause: unknown) => {
    if (!(cause instanceof CliError) || args.node !== undefined) throw cause
    return [] // no agent here, or one that serves no pods
  })
  return answers.flatMap(({ answer: { node, pods } }) => {
    const held = new Set<IpAddress | null>(pods.flatMap(({ addresses }) => addresses.map((each) => parseIp(each.address))))
    return blocks.flatMap(({ block }) =>
      block.allocations
        .filter((each) => nodeOfAllocation(block, each) === node && !held.has(each.address))
        .map((allocation): Finding => {
          const owner = allocation.pod === null ? allocation.handle : `pod ${allocation.pod.namespace}/${allocation.pod.name}`
          const message = `${formatIp(allocation.address)} belongs to ${owner}, which the agent of node ${node} does not have`
          return { kind: 'noOwner', block: block.range, allocation, message }
        }),
    )
  })
}

function rowOf(finding: Finding): FindingRow {
  const address =
    'allocation' in finding
      ? finding.allocation.address
      : 'reserve' in finding
        ? finding.reserve.address
        : 'address' in finding
          ? finding.address
          : null
  return {
    kind: finding.kind,
    block: finding.block === null ? null : formatPrefix(finding.block),
    address: address === null ? null : formatIp(address),
    handle: 'allocation' in finding ? finding.allocation.handle : null,
    message: finding.message,
  }
}

const COLUMNS: readonly Column<FindingRow>[] = [
  { title: 'finding', cell: ({ kind }) => ({ text: kind, tone: 'bad' }) },
  { title: 'block', cell: ({ block }) => block ?? '-' },
  { title: 'address', cell: ({ address }) => address ?? '-' },
  { title: 'what', cell: ({ message }) => message },
]
