// Which specs of upstream's suite run when.
import type { Cluster } from '../support/cluster/index.ts'
import { CheckFailed, type Report } from './report.ts'
import { runSpecs, type Selection, type SpecResult } from './upstream.ts'

export const CONFORMANCE = 'sig-network.*Conformance'
/** What the issue counts: a suite that grew or shrank is noticed. */
export const CONFORMANCE_SPECS = 47
export const NETWORK_POLICY = 'Netpol'
export const NETWORK_POLICY_SPECS = 47
/** Three specs whose pods cannot start on a kernel without SCTP; each waits ten minutes. */
export const NETWORK_POLICY_SKIP = 'SCTPConnectivity'

/** Pod to pod, name to service, several ports, a port of the node, DNS: one spec for each thing that a network does. */
const SMOKE = [
  'Networking Granular Checks: Pods should function for intra-pod communication: http',
  'Services should serve a basic endpoint from pods',
  'Services should serve multiport endpoints from pods',
  'HostPort validates that there is no conflict between pods',
  'DNS should provide DNS for services',
]
export const SMOKE_SPECS = SMOKE.length
export const SMOKE_FOCUS = `sig-network.*(${SMOKE.join('|')}).*Conformance`

/** What kube-proxy's mode and its notion of local traffic can break. */
const KUBE_PROXY = [
  'Services should serve a basic endpoint from pods',
  'Services should have session affinity work for service with type clusterIP',
  'Services should be able to change the type from ExternalName to NodePort',
  'Services should have session affinity work for NodePort service',
  'HostPort validates that there is no conflict between pods',
]
export const KUBE_PROXY_SPECS = KUBE_PROXY.length
export const KUBE_PROXY_FOCUS = `sig-network.*(${KUBE_PROXY.join('|')}) .*Conformance`

/** Runs specs as one check; each that fails is a line of the report of its own. */
export async function checkSpecs(report: Report, cluster: Cluster, name: string, count: number, selection: Selection): Promise<boolean> {
  let results: readonly SpecResult[] = []
  const ok = await report.check(name, async () => {
    results = await runSpecs(cluster, name.replaceAll(/[^\w]+/g, '-'), selection, report.progress)
    const passed = results.filter(({ state }) => state === 'passed').length
    const figures = `${passed} of ${results.length} passed, the longest took ${Math.max(...results.map(({ seconds }) => seconds))} s`
    if (passed < results.length || results.length !== count) throw new CheckFailed(`${figures}; ${count} were to pass`)
    return figures
  })
  for (const { name: spec, state, seconds, failure } of results)
    if (state !== 'passed') report.add({ name: spec, status: 'failed', seconds, note: failure === '' ? state : failure.slice(0, 2_000) })
  return ok
}
