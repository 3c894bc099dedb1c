// Every kind there is, and the types of their objects.
import type { z } from 'zod'
import { bgpConfiguration } from './bgp-configuration.ts'
import { bgpFilter } from './bgp-filter.ts'
import { bgpPeer } from './bgp-peer.ts'
import { clusterNetworkPolicy } from './cluster-network-policy.ts'
import { endpointSlice } from './endpoint-slice.ts'
import { ipPool } from './ip-pool.ts'
import { ipReservation } from './ip-reservation.ts'
import { ipamBlock } from './ipam-block.ts'
import { ipamConfiguration } from './ipam-configuration.ts'
import type { PrinterColumn, Writer } from './kind.ts'
import { lease } from './lease.ts'
import { namespace } from './namespace.ts'
import { networkPolicy } from './network-policy.ts'
import { node } from './node.ts'
import { nodeNetwork } from './node-network.ts'
import { pod } from './pod.ts'
import { secret } from './secret.ts'
import { service } from './service.ts'

export const KINDS = {
  BGPConfiguration: bgpConfiguration,
  BGPPeer: bgpPeer,
  BGPFilter: bgpFilter,
  IPPool: ipPool,
  IPReservation: ipReservation,
  IPAMConfiguration: ipamConfiguration,
  IPAMBlock: ipamBlock,
  NodeNetwork: nodeNetwork,
  Node: node,
  Secret: secret,
  Namespace: namespace,
  Pod: pod,
  Service: service,
  EndpointSlice: endpointSlice,
  NetworkPolicy: networkPolicy,
  ClusterNetworkPolicy: clusterNetworkPolicy,
  Lease: lease,
} as const

export type KindName = keyof typeof KINDS
export const KIND_NAMES: readonly KindName[] = Object.values(KINDS).map(({ kind }) => kind)

type DeepReadonly<T> = T extends (infer Item)[]
  ? readonly DeepReadonly<Item>[]
  : T extends object
    ? { readonly [K in keyof T]: DeepReadonly<T[K]> }
    : T

/** An object of a kind, parsed: defaults are filled in. */
export type ResourceOf<K extends KindName> = DeepReadonly<z.output<(typeof KINDS)[K]['schema']>>
/** An object of a kind as a manifest may write it, defaults left out; `kind` tells which. */
export type ManifestOf<K extends KindName> = DeepReadonly<z.input<(typeof KINDS)[K]['schema']>> & { readonly kind: K }
/** An object of any kind; `kind` tells which. */
export type Resource = { readonly [K in KindName]: ResourceOf<K> }[KindName]

export type BGPConfiguration = ResourceOf<'BGPConfiguration'>
export type BGPPeer = ResourceOf<'BGPPeer'>
export type BGPFilter = ResourceOf<'BGPFilter'>
export type IPPool = ResourceOf<'IPPool'>
export type IPReservation = ResourceOf<'IPReservation'>
export type IPAMConfiguration = ResourceOf<'IPAMConfiguration'>
export type IPAMBlock = ResourceOf<'IPAMBlock'>
export type NodeNetwork = ResourceOf<'NodeNetwork'>
export type Node = ResourceOf<'Node'>
export type Secret = ResourceOf<'Secret'>
export type Lease = ResourceOf<'Lease'>

/** What programs that treat all kinds alike need to know of one. */
export type KindInfo = {
  readonly kind: KindName
  readonly apiVersion: string
  readonly plural: string
  readonly singular: string
  readonly shortNames: readonly string[]
  readonly scope: 'Cluster' | 'Namespaced'
  readonly writer: Writer
  /** In a folder its objects lie in `state/`: only programs write them. */
  readonly keptInState: boolean
  readonly description: string
  readonly columns: readonly PrinterColumn[]
  /** JSONPaths that a field selector may name, beside `metadata.name`. */
  readonly selectableFields: readonly string[]
  readonly schema: z.ZodType
  /** All but the head and metadata of an object that the schema refuses, read so that it grants no more; null: there is no such reading. */
  readonly salvage: ((object: Readonly<Record<string, unknown>>) => object) | null
}

export function kindInfo(kind: KindName): KindInfo {
  return KINDS[kind]
}

/** The kind a person means: its name, singular, plural or short name in any case; null if there is none. */
export function findKind(text: string): KindName | null {
  const wanted = text.toLowerCase()
  const known = KIND_NAMES.map(kindInfo).find(
    ({ singular, plural, shortNames }) => wanted === singular || wanted === plural || shortNames.includes(wanted),
  )
  return known?.kind ?? null
}
