// NetworkPolicy of Kubernetes. Unlike the other core kinds its spec is read strictly: a part we did not understand and dropped
// could widen access (decision 16). What a cluster has all the same is salvaged: it isolates as it says and grants only what is
// understood.
import { z } from 'zod'
import { defineCoreKind } from './kind.ts'
import { asMapping, hasOnly, isStrictlyInside, policyCidr, policySelector, portNumber, read, readEach } from './policy-fields.ts'
import { constrained } from './rules.ts'

const policyPort = constrained(
  z.strictObject({
    protocol: z.enum(['TCP', 'UDP', 'SCTP']).default('TCP'),
    port: z.union([portNumber(), z.string().min(1).max(15)]).exactOptional(),
    endPort: portNumber().exactOptional(),
  }),
  [
    {
      path: ['endPort'],
      message: 'a range begins at a number; write port as one, or remove endPort',
      holds: ({ port, endPort }) => endPort === undefined || typeof port === 'number',
    },
    {
      path: ['endPort'],
      message: 'a range ends where it begins or later; make endPort at least port',
      holds: ({ port, endPort }) => endPort === undefined || typeof port !== 'number' || endPort >= port,
    },
  ],
)

const ipBlock = constrained(z.strictObject({ cidr: policyCidr(), except: z.array(policyCidr()).default([]) }), [
  {
    path: ['except'],
    message: 'exceptions lie inside the cidr and are smaller than it; correct or remove those that do not',
    holds: ({ cidr, except }) => except.every((inner) => isStrictlyInside(cidr, inner)),
  },
])

const policyPeer = constrained(
  z.strictObject({
    podSelector: policySelector().exactOptional(),
    namespaceSelector: policySelector().exactOptional(),
    ipBlock: ipBlock.exactOptional(),
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

const ports = z.array(policyPort).default([])
const ingressRule = z.strictObject({ from: z.array(policyPeer).default([]), ports })
const egressRule = z.strictObject({ to: z.array(policyPeer).default([]), ports })
const policyTypes = z.array(z.enum(['Ingress', 'Egress']))

const spec = z.strictObject({
  podSelector: policySelector(),
  policyTypes: policyTypes.exactOptional(),
  ingress: z.array(ingressRule).exactOptional(),
  egress: z.array(egressRule).exactOptional(),
})

type Spec = z.output<typeof spec>
type Peer = z.output<typeof policyPeer>
type Port = z.output<typeof policyPort>

/** In a policy that was salvaged: an item of from or to that matches nobody. */
const NOBODY: Peer = {}

/**
 * What is left of a spec that does not parse. Without a subject that is understood it is about every pod of its namespace; without
 * types that are, it isolates in both directions; and where the whole may mean something else, it grants nothing.
 */
function salvage(value: unknown): Spec {
  const raw = asMapping(value) ?? {}
  const subject = read(policySelector(), raw['podSelector'])
  const types = raw['policyTypes'] === undefined ? null : (read(policyTypes, raw['policyTypes']) ?? ['Ingress', 'Egress'])
  const isUnderstood = subject !== null && hasOnly(raw, Object.keys(spec.shape))
  const rules = (list: unknown, peers: 'from' | 'to') => readEach(z.unknown(), list).map((rule) => salvageRule(rule, peers, isUnderstood))
  return {
    podSelector: subject ?? {},
    ...(types === null ? {} : { policyTypes: [...types] }),
    ...(raw['ingress'] === undefined ? {} : { ingress: rules(raw['ingress'], 'from').map(({ peers, ports }) => ({ from: peers, ports })) }),
    ...(raw['egress'] === undefined ? {} : { egress: rules(raw['egress'], 'to').map(({ peers, ports }) => ({ to: peers, ports })) }),
  }
}

function salvageRule(value: unknown, field: 'from' | 'to', mayGrant: boolean): { readonly peers: Peer[]; readonly ports: Port[] } {
  const raw = asMapping(value)
  if (raw === null) return { peers: [NOBODY], ports: [] }
  const peers = readEach(policyPeer, raw[field]).map((peer) => peer ?? NOBODY)
  const listed = readEach(policyPort, raw['ports'])
  const understood = listed.filter((port) => port !== null)
  const grants = mayGrant && hasOnly(raw, [field, 'ports']) && (listed.length === 0 || understood.length > 0)
  return grants ? { peers, ports: understood } : { peers: [NOBODY], ports: [] }
}

export const networkPolicy = defineCoreKind({
  kind: 'NetworkPolicy',
  apiVersion: 'networking.k8s.io/v1',
  plural: 'networkpolicies',
  shortNames: ['netpol'],
  scope: 'Namespaced',
  description: 'A NetworkPolicy of Kubernetes.',
  columns: [{ name: 'Types', path: '.spec.policyTypes' }],
  body: { spec },
  salvage: (object) => ({ spec: salvage(object['spec']) }),
})
