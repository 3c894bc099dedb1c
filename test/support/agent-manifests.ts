// Our manifests for a speaker described in the terms the daemon drivers share.
import { type Announcement, type DaemonConfig, type DaemonPeerConfig, familyOfPrefix } from './daemons/daemon.ts'

/** A manifest as a plain object; written as JSON, which is YAML. */
export type Manifest = {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: { readonly name: string; readonly namespace?: string; readonly annotations?: Readonly<Record<string, string>> }
} & Readonly<Record<string, unknown>>

/** What only our agent has. Objects are merged over what is rendered. */
export type AgentSettings = {
  /** Over the spec of BGPConfiguration `default`. */
  readonly bgp?: Readonly<Record<string, unknown>>
  /** More annotations of the Node. */
  readonly node?: Readonly<Record<string, string>>
  /** Over the spec of every BGPPeer. */
  readonly peer?: Readonly<Record<string, unknown>>
  /** Over the spec of the BGPPeer of an address. */
  readonly peers?: Readonly<Record<string, Readonly<Record<string, unknown>>>>
  /** More objects, or others instead of those of the same kind and name. */
  readonly objects?: readonly Manifest[]
}

const API = 'fibula.network/v1alpha1'
const NAMESPACE = 'fibula-system'

/** The whole folder of a node. Filters: `announced` sets the attributes of own prefixes, `everything` accepts what is left. */
export function renderManifests(node: string, config: DaemonConfig, settings: AgentSettings): readonly Manifest[] {
  const rendered: readonly Manifest[] = [
    {
      apiVersion: 'v1',
      kind: 'Node',
      metadata: {
        name: node,
        annotations: {
          'fibula.network/router-id': config.routerId,
          'fibula.network/ipv4-address': `${config.addresses.ipv4}/24`,
          'fibula.network/ipv6-address': `${config.addresses.ipv6}/64`,
          ...settings.node,
        },
      },
    },
    {
      apiVersion: API,
      kind: 'BGPConfiguration',
      metadata: { name: 'default' },
      spec: {
        asNumber: config.asn,
        mode: config.passOn ? 'Router' : 'Host',
        networks: config.announce.map((each) => each.prefix),
        nodeToNodeMesh: { enabled: false },
        connectRetryTime: '1s',
        installRoutes: config.kernelRoutes,
        logLevel: 'Debug',
        ...settings.bgp,
      },
    },
    filter('announced', { exportV4: exportRules(config, 'IPv4Unicast'), exportV6: exportRules(config, 'IPv6Unicast') }),
    filter('everything', { importV4: [{ action: 'Accept' }], importV6: [{ action: 'Accept' }] }),
    ...config.peers.flatMap((peer, at) => [
      ...(peer.password === null ? [] : [passwordSecret(`p${at}`, peer.password)]),
      peerManifest(peer, at, settings),
    ]),
  ]
  const replaced = (each: Manifest): boolean =>
    (settings.objects ?? []).some((other) => other.kind === each.kind && other.metadata.name === each.metadata.name)
  return [...rendered.filter((each) => !replaced(each)), ...(settings.objects ?? [])]
}

/** A Secret in the agent's namespace with the key `password`. */
export function passwordSecret(name: string, password: string): Manifest {
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace: NAMESPACE }, stringData: { password } }
}

/** A BGPFilter with these rules. */
export function filter(name: string, spec: Readonly<Record<string, unknown>>): Manifest {
  return { apiVersion: API, kind: 'BGPFilter', metadata: { name }, spec }
}

function peerManifest(peer: DaemonPeerConfig, at: number, settings: AgentSettings): Manifest {
  return {
    apiVersion: API,
    kind: 'BGPPeer',
    metadata: { name: `p${at}` },
    spec: {
      peerIP: peer.interface === null ? peer.address : `${peer.address}%${peer.interface}`,
      asNumber: peer.asn,
      ...(peer.interface === null ? { sourceAddress: peer.localAddress } : {}),
      addressFamilies: peer.families,
      addPath: { receive: peer.addPath.receive, send: peer.addPath.send ? 8 : 0 },
      extendedNextHop: peer.extendedNextHop,
      holdTime: `${peer.holdTimeSeconds}s`,
      passive: peer.passive,
      filters: ['announced', 'everything'],
      gracefulRestart: gracefulRestart(peer),
      ...(peer.password === null ? {} : { password: { secretKeyRef: { name: `p${at}`, key: 'password' } } }),
      ...(peer.role === null ? {} : { role: peer.role }),
      ...(peer.ttlSecurity ? { ttlSecurity: 1 } : {}),
      ...(peer.multihop === null ? {} : { ebgpMultihop: peer.multihop }),
      ...settings.peer,
      ...settings.peers?.[peer.address],
    },
  }
}

function gracefulRestart({ gracefulRestart: wanted }: DaemonPeerConfig): object {
  if (wanted === null) return { enabled: false }
  const { restartTimeSeconds, longLivedStaleTimeSeconds = 0 } = wanted
  return { enabled: true, restartTime: `${restartTimeSeconds}s`, longLivedStaleTime: `${longLivedStaleTimeSeconds}s` }
}

function exportRules(config: DaemonConfig, family: 'IPv4Unicast' | 'IPv6Unicast'): readonly object[] {
  return config.announce.filter((each) => familyOfPrefix(each.prefix) === family).map(exportRule)
}

function exportRule(announcement: Announcement): object {
  const { prefix, nextHop, med, localPref, behind = [], communities = [], largeCommunities = [], extendedCommunities = [] } = announcement
  if (nextHop !== undefined) throw new Error('fibula announces with its own address as next hop')
  const operations = [
    ...(med === undefined ? [] : [{ setMED: { value: med } }]),
    ...(localPref === undefined ? [] : [{ setLocalPreference: { value: localPref } }]),
    ...(behind.length === 0 ? [] : [{ prependASPath: { prefix: behind } }]),
    ...[...communities, ...largeCommunities, ...extendedCommunities].map((value) => ({ addCommunity: { value } })),
  ]
  return {
    action: 'Accept',
    cidr: prefix,
    matchOperator: 'Equal',
    source: 'Local',
    ...(operations.length === 0 ? {} : { operations }),
  }
}
