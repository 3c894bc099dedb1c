// Node of Kubernetes, as far as we read it. In a folder without a cluster, Node manifests say which nodes there are.
import { z } from 'zod'
import { defineCoreKind } from './kind.ts'

/** Annotations with a node's own settings (DESIGN §5). */
export const NODE_ANNOTATION = {
  asn: 'fibula.network/asn',
  routerId: 'fibula.network/router-id',
  routeReflectorClusterId: 'fibula.network/route-reflector-cluster-id',
  /** With prefix length. */
  ipv4Address: 'fibula.network/ipv4-address',
  ipv6Address: 'fibula.network/ipv6-address',
  /** Written by the node's own agent, where it was told how to find them: so that all others agree with it. With prefix length. */
  detectedIpv4Address: 'fibula.network/detected-ipv4-address',
  detectedIpv6Address: 'fibula.network/detected-ipv6-address',
} as const

export const node = defineCoreKind({
  kind: 'Node',
  apiVersion: 'v1',
  plural: 'nodes',
  shortNames: ['no'],
  scope: 'Cluster',
  description: 'A node. Its own settings are annotations under fibula.network/.',
  columns: [
    { name: 'AS', path: '.metadata.annotations["fibula.network/asn"]' },
    { name: 'Addresses', path: '.status.addresses[*].address' },
  ],
  body: {
    spec: z
      .object({
        podCIDRs: z.array(z.string()).default([]),
        unschedulable: z.boolean().default(false),
        taints: z.array(z.object({ key: z.string(), value: z.string().default(''), effect: z.string() })).default([]),
      })
      .prefault({}),
    status: z
      .object({
        addresses: z.array(z.object({ type: z.string(), address: z.string() })).default([]),
        conditions: z.array(z.object({ type: z.string(), status: z.string() })).default([]),
      })
      .prefault({}),
  },
})
