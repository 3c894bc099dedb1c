// Worlds of manifests, and what a node makes of them.
import { type Derived, type Detections, derive } from '../../../src/agent/derive/index.ts'
import { NO_SERVICES, type ServicePlan } from '../../../src/agent/services/index.ts'
import type { PeerConfig } from '../../../src/bgp/index.ts'
import { formatIp, formatPrefix, type HostNetwork, type IpAddress, ip, prefix } from '../../../src/net/index.ts'
import { parseResource, type Resource, SnapshotBuilder } from '../../../src/store/index.ts'

export const NO_NETWORK: HostNetwork = { routes: [], localAddresses: [], interfaces: [] }

/** A host with these addresses, each on an interface of its own; `via` names the one with the default routes. */
export function host(addresses: Readonly<Record<string, readonly string[]>>, via: string | null = null): HostNetwork {
  const names = Object.keys(addresses)
  const indexOf = (name: string): number => names.indexOf(name) + 1
  return {
    interfaces: names.map((name) => ({ index: indexOf(name), name, up: true })),
    localAddresses: names.flatMap((name) =>
      (addresses[name] ?? []).map((text) => {
        const [address = '', length = '0'] = text.split('/')
        return { address: ip(address), prefixLength: Number(length), interfaceIndex: indexOf(name) }
      }),
    ),
    routes:
      via === null
        ? []
        : (['0.0.0.0', '::'] as const).map((any) => ({
            prefix: prefix(ip(any), 0),
            interfaceIndex: indexOf(via),
            gateway: any === '::' ? ip('fe80::1') : ip('10.0.0.254'),
            metric: 0,
          })),
  }
}

export function snapshotOf(objects: readonly unknown[]): SnapshotBuilder['snapshot'] {
  const parsed = objects.map((object): Resource => {
    const result = parseResource(object)
    if (!result.ok) throw new Error(result.error.map(({ message }) => message).join('; '))
    return result.value
  })
  return new SnapshotBuilder(parsed).snapshot
}

export type More = {
  readonly detections?: Detections
  readonly secretFaults?: ReadonlyMap<string, string>
  readonly podAddresses?: readonly IpAddress[]
  readonly services?: ServicePlan
}

export function deriveFor(node: string, objects: readonly unknown[], network: HostNetwork = NO_NETWORK, more: More = {}): Derived {
  const { detections = { ipv4: null, ipv6: null }, secretFaults = new Map(), podAddresses = null, services = NO_SERVICES } = more
  return derive({
    snapshot: snapshotOf(objects),
    node,
    namespace: 'fibula-system',
    network,
    detections,
    secretFaults,
    podAddresses,
    services,
  })
}

export function peersOf(derived: Derived): Readonly<Record<string, PeerConfig>> {
  return Object.fromEntries(derived.speaker.peers.map((peer) => [peer.key, peer]))
}

/** `key -> address:port AS`, the gist of every session. */
export function sessions(derived: Derived): readonly string[] {
  return derived.speaker.peers.map(({ key, address, port, asn }) => `${key} -> ${formatIp(address)}:${port} AS${asn}`)
}

export function problemsOf(derived: Derived): readonly string[] {
  return derived.problems.map(({ severity, subject, message }) => `${severity} ${subject}: ${message}`)
}

export function prefixes(list: Derived['speaker']['importBounds']): readonly string[] {
  return list.map(formatPrefix)
}
