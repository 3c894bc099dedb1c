// Random clusters, policies, changes and packets from a seed. The universe is small, so that things meet.

import type { LabelSelector } from '../../src/lib/label-selector.ts'
import { cidr, familyOf, type IpAddress, ip, ipv4, ipv6, isIpv4 } from '../../src/net/index.ts'
import {
  type ClusterPolicy,
  clusterPolicyFromKubernetes,
  type Endpoint,
  type Flow,
  type NetworkPolicy,
  networkPolicyFromKubernetes,
  type PolicyChange,
  type PolicyNamespace,
  type PolicyNode,
  type PolicyPod,
  type PolicyState,
  PROTOCOL_NUMBER,
  podKey,
} from '../../src/policy/index.ts'

export const OWN_NODE = 'n1'
const NAMESPACES = ['a', 'b', 'c', 'kube-system']
const NODES = [OWN_NODE, 'n2', 'n3']
const KEYS = ['app', 'tier', 'env']
const VALUES = ['web', 'db', '', 'x']
const PORTS = [1, 53, 80, 81, 82, 443, 8080, 8081, 65_535]
const PORT_NAMES = ['http', 'dns', 'metrics']
const PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const
/** Every third of them so near to the next that a prefix holds both. */
const V4_BLOCKS = [
  '10.0.0.0/8',
  '10.1.0.0/16',
  '10.1.0.0/30',
  '10.1.0.4/32',
  '0.0.0.0/0',
  '0.0.0.0/1',
  '192.0.2.0/24',
  '172.18.0.0/31',
  '10.1.2.3/24',
]
const V6_BLOCKS = ['fd00::/16', 'fd00:1::/64', 'fd00:1::4/128', '::/0', '2001:db8::/32']
const OUTSIDE = ['192.0.2.1', '192.0.2.200', '8.8.8.8', '10.1.0.200', '2001:db8::1', 'fd00:1::200', 'fe80::9'].map(ip)

/** mulberry32. */
export class Random {
  #state: number
  constructor(seed: number) {
    this.#state = seed >>> 0
  }
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  below(count: number): number {
    return Math.floor(this.next() * count)
  }
  chance(probability: number): boolean {
    return this.next() < probability
  }
  pick<T>(items: readonly T[]): T {
    const item = items[this.below(items.length)]
    if (item === undefined) throw new RangeError('nothing to pick from')
    return item
  }
  times<T>(atMost: number, make: () => T): T[] {
    return Array.from({ length: this.below(atMost + 1) }, make)
  }
  shuffle<T>(items: readonly T[]): T[] {
    return items
      .map((item) => ({ item, at: this.next() }))
      .sort((a, b) => a.at - b.at)
      .map(({ item }) => item)
  }
}

function labels(random: Random): Record<string, string> {
  return Object.fromEntries(random.times(3, () => [random.pick(KEYS), random.pick(VALUES)]))
}

function selector(random: Random): LabelSelector {
  if (random.chance(0.25)) return {}
  const key = random.pick(KEYS)
  switch (random.below(5)) {
    case 0:
      return { matchExpressions: [{ key, operator: random.pick(['Exists', 'DoesNotExist'] as const) }] }
    case 1:
      return {
        matchExpressions: [{ key, operator: random.pick(['In', 'NotIn'] as const), values: [random.pick(VALUES), random.pick(VALUES)] }],
      }
    case 2:
      return { matchLabels: { [key]: random.pick(VALUES) }, matchExpressions: [{ key: random.pick(KEYS), operator: 'Exists' }] }
    default:
      return { matchLabels: { [key]: random.pick(VALUES) } }
  }
}

function namespaceSelector(random: Random): LabelSelector {
  return random.chance(0.3) ? { matchLabels: { 'kubernetes.io/metadata.name': random.pick(NAMESPACES) } } : selector(random)
}

/** A few addresses for many pods, so that some are used again. */
function addressesAt(index: number, random: Random): readonly IpAddress[] {
  const both = [ipv4(0x0a010000 + index), ipv6((0xfd000001n << 96n) + BigInt(index))]
  return random.chance(0.7) ? both : [random.pick(both)]
}

export function randomPod(random: Random): PolicyPod {
  return {
    namespace: random.pick(NAMESPACES),
    name: `p${random.below(6)}`,
    uid: random.chance(0.3) ? null : `u${random.below(2)}`,
    labels: labels(random),
    node: random.chance(0.1) ? null : random.pick(NODES),
    isHostNetwork: random.chance(0.1),
    isFinished: random.chance(0.1),
    isTerminating: random.chance(0.1),
    createdAt: random.pick(['', '2001-01-01T00:00:00Z', '2001-01-01T00:00:01Z']),
    addresses: random.chance(0.1) ? [] : addressesAt(random.below(16), random),
    ports: random.times(3, () => ({ name: random.pick(PORT_NAMES), protocol: random.pick(PROTOCOLS), port: random.pick(PORTS) })),
  }
}

/** Addresses of endpoints differ from one another: IPAM sees to that. */
export function randomEndpoint(random: Random): Endpoint {
  const index = random.below(12)
  const uid = random.chance(0.5) ? null : `u${random.below(2)}`
  return {
    interface: `fib${((index * 0x1234567 + 7) % 0xffffffff).toString(16).padStart(11, random.pick(['0']))}`,
    pod: random.chance(0.1) ? null : { namespace: random.pick(NAMESPACES), name: `p${random.below(6)}`, uid },
    addresses: addressesAt(index, random),
  }
}

export function randomNode(random: Random): PolicyNode {
  const index = random.below(NODES.length)
  const name = NODES[index] ?? OWN_NODE
  return { name, labels: labels(random), addresses: [ipv4(0xac120001 + index), ipv6((0xfd12n << 112n) + BigInt(index + 1))] }
}

export function randomNamespace(random: Random): PolicyNamespace {
  return { name: random.pick(NAMESPACES), labels: labels(random) }
}

function networkPort(random: Random) {
  const protocol = random.pick(PROTOCOLS)
  switch (random.below(4)) {
    case 0:
      return { protocol }
    case 1:
      return { protocol, port: random.pick(PORT_NAMES) }
    case 2: {
      const port = random.pick(PORTS)
      return { protocol, port, endPort: Math.min(65_535, port + random.below(400)) }
    }
    default:
      return { protocol, port: random.pick(PORTS) }
  }
}

function networkPeer(random: Random) {
  if (random.chance(0.3)) {
    const block = random.pick(random.chance(0.6) ? V4_BLOCKS : V6_BLOCKS)
    const excepts = block.includes(':') ? V6_BLOCKS : V4_BLOCKS
    return {
      ipBlock: {
        cidr: block,
        except: random.times(2, () => random.pick(excepts)).filter((each) => cidr(each).length > cidr(block).length),
      },
    }
  }
  switch (random.below(3)) {
    case 0:
      return { podSelector: selector(random) }
    case 1:
      return { namespaceSelector: namespaceSelector(random) }
    default:
      return random.chance(0.1) ? {} : { podSelector: selector(random), namespaceSelector: namespaceSelector(random) }
  }
}

/** Enough of them now and then for more than one multiport match. */
function networkPorts(random: Random) {
  const many = random.chance(0.1) ? Array.from({ length: 40 }, (_, at) => ({ protocol: 'TCP' as const, port: 1000 + at * 2 })) : []
  return [...many, ...random.times(3, () => networkPort(random))]
}

export function randomNetworkPolicy(random: Random): NetworkPolicy {
  const types = random.times(2, () => random.pick(['Ingress', 'Egress'] as const))
  const rule = () => ({ peers: random.times(3, () => networkPeer(random)), ports: networkPorts(random) })
  return networkPolicyFromKubernetes({
    metadata: { name: `np${random.below(5)}`, namespace: random.pick(NAMESPACES), labels: {} },
    spec: {
      podSelector: selector(random),
      policyTypes: types,
      ingress: random.times(2, rule).map(({ peers, ports }) => ({ from: peers, ports })),
      egress: random.times(2, rule).map(({ peers, ports }) => ({ to: peers, ports })),
    },
  })
}

function clusterPeer(random: Random, isEgress: boolean) {
  switch (random.below(isEgress ? 5 : 3)) {
    case 0:
      return { namespaces: namespaceSelector(random) }
    case 3:
      return { nodes: selector(random) }
    case 4:
      return { networks: random.times(2, () => random.pick([...V4_BLOCKS, ...V6_BLOCKS])) }
    default:
      return random.chance(0.05) ? {} : { pods: { namespaceSelector: namespaceSelector(random), podSelector: selector(random) } }
  }
}

function clusterProtocol(random: Random) {
  const port = () => {
    const start = random.pick(PORTS)
    if (random.chance(0.3)) return {}
    return {
      destinationPort: random.chance(0.5) ? { number: start } : { range: { start, end: Math.min(65_535, start + 1 + random.below(300)) } },
    }
  }
  switch (random.below(5)) {
    case 0:
      return { udp: port() }
    case 1:
      return { sctp: port() }
    case 2:
      return random.chance(0.1) ? {} : { destinationNamedPort: random.pick(PORT_NAMES) }
    default:
      return { tcp: port() }
  }
}

export function randomClusterPolicy(random: Random): ClusterPolicy {
  const rule = (isEgress: boolean) => ({
    name: random.chance(0.5) ? '' : `r${random.below(3)}`,
    action: random.pick(['Accept', 'Deny', 'Pass'] as const),
    peers: Array.from({ length: 1 + random.below(2) }, () => clusterPeer(random, isEgress)),
    ...(random.chance(0.5) ? { protocols: Array.from({ length: 1 + random.below(3) }, () => clusterProtocol(random)) } : {}),
  })
  const pods = { namespaceSelector: namespaceSelector(random), podSelector: selector(random) }
  return clusterPolicyFromKubernetes({
    metadata: { name: `cnp${random.below(5)}`, labels: {} },
    spec: {
      tier: random.pick(['Admin', 'Baseline'] as const),
      priority: random.below(3),
      subject: random.chance(0.03) ? {} : random.chance(0.5) ? { namespaces: namespaceSelector(random) } : { pods },
      ingress: random.times(3, () => rule(false)).map(({ peers, ...rest }) => ({ ...rest, from: peers })),
      egress: random.times(3, () => rule(true)).map(({ peers, ...rest }) => ({ ...rest, to: peers })),
    },
  })
}

/** One change; most make or change something, some take it away. */
export function randomChange(random: Random): PolicyChange {
  const isGone = random.chance(0.25)
  const of = <K extends PolicyChange['kind'], V>(kind: K, key: string, value: V) => ({ kind, key, value: isGone ? null : value }) as const
  switch (random.below(12)) {
    case 0: {
      const node = randomNode(random)
      return of('node', node.name, node)
    }
    case 1:
    case 2: {
      const namespace = randomNamespace(random)
      return of('namespace', namespace.name, namespace)
    }
    case 3:
    case 4: {
      const policy = randomNetworkPolicy(random)
      return of('networkPolicy', podKey(policy), policy)
    }
    case 5:
    case 6: {
      const policy = randomClusterPolicy(random)
      return of('clusterPolicy', policy.name, policy)
    }
    case 7:
    case 8: {
      const endpoint = randomEndpoint(random)
      return of('endpoint', endpoint.interface, endpoint)
    }
    default: {
      const pod = randomPod(random)
      return of('pod', podKey(pod), pod)
    }
  }
}

/** Changes from nothing to a cluster in which there is something to see. */
export function randomCluster(random: Random): readonly PolicyChange[] {
  const changes: PolicyChange[] = [
    ...NODES.map(() => randomNode(random)).map((value) => ({ kind: 'node', key: value.name, value }) as const),
    ...NAMESPACES.map((name) => ({ kind: 'namespace', key: name, value: { name, labels: labels(random) } }) as const),
    ...Array.from({ length: 14 }, () => randomPod(random)).map((value) => ({ kind: 'pod', key: podKey(value), value }) as const),
    ...Array.from({ length: 6 }, () => randomNetworkPolicy(random)).map(
      (value) => ({ kind: 'networkPolicy', key: podKey(value), value }) as const,
    ),
    ...random.times(4, () => randomClusterPolicy(random)).map((value) => ({ kind: 'clusterPolicy', key: value.name, value }) as const),
  ]
  const pods = changes.flatMap((change) => (change.kind === 'pod' && change.value !== null ? [change.value] : []))
  for (const pod of pods.filter(({ node, isHostNetwork }) => node === OWN_NODE && !isHostNetwork)) {
    const value = { ...randomEndpoint(random), pod: { namespace: pod.namespace, name: pod.name, uid: pod.uid } }
    changes.push({ kind: 'endpoint', key: value.interface, value })
  }
  return [...changes, ...random.times(6, () => randomChange(random))]
}

/** The state that changes lead to. */
export function stateAfter(changes: readonly PolicyChange[]): PolicyState {
  const tables = {
    pod: new Map(),
    namespace: new Map(),
    node: new Map(),
    networkPolicy: new Map(),
    clusterPolicy: new Map(),
    endpoint: new Map(),
  }
  for (const { kind, key, value } of changes) {
    if (value === null) tables[kind].delete(key)
    else tables[kind].set(key, value)
  }
  return {
    pods: tables.pod,
    namespaces: tables.namespace,
    nodes: tables.node,
    networkPolicies: tables.networkPolicy,
    clusterPolicies: tables.clusterPolicy,
    endpoints: tables.endpoint,
  }
}

/** The same state in one step. */
export function changesTo(state: PolicyState): readonly PolicyChange[] {
  const all = <K extends PolicyChange['kind'], V>(kind: K, map: ReadonlyMap<string, V>) =>
    [...map].map(([key, value]) => ({ kind, key, value }) as const)
  return [
    ...all('pod', state.pods),
    ...all('namespace', state.namespaces),
    ...all('node', state.nodes),
    ...all('networkPolicy', state.networkPolicies),
    ...all('clusterPolicy', state.clusterPolicies),
    ...all('endpoint', state.endpoints),
  ]
}

/** The first packet of a connection between two addresses that something is known of, or that a policy names. */
export function randomFlow(random: Random, state: PolicyState): Flow {
  const known = [
    ...[...state.endpoints.values()].flatMap(({ addresses }) => [...addresses, ...addresses]),
    ...[...state.pods.values()].flatMap(({ addresses }) => addresses),
    ...[...state.nodes.values()].flatMap(({ addresses }) => addresses),
    ...OUTSIDE,
  ]
  const source = random.pick(known)
  const destination = random.pick(known.filter((address) => familyOf(address) === familyOf(source)))
  const ports = [...PORTS, 1004, 1005, 1078, 443 + 200]
  const icmp = isIpv4(source) ? PROTOCOL_NUMBER.ICMP : PROTOCOL_NUMBER.ICMPv6
  const protocol = random.pick([PROTOCOL_NUMBER.TCP, PROTOCOL_NUMBER.TCP, PROTOCOL_NUMBER.UDP, PROTOCOL_NUMBER.SCTP, icmp, 47])
  const hasPorts = protocol !== icmp && protocol !== 47
  return {
    source,
    destination,
    protocol,
    destinationPort: hasPorts ? random.pick(ports) : null,
    ...(protocol === icmp ? { icmpType: random.pick([8, 128, 133, 135, 136]) } : {}),
    ...(source === destination ? { isTranslated: true } : {}),
    ...(random.chance(0.05) ? { state: 'established' as const } : {}),
  }
}
