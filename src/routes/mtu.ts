// How long a packet of a pod may be: what the links towards the fabric take, less what encapsulation adds. Pure.
import type { HostLink } from './backend.ts'
import type { RouteProblem } from './status.ts'

/** What an outer IPv4 header (RFC 2003 §3.1) and an outer IPv6 header without options (RFC 2473 §7) add, in octets. */
export const ENCAPSULATION_OCTETS = { 4: 20, 6: 40 } as const

/** What a host with no link towards the fabric, or none that says, is taken to have. */
const DEFAULT_MTU = 1500

export type MtuNeeds = {
  readonly links: readonly HostLink[]
  /** Names of the links towards the fabric, chosen by what they are for and not by how they are called. */
  readonly uplinks: readonly string[]
  /** Families of which packets may be encapsulated. */
  readonly tunnels: { readonly ipv4: boolean; readonly ipv6: boolean }
}

/** The longest packet that every link towards the fabric takes. Links that are down do not count, unless all are. */
export function uplinkMtu({ links, uplinks }: Pick<MtuNeeds, 'links' | 'uplinks'>): number {
  const known = links.filter(({ name, mtu }) => mtu > 0 && uplinks.includes(name))
  const up = known.filter(({ isUp }) => isUp)
  const counted = up.length > 0 ? up : known
  return counted.length === 0 ? DEFAULT_MTU : Math.min(...counted.map(({ mtu }) => mtu))
}

/** RFC 8200 §5. */
const LEAST_FOR_IPV6 = 1280

/** A condition if pods cannot have IPv6 for want of MTU: the kernel takes it off a link with less. */
export function mtuProblems(needs: MtuNeeds): readonly RouteProblem[] {
  const mtu = podMtu(needs)
  if (mtu >= LEAST_FOR_IPV6) return []
  const message = `pods get ${mtu}, and IPv6 needs ${LEAST_FOR_IPV6}; raise the MTU of ${needs.uplinks.join(', ')}, of which the least counts`
  return [{ severity: 'warning', subject: 'mtu', message }]
}

/** MTU of pods' links: one for both families, so that of the greater overhead. */
export function podMtu(needs: MtuNeeds): number {
  const { ipv4, ipv6 } = needs.tunnels
  return uplinkMtu(needs) - (ipv6 ? ENCAPSULATION_OCTETS[6] : ipv4 ? ENCAPSULATION_OCTETS[4] : 0)
}
