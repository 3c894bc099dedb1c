// Which pools a pod's addresses may come from, in order (pure). Selectors and assignmentMode decide, unless the pod names pools;
// a pool for chosen namespaces comes before those for everybody, otherwise pools come in order of their names.
import { matchesSelector } from '../lib/label-selector.ts'
import { quoteText } from '../lib/log.ts'
import { err, ok, type Result } from '../lib/result.ts'
import {
  containsAddress,
  familyOf,
  formatIp,
  formatPrefix,
  IP_FAMILIES,
  type IpAddress,
  type IpFamily,
  type Prefix,
  prefixFamily,
} from '../net/index.ts'
import type { AssignFault, AssignRequest, IpamConfig, PoolConfig } from './contract.ts'

/** What a request needs: of each family one address out of the first pool that has any, or these very addresses. */
export type Needs =
  | { readonly kind: 'any'; readonly families: readonly { readonly family: IpFamily; readonly pools: readonly PoolConfig[] }[] }
  | { readonly kind: 'exact'; readonly addresses: readonly { readonly address: IpAddress; readonly pool: PoolConfig }[] }

/** True if new addresses for pods of this node can come from the pool at all. */
export function isUsable(pool: PoolConfig): boolean {
  return !pool.disabled && pool.selectsNode && pool.forWorkloads
}

/** True for a pool that any pod of the node may take from: of these an address is kept ready. */
export function isGeneral(pool: PoolConfig): boolean {
  return isUsable(pool) && pool.assignmentMode === 'Automatic' && pool.namespaceSelector === null
}

/** The smallest pool that a range lies in. */
export function poolOf(pools: readonly PoolConfig[], range: Prefix): PoolConfig | null {
  let best: PoolConfig | null = null
  for (const pool of pools) {
    if (range.length < pool.range.length || !containsAddress(pool.range, range.address)) continue
    if (best === null || pool.range.length > best.range.length) best = pool
  }
  return best
}

/** What a request needs, or why it cannot be met whatever is free. */
export function needsOf(config: IpamConfig, request: AssignRequest): Result<Needs, AssignFault> {
  if (request.requested.length > 0) return exactNeeds(config, request)
  const families: { readonly family: IpFamily; readonly pools: readonly PoolConfig[] }[] = []
  for (const family of IP_FAMILIES) {
    const names = family === 4 ? request.pools.ipv4 : request.pools.ipv6
    const pools = names === null ? ok(automaticPools(config, request, family)) : namedPools(config, names, family)
    if (!pools.ok) return pools
    if (pools.value.length > 0) families.push({ family, pools: pools.value })
  }
  return families.length > 0 ? ok({ kind: 'any', families }) : err(noPool(config, request))
}

function automaticPools(config: IpamConfig, { namespaceLabels }: AssignRequest, family: IpFamily): readonly PoolConfig[] {
  const chosen = config.pools.filter(
    (pool) =>
      prefixFamily(pool.range) === family &&
      isUsable(pool) &&
      pool.assignmentMode === 'Automatic' &&
      (pool.namespaceSelector === null || (namespaceLabels !== null && matchesSelector(pool.namespaceSelector, namespaceLabels))),
  )
  return [...chosen.filter((pool) => pool.namespaceSelector !== null), ...chosen.filter((pool) => pool.namespaceSelector === null)]
}

function namedPools(config: IpamConfig, names: readonly string[], family: IpFamily): Result<readonly PoolConfig[], AssignFault> {
  const pools: PoolConfig[] = []
  for (const name of names) {
    const pool = findPool(config.pools, name)
    const fault = pool === undefined ? `there is no IPPool ${quoteText(name, 80)}; ${knownPools(config)}` : faultOfNamed(pool, family)
    if (pool === undefined || fault !== null) return err(refused(fault ?? ''))
    pools.push(pool)
  }
  return ok(pools)
}

function faultOfNamed(pool: PoolConfig, family: IpFamily): string | null {
  const title = titleOf(pool)
  if (prefixFamily(pool.range) !== family) {
    const annotation = `fibula.network/ipv${family}-pools`
    return `${title} is an IPv${prefixFamily(pool.range)} pool, but ${annotation} names it; write it in fibula.network/ipv${prefixFamily(pool.range)}-pools`
  }
  return whyNotUsable(pool)
}

/** Why no pod of this node gets new addresses from the pool; null: it can. */
function whyNotUsable(pool: PoolConfig): string | null {
  const title = titleOf(pool)
  if (pool.disabled) return `${title} is disabled; set disabled: false or use another pool`
  if (!pool.forWorkloads) return `${title} is not for pods; add Workload to its allowedUses or use another pool`
  if (!pool.selectsNode) return `${title} does not select this node; change its nodeSelector or place the pod on another node`
  return null
}

function exactNeeds(config: IpamConfig, request: AssignRequest): Result<Needs, AssignFault> {
  const addresses: { readonly address: IpAddress; readonly pool: PoolConfig }[] = []
  for (const address of request.requested) {
    const text = formatIp(address)
    const family = familyOf(address)
    if (addresses.some((other) => familyOf(other.address) === family)) {
      return err(refused(`two IPv${family} addresses are requested; a pod has at most one of each family, remove ${text}`))
    }
    const pool = config.pools.find(({ range }) => containsAddress(range, address))
    if (pool === undefined) return err(refused(`requested address ${text} is in no IPPool; ${knownPools(config)}`))
    const reservation = config.reservations.find((range) => containsAddress(range, address))
    if (reservation !== undefined) {
      return err(
        refused(`requested address ${text} lies in ${formatPrefix(reservation)}, which an IPReservation keeps back; request another`),
      )
    }
    const why = whyNotUsable(pool)
    if (why !== null) return err(refused(`requested address ${text} cannot be had: ${why}`))
    const names = family === 4 ? request.pools.ipv4 : request.pools.ipv6
    if (names !== null && !names.some((name) => findPool(config.pools, name) === pool)) {
      return err(
        refused(`requested address ${text} is in ${titleOf(pool)}, which is not among the pools the pod names; add it or request another`),
      )
    }
    addresses.push({ address, pool })
  }
  return ok({ kind: 'exact', addresses })
}

/** By name, or by its exact range. */
function findPool(pools: readonly PoolConfig[], text: string): PoolConfig | undefined {
  return pools.find(({ name }) => name === text) ?? pools.find(({ range }) => formatPrefix(range) === text)
}

function noPool(config: IpamConfig, { pod, namespaceLabels }: AssignRequest): AssignFault {
  const usable = config.pools.filter(isUsable)
  const message = (): string => {
    if (config.pools.length === 0) return 'there is no IPPool; create one'
    if (usable.length === 0) {
      const reasons = config.pools.map((pool) => whyNotUsable(pool)).filter((why) => why !== null)
      return `no IPPool gives addresses to pods of this node: ${reasons.slice(0, 5).join('. ')}`
    }
    const selecting = usable.filter(({ assignmentMode }) => assignmentMode === 'Automatic')
    const names = usable.map(({ name }) => name).join(', ')
    if (selecting.length === 0) {
      return `every IPPool of this node (${names}) has assignmentMode Manual; name one in the annotation fibula.network/ipv4-pools or fibula.network/ipv6-pools of the pod`
    }
    if (namespaceLabels === null) {
      return `every IPPool of this node has a namespaceSelector, and the labels of namespace ${pod?.namespace ?? '(unknown)'} are not known; this passes once the API server can be reached`
    }
    return `no IPPool selects namespace ${pod?.namespace ?? '(unknown)'}; change the namespaceSelector of one of ${selecting.map(({ name }) => name).join(', ')}, or create an IPPool without one`
  }
  return { kind: 'noPool', message: message() }
}

function knownPools({ pools }: IpamConfig): string {
  return pools.length === 0
    ? 'there is none at all'
    : `there are ${pools
        .slice(0, 10)
        .map(({ name, range }) => `${name} (${formatPrefix(range)})`)
        .join(', ')}`
}

/** `IPPool pods (10.244.0.0/16)`. */
export function titleOf({ name, range }: PoolConfig): string {
  return `IPPool ${name} (${formatPrefix(range)})`
}

export function refused(message: string): AssignFault {
  return { kind: 'refused', message }
}
