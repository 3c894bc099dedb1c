// Clusters for tests of the controller: objects as small as they may be, in snapshots and in stores.
import type { ClusterSnapshot, Finding } from '../../src/controller/index.ts'
import { FakeClock } from '../../src/lib/clock.ts'
import { silentLog } from '../../src/lib/log.ts'
import { GROUP_VERSION, type ManifestOf, parseResource, type Resource, SnapshotBuilder, type Store } from '../../src/store/index.ts'

export type NetworkStatus = NonNullable<ManifestOf<'NodeNetwork'>['status']>
export type SessionReport = NonNullable<NetworkStatus['peers']>[number]

/** Objects as a store would hand them out. */
export function snapshotOf(objects: readonly object[]): ClusterSnapshot {
  return new SnapshotBuilder(objects.map(parsed)).snapshot
}

export function parsed(object: object): Resource {
  const result = parseResource(object)
  if (!result.ok) throw new Error(result.error.map(({ message }) => message).join('; '))
  return result.value
}

export function network(name: string, status: NetworkStatus = {}): ManifestOf<'NodeNetwork'> & { readonly kind: 'NodeNetwork' } {
  const addresses = [{ address: '10.0.0.1/24', family: 'IPv4' as const }]
  return { apiVersion: GROUP_VERSION, kind: 'NodeNetwork', metadata: { name }, spec: {}, status: { addresses, ...status } }
}

export function session(peer: string | null, over: Partial<SessionReport> = {}): SessionReport {
  return {
    session: peer ?? 'mesh',
    ...(peer === null ? {} : { peer }),
    address: '10.0.0.254',
    asNumber: 65_001,
    state: 'Established',
    since: '2026-01-01T00:00:00.000Z',
    capabilities: { offered: [], received: [], negotiated: [] },
    prefixes: { IPv4Unicast: { received: 1, accepted: 1, advertised: 2 } },
    ...over,
  }
}

/** A node whose kubelet answers, or not. */
export function kubeNode(
  name: string,
  isReady = true,
  labels: Record<string, string> = {},
): ManifestOf<'Node'> & { readonly kind: 'Node' } {
  const conditions = [{ type: 'Ready', status: isReady ? 'True' : 'Unknown' }]
  return { apiVersion: 'v1', kind: 'Node', metadata: { name, labels }, status: { conditions } }
}

export function pod(
  name: string,
  node: string | null,
  ips: readonly string[],
  phase = 'Running',
): ManifestOf<'Pod'> & { readonly kind: 'Pod' } {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default' },
    spec: node === null ? {} : { nodeName: node },
    status: { phase, podIPs: ips.map((ip) => ({ ip })), ...(ips[0] === undefined ? {} : { podIP: ips[0] }) },
  }
}

export type AllocationText = { readonly address: string; readonly pod: string; readonly node?: string; readonly sequence?: number }

export function ipamBlock(
  cidr: string,
  node: string | null,
  allocations: readonly AllocationText[] = [],
  reserves: readonly { readonly address: string; readonly node: string }[] = [],
): ManifestOf<'IPAMBlock'> & { readonly kind: 'IPAMBlock' } {
  return {
    apiVersion: GROUP_VERSION,
    kind: 'IPAMBlock',
    metadata: { name: cidr.replace(/[.:/]/g, '-'), labels: node === null ? {} : { 'fibula.network/node': node } },
    spec: {
      cidr,
      ...(node === null ? {} : { node }),
      sequence: 100,
      allocations: allocations.map(({ address, pod: name, node: owner, sequence = 1 }) => ({
        address,
        handle: `k8s/${name}`,
        sequence,
        pod: name,
        namespace: 'default',
        ...(owner === undefined ? {} : { node: owner }),
      })),
      reserves: reserves.map((each, at) => ({ ...each, sequence: 50 + at })),
    },
  }
}

/** `severity subject reason`, one line each. */
export function lines(findings: readonly Finding[]): readonly string[] {
  return findings.map(({ severity, subject, reason }) => `${severity} ${subject} ${reason}`)
}

/** Lets everything that waits for a promise go on. */
export async function settle(): Promise<void> {
  for (let turn = 0; turn < 60; turn++) await Promise.resolve()
}

/** Moves time on in steps, letting what fires finish. */
export async function pass(clock: FakeClock, byMs: number, stepMs = 500): Promise<void> {
  for (let passedMs = 0; passedMs < byMs; passedMs += stepMs) {
    clock.advance(Math.min(stepMs, byMs - passedMs))
    await settle()
  }
}

/** Creates the objects with their statuses. */
export async function fill(store: Store, objects: readonly object[]): Promise<void> {
  for (const object of objects) {
    const resource = parsed(object)
    const created = await store.create(resource as Parameters<Store['create']>[0])
    if ('status' in resource && resource.status !== undefined && created.apiVersion === GROUP_VERSION)
      await store.updateStatus({ ...resource, metadata: created.metadata } as Parameters<Store['updateStatus']>[0])
  }
}

export { FakeClock, silentLog }
