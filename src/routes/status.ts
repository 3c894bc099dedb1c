// What the kernel routes look like to people and programs: plain values, equal in structure to those of the agent's control
// socket. Pure.
import { comparePrefix, formatIp, formatPrefix, type Prefix } from '../net/index.ts'
import type { Fib } from './fib.ts'
import { FOREIGN, STALE } from './fib-table.ts'
import { describeBody, describeRoute, farEnd, isConnected, type RouteBody } from './route.ts'
import { NO_SHAPE } from './shape.ts'

export type RouteState = 'inSync' | 'missing' | 'stale' | 'failed' | 'shadowed'

export type RouteStatus = {
  readonly prefix: string
  readonly state: RouteState
  readonly kind: 'unicast' | 'blackhole'
  readonly nextHops: readonly { readonly gateway: string | null; readonly interface: string | null; readonly onlink: boolean }[]
  readonly detail: string | null
}

export type RouteCounts = {
  /** Routes that should be in the kernel. */
  readonly desired: number
  /** Routes of ours that are. */
  readonly inKernel: number
  readonly failed: number
  readonly shadowed: number
  /** From before our time, awaiting their sweep. */
  readonly stale: number
  readonly installRoutes: boolean
}

/** Something that is not as it should be, in words, with its remedy. */
export type RouteProblem = { readonly severity: 'error' | 'warning'; readonly subject: string; readonly message: string }

type NameOf = (interfaceIndex: number) => string

/** Status of every route of ours, wanted or present, or of one prefix; in order of prefix. */
export function routeStatuses(fib: Fib, nameOf: NameOf, prefix: Prefix | null): readonly { prefix: Prefix; status: RouteStatus }[] {
  const rows = prefix === null ? Array.from({ length: fib.table.high }, (_, row) => row) : [fib.table.findPrefix(prefix)]
  return rows
    .filter((row) => row >= 0 && isOurs(fib, row))
    .map((row) => ({ prefix: fib.prefixOf(row), status: statusOf(fib, row, nameOf) }))
    .sort((a, b) => comparePrefix(a.prefix, b.prefix))
}

export function countRoutes(fib: Fib): RouteCounts {
  let desired = 0
  let inKernel = 0
  let failed = 0
  let shadowed = 0
  let stale = 0
  for (let row = 0; row < fib.table.high; row++) {
    if (!isOurs(fib, row)) continue
    if (fib.table.desired[row] !== NO_SHAPE) desired++
    if (fib.table.installed[row] !== NO_SHAPE) inKernel++
    const state = stateOf(fib, row)
    if (state === 'failed') failed++
    else if (state === 'shadowed') shadowed++
    else if (state === 'stale') stale++
  }
  return { desired, inKernel, failed, shadowed, stale, installRoutes: fib.policy.installRoutes }
}

const MAX_PROBLEMS = 20

/** Conditions of one family: every shadowed route up to a limit, and failures gathered by what the kernel said. */
export function routeProblems(fib: Fib, nameOf: NameOf): readonly RouteProblem[] {
  const problems: RouteProblem[] = []
  for (const row of fib.foreign.rows()) {
    if (stateOf(fib, row) !== 'shadowed') continue
    const message = `${detailOf(fib, row, nameOf)}: packets do not take the BGP route; remove that route or give it a metric above 179`
    problems.push({ severity: 'warning', subject: `route/${formatPrefix(fib.prefixOf(row))}`, message })
  }
  const groups = new Map<string, { count: number; readonly first: Prefix; readonly isRetried: boolean }>()
  const { desired, installed, high } = fib.table
  for (let row = 0; row < high; row++) {
    if (desired[row] === installed[row] || stateOf(fib, row) !== 'failed') continue
    const reason = detailOf(fib, row, nameOf) ?? 'unknown reason'
    const group = groups.get(reason)
    const isRetried = fib.failures.get(row) !== undefined
    if (group === undefined) groups.set(reason, { count: 1, first: fib.prefixOf(row), isRetried })
    else group.count++
  }
  for (const [reason, { count, first, isRetried }] of groups) {
    const others = count === 1 ? '' : ` and ${count - 1} more`
    problems.push({
      severity: 'error',
      subject: `route/${formatPrefix(first)}`,
      message: `not in the kernel${others}: ${reason}${isRetried ? '; being retried' : ''}`,
    })
  }
  return problems.slice(0, MAX_PROBLEMS)
}

function isOurs({ table }: Fib, row: number): boolean {
  return table.desired[row] !== NO_SHAPE || table.installed[row] !== NO_SHAPE
}

function stateOf(fib: Fib, row: number): RouteState {
  const desired = fib.table.desired[row] ?? 0
  if (desired === NO_SHAPE) return 'stale'
  if (!fib.policy.installRoutes) return 'missing'
  if (((fib.table.flags[row] ?? 0) & FOREIGN) !== 0 && fib.foreign.shadowOf(row) !== null) return 'shadowed'
  if (fib.table.installed[row] === desired) return 'inSync'
  return fib.failures.get(row) !== undefined || fib.shapes.get(desired).kind === 'impossible' ? 'failed' : 'missing'
}

function statusOf(fib: Fib, row: number, nameOf: NameOf): RouteStatus {
  const shape = fib.shapes.get(fib.table.desired[row] || fib.table.installed[row] || 0)
  const body = shape.kind === 'body' ? shape.body : null
  return {
    prefix: formatPrefix(fib.prefixOf(row)),
    state: stateOf(fib, row),
    kind: body?.kind === 'blackhole' ? 'blackhole' : 'unicast',
    nextHops: hopsOf(body, nameOf),
    detail: detailOf(fib, row, nameOf),
  }
}

function hopsOf(body: RouteBody | null, nameOf: NameOf): RouteStatus['nextHops'] {
  if (body?.kind !== 'unicast') return []
  return body.nextHops.map((hop) => {
    const far = farEnd(hop)
    const gateway = far === null ? null : formatIp(far)
    return { gateway, interface: nameOf(hop.interfaceIndex), onlink: hop.onlink || hop.outer !== undefined }
  })
}

function detailOf(fib: Fib, row: number, nameOf: NameOf): string | null {
  const state = stateOf(fib, row)
  const { table, shapes } = fib
  switch (state) {
    case 'inSync':
      return null
    case 'stale':
      return ((table.flags[row] ?? 0) & STALE) !== 0 ? 'from before the restart, kept until it is confirmed or swept' : 'being removed'
    case 'shadowed': {
      const shadow = fib.foreign.shadowOf(row)
      if (shadow === null) return null
      const what = describeRoute(shadow, nameOf)
      return isConnected(shadow) ? `connected: ${what}` : `${what} wins`
    }
    case 'failed': {
      const shape = shapes.get(table.desired[row] ?? 0)
      if (shape.kind === 'impossible') return shape.reason
      const failure = fib.failures.get(row)
      const words = failure?.text === null || failure === undefined ? '' : ` (${failure.text})`
      return `${failure?.code ?? 'unknown'}${words}`
    }
    case 'missing': {
      if (!fib.policy.installRoutes) return 'installRoutes is false'
      const installed = table.installed[row] ?? 0
      if (installed === NO_SHAPE) return 'not written yet'
      const was = shapes.get(installed)
      return `the kernel still has ${was.kind === 'body' ? describeBody(was.body, nameOf) : was.reason}`
    }
  }
}
