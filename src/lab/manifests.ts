// The manifests of a lab: what a person would write to configure these speakers, one folder for the nodes' cluster and one for
// each router that is Fibula. Pure; the values are plain objects in the shape `kubectl apply` takes.

import { GROUP_VERSION, NODE_ANNOTATION } from '../store/index.ts'
import type { DualAddress } from './addressing.ts'
import type { Node, Plan, Router, Session, Speaker } from './plan.ts'
import { FAMILIES, HOLD_TIME_SECONDS, KEEPALIVE_SECONDS, RESTART_TIME_SECONDS, sessionsOf } from './plan.ts'

export type Manifest = {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
  }
  readonly spec?: Readonly<Record<string, unknown>>
  readonly status?: Readonly<Record<string, unknown>>
}

/** One YAML file: a comment that says what it is for, then its manifests. */
export type ManifestFile = { readonly name: string; readonly comment: string; readonly manifests: readonly Manifest[] }

export type ManifestFolder = {
  /** Folder name under `store/`. */
  readonly name: string
  readonly files: readonly ManifestFile[]
}

/** The folder all nodes share. */
export const CLUSTER_FOLDER = 'cluster'
/** The namespace of all pods of a lab. */
export const POD_NAMESPACE = 'default'
/** The filter that lets nodes learn each other's loopbacks beside the pools. */
const LOOPBACK_FILTER = 'learn-loopbacks'

/** The Pod object of a pod of the lab, with labels for policies to select it by. `address` null: it has none yet. */
export function podManifest(pod: { readonly name: string; readonly node: string }, address: DualAddress | null): Manifest {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: pod.name, namespace: POD_NAMESPACE, labels: { pod: pod.name, node: pod.node } },
    spec: { nodeName: pod.node, containers: [{ name: 'lab' }] },
    status: address === null ? { phase: 'Pending' } : { phase: 'Running', podIPs: [{ ip: address.ipv4 }, { ip: address.ipv6 }] },
  }
}

/** The folder of manifests a speaker reads. */
export function folderOf(speaker: Speaker): string {
  return speaker.role === 'node' ? CLUSTER_FOLDER : speaker.name
}

export function manifestFolders(plan: Plan): readonly ManifestFolder[] {
  const routers = plan.routerKind === 'fibula' ? plan.routers.map((router) => routerFolder(plan, router)) : []
  return [clusterFolder(plan), ...routers]
}

function clusterFolder(plan: Plan): ManifestFolder {
  const { nodes } = plan
  return {
    name: CLUSTER_FOLDER,
    files: [
      {
        name: 'nodes.yaml',
        comment: 'The nodes of the cluster. Annotations give each its own AS number and address.',
        manifests: nodes.map(nodeManifest),
      },
      {
        name: 'bgp.yaml',
        comment: 'What all nodes have in common; then, for each node, its loopback as a network to originate.',
        manifests: [clusterConfiguration(), ...nodes.map(nodeConfiguration)],
      },
      {
        name: 'peers.yaml',
        comment: 'One BGPPeer for each node, router and address family. The filter lets loopbacks in; the pools are let in anyway.',
        manifests: [
          ...nodes.flatMap(({ name }) => sessionsOf(plan, name)).map((session) => peerManifest(session, true)),
          loopbackFilter(plan.loopbacks),
        ],
      },
      {
        name: 'namespaces.yaml',
        comment: 'Where the pods are. Beside it: a file for each pod, and whatever NetworkPolicy you put here.',
        manifests: [
          {
            apiVersion: 'v1',
            kind: 'Namespace',
            metadata: { name: POD_NAMESPACE, labels: { 'kubernetes.io/metadata.name': POD_NAMESPACE } },
          },
        ],
      },
      { name: 'pools.yaml', comment: 'Where pod addresses come from.', manifests: pools(plan) },
    ],
  }
}

function routerFolder(plan: Plan, router: Router): ManifestFolder {
  const configuration: Manifest = {
    ...ours('BGPConfiguration', 'default'),
    spec: {
      asNumber: router.asn,
      mode: 'Router',
      networks: hostPrefixes(router.loopback),
      nodeToNodeMesh: { enabled: false },
      ...timers(),
    },
  }
  return {
    name: router.name,
    files: [
      { name: 'node.yaml', comment: `${router.name} itself.`, manifests: [nodeManifest(router)] },
      { name: 'bgp.yaml', comment: 'A Router passes on what it learns.', manifests: [configuration] },
      {
        name: 'peers.yaml',
        comment: 'One BGPPeer for each link and address family.',
        manifests: sessionsOf(plan, router.name).map((session) => peerManifest(session, false)),
      },
    ],
  }
}

function ours(kind: string, name: string): Pick<Manifest, 'apiVersion' | 'kind' | 'metadata'> {
  return { apiVersion: GROUP_VERSION, kind, metadata: { name } }
}

function nodeManifest({ name, rack, asn, loopback }: Speaker): Manifest {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name,
      labels: { 'kubernetes.io/hostname': name, rack },
      annotations: {
        [NODE_ANNOTATION.asn]: String(asn),
        [NODE_ANNOTATION.ipv4Address]: `${loopback.ipv4}/32`,
        [NODE_ANNOTATION.ipv6Address]: `${loopback.ipv6}/128`,
      },
    },
  }
}

function timers(): Readonly<Record<string, unknown>> {
  return {
    holdTime: `${HOLD_TIME_SECONDS}s`,
    keepaliveTime: `${KEEPALIVE_SECONDS}s`,
    connectRetryTime: '1s',
    gracefulRestart: { enabled: true, restartTime: `${RESTART_TIME_SECONDS}s` },
  }
}

function clusterConfiguration(): Manifest {
  return { ...ours('BGPConfiguration', 'default'), spec: { mode: 'Host', nodeToNodeMesh: { enabled: false }, ...timers() } }
}

function nodeConfiguration({ name, loopback }: Node): Manifest {
  return {
    ...ours('BGPConfiguration', name),
    spec: { nodeSelector: { matchLabels: { 'kubernetes.io/hostname': name } }, networks: hostPrefixes(loopback) },
  }
}

function hostPrefixes({ ipv4, ipv6 }: DualAddress): readonly string[] {
  return [`${ipv4}/32`, `${ipv6}/128`]
}

function peerManifest(session: Session, isNode: boolean): Manifest {
  return {
    ...ours('BGPPeer', session.peer),
    spec: {
      description: `${session.remote} over ${session.link}`,
      ...(isNode ? { node: session.speaker } : {}),
      peerIP: session.remoteAddress,
      asNumber: session.remoteAsn,
      addressFamilies: [session.family === 'ipv4' ? 'IPv4Unicast' : 'IPv6Unicast'],
      ...(isNode ? { filters: [LOOPBACK_FILTER] } : {}),
    },
  }
}

function loopbackFilter({ ipv4, ipv6 }: DualAddress): Manifest {
  const accept = (cidr: string, length: number) => [
    { action: 'Accept', cidr, matchOperator: 'In', prefixLength: { min: length, max: length } },
  ]
  return { ...ours('BGPFilter', LOOPBACK_FILTER), spec: { importV4: accept(ipv4, 32), importV6: accept(ipv6, 128) } }
}

function pools(plan: Plan): readonly Manifest[] {
  return FAMILIES.map((family) => ({
    ...ours('IPPool', `pods-${family}`),
    spec: { cidr: plan.pools[family], blockSize: plan.blockSize[family] },
  }))
}

/** `/etc/hosts` of the lab, so that `fibula lab exec pod-1a -- ping pod-3b` works. */
export function hostsFile(plan: Plan, pods: readonly { readonly name: string; readonly address: DualAddress }[]): string {
  const speakers = [...plan.routers, ...plan.nodes].map(({ name, loopback }) => ({ name, address: loopback }))
  const lines = [...speakers, ...pods].flatMap(({ name, address }) => [`${address.ipv4} ${name}`, `${address.ipv6} ${name}`])
  return ['127.0.0.1 localhost', '::1 localhost', ...lines, ''].join('\n')
}
