// From all objects of the store to the whole configuration of one node: pure, total, and equal for equal input. What is wrong
// with one object becomes a problem; the rest goes on without it.
import type { SpeakerConfig } from '../../bgp/index.ts'
import type { IpamConfig } from '../../ipam/index.ts'
import type { LogLevel } from '../../lib/log.ts'
import { formatIp, type HostNetwork, type IpAddress, ipv4 } from '../../net/index.ts'
import { BLOCK_NODE_LABEL, blockNodeLabelValue, type Selection, type Snapshot } from '../../store/index.ts'
import type { Problem } from '../control-api.ts'
import { NO_SERVICES, type ServicePlan } from '../services/plan.ts'
import type { LocalSettings } from '../threads.ts'
import { annotationsWanted, type Detections, type NodeAddress } from './addresses.ts'
import { deriveEncapsulation, tunnelNeeds } from './encapsulation.ts'
import { deriveFilters } from './filters.ts'
import { deriveGuards } from './guards.ts'
import { deriveIpam, poolsOf } from './ipam.ts'
import { knownNodes } from './nodes.ts'
import { deriveOrigination } from './originate.ts'
import { derivePeers, type SessionOrigin } from './peers.ts'
import { ProblemList } from './problems.ts'
import { type NodeSettings, nodeSettings } from './settings.ts'

export type { Detections, NodeAddress } from './addresses.ts'
export { type Detection, parseDetection } from './detection.ts'
export type { SessionOrigin } from './peers.ts'
export { isDerivedFrom } from './relevance.ts'
export { deriveServiceFacts } from './services.ts'

const DERIVED_KINDS = ['BGPConfiguration', 'BGPPeer', 'BGPFilter', 'IPPool', 'IPReservation', 'IPAMConfiguration', 'Node'] as const

/**
 * What a snapshot must hold beside the Secrets in `secretsWanted`. Of blocks our own alone: BGP carries everybody else's (decision 9).
 * Of Secrets only those that this node's peers name are ever asked for, each by its name.
 */
export function derivedSelections(node: string): readonly Selection[] {
  return [...DERIVED_KINDS.map((kind) => ({ kind })), { kind: 'IPAMBlock', labels: { [BLOCK_NODE_LABEL]: blockNodeLabelValue(node) } }]
}

export type DeriveInput = {
  readonly snapshot: Snapshot
  /** Our own node. */
  readonly node: string
  /** Where the Secrets of passwords are. */
  readonly namespace: string
  readonly network: HostNetwork
  /** How our own addresses are found where no annotation names them. */
  readonly detections: Detections
  /** Why Secrets cannot be read, in words, by `namespace/name`; of those that can be, nothing. */
  readonly secretFaults: ReadonlyMap<string, string>
  /** Addresses of the pods on this node; null: no CNI is served here. */
  readonly podAddresses: readonly IpAddress[] | null
  /** What services want advertised (`deriveServiceFacts` says whether any are looked at). */
  readonly services?: ServicePlan
}

export type Derived = {
  readonly speaker: SpeakerConfig
  readonly ipam: IpamConfig
  readonly local: LocalSettings
  readonly logLevel: LogLevel
  readonly addresses: { readonly ipv4: IpAddress | null; readonly ipv6: IpAddress | null }
  /** The same addresses, with where they come from and where they are. */
  readonly nodeAddresses: { readonly ipv4: NodeAddress | null; readonly ipv6: NodeAddress | null }
  /** What annotations of our Node have to be for others to agree on its addresses; null: absent. */
  readonly annotations: Readonly<Record<string, string | null>>
  /** What each session follows from, by the key of its peer. */
  readonly origins: ReadonlyMap<string, SessionOrigin>
  /** The Secrets with the passwords of this node's peers, whether they exist or not, and which of their keys are read. */
  readonly secretsWanted: readonly WantedSecret[]
  /** What each originated prefix is for, by its text: `block`, `Service/default/web`. */
  readonly sources: ReadonlyMap<string, readonly string[]>
  readonly problems: readonly Problem[]
}

export type WantedSecret = { readonly namespace: string; readonly name: string; readonly keys: readonly string[] }

const LOG_LEVEL: { readonly [L in NodeSettings['logLevel']]: LogLevel } = {
  Trace: 'trace',
  Debug: 'debug',
  Info: 'info',
  Warn: 'warn',
  Error: 'error',
}

/** Throws RangeError only for values that a store would not have let in. */
export function derive(input: DeriveInput): Derived {
  const { snapshot, node, namespace, network, detections, secretFaults, podAddresses, services = NO_SERVICES } = input
  const problems = new ProblemList()
  const { nodes, own, addresses: nodeAddresses } = knownNodes(snapshot, node, { network, detections }, problems)
  const settings = nodeSettings(snapshot, node, own.labels, problems)
  const { peers, statics, origins, secretsWanted } = derivePeers({ snapshot, namespace, secretFaults, own, nodes, settings, problems })
  const pools = poolsOf(snapshot, problems)
  const { originated, blackholes, importBounds, serviceRanges, sources } = deriveOrigination({
    snapshot,
    nodeName: node,
    settings,
    pools,
    podAddresses: podAddresses ?? [],
    services: services.routes,
    problems,
  })
  const encapsulation = deriveEncapsulation(pools, own, nodes)
  const tunnels = settings.installRoutes ? tunnelNeeds(encapsulation, own) : { ipv4: null, ipv6: null }
  const addresses = { ipv4: own.ipv4, ipv6: own.ipv6 }
  const listenOn = [own.ipv4, own.ipv6].filter((address) => address !== null)
  if (listenOn.length === 0) {
    problems.error(
      `Node/${node}`,
      'no address of this node was found; set the annotation fibula.network/ipv4-address (10.0.0.11/24) or fibula.network/ipv6-address',
      'NoAddress',
    )
  }
  const { identifier } = own
  for (const other of nodes.values()) {
    if (other.name === node || other.asn !== own.asn) continue // unique within an AS is enough (RFC 6286 §2.1)
    if (other.identifier !== identifier) continue
    problems.error(
      `Node/${node}`,
      `node ${other.name} has the same BGP Identifier ${formatIp(ipv4(identifier))}, so the two cannot peer; set the annotation fibula.network/router-id on one of them`,
      'DuplicateRouterID',
    )
  }
  return {
    speaker: {
      asn: own.asn,
      routerId: identifier,
      mode: settings.mode,
      clusterId: own.clusterId,
      listen: settings.bindMode === 'None' ? { addresses: [], port: settings.listenPort } : listenOnly(listenOn, settings.listenPort),
      maximumPaths: settings.maximumPaths,
      installRoutes: settings.installRoutes,
      multipathAsPathRelax: settings.multipathASPathRelax,
      peers,
      filters: deriveFilters(snapshot, peers),
      originated,
      importBounds,
      serviceRanges,
      encapsulation,
    },
    ipam: deriveIpam(snapshot, own, pools),
    local: {
      routes: { blackholes, statics, preferredSource: addresses },
      installRoutes: settings.installRoutes,
      peers: peers.map(({ address, interface: device }) => ({ address, interface: device })),
      tunnels,
      guards: deriveGuards({ own, nodes, network, pools, tunnels, servesPods: podAddresses !== null, serviceRanges, problems }),
    },
    logLevel: LOG_LEVEL[settings.logLevel],
    addresses,
    nodeAddresses,
    annotations: annotationsWanted(nodeAddresses, detections),
    origins,
    secretsWanted: secretsWanted.map((secret) => ({ namespace, ...secret })),
    sources,
    problems: [...problems.list, ...services.problems],
  }
}

/** No address of its own must not come to mean every address. */
function listenOnly(addresses: readonly IpAddress[], port: number): SpeakerConfig['listen'] {
  return addresses.length === 0 ? null : { addresses, port }
}
