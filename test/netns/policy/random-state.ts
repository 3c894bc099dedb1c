// Random policy for pods that are there: labels, named ports, namespaces, NetworkPolicies and ClusterNetworkPolicies as manifests. Few
// labels, names and ports, so that things meet; blocks are cut from the addresses that pods have.
import { cidr, covers, formatPrefix, type Prefix } from '../../../src/net/index.ts'
import type { Random } from '../../policy/random.ts'
import type { ClusterState, ContainerPort, Labels } from '../../policy/state.ts'
import type { Addresses } from './cluster.ts'

/** Where packets are sent. */
export const TCP_PORTS = [80, 81, 8080] as const
export const UDP_PORTS = [53, 80] as const
export const SCTP_PORTS = [80, 9000] as const
const PORTS = [53, 80, 81, 8080, 9000]
const PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const
const NAMES = ['web', 'dns', 'other']
const KEYS = ['app', 'tier']
const VALUES = ['a', 'b', '']

/** Everything that a random state is drawn from. */
export type Universe = { readonly pods: readonly string[]; readonly addresses: readonly Addresses[]; readonly nodes: readonly string[] }

export function randomState(random: Random, universe: Universe): ClusterState {
  const namespaces = [...new Set(universe.pods.map((key) => key.split('/')[0] ?? ''))]
  const networkPolicies = Array.from({ length: 1 + random.below(6) }, (_, at) =>
    networkPolicy(random, universe, `np${at}`, random.pick(namespaces)),
  )
  const clusterPolicies = random.times(4, () => 0).map((_, at) => clusterPolicy(random, universe, `cnp${at}`))
  return {
    namespaces: Object.fromEntries(namespaces.map((name) => [name, labels(random)])),
    pods: Object.fromEntries(universe.pods.map((key) => [key, { labels: labels(random), ports: containerPorts(random) }])),
    policies: [...networkPolicies, ...clusterPolicies],
  }
}

export function labels(random: Random): Labels {
  return Object.fromEntries(random.times(2, () => [random.pick(KEYS), random.pick(VALUES)]))
}

/** A pod's ports: each name and protocol once. */
function containerPorts(random: Random): readonly ContainerPort[] {
  const ports = random.times(
    3,
    (): ContainerPort => ({ name: random.pick(NAMES), protocol: random.pick(PROTOCOLS), containerPort: random.pick(PORTS) }),
  )
  return [...new Map(ports.map((port) => [port.name, port])).values()]
}

function selector(random: Random): object {
  const key = random.pick(KEYS)
  switch (random.below(6)) {
    case 0:
    case 1:
      return {}
    case 2:
      return { matchExpressions: [{ key, operator: random.pick(['Exists', 'DoesNotExist']) }] }
    case 3:
      return { matchExpressions: [{ key, operator: random.pick(['In', 'NotIn']), values: [random.pick(VALUES)] }] }
    default:
      return { matchLabels: { [key]: random.pick(VALUES) } }
  }
}

function namespaceSelector(random: Random, { pods }: Universe): object {
  if (random.chance(0.4)) return selector(random)
  return { matchLabels: { 'kubernetes.io/metadata.name': random.pick(pods).split('/')[0] } }
}

/** A prefix around somebody's address. */
function block(random: Random, { addresses }: Universe, family: 4 | 6): Prefix {
  const { ipv4, ipv6 } = random.pick(addresses)
  return family === 4
    ? cidr(`${ipv4}/${random.pick([0, 1, 8, 24, 30, 31, 32])}`)
    : cidr(`${ipv6}/${random.pick([0, 16, 64, 126, 127, 128])}`)
}

function ipBlock(random: Random, universe: Universe): object {
  const family = random.pick([4, 6] as const)
  const whole = block(random, universe, family)
  const except = random.times(3, () => block(random, universe, family)).filter((each) => each.length > whole.length && covers(whole, each))
  return { ipBlock: { cidr: formatPrefix(whole), except: except.map(formatPrefix) } }
}

function networkPeer(random: Random, universe: Universe): object {
  switch (random.below(4)) {
    case 0:
      return ipBlock(random, universe)
    case 1:
      return { podSelector: selector(random) }
    case 2:
      return { namespaceSelector: namespaceSelector(random, universe) }
    default:
      return { podSelector: selector(random), namespaceSelector: namespaceSelector(random, universe) }
  }
}

function networkPort(random: Random): object {
  const protocol = random.pick(PROTOCOLS)
  const port = random.pick(PORTS)
  switch (random.below(4)) {
    case 0:
      return { protocol }
    case 1:
      return { protocol, port: random.pick(NAMES) }
    case 2:
      return { protocol, port, endPort: port + random.below(30) }
    default:
      return { protocol, port }
  }
}

function networkPolicy(random: Random, universe: Universe, name: string, namespace: string): object {
  const rule = (peers: 'from' | 'to'): object => ({
    ...(random.chance(0.2) ? {} : { [peers]: random.times(3, () => networkPeer(random, universe)) }),
    ...(random.chance(0.4) ? {} : { ports: random.times(3, () => networkPort(random)) }),
  })
  return {
    apiVersion: 'networking.k8s.io/v1',
    kind: 'NetworkPolicy',
    metadata: { name, namespace },
    spec: {
      podSelector: selector(random),
      policyTypes: random.pick([['Ingress'], ['Egress'], ['Ingress', 'Egress']]),
      ingress: random.times(2, () => rule('from')),
      egress: random.times(2, () => rule('to')),
    },
  }
}

function clusterPeer(random: Random, universe: Universe, isEgress: boolean): object {
  switch (random.below(isEgress ? 4 : 2)) {
    case 0:
      return { namespaces: namespaceSelector(random, universe) }
    case 1:
      return { pods: { namespaceSelector: namespaceSelector(random, universe), podSelector: selector(random) } }
    case 2:
      return { nodes: random.chance(0.5) ? {} : { matchLabels: { 'kubernetes.io/hostname': random.pick(universe.nodes) } } }
    default:
      return { networks: [4, 6].map((family) => formatPrefix(block(random, universe, family as 4 | 6))) }
  }
}

function clusterProtocol(random: Random): object {
  const start = random.pick(PORTS)
  const port = random.pick([
    {},
    { destinationPort: { number: start } },
    { destinationPort: { range: { start, end: start + 1 + random.below(30) } } },
  ])
  return { [random.pick(['tcp', 'udp', 'sctp'])]: port }
}

function clusterPolicy(random: Random, universe: Universe, name: string): object {
  const rule = (peers: 'from' | 'to'): object => {
    const isNamed = random.chance(0.2)
    const protocols = isNamed
      ? [{ destinationNamedPort: random.pick(NAMES) }]
      : Array.from({ length: 1 + random.below(2) }, () => clusterProtocol(random))
    return {
      action: random.pick(['Accept', 'Deny', 'Pass']),
      // A named port belongs to pods: it goes with no network and no node.
      [peers]: Array.from({ length: 1 + random.below(2) }, () => clusterPeer(random, universe, peers === 'to' && !isNamed)),
      ...(random.chance(0.6) || isNamed ? { protocols } : {}),
    }
  }
  const pods = { namespaceSelector: namespaceSelector(random, universe), podSelector: selector(random) }
  return {
    apiVersion: 'policy.networking.k8s.io/v1alpha2',
    kind: 'ClusterNetworkPolicy',
    metadata: { name },
    spec: {
      tier: random.pick(['Admin', 'Baseline']),
      priority: random.below(3),
      subject: random.chance(0.5) ? { namespaces: namespaceSelector(random, universe) } : { pods },
      ingress: random.times(2, () => rule('from')),
      egress: random.times(2, () => rule('to')),
    },
  }
}
