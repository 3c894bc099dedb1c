// The pods of a node as policy sees them, for people (pure): what has a say on each, and what it dropped.
import { formatIp } from '../../net/index.ts'
import type { ChainCounters } from '../../netfilter/index.ts'
import type { Direction, DropCounter } from '../../policy/index.ts'
import type { DirectionPolicyStatus, PodPolicyStatus } from '../control-api.ts'
import type { PolicySample } from './metrics.ts'
import type { PolicyRuntime } from './runtime.ts'

const LISTING = 'policies are still being listed: what the kernel had before is in force'
const NO_POLICIES = { admin: [], networkPolicies: [], baseline: [] }

/** `counters` says which rules count drops, `seen` what all rules of policy have counted. */
export function podPolicies(
  endpoints: ReturnType<PolicyRuntime['endpoints']>,
  counters: readonly DropCounter[],
  seen: readonly ChainCounters[],
): readonly PodPolicyStatus[] {
  const packets = new Map(seen.map(({ family, chain, packets: counts }) => [`${family} ${chain}`, counts]))
  const drops = new Map<string, number>()
  for (const { family, chain, rule, direction, of } of counters) {
    if (of.kind !== 'endpoint') continue
    const key = dropKey(of.interface, direction)
    drops.set(key, (drops.get(key) ?? 0) + (packets.get(`${family} ${chain}`)?.[rule] ?? 0))
  }
  return endpoints
    .map(({ endpoint, isAdmitted, isAsBefore, waitsFor, policies }): PodPolicyStatus => {
      const statusOf = (direction: Direction): DirectionPolicyStatus => ({
        ...(policies?.[direction] ?? NO_POLICIES),
        droppedPackets: drops.get(dropKey(endpoint.interface, direction)) ?? 0,
      })
      const [ingress, egress] = [statusOf('ingress'), statusOf('egress')]
      const isRestricted = [ingress, egress].some((each) => each.admin.length + each.networkPolicies.length + each.baseline.length > 0)
      return {
        namespace: endpoint.pod?.namespace ?? null,
        name: endpoint.pod?.name ?? null,
        hostInterface: endpoint.interface,
        addresses: endpoint.addresses.map(formatIp),
        state: isAdmitted ? (isRestricted ? 'enforced' : 'open') : isAsBefore ? 'unchanged' : 'denied',
        waitsFor: isAdmitted ? null : isAsBefore ? LISTING : (waitsFor ?? 'its rules are not in the kernel yet'),
        ingress,
        egress,
      }
    })
    .sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : 1))
}

/** For metrics: what was dropped for pods, where anything was. */
export function dropsOf(pods: readonly PodPolicyStatus[]): PolicySample['drops'] {
  return pods.flatMap((pod) =>
    (['ingress', 'egress'] as const).flatMap((direction) => {
      const packets = pod[direction].droppedPackets
      return packets === 0 ? [] : [{ namespace: pod.namespace ?? '', pod: pod.name ?? pod.hostInterface, direction, packets }]
    }),
  )
}

function nameOf({ namespace, name, hostInterface }: PodPolicyStatus): string {
  return `${namespace ?? ''}/${name ?? ''} ${hostInterface}`
}

function dropKey(name: string, direction: Direction): string {
  return `${direction} ${name}`
}
