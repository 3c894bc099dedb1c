// Scenarios as data: nine pods in three namespaces, a state, and who reaches whom. They are run against the evaluator and the rendered rules
// (scenarios.test.ts), and by real packets (test/netns/policy/scenarios.test.ts).
import type { ClusterState, Labels } from '../state.ts'

export type Addresses = { readonly ipv4: string; readonly ipv6: string }
export type AddressesOf = (end: string) => Addresses
export type ScenarioPort = readonly ['TCP' | 'UDP' | 'SCTP', number]

/**
 * From, to, port, and whether it passes. An end is `namespace/name`, `namespace/*` or `*`; a port `TCP:80`, `TCP` or `*`. Of those that match
 * the last one counts, and where none does everything passes.
 */
export type Expectation = readonly [from: string, to: string, port: string, passes: boolean]

export type Step = {
  readonly does?: string
  /** Over the labels that the pod has: `pod: NAME`. */
  readonly podLabels?: Readonly<Record<string, Labels>>
  /** Over the labels that the namespace has: `ns: NAME`. */
  readonly namespaceLabels?: Readonly<Record<string, Labels>>
  readonly policies: readonly object[] | ((addresses: AddressesOf) => readonly object[])
  readonly expect: readonly Expectation[]
}

/** Steps follow each other in one cluster; each is the whole truth. */
export type Scenario = { readonly title: string; readonly steps: readonly Step[] }

export const NAMESPACES = ['x', 'y', 'z'] as const
export const PODS: readonly string[] = NAMESPACES.flatMap((namespace) => ['a', 'b', 'c'].map((name) => `${namespace}/${name}`))
/** Half of each namespace on either node. */
export const PLACEMENT: Readonly<Record<string, 'n1' | 'n2'>> = Object.fromEntries(PODS.map((key, at) => [key, at % 2 === 0 ? 'n1' : 'n2']))
export const PORTS: readonly ScenarioPort[] = (['TCP', 'UDP', 'SCTP'] as const).flatMap((protocol) =>
  [80, 81].map((port): ScenarioPort => [protocol, port]),
)

export function stateOfStep({ podLabels = {}, namespaceLabels = {}, policies }: Step, addresses: AddressesOf): ClusterState {
  return {
    namespaces: Object.fromEntries(NAMESPACES.map((name) => [name, namespaceLabels[name] ?? { ns: name }])),
    pods: Object.fromEntries(
      PODS.map((key) => {
        const ports = PORTS.map(([protocol, containerPort]) => ({
          name: `serve-${containerPort}-${protocol.toLowerCase()}`,
          protocol,
          containerPort,
        }))
        return [key, { labels: podLabels[key] ?? { pod: key.split('/')[1] ?? '' }, ports }]
      }),
    ),
    policies: typeof policies === 'function' ? policies(addresses) : policies,
  }
}

export function passes({ expect }: Step, from: string, to: string, [protocol, port]: ScenarioPort): boolean {
  const isEnd = (pattern: string, end: string): boolean =>
    pattern === '*' || pattern === end || (pattern.endsWith('/*') && end.startsWith(pattern.slice(0, -1)))
  const isPort = (pattern: string): boolean => pattern === '*' || pattern === protocol || pattern === `${protocol}:${port}`
  const last = expect.findLast(([source, destination, ports]) => isEnd(source, from) && isEnd(destination, to) && isPort(ports))
  return last?.[3] ?? true
}

export function networkPolicy(key: string, spec: object): object {
  const [namespace, name] = key.split('/')
  return { apiVersion: 'networking.k8s.io/v1', kind: 'NetworkPolicy', metadata: { namespace, name }, spec }
}

export function clusterPolicy(name: string, tier: 'Admin' | 'Baseline', priority: number, spec: object): object {
  return {
    apiVersion: 'policy.networking.k8s.io/v1alpha2',
    kind: 'ClusterNetworkPolicy',
    metadata: { name },
    spec: { tier, priority, ...spec },
  }
}

export const pod = (...names: readonly string[]): object =>
  names.length === 1 ? { matchLabels: { pod: names[0] } } : { matchExpressions: [{ key: 'pod', operator: 'In', values: names }] }
export const ns = (...names: readonly string[]): object =>
  names.length === 1 ? { matchLabels: { ns: names[0] } } : { matchExpressions: [{ key: 'ns', operator: 'In', values: names }] }
/** By the label that every namespace has. */
export const named = (name: string): object => ({ matchLabels: { 'kubernetes.io/metadata.name': name } })
