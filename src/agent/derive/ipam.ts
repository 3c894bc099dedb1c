// What IPAM of this node is told: the pools in order of preference, what is reserved, and the cluster's settings.
import type { IpamConfig, PoolConfig } from '../../ipam/index.ts'
import { cidr, covers, formatPrefix, type Prefix } from '../../net/index.ts'
import {
  IPAM_CONFIGURATION_DEFAULTS,
  type IPPool,
  matchesSelector,
  poolBlockSize,
  poolPrefix,
  type Snapshot,
  secondsOf,
} from '../../store/index.ts'
import type { NodeFacts } from './nodes.ts'
import { inOrder, type Problems } from './problems.ts'

export type Pool = {
  readonly name: string
  readonly range: Prefix
  readonly spec: IPPool['spec']
  /** Its range overlaps that of an older pool, so that nothing new comes out of it. */
  readonly isShadowed: boolean
}

/**
 * Pools in order of their names. Where two overlap, one address could have two owners: the younger one (by creation, then by name:
 * the same on every node) gives no more addresses, and a problem names both.
 */
export function poolsOf(snapshot: Snapshot, problems: Problems): readonly Pool[] {
  const pools = inOrder(snapshot.IPPool).map((pool) => ({ ...pool, range: poolPrefix(pool.spec) }))
  const byAge = [...pools].sort((a, b) => compare(ageKey(a), ageKey(b)))
  const shadowed = new Set<string>()
  for (const [at, younger] of byAge.entries()) {
    const older = byAge.slice(0, at).find(({ range }) => covers(range, younger.range) || covers(younger.range, range))
    if (older === undefined) continue
    shadowed.add(younger.metadata.name)
    problems.error(
      `IPPool/${younger.metadata.name}`,
      `its cidr ${formatPrefix(younger.range)} overlaps ${formatPrefix(older.range)} of IPPool/${older.metadata.name}, which is older, so no new addresses come from ${younger.metadata.name}; give it another range, or remove one of the two`,
      'Overlaps',
    )
  }
  return pools.map(({ metadata: { name }, spec, range }) => ({ name, range, spec, isShadowed: shadowed.has(name) }))
}

export function deriveIpam(snapshot: Snapshot, own: NodeFacts, pools: readonly Pool[]): IpamConfig {
  const settings = snapshot.IPAMConfiguration.get('default')?.spec ?? IPAM_CONFIGURATION_DEFAULTS
  return {
    pools: pools.map((pool) => poolConfig(pool, own)),
    reservations: inOrder(snapshot.IPReservation).flatMap(({ spec }) => spec.reservedCIDRs.map((text) => cidr(text))),
    strictAffinity: settings.strictAffinity,
    maxBlocksPerHost: settings.maxBlocksPerHost ?? null,
    coolDownSeconds: secondsOf(settings.ipCooldown),
  }
}

function poolConfig({ name, range, spec, isShadowed }: Pool, own: NodeFacts): PoolConfig {
  return {
    name,
    range,
    blockSize: poolBlockSize(spec),
    selectsNode: spec.nodeSelector === undefined || matchesSelector(spec.nodeSelector, own.labels),
    namespaceSelector: spec.namespaceSelector ?? null,
    disabled: spec.disabled || isShadowed,
    assignmentMode: spec.assignmentMode,
    forWorkloads: spec.allowedUses.includes('Workload'),
  }
}

function ageKey({ metadata: { name, creationTimestamp } }: IPPool): string {
  return `${creationTimestamp ?? ''} ${name}`
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
