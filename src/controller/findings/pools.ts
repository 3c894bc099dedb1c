// What is wrong with the pools: overlaps, selectors without nodes, no address left, blocks that no pool has (pure).
import { covers, formatPrefix } from '../../net/index.ts'
import { IPAM_CONFIGURATION_DEFAULTS, type IPPool, poolPrefix } from '../../store/index.ts'
import { type ClusterSnapshot, inOrder, type NodeIndex, someOf } from '../cluster.ts'
import { byAge, type PoolUsage, type StrayBlock, usageRatio } from '../pool-usage.ts'
import { type Finding, MOST_BY_NAME, SELECTS_NO_NODE } from './finding.ts'

/** From this part of its addresses on a pool is nearly exhausted. */
const NEARLY_EXHAUSTED = 0.9

export type PoolInput = {
  readonly snapshot: ClusterSnapshot
  readonly nodes: NodeIndex
  readonly usages: ReadonlyMap<string, PoolUsage>
  readonly strays: readonly StrayBlock[]
}

export function poolFindings({ snapshot, nodes, usages, strays }: PoolInput): readonly Finding[] {
  const pools = inOrder(snapshot.IPPool)
  const { strictAffinity } = snapshot.IPAMConfiguration.get('default')?.spec ?? IPAM_CONFIGURATION_DEFAULTS
  return [
    ...overlaps(pools),
    ...pools.flatMap((pool) => selectorFindings(pool, nodes)),
    ...pools.flatMap((pool) => usageFindings(pool, usages.get(pool.metadata.name), strictAffinity)),
    ...strayFindings(strays),
  ]
}

/** The younger of two overlapping pools gives no more addresses: every agent decides so alike. */
function overlaps(pools: readonly IPPool[]): readonly Finding[] {
  const ranges = byAge(pools).map(({ metadata, spec }) => ({ name: metadata.name, range: poolPrefix(spec) }))
  return ranges.flatMap((younger, at): readonly Finding[] => {
    const older = ranges.slice(0, at).find(({ range }) => covers(range, younger.range) || covers(younger.range, range))
    if (older === undefined) return []
    return [
      {
        severity: 'error',
        subject: `IPPool/${younger.name}`,
        reason: 'Overlaps',
        message: `its cidr ${formatPrefix(younger.range)} overlaps ${formatPrefix(older.range)} of IPPool/${older.name}, which is older, so no new addresses come from ${younger.name}; give it another range, or remove one of the two`,
        condition: 'Accepted',
      },
    ]
  })
}

function selectorFindings({ metadata, spec }: IPPool, nodes: NodeIndex): readonly Finding[] {
  if (nodes.names.length === 0 || nodes.chosenBy(spec).size > 0) return []
  return [
    {
      severity: 'warning',
      subject: `IPPool/${metadata.name}`,
      reason: SELECTS_NO_NODE,
      message:
        'its nodeSelector matches no node, so nobody takes addresses from it; label nodes (kubectl label node), or change the selector',
      condition: 'Accepted',
    },
  ]
}

function usageFindings({ metadata, spec }: IPPool, usage: PoolUsage | undefined, strictAffinity: boolean): readonly Finding[] {
  if (usage === undefined || spec.disabled || !spec.allowedUses.includes('Workload')) return []
  const subject = `IPPool/${metadata.name}`
  const ratio = usageRatio(usage)
  const { allocated, reserved, usable, blocks } = usage
  const figures = `${allocated} of its ${usable} addresses are in use and ${reserved} are claimed ahead by nodes`
  const remedy = 'create another IPPool, delete pods, or look for leaked addresses with fibula ipam check'
  if (ratio >= 1) {
    const message = `no address is left: ${figures}; ${remedy}`
    return [{ severity: 'error', subject, reason: 'Exhausted', message, condition: 'Healthy' }]
  }
  if (ratio >= NEARLY_EXHAUSTED) {
    const message = `nearly exhausted: ${figures}; ${remedy}`
    return [{ severity: 'warning', subject, reason: 'NearlyExhausted', message, condition: 'Healthy' }]
  }
  if (strictAffinity && blocks.claimed + blocks.unclaimed >= blocks.capacity) {
    const message = `all of its ${blocks.capacity} blocks are claimed, and strictAffinity keeps nodes from sharing them, so a node that needs another gets none; create another IPPool, or set strictAffinity: false in the IPAMConfiguration`
    return [{ severity: 'warning', subject, reason: 'NoBlockLeft', message, condition: 'Healthy' }]
  }
  return []
}

function strayFindings(strays: readonly StrayBlock[]): readonly Finding[] {
  const remedy = 'create the IPPool again, or delete the pods: an empty block is given back'
  const found = (subject: string, message: string): Finding => ({
    severity: 'warning',
    subject,
    reason: 'InNoPool',
    message: `${message}; ${remedy}`,
    condition: null,
  })
  if (strays.length > MOST_BY_NAME) {
    const names = someOf(strays.map(({ name }) => name).sort())
    return [found('IPAMBlock', `no IPPool has ${strays.length} blocks: ${names}`)]
  }
  return strays.map(({ name, node, allocated }) =>
    found(
      `IPAMBlock/${name}`,
      `no IPPool has this block${node === null ? '' : ` of node ${node}`}, in which ${allocated} addresses are in use`,
    ),
  )
}
