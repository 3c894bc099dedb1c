// Services and slices as small as they may be, and what a planner makes of them.
import { type ServiceFacts, type ServicePlan, ServicePlanner } from '../../../src/agent/services/index.ts'
import { cidr, formatPrefix } from '../../../src/net/index.ts'
import { type ManifestOf, parseResource, type Resource, type ResourceOf } from '../../../src/store/index.ts'

export const FACTS: ServiceFacts = {
  node: 'me',
  standing: 'in',
  others: new Set(['n2', 'n3']),
  clusterIPs: [cidr('10.96.0.0/16'), cidr('fd00:96::/112')],
  externalIPs: [cidr('198.51.100.0/24'), cidr('2001:db8:e::/64')],
  loadBalancerIPs: [cidr('192.0.2.0/24'), cidr('2001:db8:1b::/64')],
  classes: ['fibula.network/bgp'],
}

function parsed<K extends Resource['kind']>(manifest: ManifestOf<K>): ResourceOf<K> {
  const result = parseResource(manifest)
  if (!result.ok) throw new Error(result.error.map(({ message }) => message).join('; '))
  return result.value as ResourceOf<K> // of the kind that the manifest has
}

type ServiceOptions = {
  readonly spec?: ManifestOf<'Service'>['spec']
  readonly annotations?: Record<string, string>
  readonly balancer?: readonly (string | { readonly ip: string; readonly ipMode: string })[]
}

export function service(name: string, { spec = {}, annotations = {}, balancer = [] }: ServiceOptions = {}): ResourceOf<'Service'> {
  const ingress = balancer.map((each) => (typeof each === 'string' ? { ip: each } : each))
  return parsed<'Service'>({
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'default', annotations },
    spec,
    status: { loadBalancer: { ingress } },
  })
}

/** `address@node`, with `!` behind it if it is not ready, `~` if it terminates and serves, `-` if it terminates and does not. */
export function slice(
  name: string,
  of: string,
  endpoints: readonly string[],
  addressType: 'IPv4' | 'IPv6' | 'FQDN' = 'IPv4',
): ResourceOf<'EndpointSlice'> {
  return parsed<'EndpointSlice'>({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: { name, namespace: 'default', labels: { 'kubernetes.io/service-name': of } },
    addressType,
    endpoints: endpoints.map((text) => {
      const [, address = '', nodeName, mark = ''] = /^([^@]+)(?:@(\w+))?([!~-]?)$/.exec(text) ?? []
      const conditions =
        mark === '!'
          ? { ready: false, serving: false, terminating: false }
          : mark === ''
            ? {}
            : { ready: false, serving: mark === '~', terminating: true }
      return { addresses: [address], conditions, ...(nodeName === undefined ? {} : { nodeName }) }
    }),
  })
}

export function put(...objects: readonly Resource[]) {
  return objects.map((object) => ({ type: 'put', object }) as const)
}

export function gone(...objects: readonly Resource[]) {
  return objects.map((object) => ({ type: 'gone', object }) as const)
}

/** Prefixes of host routes, and those that yield with a `~`; ranges only if they are asked for. */
export function routesOf({ routes }: ServicePlan, withRanges = false): readonly string[] {
  return routes
    .filter(({ prefix }) => withRanges || prefix.length === 32 || prefix.length === 128)
    .map(({ prefix, isYielding }) => `${formatPrefix(prefix)}${isYielding ? '~' : ''}`)
}

export function planner(objects: readonly Resource[], facts: Partial<ServiceFacts> = {}): ServicePlanner {
  const made = new ServicePlanner({ ...FACTS, ...facts })
  made.apply(put(...objects))
  return made
}
