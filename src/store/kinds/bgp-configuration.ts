// BGPConfiguration: what every speaker of the cluster has in common. `default` is for all nodes; others carry a `nodeSelector`
// and override it field by field, so no field has a default in the schema: an absent field must stay absent.
import { z } from 'zod'
import { asNumber, cidr, communityText, condition, duration, labelSelector, secondsOf, secretKeyRef } from './fields.ts'
import { defineKind } from './kind.ts'
import { constrained } from './rules.ts'

/** The values of fields that neither `default` nor an override sets. */
export const BGP_CONFIGURATION_DEFAULTS = {
  asNumber: 64_512,
  mode: 'Host',
  networks: [],
  nodeToNodeMesh: { enabled: true },
  listenPort: 179,
  bindMode: 'None',
  holdTime: '90s',
  gracefulRestart: { enabled: true, restartTime: '120s', longLivedStaleTime: '0s', notification: false },
  connectRetryTime: '5s',
  maximumPaths: 16,
  multipathASPathRelax: true,
  serviceClusterIPs: [],
  serviceLoadBalancerIPs: [],
  serviceExternalIPs: [],
  serviceLoadBalancerClasses: ['fibula.network/bgp'],
  communities: [],
  prefixAdvertisements: [],
  routerIDMode: 'Auto',
  logLevel: 'Info',
  installRoutes: true,
} as const

const D = BGP_CONFIGURATION_DEFAULTS

/** Describes a field with the value it has when nobody sets it. */
function unset<S extends z.ZodType>(schema: S, description: string, value: string | number | boolean): z.ZodExactOptional<S> {
  return schema.exactOptional().meta({ description: `${description} Unset: ${String(value)}.` })
}

const serviceRanges = (of: string, advertised: string) =>
  z
    .array(z.strictObject({ cidr: cidr().meta({ description: 'Address range.' }) }))
    .max(100)
    .exactOptional()
    .meta({
      description: `Ranges of ${of}. ${advertised} A Host never accepts a route inside them from anybody, and drops what it would have to forward to them. Unset: none, and nothing is advertised.`,
    })

/** Graceful restart (RFC 4724, RFC 8538, RFC 9494); BGPPeer overrides it field by field. */
export function gracefulRestart(defaults: typeof D.gracefulRestart | null) {
  const unsetIs = (field: keyof typeof D.gracefulRestart): string =>
    defaults === null ? ' Unset: as in BGPConfiguration.' : ` Unset: ${defaults[field]}.`
  return z.strictObject({
    enabled: z
      .boolean()
      .exactOptional()
      .meta({ description: `Keep forwarding while a speaker restarts (RFC 4724).${unsetIs('enabled')}` }),
    restartTime: duration(0, 4095)
      .exactOptional()
      .meta({ description: `How long peers keep our routes while we restart: 0s to 4095s.${unsetIs('restartTime')}` }),
    longLivedStaleTime: duration(0, 16_777_215)
      .exactOptional()
      .meta({
        description: `How long stale routes are kept after that, at least preference (RFC 9494). 0s: not at all.${unsetIs('longLivedStaleTime')}`,
      }),
    notification: z
      .boolean()
      .exactOptional()
      .meta({ description: `Keep routes also over a NOTIFICATION (RFC 8538).${unsetIs('notification')}` }),
  })
}

const namedCommunity = z.strictObject({
  name: z
    .string()
    .min(1)
    .max(63)
    .regex(/^[A-Za-z][-A-Za-z0-9_.]*$/, { error: 'a community name begins with a letter and holds letters, digits, "-", "_" and "."' })
    .meta({ description: 'Name that prefixAdvertisements may use.' }),
  value: communityText(['standard', 'large']).meta({ description: 'Standard (64512:100) or large (4200000000:1:2) community.' }),
})

const prefixAdvertisement = z.strictObject({
  cidr: cidr().meta({ description: 'Originated prefixes equal to this or inside it get the communities.' }),
  communities: z
    .array(z.string().min(1).max(63))
    .min(1)
    .max(50)
    .meta({ description: 'Names of entries of `communities`, community values, or well-known names like no-export.' }),
})

/** `keepaliveFits` in CEL, where both fields are durations already. */
export const KEEPALIVE_FITS =
  "!has(self.holdTime) || !has(self.keepaliveTime) || duration(self.holdTime) == duration('0s') || duration(self.keepaliveTime) < duration(self.holdTime)"

const spec = constrained(
  z.strictObject({
    nodeSelector: labelSelector()
      .exactOptional()
      .meta({ description: 'Nodes for which this object overrides `default`, field by field. Every object but `default` has one.' }),
    asNumber: unset(asNumber(), 'AS number of the nodes, unless a node has the annotation fibula.network/asn.', D.asNumber),
    mode: unset(
      z.enum(['Host', 'Router']),
      'Host: originate own prefixes and never pass on what was learned. Router: pass on what is learned (ToRs of the lab, border nodes).',
      D.mode,
    ),
    networks: z
      .array(cidr())
      .max(500)
      .exactOptional()
      .meta({ description: 'Prefixes to originate beside blocks and services. Unset: none.' }),
    nodeToNodeMesh: z
      .strictObject({
        enabled: unset(z.boolean(), 'A session between every two nodes that are not route reflectors.', D.nodeToNodeMesh.enabled),
        password: secretKeyRef().exactOptional().meta({ description: 'TCP MD5 password of all mesh sessions (RFC 2385).' }),
      })
      .exactOptional()
      .meta({ description: 'Full iBGP mesh between the nodes: one session for each IP family two nodes share.' }),
    listenPort: unset(z.int().min(1).max(65_535), 'TCP port to listen on, and to dial other nodes on.', D.listenPort),
    bindMode: unset(
      z.enum(['None', 'NodeIP']),
      'None: listen on every address. NodeIP: only on the BGP addresses of the node, so that another speaker may use the others.',
      D.bindMode,
    ),
    holdTime: duration(3, 65_535, [0])
      .exactOptional()
      .meta({ description: `Hold time to offer: 3s or more, or 0s for no keepalives at all (RFC 4271 §4.2). Unset: ${D.holdTime}.` }),
    keepaliveTime: duration(1, 21_845)
      .exactOptional()
      .meta({ description: 'Interval of KEEPALIVE messages. Unset: a third of the hold time.' }),
    connectRetryTime: duration(1, 65_535)
      .exactOptional()
      .meta({ description: `Pause between attempts to connect, before back-off. Unset: ${D.connectRetryTime}.` }),
    gracefulRestart: gracefulRestart(D.gracefulRestart).exactOptional().meta({ description: 'Graceful restart (RFC 4724).' }),
    maximumPaths: unset(z.int().min(1).max(128), 'Equal-cost next hops of one prefix that go into the kernel.', D.maximumPaths),
    multipathASPathRelax: unset(
      z.boolean(),
      'Equal-cost paths may have different AS paths of one length, as over two ToRs with an AS each.',
      D.multipathASPathRelax,
    ),
    serviceClusterIPs: serviceRanges(
      "the cluster's ClusterIPs",
      'Every node advertises them as a whole; a service with traffic policy Local also its addresses, from nodes with an endpoint.',
    ),
    serviceLoadBalancerIPs: serviceRanges(
      'load balancer addresses of services',
      'Each address that a service has is advertised by itself: from every node, or with externalTrafficPolicy Local from nodes with an endpoint.',
    ),
    serviceExternalIPs: serviceRanges('external IPs of services', 'Each is advertised as load balancer addresses are.'),
    serviceLoadBalancerClasses: z
      .array(z.string().min(1).max(317))
      .max(20)
      .exactOptional()
      .meta({
        description: `Classes (spec.loadBalancerClass) of the services whose load balancer addresses are advertised, beside those without a class. Unset: ${D.serviceLoadBalancerClasses.join(', ')}.`,
      }),
    communities: z.array(namedCommunity).max(200).exactOptional().meta({ description: 'Communities by name.' }),
    prefixAdvertisements: z
      .array(prefixAdvertisement)
      .max(500)
      .exactOptional()
      .meta({ description: 'Communities to put on originated prefixes.' }),
    routerIDMode: unset(
      z.enum(['Auto', 'Hash']),
      'BGP Identifier of a node without the annotation fibula.network/router-id. Auto: its IPv4 address, or a hash of its name if it has none. Hash: always the hash.',
      D.routerIDMode,
    ),
    logLevel: unset(z.enum(['Trace', 'Debug', 'Info', 'Warn', 'Error']), 'The least severe log lines the agent writes.', D.logLevel),
    installRoutes: unset(z.boolean(), 'Put best paths into the kernel. False for a node that only reflects routes.', D.installRoutes),
  }),
  [
    {
      path: ['keepaliveTime'],
      message: 'keepaliveTime must be shorter than holdTime; leave it out to get a third of it',
      holds: ({ holdTime, keepaliveTime }) => keepaliveFits(holdTime, keepaliveTime),
      cel: KEEPALIVE_FITS,
    },
    {
      path: ['communities'],
      message: 'two communities have one name; give each its own',
      holds: ({ communities = [] }) => new Set(communities.map(({ name }) => name)).size === communities.length,
      cel: '!has(self.communities) || self.communities.all(one, self.communities.exists_one(other, other.name == one.name))',
    },
  ],
)

/** True unless both are set and the keepalive interval is not shorter than the hold time. */
export function keepaliveFits(holdTime: string | undefined, keepaliveTime: string | undefined): boolean {
  if (holdTime === undefined || keepaliveTime === undefined) return true
  const hold = secondsOf(holdTime)
  return hold === 0 || secondsOf(keepaliveTime) < hold
}

export const bgpConfiguration = defineKind({
  kind: 'BGPConfiguration',
  plural: 'bgpconfigurations',
  shortNames: ['bgpconfig', 'bgpconfigs'],
  writer: 'user',
  description:
    'What the BGP speakers of the cluster have in common. The object `default` is for every node; others override it for the nodes they select.',
  columns: [
    { name: 'AS', path: '.spec.asNumber' },
    { name: 'Mode', path: '.spec.mode' },
    { name: 'Mesh', path: '.spec.nodeToNodeMesh.enabled' },
    { name: 'Accepted', path: '.status.conditions[?(@.type=="Accepted")].reason' },
    { name: 'Why', path: '.status.conditions[?(@.status=="False")].message', wide: true },
  ],
  spec,
  status: z.looseObject({
    conditions: z
      .array(condition)
      .default([])
      .meta({ description: 'Accepted: whether nodes use all that it says. Healthy (of default): whether the nodes fit together.' }),
  }),
  rules: [
    {
      path: ['spec', 'nodeSelector'],
      message: 'the object named default is for every node; remove nodeSelector or give the object another name',
      holds: ({ metadata, spec: { nodeSelector } }) => metadata.name !== 'default' || nodeSelector === undefined,
      cel: "self.metadata.name != 'default' || !has(self.spec.nodeSelector)",
    },
    {
      path: ['spec', 'nodeSelector'],
      message: 'every BGPConfiguration but default needs a nodeSelector: the nodes it overrides default for ({} selects all)',
      holds: ({ metadata, spec: { nodeSelector } }) => metadata.name === 'default' || nodeSelector !== undefined,
      cel: "self.metadata.name == 'default' || has(self.spec.nodeSelector)",
    },
  ],
})
