// A cluster with policies as the engine is told of it, made by a script: the same every time. Pods of a namespace are alike except for
// their labels, and every node has as many of each namespace; node 0 is ours.
import { ip } from '../../src/net/index.ts'
import type { NetworkPolicy, PolicyChange, PolicyPod } from '../../src/policy/index.ts'

export type ClusterShape = {
  readonly pods: number
  readonly namespaces: number
  readonly nodes: number
  readonly networkPolicies: number
  /** Rules of each NetworkPolicy, each with ports of its own: so many lines a policy, direction and family. */
  readonly rulesEach: number
  /** `label`: a policy selects one application of its namespace; `all`: every pod of it. */
  readonly selects: 'label' | 'all'
}

export const OWN_NODE = 'node-0'
const APPS = 10
const TEAMS = 20
const TIERS = ['frontend', 'backend', 'database']
const CREATED_AT = '2026-01-01T00:00:00Z'
type Rule = NetworkPolicy['rules']['ingress'][number]
type Ports = NonNullable<Rule['ports']>

/** One pod in the order of their making; pods past the number of the shape are those that arrive later. */
export function podAt({ namespaces, nodes }: ClusterShape, index: number, app = `app-${Math.floor(index / namespaces) % APPS}`): PolicyPod {
  const namespace = `space-${index % namespaces}`
  const name = `pod-${index}`
  const node = `node-${(index + Math.floor(index / namespaces)) % nodes}`
  return {
    namespace,
    name,
    uid: `uid-${index}`,
    labels: { app, tier: TIERS[index % TIERS.length] ?? '', 'pod-template-hash': `hash-${index % 50}` },
    node,
    isHostNetwork: false,
    isFinished: false,
    isTerminating: false,
    createdAt: CREATED_AT,
    addresses: addressesOf(index),
    ports: [
      { name: 'http', protocol: 'TCP', port: 8080 },
      { name: 'metrics', protocol: 'TCP', port: 9100 },
    ],
  }
}

/** Host end of a pod's interface. */
export function interfaceOf(index: number): string {
  return `fib${(Math.imul(index + 1, 0x9e37_79b1) >>> 0).toString(16).padStart(8, '0')}0a`
}

export function podChange(pod: PolicyPod): PolicyChange {
  return { kind: 'pod', key: `${pod.namespace}/${pod.name}`, value: pod }
}

export function endpointChange(index: number, { namespace, name, uid, addresses }: PolicyPod): PolicyChange {
  const key = interfaceOf(index)
  return { kind: 'endpoint', key, value: { interface: key, pod: { namespace, name, uid }, addresses } }
}

/** All objects, and the endpoints of our own node. */
export function clusterOf(shape: ClusterShape): readonly PolicyChange[] {
  const changes: PolicyChange[] = []
  for (let at = 0; at < shape.namespaces; at++) {
    const name = `space-${at}`
    const labels = { 'kubernetes.io/metadata.name': name, team: `team-${at % TEAMS}`, stage: at % 2 === 0 ? 'production' : 'test' }
    changes.push({ kind: 'namespace', key: name, value: { name, labels } })
  }
  for (let at = 0; at < shape.nodes; at++) {
    const name = `node-${at}`
    const addresses = [ip(`172.16.${at >> 8}.${at & 255}`), ip(`fd00:16::${at.toString(16)}`)]
    changes.push({ kind: 'node', key: name, value: { name, labels: { zone: `zone-${at % 3}` }, addresses } })
  }
  for (let at = 0; at < shape.networkPolicies; at++) changes.push(policyChange(networkPolicy(shape, at)))
  for (const change of clusterPolicies()) changes.push(change)
  for (let at = 0; at < shape.pods; at++) {
    const pod = podAt(shape, at)
    changes.push(podChange(pod))
    if (pod.node === OWN_NODE) changes.push(endpointChange(at, pod))
  }
  return changes
}

export function policyChange(value: NetworkPolicy): PolicyChange {
  return { kind: 'networkPolicy', key: `${value.namespace}/${value.name}`, value }
}

/** `version` alters the port of its first rule and nothing else. */
export function networkPolicy(shape: ClusterShape, index: number, version = 0): NetworkPolicy {
  const namespace = `space-${index % shape.namespaces}`
  const nth = Math.floor(index / shape.namespaces)
  const app = `app-${nth % APPS}`
  const other = `app-${(nth + 1) % APPS}`
  const isDefault = shape.selects === 'label' && nth === 0
  const team = `team-${(index + 1) % TEAMS}`
  const rules = { ingress: [] as Rule[], egress: [] as Rule[] }
  for (let at = 0; at < (isDefault ? 0 : shape.rulesEach); at++) {
    const port = 1_024 + ((index * 61 + at * 7) % 60_000)
    const ports: Ports = [
      { kind: 'range', protocol: 'TCP', first: port, last: port },
      ...(version > 0 && at === 0 ? [{ kind: 'range', protocol: 'UDP', first: 1_000 + version, last: 1_000 + version } as const] : []),
      ...(at === 1 ? [{ kind: 'named', name: 'metrics', protocol: 'TCP' } as const] : []),
    ]
    rules.ingress.push({ peers: peersAt(at, namespace, other, team), ports })
    rules.egress.push({ peers: peersAt(at + 1, namespace, other, team), ports })
  }
  rules.egress.push({
    peers: [{ kind: 'pods', namespaces: { kind: 'name', name: 'space-0' }, pods: { matchLabels: { app: 'app-0' } } }],
    ports: [{ kind: 'range', protocol: 'UDP', first: 53, last: 53 }],
  })
  const pods = isDefault || shape.selects === 'all' ? {} : { matchLabels: { app } }
  return { namespace, name: `policy-${index}`, pods, isolates: { ingress: true, egress: true }, rules }
}

function peersAt(at: number, namespace: string, app: string, team: string): NonNullable<Rule['peers']> {
  switch (at % 4) {
    case 0:
      return [{ kind: 'pods', namespaces: { kind: 'name', name: namespace }, pods: { matchLabels: { app } } }]
    case 1:
      return [
        { kind: 'pods', namespaces: { kind: 'selector', selector: { matchLabels: { team } } }, pods: { matchLabels: { tier: 'backend' } } },
      ]
    case 2: {
      const [v4, v6] = [`10.${200 + (at % 50)}.0.0`, `fd00:${(200 + (at % 50)).toString(16)}::`]
      return [
        { kind: 'block', cidr: { address: ip(v4), length: 16 }, except: [{ address: ip(v4), length: 24 }] },
        { kind: 'block', cidr: { address: ip(v6), length: 32 }, except: [] },
      ]
    }
    default:
      return [{ kind: 'pods', namespaces: { kind: 'name', name: namespace }, pods: {} }]
  }
}

function clusterPolicies(): readonly PolicyChange[] {
  const everyone = { kind: 'pods', namespaces: { kind: 'selector', selector: {} }, pods: {} } as const
  const production = { kind: 'selector', selector: { matchLabels: { stage: 'production' } } } as const
  const test = { kind: 'pods', namespaces: { kind: 'selector', selector: { matchLabels: { stage: 'test' } } }, pods: {} } as const
  const policies = [
    {
      name: 'stages-apart',
      tier: 'Admin',
      priority: 10,
      subject: { namespaces: production, pods: {} },
      rules: { ingress: [{ name: 'no-tests', action: 'Deny', peers: [test], ports: null }], egress: [] },
    },
    {
      name: 'metrics',
      tier: 'Admin',
      priority: 20,
      subject: { namespaces: everyone.namespaces, pods: {} },
      rules: {
        ingress: [{ name: 'scrape', action: 'Accept', peers: [everyone], ports: [{ kind: 'named', name: 'metrics', protocol: null }] }],
        egress: [],
      },
    },
  ] as const
  return policies.map((value) => ({ kind: 'clusterPolicy', key: value.name, value }))
}

/** Both families, no two pods alike; the pods of one node need not be neighbours. */
function addressesOf(index: number): PolicyPod['addresses'] {
  return [ip(`10.128.${index >> 8}.${index & 255}`), ip(`fd00:128::${index.toString(16)}`)]
}
