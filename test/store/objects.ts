// Objects as small as they may be, for tests.
import { GROUP_VERSION, type ManifestOf } from '../../src/store/index.ts'

export function peer(
  name: string,
  spec: Partial<ManifestOf<'BGPPeer'>['spec']> = {},
  labels: Record<string, string> = {},
): ManifestOf<'BGPPeer'> {
  return { apiVersion: GROUP_VERSION, kind: 'BGPPeer', metadata: { name, labels }, spec: { peerIP: '10.0.0.1', asNumber: 65001, ...spec } }
}

export function block(cidr: string, node: string, over: Partial<ManifestOf<'IPAMBlock'>['spec']> = {}): ManifestOf<'IPAMBlock'> {
  const name = cidr.replace(/[.:/]/g, '-')
  return {
    apiVersion: GROUP_VERSION,
    kind: 'IPAMBlock',
    metadata: { name, labels: { 'fibula.network/node': node } },
    spec: { cidr, node, sequence: 0, allocations: [], ...over },
  }
}

export function pool(name: string, cidr: string, over: Partial<ManifestOf<'IPPool'>['spec']> = {}): ManifestOf<'IPPool'> {
  return { apiVersion: GROUP_VERSION, kind: 'IPPool', metadata: { name }, spec: { cidr, ...over } }
}

export function secret(name: string, namespace: string, stringData: Record<string, string>): ManifestOf<'Secret'> {
  return { apiVersion: 'v1', kind: 'Secret', metadata: { name, namespace }, stringData }
}

export function node(
  name: string,
  addresses: readonly string[] = [],
  over: { readonly labels?: Record<string, string>; readonly annotations?: Record<string, string> } = {},
): ManifestOf<'Node'> {
  return {
    apiVersion: 'v1',
    kind: 'Node',
    metadata: { name, ...over },
    status: { addresses: addresses.map((address) => ({ type: 'InternalIP', address })) },
  }
}

export function configuration(name: string, spec: ManifestOf<'BGPConfiguration'>['spec']): ManifestOf<'BGPConfiguration'> {
  return { apiVersion: GROUP_VERSION, kind: 'BGPConfiguration', metadata: { name }, spec }
}

export function filter(name: string, spec: ManifestOf<'BGPFilter'>['spec']): ManifestOf<'BGPFilter'> {
  return { apiVersion: GROUP_VERSION, kind: 'BGPFilter', metadata: { name }, spec }
}

/** A BGPPeer as a person writes it. */
export function peerText(name: string, asNumber: number | string = 65001, comment = ''): string {
  return `apiVersion: fibula.network/v1alpha1\nkind: BGPPeer\nmetadata: { name: ${name} }${comment}\nspec: { peerIP: 10.0.0.1, asNumber: ${asNumber} }\n`
}
