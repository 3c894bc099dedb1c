// The shared tunnel devices: what they should be, and the steps from what is there. Pure.
import { formatIp, type IpAddress, type IpFamily } from '../../net/index.ts'

/** IPv4 in IPv4 (RFC 2003) and IPv6 in IPv6 (RFC 2473): one device each, whatever the number of peers. */
export const TUNNELS = {
  4: { name: 'fibipip', kind: 'ipip', module: 'ipip' },
  6: { name: 'fibip6tnl', kind: 'ip6tnl', module: 'ip6_tunnel' },
} as const satisfies Record<IpFamily, { readonly name: string; readonly kind: string; readonly module: string }>

/** Which families are to have a tunnel, and this node's own end of it. */
export type TunnelNeeds = {
  readonly ipv4: { readonly local: IpAddress } | null
  readonly ipv6: { readonly local: IpAddress } | null
}

/**
 * The IPv6 device is in "external" mode: outer addresses are each route's own (see planNextHops), so its `local` matters to nobody
 * but them.
 */
export type WantedTunnel = { readonly family: IpFamily; readonly local: IpAddress; readonly mtu: number }

/** A link that has the name of one of our tunnels. */
export type TunnelState = {
  readonly index: number
  readonly mtu: number
  readonly isUp: boolean
  /** This node's end of an IPv4 tunnel; null: any address, or not a tunnel at all, or IPv6. */
  readonly local: IpAddress | null
  /** Of our kind, to any peer, with nothing set that we never set: it can be changed into what is wanted as it is. */
  readonly isOurs: boolean
}

export type TunnelStep =
  /** Makes the device and brings it up; `index`: the number to ask for, so that routes by number still mean it. */
  | { readonly kind: 'create'; readonly tunnel: WantedTunnel; readonly index: number | null }
  /** Changes the local end of the device in place: its routes stay. */
  | { readonly kind: 'relocate'; readonly tunnel: WantedTunnel; readonly index: number }
  | { readonly kind: 'setMtu'; readonly index: number; readonly mtu: number }
  | { readonly kind: 'setUp'; readonly index: number }
  | { readonly kind: 'remove'; readonly index: number }

/**
 * Steps from what is there to what is wanted (null: no tunnel). Nothing is removed while `isUsed` by a route of ours, except what
 * stands in the place of the tunnel that is wanted.
 */
export function planTunnel(
  wanted: WantedTunnel | null,
  actual: TunnelState | null,
  isUsed: boolean,
  lastIndex: number | null,
): readonly TunnelStep[] {
  if (wanted === null) return actual === null || isUsed ? [] : [{ kind: 'remove', index: actual.index }]
  if (actual === null) return [{ kind: 'create', tunnel: wanted, index: lastIndex }]
  const { index } = actual
  if (!actual.isOurs)
    return [
      { kind: 'remove', index },
      { kind: 'create', tunnel: wanted, index },
    ]
  const steps: TunnelStep[] = []
  if (wanted.family === 4 && actual.local !== wanted.local) steps.push({ kind: 'relocate', tunnel: wanted, index })
  if (actual.mtu !== wanted.mtu) steps.push({ kind: 'setMtu', index, mtu: wanted.mtu })
  if (!actual.isUp) steps.push({ kind: 'setUp', index })
  return steps
}

/** Why a step failed, in words, with what a person can do. */
export function tunnelFault(step: TunnelStep, family: IpFamily, code: string, text: string | null): string {
  const { name, kind, module } = TUNNELS[family]
  const words = text === null ? code : `${code}, ${text}`
  switch (step.kind) {
    case 'create':
      if (MISSING_MODULE.has(code)) {
        return (
          `${name} cannot be made: kernel module ${module} is missing; run "modprobe ${module}" on the host, or set ipipMode: Never. ` +
          'Until then pods on other subnets are reached only where the fabric carries their routes'
        )
      }
      if (code === 'EEXIST') {
        const rival = family === 4 ? `the local address ${formatIp(step.tunnel.local)} and any remote one` : 'mode "external"'
        return `${name} cannot be made: another ${kind} device has ${rival}; remove that device`
      }
      if (code === 'EPERM') return `${name} cannot be made: not allowed; the agent needs CAP_NET_ADMIN in the host's network namespace`
      return `${name} cannot be made: ${words}`
    case 'relocate':
      return `${name} cannot be given the local address ${formatIp(step.tunnel.local)}: ${words}`
    case 'setMtu':
      return `${name} cannot be given the MTU ${step.mtu}: ${words}`
    case 'setUp':
      return `${name} cannot be brought up: ${words}`
    case 'remove':
      return `${name} cannot be removed: ${words}; run "ip link delete ${name}" on the host`
  }
}

/** A kernel without that kind of link, or without the family altogether. */
const MISSING_MODULE: ReadonlySet<string> = new Set(['EOPNOTSUPP', 'ENODEV', 'EAFNOSUPPORT', 'EPROTONOSUPPORT'])
