// Kernel settings that routing needs, and what to do about each, from what they are now. Pure.

export type SysctlNeeds = {
  /** Interfaces towards the fabric: packets may leave by one and come back by another. */
  readonly uplinks: readonly string[]
  /** Tunnel devices: packets may come in by one and be answered by a plain path. */
  readonly tunnels: readonly string[]
  /** Interfaces whose IPv6 default route was learned by router advertisement (RFC 4861 §6.3.4). */
  readonly raDefaultInterfaces: readonly string[]
  /** How many neighbours to expect on one link. */
  readonly expectedNeighbours: number
}

/** Current value of a setting (path below /proc/sys), or null if this namespace or kernel does not have it. */
export type ReadSysctl = (path: string) => number | null

export type SysctlStep = {
  readonly path: string
  readonly current: number | null
  readonly wanted: number
  readonly isSatisfied: boolean
  readonly why: string
  readonly severity: 'error' | 'warning'
  /** Steps that must be satisfied or done before this one may be taken. */
  readonly after: readonly string[]
}

/** Every setting we care about, in the order in which to set them. */
export function planSysctls(needs: SysctlNeeds, read: ReadSysctl): readonly SysctlStep[] {
  const hasIpv6 = read('net/ipv6/conf/all/forwarding') !== null
  return [
    ...forwarding(needs, read, hasIpv6),
    ...needs.uplinks.flatMap((name) => uplink(name, read, hasIpv6)),
    ...needs.tunnels.flatMap((name) => tunnel(name, read)),
    step(
      read,
      'net/ipv4/fib_multipath_hash_policy',
      1,
      (value) => value >= 1,
      'equal-cost paths are chosen by ports too, not by addresses alone',
    ),
    ...(hasIpv6
      ? [
          step(
            read,
            'net/ipv6/fib_multipath_hash_policy',
            1,
            (value) => value >= 1,
            'equal-cost paths are chosen by ports too, not by addresses alone',
          ),
        ]
      : []),
    ...neighbourTable(needs.expectedNeighbours, read, hasIpv6),
  ]
}

/** Forwarding makes the kernel drop default routes it learned by RA, except where accept_ra is 2: that comes first. */
function forwarding({ raDefaultInterfaces }: SysctlNeeds, read: ReadSysctl, hasIpv6: boolean): readonly SysctlStep[] {
  const ipv4 = step(read, 'net/ipv4/ip_forward', 1, (value) => value === 1, 'pods and peers are reached through this node', 'error')
  if (!hasIpv6) return [ipv4]
  const acceptRa = raDefaultInterfaces.map((name) =>
    // 0: a program, not the kernel, handles advertisements, and forwarding does not touch its routes.
    step(
      read,
      `net/ipv6/conf/${name}/accept_ra`,
      2,
      (value) => value !== 1,
      `the default route on ${name} was learned by router advertisement, which forwarding would drop`,
      'error',
    ),
  )
  const ipv6 = step(
    read,
    'net/ipv6/conf/all/forwarding',
    1,
    (value) => value === 1,
    'pods and peers are reached through this node',
    'error',
  )
  return [ipv4, ...acceptRa, { ...ipv6, after: acceptRa.map(({ path }) => path) }]
}

function uplink(name: string, read: ReadSysctl, hasIpv6: boolean): readonly SysctlStep[] {
  const ofAll = read('net/ipv4/conf/all/rp_filter') ?? 0
  // The kernel uses the higher of the two values: 0 off, 1 strict, 2 loose (ip-sysctl.rst).
  const isLoose = (value: number): boolean => Math.max(value, ofAll) !== 1
  const passOver = `a next hop on ${name} is passed over as soon as the link loses its carrier`
  const families = hasIpv6 ? ['ipv4', 'ipv6'] : ['ipv4']
  return [
    step(
      read,
      `net/ipv4/conf/${name}/rp_filter`,
      2,
      isLoose,
      `strict reverse-path filtering on ${name} drops what returns by another uplink`,
      'error',
    ),
    ...families.map((family) => step(read, `net/${family}/conf/${name}/ignore_routes_with_linkdown`, 1, (value) => value === 1, passOver)),
  ]
}

/** Where the value for all is strict, only 2 makes this one loose; else no check at all is wanted. */
function tunnel(name: string, read: ReadSysctl): readonly SysctlStep[] {
  const wanted = read('net/ipv4/conf/all/rp_filter') === 1 ? 2 : 0
  return [
    step(
      read,
      `net/ipv4/conf/${name}/rp_filter`,
      wanted,
      (value) => value === wanted || value === 2,
      `strict reverse-path filtering on ${name} drops what returns by a plain path`,
      'error',
    ),
    step(read, `net/ipv4/conf/${name}/forwarding`, 1, (value) => value === 1, `packets to pods come in by ${name}`, 'error'),
  ]
}

/** The kernel's own thresholds, for which no more than this many neighbours need any care. */
const DEFAULT_THRESHOLDS = [128, 512, 1024] as const

/** Below the first threshold no entry is collected, above the third none is added; never lowered. */
function neighbourTable(expected: number, read: ReadSysctl, hasIpv6: boolean): readonly SysctlStep[] {
  if (expected <= DEFAULT_THRESHOLDS[0]) return []
  const roomy = 2 ** Math.ceil(Math.log2(expected))
  const why = `room for ${expected} neighbours on a link`
  return (hasIpv6 ? ['ipv4', 'ipv6'] : ['ipv4']).flatMap((family) =>
    // From the third down, so that they are in order at any moment.
    [3, 2, 1].map((threshold) => {
      const wanted = Math.max(DEFAULT_THRESHOLDS[threshold - 1] ?? 0, roomy * 2 ** (threshold - 1))
      return step(read, `net/${family}/neigh/default/gc_thresh${threshold}`, wanted, (value) => value >= wanted, why)
    }),
  )
}

function step(
  read: ReadSysctl,
  path: string,
  wanted: number,
  isGood: (value: number) => boolean,
  why: string,
  severity: SysctlStep['severity'] = 'warning',
): SysctlStep {
  const current = read(path)
  return { path, current, wanted, isSatisfied: current !== null && isGood(current), why, severity, after: [] }
}
