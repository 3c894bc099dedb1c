// NetworkPolicy of Kubernetes. Unlike the other core kinds its spec is read strictly: a part we did not understand and dropped
// could widen access (decision 16).
import { z } from 'zod'
import { cidr, labelSelector } from './fields.ts'
import { defineCoreKind } from './kind.ts'
import { constrained } from './rules.ts'

const policyPort = z.strictObject({
  protocol: z.enum(['TCP', 'UDP', 'SCTP']).default('TCP'),
  port: z.union([z.int().min(1).max(65_535), z.string().min(1).max(15)]).exactOptional(),
  endPort: z.int().min(1).max(65_535).exactOptional(),
})

const policyPeer = constrained(
  z.strictObject({
    podSelector: labelSelector().exactOptional(),
    namespaceSelector: labelSelector().exactOptional(),
    ipBlock: z.strictObject({ cidr: cidr(), except: z.array(cidr()).default([]) }).exactOptional(),
  }),
  [
    { path: [], message: 'a peer needs a podSelector, a namespaceSelector or an ipBlock', holds: (peer) => Object.keys(peer).length > 0 },
    {
      path: ['ipBlock'],
      message: 'ipBlock excludes the selectors; make two items of it',
      holds: (peer) => peer.ipBlock === undefined || Object.keys(peer).length === 1,
    },
  ],
)

export const networkPolicy = defineCoreKind({
  kind: 'NetworkPolicy',
  apiVersion: 'networking.k8s.io/v1',
  plural: 'networkpolicies',
  shortNames: ['netpol'],
  scope: 'Namespaced',
  description: 'A NetworkPolicy of Kubernetes.',
  columns: [{ name: 'Types', path: '.spec.policyTypes' }],
  body: {
    spec: z.strictObject({
      podSelector: labelSelector().default({}),
      policyTypes: z.array(z.enum(['Ingress', 'Egress'])).exactOptional(),
      ingress: z.array(z.strictObject({ from: z.array(policyPeer).default([]), ports: z.array(policyPort).default([]) })).exactOptional(),
      egress: z.array(z.strictObject({ to: z.array(policyPeer).default([]), ports: z.array(policyPort).default([]) })).exactOptional(),
    }),
  },
})
