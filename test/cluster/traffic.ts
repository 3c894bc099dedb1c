// Traffic over the whole cluster while something happens to it: a pod on each node and a client behind the router, every pair of them,
// both families. Beside what got lost it counts what the router saw of routes.

import { type FlowEnd, Flows, type FlowsResult } from '../support/cluster/flows.ts'
import type { Cluster, Dual } from '../support/cluster/index.ts'
import { KUBECTL_PATIENCE, OUTSIDE, PATIENCE_FLAG } from '../support/cluster/index.ts'
import { CheckFailed } from './report.ts'

export const PROBES = 'probes'

type PodList = {
  readonly items: readonly {
    readonly metadata: { readonly name: string; readonly deletionTimestamp?: string }
    readonly spec: { readonly nodeName?: string }
    readonly status: { readonly podIPs?: readonly { readonly ip: string }[]; readonly phase: string }
  }[]
}

export type Disturbance = FlowsResult & { readonly routeChanges: readonly string[] }

/** A pod on each node that does nothing: the programs that send run in its network namespace. */
export async function startProbes(cluster: Cluster): Promise<void> {
  const labels = { app: PROBES }
  const container = { name: 'probe', image: cluster.upstream.pause, imagePullPolicy: 'Never' }
  await cluster.apply([
    { apiVersion: 'v1', kind: 'Namespace', metadata: { name: PROBES } },
    {
      apiVersion: 'apps/v1',
      kind: 'DaemonSet',
      metadata: { name: PROBES, namespace: PROBES },
      spec: {
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { terminationGracePeriodSeconds: 0, containers: [container] } },
      },
    },
  ])
  await cluster.kubectl(['rollout', 'status', `daemonset/${PROBES}`, '--namespace', PROBES, PATIENCE_FLAG], KUBECTL_PATIENCE)
}

/** A policy that lets probes talk to one another, and nobody else to them. */
export async function policeProbes(cluster: Cluster): Promise<void> {
  const podSelector = { matchLabels: { app: PROBES } }
  await cluster.apply([
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: PROBES, namespace: PROBES },
      spec: { podSelector, policyTypes: ['Ingress'], ingress: [{ from: [{ podSelector }] }] },
    },
  ])
}

/** The ends of the traffic; `without`: nodes that take no part. */
async function ends(cluster: Cluster, without: readonly string[]): Promise<readonly FlowEnd[]> {
  const pods = await cluster.get<PodList>(['pods', '--namespace', PROBES])
  const found: FlowEnd[] = []
  for (const { spec, status, metadata } of pods.items) {
    if (spec.nodeName === undefined || without.includes(spec.nodeName) || metadata.deletionTimestamp !== undefined) continue
    const node = cluster.node(spec.nodeName)
    for (const { ip } of status.podIPs ?? []) found.push({ name: node.name, address: ip, place: await node.podPlace(ip) })
  }
  const wanted = (cluster.nodes.length - without.length) * 2
  if (found.length !== wanted) throw new Error(`${found.length} addresses of probes, not ${wanted}`)
  const outside: readonly (keyof Dual)[] = ['ipv4', 'ipv6']
  return [...found, ...outside.map((family) => ({ name: 'outside', address: OUTSIDE[family], place: cluster.fabric.place('outside') }))]
}

/** Does something under traffic and tells what that cost. */
export async function underTraffic(cluster: Cluster, disturb: () => Promise<void>, without: readonly string[] = []): Promise<Disturbance> {
  await using flows = await Flows.start(await ends(cluster, without))
  await cluster.fabric.caughtUp()
  const sinceMs = performance.now()
  await disturb()
  const result = await flows.finish()
  await cluster.fabric.caughtUp()
  return { ...result, routeChanges: cluster.fabric.routeChanges(sinceMs).map(({ line }) => line) }
}

/** Throws unless nothing was lost, no connection broke, and the router changed no route. Returns the figures. */
export function unharmed(seen: Disturbance): string {
  const problems = [
    ...seen.losses.map(({ from, to, lost, gaps }) => `${lost} lost from ${from} to ${to} in ${gaps.length} gaps`),
    ...(seen.breaks > 0 ? [`${seen.breaks} TCP connections broke`] : []),
    ...(seen.routeChanges.length > 0
      ? [`the router changed routes ${seen.routeChanges.length} times: ${seen.routeChanges.slice(0, 6).join('; ')}`]
      : []),
  ]
  if (problems.length > 0) throw new CheckFailed(`${problems.join('\n')}\n${figures(seen)}`)
  return figures(seen)
}

export function figures({ lost, sent, directions, breaks, streams, routeChanges, longestStallMs, longestPauseMs }: Disturbance): string {
  return `${lost} of ${sent} lost (${directions} directions), ${breaks} of ${streams} streams broke, ${routeChanges.length} route changes; longest stall ${longestStallMs} ms, longest pause of a sender ${longestPauseMs} ms`
}
