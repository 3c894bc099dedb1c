// ClusterNetworkPolicy (sigs.k8s.io/network-policy-api, v1alpha2): policy of the cluster's administrators, before and after the
// NetworkPolicies of namespaces. Read strictly; what a cluster has all the same is salvaged so that it fails closed: as the API has it, a rule
// with a peer that is not known matches nothing if it accepts, and denies everything if it does not.
import { z } from 'zod'
import { defineCoreKind } from './kind.ts'
import { asMapping, hasOnly, policyCidr, policySelector, portNumber, read, readEach } from './policy-fields.ts'
import { constrained } from './rules.ts'

/** Rules a direction, peers and protocols a rule, networks a peer. */
const MOST = 25

const exactlyOne = (what: string) => ({
  path: [],
  message: `${what} has exactly one field; make one item for each`,
  holds: (value: object) => Object.keys(value).length === 1,
})

const pods = z.strictObject({ namespaceSelector: policySelector().default({}), podSelector: policySelector() })
const subject = constrained(z.strictObject({ namespaces: policySelector().exactOptional(), pods: pods.exactOptional() }), [
  exactlyOne('a subject'),
])
const ingressPeer = constrained(z.strictObject({ namespaces: policySelector().exactOptional(), pods: pods.exactOptional() }), [
  exactlyOne('a peer'),
])
const egressPeer = constrained(
  z.strictObject({
    namespaces: policySelector().exactOptional(),
    pods: pods.exactOptional(),
    nodes: policySelector().exactOptional(),
    networks: z.array(policyCidr()).min(1).max(MOST).exactOptional(),
  }),
  [exactlyOne('a peer')],
)

const range = constrained(z.strictObject({ start: portNumber(), end: portNumber() }), [
  { path: ['end'], message: 'a range ends after it begins; make end greater than start', holds: ({ start, end }) => start < end },
])
const port = constrained(z.strictObject({ number: portNumber().exactOptional(), range: range.exactOptional() }), [
  exactlyOne('destinationPort'),
])
const ofPorts = z.strictObject({ destinationPort: port.exactOptional() })
const protocol = constrained(
  z.strictObject({
    tcp: ofPorts.exactOptional(),
    udp: ofPorts.exactOptional(),
    sctp: ofPorts.exactOptional(),
    destinationNamedPort: z.string().min(1).max(15).exactOptional(),
  }),
  [exactlyOne('an item of protocols')],
)

const name = z.string().max(100).default('')
const action = z.enum(['Accept', 'Deny', 'Pass'])
const protocols = z.array(protocol).min(1).max(MOST).exactOptional()
const ingressRule = z.strictObject({ name, action, from: z.array(ingressPeer).min(1).max(MOST), protocols })
const egressRule = constrained(z.strictObject({ name, action, to: z.array(egressPeer).min(1).max(MOST), protocols }), [
  {
    path: ['protocols'],
    message: 'only pods have named ports; write the number, or make a rule of its own for nodes and networks',
    holds: ({ to, protocols = [] }) =>
      !protocols.some((each) => each.destinationNamedPort !== undefined) ||
      !to.some((peer) => peer.nodes !== undefined || peer.networks !== undefined),
  },
])

const tier = z.enum(['Admin', 'Baseline'])
const priority = z.int().min(0).max(1000)
const spec = z.strictObject({
  tier,
  priority,
  subject,
  ingress: z.array(ingressRule).max(MOST).default([]),
  egress: z.array(egressRule).max(MOST).default([]),
})

type Spec = z.output<typeof spec>
type RawRule = { readonly name: string; readonly action: z.output<typeof action> }

/**
 * What is left of a spec that does not parse. `{}` stands for a subject or peer that is not understood, which is the fail-closed one
 * (src/policy). Where the spec as a whole may mean something else, no rule of it that permits is understood.
 */
function salvage(value: unknown): Spec {
  const raw = asMapping(value) ?? {}
  const known = { tier: read(tier, raw['tier']), priority: read(priority, raw['priority']), subject: read(subject, raw['subject']) }
  const isUnderstood = !Object.values(known).includes(null) && hasOnly(raw, Object.keys(spec.shape))
  return {
    tier: known.tier ?? 'Admin',
    priority: known.priority ?? 0,
    subject: known.subject ?? {},
    ingress: readEach(z.unknown(), raw['ingress']).map((rule) => {
      const parsed = read(ingressRule, rule)
      return parsed !== null && (isUnderstood || parsed.action === 'Deny') ? parsed : { ...headOf(rule), from: [{}] }
    }),
    egress: readEach(z.unknown(), raw['egress']).map((rule) => {
      const parsed = read(egressRule, rule)
      return parsed !== null && (isUnderstood || parsed.action === 'Deny') ? parsed : { ...headOf(rule), to: [{}] }
    }),
  }
}

function headOf(rule: unknown): RawRule {
  const raw = asMapping(rule) ?? {}
  return { name: read(name, raw['name']) ?? '', action: read(action, raw['action']) ?? 'Deny' }
}

export const clusterNetworkPolicy = defineCoreKind({
  kind: 'ClusterNetworkPolicy',
  apiVersion: 'policy.networking.k8s.io/v1alpha2',
  plural: 'clusternetworkpolicies',
  shortNames: ['cnp'],
  scope: 'Cluster',
  description: 'A ClusterNetworkPolicy of the network-policy-api.',
  columns: [
    { name: 'Tier', path: '.spec.tier' },
    { name: 'Priority', path: '.spec.priority' },
  ],
  body: { spec },
  salvage: (object) => ({ spec: salvage(object['spec']) }),
})
